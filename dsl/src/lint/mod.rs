//! Lints: what runs, but hardly as meant. One lint a file, with its texts and its test; none of them
//! may ever be wrong about a sound playbook.

mod again;
mod batch;
mod canary;
mod constant;
mod control_plane;
pub(crate) mod cut;
mod early_when;
mod empty;
mod grace;
mod handler;
mod hang;
mod loop_variable;
mod never;
mod parallel;
mod question;
mod repeat;
mod retry;
mod shadow;
mod silent;
mod task_param;
mod undo;
mod unused_result;
mod walk;

pub use question::unattended;

use crate::ast;
use crate::diagnostic::{Diagnostic, Patch, Severity};
use crate::program::{Param, Policy, Stage, Task};
use crate::source::Sources;
use crate::span::{FileId, Span};

/// A lint: its code, and the look that finds.
pub(crate) struct Lint {
    /// Its code, of the K10s.
    pub(crate) code: &'static str,
    look: fn(&Subject<'_>, &mut Found),
}

/// All lints, in the order of their codes.
pub(crate) const LINTS: [Lint; 20] = [
    shadow::LINT,
    batch::LINT,
    control_plane::LINT,
    grace::LINT,
    empty::LINT,
    constant::LINT,
    canary::LINT,
    hang::LINT,
    repeat::LINT,
    retry::LINT,
    handler::LINT,
    undo::LINT,
    parallel::LINT,
    again::LINT,
    silent::LINT,
    loop_variable::LINT,
    task_param::LINT,
    unused_result::LINT,
    early_when::LINT,
    never::LINT,
];

/// A sound text, as it was written and as it was understood. Only what stands in the text itself is
/// judged: a module that it uses is judged where that one is checked.
pub(crate) struct Subject<'a> {
    /// The text.
    pub(crate) sources: &'a Sources,
    /// Its tree.
    pub(crate) tree: &'a ast::File,
    /// The modules that are in scope without a `use`.
    pub(crate) always: &'a [&'a str],
    /// The playbook's parameters.
    pub(crate) params: &'a [Param],
    /// The playbook's policy.
    pub(crate) policy: &'a Policy,
    /// The stages; a module has none.
    pub(crate) stages: &'a [Stage],
    /// Every verb in sight, of all modules.
    pub(crate) tasks: &'a [Task],
}

/// What one lint has found.
pub(crate) struct Found {
    code: &'static str,
    all: Vec<Diagnostic>,
}

/// Looks for everything that is known to go wrong.
pub(crate) fn lint(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut all = Vec::new();
    for lint in &LINTS {
        let mut found = Found { code: lint.code, all };
        (lint.look)(subject, &mut found);
        all = found.all;
    }
    all
}

impl Subject<'_> {
    /// The text that is judged.
    pub(crate) const ROOT: FileId = FileId(0);

    fn text(&self, span: Span) -> &str {
        self.sources.slice(span)
    }
}

impl Found {
    /// Adds a finding, with what is written beside its place.
    pub(crate) fn add(&mut self, span: Span, message: String, label: &str, hint: &str) {
        self.add_with_cut(span, message, label, hint, None);
    }

    /// Adds a finding that is mended by leaving something out, if it is known where that begins and ends.
    pub(crate) fn add_with_cut(
        &mut self,
        span: Span,
        message: String,
        label: &str,
        hint: &str,
        cut: Option<Span>,
    ) {
        self.all.push(Diagnostic {
            code: self.code,
            severity: Severity::Warning,
            message,
            span: Some(span),
            label: label.to_string(),
            hints: vec![hint.to_string()],
            patch: cut.map(|span| Box::new(Patch { span, with: String::new() })),
        });
    }
}
