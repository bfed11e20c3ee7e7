//! `kup approve [RUN]`: says yes to what a run asks, and goes on with it.

use engine::machine::Input;
use engine::plan::Gate;

use crate::approval::answer;
use crate::args::Global;
use crate::commands::{person, resume};
use crate::config::whoami;
use crate::console::{Console, RESET, YELLOW};
use crate::control::{self, Order};
use crate::error::Error;
use crate::exit::Exit;
use crate::printable::one_line;
use crate::record::Record;

/// Answers what is asked, and goes on.
pub(crate) fn approve(
    global: &Global,
    console: Console,
    run: Option<&str>,
    why: Option<&str>,
) -> Result<Exit, Error> {
    let why = person::reason(why)?;
    let record = resume::find(global, run)?;
    let name = record.folder.run().to_string();
    let machine = record.machine();
    let asked: Vec<Gate> = machine.state().asked().to_vec();
    if asked.is_empty() {
        return Err(Error::usage(format!("run {name} asks nothing"))
            .hint(format!("look at it with `kup status {name}`")));
    }
    tell(console, &record);
    // Who names the run has read the question; who does not might mean another run.
    if run.is_none() {
        match console.ask(&format!("Approve, and go on with run {name}?")) {
            Some(true) => {}
            Some(false) => {
                console.say("nothing was changed");
                return Err(Error::told(Exit::Usage));
            }
            None => {
                return Err(Error::usage("there is no terminal to ask on, and no run was named")
                    .hint(format!("kup approve {name}")));
            }
        }
    }
    if record.is_alive() {
        for gate in asked {
            let Input::Answer { by, when, why, .. } = answer(gate, true, why.clone()) else { continue };
            let gate = record.stored.plan.gate_key(gate).to_string();
            control::tell(&record, &Order::Approve { gate, by, when, why })?;
        }
        console.say("approved");
        return Ok(Exit::Done);
    }
    let mut inputs: Vec<Input> = asked.into_iter().map(|gate| answer(gate, true, why.clone())).collect();
    inputs.push(Input::Begin { by: whoami(), why: String::new() });
    resume::go(global, console, record, inputs)
}

/// Says what a run asks.
pub(crate) fn tell(console: Console, record: &Record) {
    let plan = &record.stored.plan;
    for gate in record.machine().state().asked() {
        let question = plan.approvals.get(gate).map_or("", String::as_str);
        let key = one_line(plan.gate_key(*gate));
        console.alarm(&format!("{YELLOW}asked{RESET}: {} ({key})", one_line(question)));
    }
}
