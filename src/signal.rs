//! Ctrl-C and SIGTERM as inputs of the machine: the first begins nothing new, the second ends what
//! can be ended safely, the third leaves at once.

use engine::machine::Input;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::Sender;

use crate::console::Console;

/// Hands every interrupt to the driver, and says what it means.
pub(crate) fn forward(console: Console, inputs: Sender<Input>) {
    // Without the handlers a signal ends kup at once; the journal is safe then too.
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return console.alarm("warning: signals cannot be handled; Ctrl-C will end kup at once");
    };
    tokio::spawn(async move {
        for count in 1.. {
            let by = tokio::select! {
                _ = interrupt.recv() => "Ctrl-C",
                _ = terminate.recv() => "SIGTERM",
            };
            console.alarm(match count {
                1 => "stopping: nothing new begins, what runs may end; once more stops what can be stopped safely",
                2 => "stopping what can be stopped safely; once more leaves at once, and the run can be resumed",
                _ => "leaving at once; go on later with `kup resume`",
            });
            if inputs.send(Input::Interrupt { by: by.to_string(), why: String::new() }).await.is_err() {
                return;
            }
        }
    });
}
