//! What a command says when it cannot do what was asked: one message, things to do, and the code
//! it leaves with. `main` is the only place that prints one.

use engine::journal::Folder;

use crate::exit::Exit;

/// Why a command ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Error {
    /// Which exit code this is.
    pub(crate) exit: Exit,
    /// A lowercase fragment, the user's words in backticks. Empty: everything has been said already.
    pub(crate) message: String,
    /// Things to do, each a sentence fragment.
    pub(crate) hints: Vec<String>,
}

impl Error {
    /// Makes an error of a kind.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Error {
        Error { exit, message: message.into(), hints: Vec::new() }
    }

    /// The command line or the playbook is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Error {
        Error::new(Exit::Usage, message)
    }

    /// The environment cannot be used, and nothing was changed.
    pub(crate) fn environment(message: impl Into<String>) -> Error {
        Error::new(Exit::Environment, message)
    }

    /// The reason has been printed already; only the code is left to tell.
    pub(crate) fn told(exit: Exit) -> Error {
        Error::new(exit, "")
    }

    /// Takes over the text of a room: the message, then lines `hint: ...`.
    pub(crate) fn told_by(exit: Exit, text: &str) -> Error {
        let (hints, message): (Vec<&str>, Vec<&str>) = text.lines().partition(|l| l.starts_with("hint: "));
        let error = Error::new(exit, message.join("\n"));
        hints.into_iter().fold(error, |e, h| e.hint(h.trim_start_matches("hint: ")))
    }

    /// Says which run it is about.
    pub(crate) fn about(mut self, folder: &Folder) -> Error {
        if !self.message.contains(folder.run()) {
            self.message = format!("run {}: {}", folder.run(), self.message);
        }
        self
    }

    /// Adds a thing to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Error {
        let hint = hint.into();
        if !hint.is_empty() {
            self.hints.push(hint);
        }
        self
    }
}
