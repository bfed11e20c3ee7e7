//! `kup runs`: a line a run, the latest last.

use engine::machine::Mode;

use crate::args::Global;
use crate::commands::status::word;
use crate::console::{Console, Style};
use crate::error::Error;
use crate::exit::Exit;
use crate::printable::{one_line, printable};
use crate::record::{Record, store};

/// Lists the runs.
pub(crate) fn runs(global: &Global, console: Console) -> Result<Exit, Error> {
    let runs = store(global)?.list()?;
    if runs.is_empty() {
        console.say("no runs yet; begin one with `kup run FILE`");
    }
    for run in runs {
        let (state, title) = match Record::open(global, Some(&run)) {
            Ok(record) => (state(&record), record.stored.plan.title),
            // One unreadable run must not hide the others.
            Err(error) => ("unreadable".to_string(), error.message),
        };
        match console.style {
            Style::Json => console.result(
                &serde_json::json!({"v": crate::report::VERSION, "type": "run", "run": run, "state": state,
                    "title": title})
                .to_string(),
            ),
            Style::Human | Style::Plain => {
                console.result(&format!("{}  {state:<12} {}", printable(&run), one_line(&title)));
            }
        }
    }
    Ok(Exit::Done)
}

fn state(record: &Record) -> String {
    let mode = record.machine().state().mode();
    match mode {
        Mode::Finished(_) | Mode::Paused => word(mode).to_string(),
        Mode::Going | Mode::Stopping | Mode::RollingBack if record.is_alive() => "running".to_string(),
        Mode::Going | Mode::Stopping | Mode::RollingBack => "interrupted".to_string(),
    }
}
