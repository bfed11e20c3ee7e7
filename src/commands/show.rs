//! `kup show RUN`: replays a journal through the reporters that told the run when it was live.

use crate::args::Global;
use crate::console::{Console, Style};
use crate::error::Error;
use crate::exit::Exit;
use crate::printable::one_line;
use crate::record::Record;
use crate::report::reporter;

/// Replays a run.
pub(crate) fn show(global: &Global, console: Console, run: &str) -> Result<Exit, Error> {
    let record = Record::open(global, Some(run))?;
    if console.style != Style::Json {
        let h = &record.recorded.header;
        console.say(&one_line(&format!("run {}, begun {} by {} on {}", h.run, h.started, h.user, h.host)));
    }
    let mut reporter = reporter(console);
    for (at, event) in &record.recorded.events {
        let lines = reporter.event(&record.stored.plan, *at, event);
        if !lines.is_empty() {
            console.result(&lines);
        }
    }
    if let Some(torn) = record.recorded.torn {
        console.say(&format!(
            "the last {} bytes of the journal were not written to their end and do not count",
            torn.bytes
        ));
    }
    Ok(Exit::Done)
}
