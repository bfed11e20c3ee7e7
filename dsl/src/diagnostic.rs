//! What is wrong with a text: a stable code, the place, and what to do. Data only; drawing it is
//! the binary's work.

use crate::span::Span;

/// One finding about a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// A stable code such as `K0203`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// A lowercase fragment without a final period, the user's words in backticks.
    pub message: String,
    /// The place that is underlined; `None` where the text as a whole is at fault.
    pub span: Option<Span>,
    /// What to write under the place: short, may be empty.
    pub label: String,
    /// Things to do, each a sentence fragment such as ``did you mean `drain`?``.
    pub hints: Vec<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It runs, but probably not as meant.
    Warning,
    /// It does not run.
    Error,
}
