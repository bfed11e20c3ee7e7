//! The exit codes that scripts may rely on. `kup --help` and the README print this table.

use std::process::ExitCode;

/// How a command ended, for the shell that called it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything asked for is done.
    Done,
    /// kup itself is wrong.
    Bug,
    /// The command line or the playbook is wrong.
    Usage,
    /// The run holds, and can be resumed.
    Paused,
    /// A check or a law forbids the run.
    Blocked,
    /// The run failed, and what it had done was taken back.
    Compensated,
    /// The run failed, and something of what it had done is still there.
    Failed,
    /// Another run has the cluster.
    Locked,
    /// The kubeconfig, the API, ssh, the disk or the journal cannot be used.
    Environment,
}

impl Exit {
    const ALL: [Exit; 9] = [
        Exit::Done,
        Exit::Bug,
        Exit::Usage,
        Exit::Paused,
        Exit::Blocked,
        Exit::Compensated,
        Exit::Failed,
        Exit::Locked,
        Exit::Environment,
    ];

    /// Returns the number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Bug => 1,
            Exit::Usage => 2,
            Exit::Paused => 3,
            Exit::Blocked => 4,
            Exit::Compensated => 5,
            Exit::Failed => 6,
            Exit::Locked => 7,
            Exit::Environment => 8,
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done",
            Exit::Bug => "a bug in kup",
            Exit::Usage => "the command line or the playbook is wrong",
            Exit::Paused => "the run is paused; `kup status` says why and what to do",
            Exit::Blocked => "blocked by a check or a law; nothing was changed",
            Exit::Compensated => "failed, and what was done was taken back",
            Exit::Failed => "failed, and something of what was done is still there",
            Exit::Locked => "another run holds the lock of this cluster",
            Exit::Environment => {
                "the environment (kubeconfig, API, ssh, disk, journal) is unusable; nothing was changed"
            }
        }
    }

    /// Returns the table for the end of `--help`.
    pub(crate) fn table() -> String {
        let mut text = "Exit codes:".to_string();
        for exit in Exit::ALL {
            text.push_str(&format!("\n  {}  {}", exit.code(), exit.meaning()));
        }
        text
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
