//! `kup report [RUN]`: a run as one page of HTML, on stdout.

use super::status::{next, word};
use crate::args::Global;
use crate::console::{Console, Style};
use crate::error::Error;
use crate::exit::Exit;
use crate::record::Record;
use crate::report::page;
use crate::why::Why;

/// Writes the page.
pub(crate) fn report(global: &Global, console: Console, run: Option<&str>) -> Result<Exit, Error> {
    if console.style == Style::Json {
        return Err(Error::usage("a report is a page of HTML, and not JSON")
            .hint("`kup show RUN --json` has all that happened"));
    }
    let record = Record::open(global, run)?;
    let why = Why::new(&record);
    let state = word(why.machine().state().mode());
    console.text(&page(&record, state, &why.run(), &next(&record, why.machine(), why.is_alive())));
    Ok(Exit::Done)
}
