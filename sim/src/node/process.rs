//! A process on a node: what a command may touch while it runs. It belongs to one boot of the
//! machine, so a reboot ends it at its next step.

use std::time::Duration;

use engine::port::Output;

use super::Node;
use crate::world::{Shared, World, lock};

/// A running command's view of its machine.
#[derive(Clone)]
pub(crate) struct Process {
    shared: Shared,
    pub(crate) node: String,
    boot: u32,
    /// The file that takes standard output while the process runs; `None` keeps it to the end.
    stdout: Option<String>,
}

/// The machine went away under the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Killed;

/// What a command comes to.
pub(crate) type Ended = Result<Output, Killed>;

impl Process {
    /// Begins a process; `None` if there is no such machine or it does not run.
    pub(crate) fn begin(shared: &Shared, node: &str) -> Option<Process> {
        let world = lock(shared);
        let machine = world.nodes.get(node).filter(|n| n.up)?;
        Some(Process { shared: shared.clone(), node: node.to_string(), boot: machine.boots, stdout: None })
    }

    /// Makes the same process, detached: what it prints goes into a file at once.
    pub(crate) fn detached(&self, stdout: Option<String>) -> Process {
        Process { stdout, ..self.clone() }
    }

    /// Prints a line: into the file of a detached process, else to the end of `kept`.
    pub(crate) fn print(&self, kept: &mut String, line: &str) {
        match &self.stdout {
            Some(path) => self.on(|n| n.files.append(path, format!("{line}\n").as_bytes())),
            None => {
                kept.push_str(line);
                kept.push('\n');
            }
        }
    }

    /// Does something to the world.
    pub(crate) fn world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut lock(&self.shared))
    }

    /// Does something to the node.
    pub(crate) fn on<T>(&self, act: impl FnOnce(&mut Node) -> T) -> T {
        let mut world = lock(&self.shared);
        #[expect(clippy::expect_used, reason = "`begin` found the machine, and machines are never removed")]
        let node = world.nodes.get_mut(&self.node).expect("the machine of a process exists");
        act(node)
    }

    /// Lets virtual time pass, a random time between two in milliseconds.
    pub(crate) async fn busy(&self, least: u64, most: u64) -> Result<(), Killed> {
        let time = self.on(|n| n.random.between(Duration::from_millis(least), Duration::from_millis(most)));
        self.sleep(time).await
    }

    /// Lets virtual time pass.
    pub(crate) async fn sleep(&self, time: Duration) -> Result<(), Killed> {
        tokio::time::sleep(time).await;
        self.alive()
    }

    /// Returns whether the machine still runs the boot in which the process began.
    pub(crate) fn alive(&self) -> Result<(), Killed> {
        if self.on(|n| n.up && n.boots == self.boot) { Ok(()) } else { Err(Killed) }
    }

    /// Does something later, unless the machine is rebooted before.
    pub(crate) fn later(&self, after: Duration, act: impl FnOnce(&mut World) + Send + 'static) {
        let process = self.clone();
        tokio::spawn(async move {
            if process.sleep(after).await.is_ok() {
                process.world(act);
            }
        });
    }

    /// Returns the world, for what outlives the boot.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

/// Ends well with a text on standard output.
pub(crate) fn said(stdout: impl Into<String>) -> Output {
    Output { code: 0, stdout: stdout.into(), stderr: String::new() }
}

/// Ends badly with a text on standard error.
pub(crate) fn failed(code: i32, stderr: impl Into<String>) -> Output {
    Output { code, stdout: String::new(), stderr: stderr.into() }
}
