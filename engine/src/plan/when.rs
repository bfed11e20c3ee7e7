//! Choices that are made during the run. The shape of the plan holds both sides; which one is done and
//! which one is skipped is decided when the results are there.

use dsl::program::{Expr, ExprKind};
use dsl::value::Value;

use super::{Plan, ScopeId, ScopeKind};

/// One side of a `when`.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// The condition: a literal, or what waits for results.
    pub cond: Expr,
    /// The condition as written.
    pub text: String,
    /// Whether the side is done where the condition holds, or where it does not.
    pub is: bool,
}

impl Branch {
    /// Returns whether the side is done, if that is known before the run.
    pub fn known(&self) -> Option<bool> {
        match &self.cond.kind {
            ExprKind::Literal(value) => Some((*value == Value::Bool(true)) == self.is),
            _ => None,
        }
    }

    /// Says why the side is done or left out: `todo.wanted is false`.
    pub fn reason(&self, done: bool) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let cond = if self.text.chars().all(plain) { self.text.clone() } else { format!("`{}`", self.text) };
        format!("{cond} is {}", done == self.is)
    }
}

impl Plan {
    /// Returns each side of a `when` that a scope is or stands in, the innermost first.
    pub fn whens(&self, scope: ScopeId) -> impl Iterator<Item = (ScopeId, &Branch)> {
        let around = std::iter::successors(Some(scope), |id| self.scope(*id).parent);
        around.filter_map(|id| match &self.scope(id).kind {
            ScopeKind::When(when) => Some((id, &**when)),
            ScopeKind::Playbook
            | ScopeKind::Stage(_)
            | ScopeKind::Each(_)
            | ScopeKind::Lane { .. }
            | ScopeKind::Task(_)
            | ScopeKind::Parallel => None,
        })
    }
}
