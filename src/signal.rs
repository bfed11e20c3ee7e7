//! Ctrl-C, SIGTERM and the terminal's hang-up as inputs of the machine: the first begins nothing new, the
//! second ends what can be ended safely, the third leaves at once. A hang-up is never more than the first:
//! who closes a window or loses a connection has not asked for more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use engine::machine::Input;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::Sender;

use crate::console::Console;
use crate::simulation::quiet;

const HANG_UP: &str = "the terminal's hang-up";

/// Hands every interrupt to the driver, and says what it means.
#[derive(Clone)]
pub(crate) struct Interrupts {
    console: Console,
    inputs: Sender<Input>,
    simulated: bool,
    /// How many there were.
    count: Arc<AtomicU32>,
}

impl Interrupts {
    /// Makes the interrupts of a run.
    pub(crate) fn new(console: Console, inputs: Sender<Input>, simulated: bool) -> Interrupts {
        Interrupts { console, inputs, simulated, count: Arc::default() }
    }

    /// Listens to the signals.
    pub(crate) fn listen(&self) {
        // Without the handlers a signal ends kup at once; the journal is safe then too.
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            let lost = "warning: signals cannot be handled; Ctrl-C will end kup at once";
            return self.console.alarm(lost);
        };
        // Under `nohup` the run has been told to outlive its terminal, and a handler would undo that.
        let mut hang_up = if ignores_hang_up() { None } else { signal(SignalKind::hangup()).ok() };
        let this = self.clone();
        tokio::spawn(async move {
            loop {
                let by = tokio::select! {
                    _ = interrupt.recv() => "Ctrl-C",
                    _ = terminate.recv() => "SIGTERM",
                    () = hung_up(&mut hang_up) => {
                        // The kernel tells of it, and so does the shell.
                        if !this.hung_up().await {
                            return;
                        }
                        continue;
                    }
                };
                this.console.alarm(match this.count.fetch_add(1, Ordering::Relaxed) {
                    0 => "stopping: nothing new begins, what runs may end; once more stops what can be stopped safely",
                    1 => "stopping what can be stopped safely; once more leaves at once, and the run can be resumed",
                    _ => "leaving at once; go on later with `kup resume`",
                });
                if !this.send(by).await {
                    return;
                }
            }
        });
    }

    /// Takes the terminal's hang-up: nothing new begins, unless that was said before. Returns whether the run
    /// still listens.
    pub(crate) async fn hung_up(&self) -> bool {
        let is_first = self.count.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        // Where stderr is a file, somebody reads it later.
        if is_first {
            self.console.alarm(
                "the terminal has hung up: nothing new begins, what runs may end; go on later with `kup resume`",
            );
        }
        !is_first || self.send(HANG_UP).await
    }

    async fn send(&self, by: &str) -> bool {
        if self.simulated {
            quiet().await;
        }
        self.inputs.send(Input::Interrupt { by: by.to_string(), why: String::new() }).await.is_ok()
    }
}

async fn hung_up(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Returns whether whoever began kup had SIGHUP ignored, as `nohup` does; only Linux tells.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SIGHUP is signal 1, the lowest bit.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
