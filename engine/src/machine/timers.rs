//! Deadlines of the run. A deadline is here only while the machine can act on it: who no longer
//! waits takes it away.

use std::collections::{BTreeSet, HashMap};

use crate::plan::{ScopeId, StepId};

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Half of the time of an attempt, or of an attempt at undoing, is over.
    Slow(StepId),
    /// The attempt has taken too long.
    Timeout(StepId),
    /// The next attempt begins.
    Backoff(StepId),
    /// The canaries of an `each` have been watched long enough.
    Soak(ScopeId),
    /// The attempt at undoing has taken too long.
    UndoTimeout(StepId),
    /// The next attempt at undoing begins.
    UndoBackoff(StepId),
}

/// All deadlines, the nearest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(u64, Timer)>,
    at: HashMap<Timer, u64>,
}

impl Timers {
    /// Sets a deadline, instead of an earlier one of the same timer.
    pub(super) fn set(&mut self, timer: Timer, at: u64) {
        self.clear(timer);
        self.due.insert((at, timer));
        self.at.insert(timer, at);
    }

    /// Takes a deadline away.
    pub(super) fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.at.remove(&timer) {
            self.due.remove(&(at, timer));
        }
    }

    /// Returns when a deadline is, if it is set.
    pub(super) fn at(&self, timer: Timer) -> Option<u64> {
        self.at.get(&timer).copied()
    }

    /// Takes away the deadlines that `keep` does not want.
    pub(super) fn retain(&mut self, keep: impl Fn(Timer) -> bool) {
        self.due.retain(|(_, timer)| keep(*timer));
        self.at.retain(|timer, _| keep(*timer));
    }

    /// Returns the nearest deadline.
    pub(super) fn next(&self) -> Option<u64> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes the nearest deadline if it has passed.
    pub(super) fn pop(&mut self, now: u64) -> Option<Timer> {
        let &(at, timer) = self.due.first()?;
        if at > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }

    /// Returns whether nothing is waited for.
    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}
