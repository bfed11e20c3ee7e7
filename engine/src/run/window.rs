//! The maintenance windows of a plan, on the clock of the day: the machine is told how they stand, before
//! the run begins and when one opens or closes.

use std::collections::BTreeSet;
use std::time::Duration;

use dsl::window::Window;

use crate::machine::{Input, Machine};
use crate::plan::Plan;

/// So often the clock of the day is looked at while something waits: a machine that slept, or whose clock was
/// set, is not told so.
const LOOK: Duration = Duration::from_secs(60);

/// The windows of a plan.
pub(super) struct Windows {
    all: Vec<(String, Window)>,
    /// Between these times of the day nothing changes: since the last look, and until one opens or closes.
    quiet: std::ops::Range<Duration>,
}

impl Windows {
    /// Collects them. One that this kup cannot read stays closed.
    pub(super) fn of(plan: &Plan) -> Windows {
        let texts: BTreeSet<&String> = plan.windows.values().collect();
        let read = |text: &String| Some((text.clone(), Window::parse(text).ok()?));
        Windows { all: texts.into_iter().filter_map(read).collect(), quiet: Duration::ZERO..Duration::ZERO }
    }

    /// Tells the machine how they stand, if that may have changed; `wall` is the time since the epoch.
    pub(super) fn tell(&mut self, machine: &mut Machine, now: u64, wall: Duration) {
        if self.all.is_empty() || self.quiet.contains(&wall) {
            return;
        }
        self.quiet = wall..Duration::MAX;
        let seconds = i64::try_from(wall.as_secs()).unwrap_or(i64::MAX);
        for (text, window) in &self.all {
            let standing = window.at(seconds);
            let until = Duration::from_secs(u64::try_from(standing.until).unwrap_or_default());
            self.quiet.end = self.quiet.end.min(until);
            let (window, open, until) = (text.clone(), standing.open, window.tell(standing.until));
            machine.handle(now, Input::Window { window, open, until });
        }
    }

    /// Returns when to look again, if something waits.
    pub(super) fn rest(&self, wall: Duration) -> Duration {
        self.quiet.end.saturating_sub(wall).min(LOOK)
    }
}
