//! Maintenance windows: what may begin waits until its window is open; what has begun is brought to its end.
//! The machine has no clock of the day: the driver says how the windows stand.

use super::state::each_of;
use super::{Machine, Mode};
use crate::event::Event;
use crate::plan::Gate;

/// How a window stands.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    open: bool,
    until: String,
}

impl Machine {
    /// Takes how a window stands, and lets begin what has waited for it.
    pub(super) fn window(&mut self, now: u64, window: String, open: bool, until: String) {
        self.standings.insert(window.clone(), Standing { open, until });
        if !self.active || self.state.mode() != Mode::Going {
            return;
        }
        let waits = |gate: &Gate| self.windows.get(gate) == Some(&window);
        let held: Vec<Gate> = self.state.held().keys().copied().filter(waits).collect();
        for gate in held {
            self.begin_behind(now, gate);
        }
    }

    /// Returns whether this waits for its window. One of which nothing is known is closed.
    pub(super) fn is_held(&mut self, now: u64, gate: Gate) -> bool {
        let Some(window) = self.windows.get(&gate) else { return false };
        let opens = match self.standings.get(window) {
            Some(standing) if standing.open => return false,
            Some(standing) => standing.until.clone(),
            None => "at a time that is not known".to_string(),
        };
        if self.state.held().get(&gate) != Some(&opens) {
            let window = window.clone();
            self.emit(now, Event::WindowAwaited { gate, window, opens });
        }
        true
    }

    /// Returns whether something waits for a window that will begin when it opens.
    pub fn awaits_a_window(&self) -> bool {
        let scope = |gate: &Gate| match *gate {
            Gate::Step(id) => self.plan.step(id).scope,
            Gate::Scope(id) => id,
        };
        // A lane that waited may have lost its place: the ramp is narrower now, and lanes that failed keep theirs.
        let may_begin = |gate: &Gate| match *gate {
            Gate::Step(_) => true,
            Gate::Scope(id) => each_of(&self.plan, id).is_none_or(|each| self.has_place(each)),
        };
        let goes = self.active && self.state.mode() == Mode::Going;
        goes && self.state.held().keys().any(|gate| !self.is_out_of_service(scope(gate)) && may_begin(gate))
    }
}
