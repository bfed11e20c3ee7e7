//! Scripts of hooks and gates, in rhai, behind a fence: no files, no modules, no clock, no chance, and
//! limits on everything. A script is a function of what it sees and of the answers to what it asked, so it
//! never waits: what it asks ends it, and with the answer it is run again from its first line.
//!
//! ```text
//! run(script, sees, [])          -> Wants(GET http://prometheus/..)
//! run(script, sees, [answer])    -> Ended(Wait "error rate is 3 %", 30s)
//! ```

mod fence;
mod function;
mod mark;
mod value;

#[cfg(test)]
mod tests;

use std::thread;

use dsl::source::BadScript;
use dsl::value::Value;
use indexmap::IndexMap;

use self::fence::Talk;
pub use self::mark::{Marks, masked};

/// How often a script may ask.
const QUESTIONS: usize = 32;

/// A nested map of the allowed size needs 16 MiB to be dropped; a thread of the runtime has 2.
const STACK: usize = 32 << 20;

/// What every script sees beside the parameters of its task.
pub const NAMES: [&str; 9] =
    ["run", "params", "stage", "node", "step", "attempt", "event", "reason", "output"];

/// What a script has come to.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// It asks for something. The answer is added to those it had.
    Wants(Request),
    /// It has decided.
    Decided {
        /// What is to be done.
        verdict: Verdict,
        /// What it had to say on the way.
        said: Vec<String>,
    },
    /// It broke off: a mistake in it, or a limit. The text says where.
    Broken(String),
}

/// What a script decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on; what it saw, which may be nothing.
    Go(String),
    /// Not yet.
    Wait {
        /// For what.
        reason: String,
        /// When to look again, in milliseconds.
        again: u64,
    },
    /// Do not go on.
    Stop(String),
}

/// What a script may ask of the world. None of it changes the cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// An HTTP request.
    Http {
        /// Whether it sends something.
        post: bool,
        /// Where to.
        url: String,
        /// Names and values.
        headers: Vec<(String, String)>,
        /// What is sent.
        body: String,
    },
    /// Reads a path of the API server.
    Kube(String),
}

/// What came of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The HTTP status; 0 if there was no answer.
    pub status: u16,
    /// The body; the end of what is too long is left out.
    pub body: String,
    /// Why there was no answer.
    pub error: String,
}

/// Returns what is wrong with a script, without running it. It may name `names` and [`NAMES`].
pub fn check(text: &str, names: &[&str]) -> Result<(), BadScript> {
    // Parsing nests as deep as the text does.
    let whole = || fence::parse(text, names).map(drop);
    apart(whole).unwrap_or_else(|| Err(BadScript { at: 0, message: "it cannot be read".to_string() }))
}

/// Returns whether a script is a gate: whether it may say that something waits or stops. Where such a
/// script breaks off, nothing goes on.
pub fn is_gate(text: &str) -> bool {
    fence::calls(text, &["wait", "stop"])
}

/// Runs a script over what it sees and the answers so far. It takes a moment of a processor, and no
/// longer than the fence allows.
pub fn run(text: &str, sees: &IndexMap<String, Value>, answers: &[Answer]) -> Ended {
    if answers.len() > QUESTIONS {
        return Ended::Broken(format!("it asked more than {QUESTIONS} times"));
    }
    let talk = Talk::new(answers.to_vec());
    apart(|| fence::run(text, sees, talk)).unwrap_or_else(|| Ended::Broken("a bug in kup".to_string()))
}

/// Does something on a thread that has room for it; `None` if it panics.
fn apart<T: Send>(what: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("script".to_string()).stack_size(STACK);
        thread.spawn_scoped(scope, what).ok()?.join().ok()
    })
}
