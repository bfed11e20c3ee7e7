//! The two streams of the process: results go to stdout, talk goes to stderr. A reader who goes
//! away (`kup show | head`) ends the output and not the run.

use std::io::{IsTerminal, Write};

use anstream::ColorChoice;

use crate::args::{Color, Global};
use crate::error::Error;
use crate::printable::printable;
use crate::screen;

/// How to say things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// For a person at a terminal.
    Human,
    /// One line an event, for pipes and CI.
    Plain,
    /// One JSON object a line, for programs.
    Json,
}

/// Where output goes, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    /// How to say things.
    pub(crate) style: Style,
    /// Only results and errors.
    pub(crate) quiet: bool,
}

impl Console {
    /// Chooses by the options, and by what stdout is.
    pub(crate) fn new(global: &Global) -> Console {
        match global.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::AlwaysAnsi,
            Color::Never => ColorChoice::Never,
        }
        .write_global();
        let style = match (global.json, global.plain) {
            (true, _) => Style::Json,
            (false, true) => Style::Plain,
            (false, false) if std::io::stdout().is_terminal() => Style::Human,
            (false, false) => Style::Plain,
        };
        Console { style, quiet: global.quiet }
    }

    /// Prints a result to stdout. Escape sequences of kup's own colours are dropped where they are
    /// not wanted; text from elsewhere must have gone through [`printable`].
    pub(crate) fn result(&self, text: &str) {
        if !screen::above(text) {
            put(anstream::stdout(), text);
        }
    }

    /// Prints a result as it is: it may be a file's text, and ends as that ends.
    pub(crate) fn text(&self, text: &str) {
        let mut stdout = std::io::stdout();
        // A terminal obeys what a file only holds.
        let text = if stdout.is_terminal() { printable(text) } else { text.into() };
        let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    }

    /// Says something to stderr, unless it should be quiet.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            self.alarm(text);
        }
    }

    /// Says something to stderr that must be heard.
    pub(crate) fn alarm(&self, text: &str) {
        if !std::io::stderr().is_terminal() || !screen::above(text) {
            put(anstream::stderr(), text);
        }
    }

    /// Prints an error with its hints.
    pub(crate) fn error(&self, error: &Error) {
        if !error.message.is_empty() {
            self.alarm(&format!("{RED}error{RESET}: {}", printable(&error.message)));
        }
        for hint in &error.hints {
            self.alarm(&format!("{CYAN}hint{RESET}: {}", printable(hint)));
        }
    }

    /// Returns whether somebody could answer a question.
    pub(crate) fn has_somebody(&self) -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Fails where nobody could answer a question.
    pub(crate) fn must_have_somebody(&self, look: &str) -> Result<(), Error> {
        if self.has_somebody() {
            return Ok(());
        }
        Err(Error::usage("there is no terminal to ask on, and `--yes` was not given")
            .hint(format!("look at `{look}` first, then add `--yes`")))
    }

    /// Says that an invariant of kup is broken.
    pub(crate) fn bug(text: &str) {
        put(anstream::stderr(), text);
    }

    /// Asks a yes-or-no question on the terminal; anything but yes is no. `None`: nobody is there.
    pub(crate) fn ask(&self, question: &str) -> Option<bool> {
        if !self.has_somebody() {
            return None;
        }
        let answer = self.ask_text(&format!("{} [y/N] ", printable(question)));
        if answer.is_none() && !self.has_somebody() {
            // The terminal has hung up meanwhile, and that is no answer.
            return None;
        }
        Some(matches!(answer.unwrap_or_default().as_str(), "y" | "Y" | "yes"))
    }

    /// Asks on the terminal for a line of text; `None`: its end was reached. The question must have gone
    /// through [`printable`].
    pub(crate) fn ask_text(&self, question: &str) -> Option<String> {
        screen::hide();
        // Not locked while somebody thinks: others have things to say meanwhile.
        let mut stderr = anstream::stderr();
        let _ = write!(stderr, "{question}").and_then(|()| stderr.flush());
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        screen::show();
        match read {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(answer.trim().to_string()),
        }
    }
}

/// Writes a line. A closed pipe is the reader's choice and no error of ours.
fn put(stream: impl Write, text: &str) {
    let mut stream = stream;
    let _ = writeln!(stream, "{text}").and_then(|()| stream.flush());
}

/// Colours, as the terminal has them.
pub(crate) const RED: &str = "\x1b[1;31m";
/// For what went well.
pub(crate) const GREEN: &str = "\x1b[32m";
/// For what waits.
pub(crate) const YELLOW: &str = "\x1b[33m";
/// For what to do.
pub(crate) const CYAN: &str = "\x1b[36m";
/// For headings.
pub(crate) const BOLD: &str = "\x1b[1m";
/// For what matters less.
pub(crate) const DIM: &str = "\x1b[2m";
/// Back to normal.
pub(crate) const RESET: &str = "\x1b[0m";
