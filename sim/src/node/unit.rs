//! Units made by `systemd-run`: a command that goes on when the connection is lost, and whose end can
//! be asked for later.

use engine::port::Output;
use tokio::task::AbortHandle;

/// A transient service.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Its state.
    pub state: UnitState,
    /// Whether it stays loaded after a good end.
    pub remain: bool,
    task: AbortHandle,
}

/// How far a transient service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitState {
    /// Its process runs.
    Running,
    /// Its process ended well, and the unit remains.
    Exited,
    /// Its process ended with this code.
    Failed(i32),
}

impl Unit {
    /// Makes the unit of a task that runs.
    pub(crate) fn new(remain: bool, task: AbortHandle) -> Unit {
        Unit { state: UnitState::Running, remain, task }
    }

    /// Ends its process.
    pub(crate) fn kill(&self) {
        self.task.abort();
    }

    /// Returns what `systemctl show` says, all properties that kup asks for.
    pub(crate) fn properties(unit: Option<&Unit>) -> [(&'static str, String); 6] {
        let (load, active, sub, result, code, status) = match unit.map(|u| u.state) {
            None => ("not-found", "inactive", "dead", "success", "0", 0),
            Some(UnitState::Running) => ("loaded", "active", "running", "success", "0", 0),
            Some(UnitState::Exited) => ("loaded", "active", "exited", "success", "1", 0),
            Some(UnitState::Failed(code)) => ("loaded", "failed", "failed", "exit-code", "1", code),
        };
        [
            ("LoadState", load.to_string()),
            ("ActiveState", active.to_string()),
            ("SubState", sub.to_string()),
            ("Result", result.to_string()),
            ("ExecMainCode", code.to_string()),
            ("ExecMainStatus", status.to_string()),
        ]
    }

    /// Notes the end of its process; `None` once the unit unloads itself.
    pub(crate) fn ended(mut self, output: &Output) -> Option<Unit> {
        self.state = match output.code {
            0 if !self.remain => return None,
            0 => UnitState::Exited,
            code => UnitState::Failed(code),
        };
        Some(self)
    }
}
