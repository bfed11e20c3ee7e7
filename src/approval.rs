//! Questions of a playbook on the way: on a terminal they are asked while the rest of the run goes on;
//! where nobody is, the machine holds, and `kup approve` answers. `--yes` answers none of them.

use std::sync::mpsc::{Sender, channel};

use engine::event::Event;
use engine::machine::Input;
use engine::plan::Gate;
use tokio::sync::mpsc;

use crate::config::whoami;
use crate::console::Console;
use crate::signal::Interrupts;

/// Who asks.
pub(crate) enum Asker {
    /// There is no terminal: the machine holds.
    Nobody,
    /// At once, while everything else stands still: the time of a simulation is not that of people.
    AtOnce(Console, mpsc::Sender<Input>, Interrupts),
    /// Beside the run, one question after the other.
    Beside(Sender<(Gate, String)>),
}

impl Asker {
    /// Makes the asker of a run that somebody may attend.
    pub(crate) fn new(
        console: Console,
        simulated: bool,
        inputs: mpsc::Sender<Input>,
        interrupts: Interrupts,
    ) -> Asker {
        if !console.has_somebody() {
            return Asker::Nobody;
        }
        if simulated {
            return Asker::AtOnce(console, inputs, interrupts);
        }
        let (questions, asked) = channel::<(Gate, String)>();
        let runtime = tokio::runtime::Handle::current();
        // No task of the runtime: that would wait for the answer before the process may end.
        std::thread::spawn(move || {
            for (gate, question) in asked {
                let goes_on = match ask(console, gate, &question) {
                    Some(answer) => inputs.blocking_send(answer).is_ok(),
                    None => runtime.block_on(interrupts.hung_up()),
                };
                if !goes_on {
                    return;
                }
            }
        });
        Asker::Beside(questions)
    }

    /// Returns whether somebody is there to answer.
    pub(crate) fn is_somebody(&self) -> bool {
        match self {
            Asker::Nobody => false,
            Asker::AtOnce(..) | Asker::Beside(_) => true,
        }
    }

    /// Asks, if the event is a question.
    pub(crate) fn hear(&self, event: &Event) {
        let Event::ApprovalAsked { gate, question } = event else { return };
        match self {
            Asker::Nobody => {}
            Asker::AtOnce(console, inputs, interrupts) => match ask(*console, *gate, question) {
                Some(answer) => {
                    // There is room: a round of the driver asks a handful of questions at most.
                    let _ = inputs.try_send(answer);
                }
                None => {
                    let interrupts = interrupts.clone();
                    tokio::spawn(async move { interrupts.hung_up().await });
                }
            },
            Asker::Beside(questions) => {
                // The thread is gone only when the run is.
                let _ = questions.send((*gate, question.clone()));
            }
        }
    }
}

/// Asks; `None`: the terminal has hung up, and nobody has said anything.
fn ask(console: Console, gate: Gate, question: &str) -> Option<Input> {
    Some(answer(gate, console.ask(question)?, String::new()))
}

/// Makes an answer that is given now, by who runs kup.
pub(crate) fn answer(gate: Gate, yes: bool, why: String) -> Input {
    let now = jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default();
    Input::Answer { gate, yes, by: whoami(), when: now.to_string(), why }
}
