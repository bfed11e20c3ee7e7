//! Why the turn of a step has not come: what stands before it in the plan and is not done, or the lanes that
//! go first.

use std::collections::HashSet;

use engine::machine::{Mode, StepState};
use engine::plan::{Gate, Lanes, ScopeId, ScopeKind, StepId, Vertex};

use super::{Cause, Kind, Why};
use crate::report::took;

/// So many of the things that stand before a step are told.
const BEFORE: usize = 5;

impl Why<'_> {
    /// Tells why a step that waits has not begun.
    pub(super) fn turn(&self, id: StepId) -> Vec<Cause> {
        let around: Vec<ScopeId> = self.around(self.plan().step(id).scope).collect();
        if !self.alive || self.machine.state().mode() != Mode::Going {
            return vec![self.run()];
        }
        let mut causes = self.questions(|gate| self.is_before(*gate, id));
        causes.extend(self.windows(|gate| self.is_before(*gate, id)));
        causes.extend(self.hooks(|open| around.contains(&open.fired.scope)));
        if causes.is_empty() {
            causes = self.before(id, &around);
        }
        let more = causes.len().saturating_sub(BEFORE);
        if more > 0 {
            causes.truncate(BEFORE);
            causes.push(Cause::new(Kind::Reason, format!("and {more} more"), Vec::new()));
        }
        causes
    }

    /// Returns whether a step waits for the answer to a question.
    pub(super) fn is_before(&self, gate: Gate, id: StepId) -> bool {
        match gate {
            Gate::Step(step) => step == id,
            // That of an `each` stands before the lanes behind its canaries, and those have not begun.
            Gate::Scope(scope) => self.around(self.plan().step(id).scope).any(|around| around == scope),
        }
    }

    /// Finds what is under way or failed of what stands before a step.
    fn before(&self, id: StepId, around: &[ScopeId]) -> Vec<Cause> {
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        let mut stack = vec![Vertex::Step(id)];
        while let Some(vertex) = stack.pop() {
            for before in self.plan().before(vertex) {
                if self.is_complete(before) || !seen.insert(before) {
                    continue;
                }
                let causes = match before {
                    Vertex::Step(id) => self.stands(id),
                    // The lanes of another `each` are found by their own steps.
                    Vertex::Open(scope) => match self.lanes_of(scope) {
                        Some((each, lanes)) if self.machine.state().scope(each).opened => {
                            if around.contains(&scope) {
                                found.push(self.in_front(each, lanes));
                            }
                            continue;
                        }
                        Some(_) | None => Vec::new(),
                    },
                    Vertex::Close(_) => Vec::new(),
                };
                if causes.is_empty() { stack.push(before) } else { found.extend(causes) }
            }
        }
        found
    }

    /// Tells how a step stands, unless it waits itself.
    fn stands(&self, id: StepId) -> Vec<Cause> {
        match self.step(id) {
            Some(cause) => vec![cause],
            None => self.failures(|failed| failed == id),
        }
    }

    /// Tells which lanes go before one that has not begun.
    fn in_front(&self, each: ScopeId, lanes: &Lanes) -> Cause {
        let state = self.machine.state();
        let record = *state.scope(each);
        let opened: Vec<ScopeId> = lanes.lanes.iter().copied().take(record.lanes_opened as usize).collect();
        let front: Vec<ScopeId> = opened.into_iter().filter(|lane| !state.scope(*lane).closed).collect();
        let names: Vec<&str> = front.iter().filter_map(|lane| self.lane_name(*lane)).take(BEFORE).collect();
        let more = front.len().saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let names = format!("{}{more}", names.join(", "));
        let ripe = record.canaries_done.saturating_add(lanes.soak);
        let text = if lanes.canary > 0 && (record.lanes_closed as usize) < lanes.canary {
            format!("the canaries must end well first: {names}")
        } else if lanes.canary > 0 && front.is_empty() && self.now < ripe {
            format!("the time to look at the canaries ends in {}", took(ripe - self.now))
        } else {
            let window = lanes.windows.get(record.wave as usize).copied().unwrap_or(1);
            format!("{window} at once, and before it is the turn of {names}")
        };
        let ids = self.plan().ids();
        let inside =
            |id: &StepId| self.around(self.plan().step(*id).scope).any(|scope| front.contains(&scope));
        let causes: Vec<Cause> = ids.filter(inside).flat_map(|id| self.stands(id)).take(BEFORE).collect();
        Cause::new(Kind::Turn, text, causes)
    }

    fn lanes_of(&self, scope: ScopeId) -> Option<(ScopeId, &Lanes)> {
        let ScopeKind::Lane { .. } = self.plan().scope(scope).kind else { return None };
        let each = self.plan().scope(scope).parent?;
        match &self.plan().scope(each).kind {
            ScopeKind::Each(lanes) => Some((each, lanes)),
            ScopeKind::Playbook
            | ScopeKind::Stage(_)
            | ScopeKind::Lane { .. }
            | ScopeKind::Task(_)
            | ScopeKind::When(_)
            | ScopeKind::Parallel => None,
        }
    }

    fn lane_name(&self, lane: ScopeId) -> Option<&str> {
        match &self.plan().scope(lane).kind {
            ScopeKind::Lane { of, .. } => Some(of),
            ScopeKind::Playbook
            | ScopeKind::Stage(_)
            | ScopeKind::Each(_)
            | ScopeKind::Task(_)
            | ScopeKind::When(_)
            | ScopeKind::Parallel => None,
        }
    }

    fn is_complete(&self, vertex: Vertex) -> bool {
        let state = self.machine.state();
        match vertex {
            Vertex::Step(id) => matches!(state.step(id).state, StepState::Done | StepState::Skipped),
            Vertex::Open(scope) => state.scope(scope).opened,
            Vertex::Close(scope) => state.scope(scope).closed,
        }
    }

    fn around(&self, scope: ScopeId) -> impl Iterator<Item = ScopeId> {
        std::iter::successors(Some(scope), |id| self.plan().scope(*id).parent)
    }
}
