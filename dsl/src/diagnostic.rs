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
    /// What stands at the place, in a few words that are written beside its underline; empty without a place.
    pub label: String,
    /// Things to do, each a sentence fragment such as ``did you mean `drain`?``.
    pub hints: Vec<String>,
    /// A change of the text that mends it, where there is only one.
    pub patch: Option<Box<Patch>>,
}

/// A change of the text: what to write in place of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// What goes.
    pub span: Span,
    /// What comes.
    pub with: String,
}

impl Diagnostic {
    /// Adds the change that mends it.
    pub(crate) fn mended(self, span: Span, with: impl Into<String>) -> Diagnostic {
        Diagnostic { patch: Some(Box::new(Patch { span, with: with.into() })), ..self }
    }

    /// Adds what to write in its own place, if that is known.
    pub(crate) fn rather(self, with: Option<&str>) -> Diagnostic {
        match (self.span, with) {
            (Some(span), Some(with)) => self.mended(span, with),
            (Some(_) | None, _) => self,
        }
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It runs, but probably not as meant.
    Warning,
    /// It does not run.
    Error,
}
