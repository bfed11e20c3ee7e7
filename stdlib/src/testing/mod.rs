//! What tests of verbs stand on: an API server that holds plain JSON, shells that answer from a
//! list, and a clock that tests turn. The simulated cluster is the crate `sim`; this is less.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::Context;
use engine::inventory::Inventory;
use engine::port::{Clock, Command, Output, Ports, Shell, ShellError, Shells};

mod cluster;

pub(crate) use cluster::{Cluster, named};

/// The Unix time at which all tests happen: 2026-11-21 12:00 UTC.
pub(crate) const NOW: u64 = 1_795_262_400;

/// A clock that stands still until a test turns it.
#[derive(Default)]
pub(crate) struct Still(Mutex<Duration>);

impl Still {
    /// Turns the clock.
    pub(crate) fn advance(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

#[async_trait]
impl Clock for Still {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn wall(&self) -> Duration {
        Duration::from_secs(NOW) + self.now()
    }

    async fn sleep(&self, time: Duration) {
        self.advance(time);
    }
}

/// Shells that answer from a list, by ssh name; a machine that is not in it cannot be reached.
#[derive(Clone, Default)]
pub(crate) struct Scripted {
    machines: HashMap<String, Vec<(String, Output)>>,
    files: HashMap<(String, String), Vec<u8>>,
    sent: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// Lets a machine answer a command line with standard output.
    pub(crate) fn says(mut self, ssh: &str, line: &str, stdout: &str) -> Scripted {
        let output = Output { stdout: stdout.to_string(), ..Output::default() };
        self.machines.entry(ssh.to_string()).or_default().push((line.to_string(), output));
        self
    }

    /// Puts a file on a machine.
    pub(crate) fn file(mut self, ssh: &str, path: &str, content: &str) -> Scripted {
        self.files.insert((ssh.to_string(), path.to_string()), content.into());
        self
    }

    /// Returns the command lines that were sent, as `machine: line`.
    pub(crate) fn sent(&self) -> Vec<String> {
        self.sent.lock().unwrap().clone()
    }
}

struct Machine(String, Scripted);

impl Shells for Scripted {
    fn on(&self, ssh: &str) -> Arc<dyn Shell> {
        Arc::new(Machine(ssh.to_string(), self.clone()))
    }

    fn here(&self) -> Arc<dyn Shell> {
        self.on("here")
    }
}

#[async_trait]
impl Shell for Machine {
    async fn run(&self, command: &Command) -> Result<Output, ShellError> {
        let line = command.argv.join(" ");
        self.1.sent.lock().unwrap().push(format!("{}: {line}", self.0));
        let Some(answers) = self.1.machines.get(&self.0) else {
            let reason = "connection refused".to_string();
            return Err(ShellError::Unreachable { machine: self.0.clone(), reason });
        };
        let known = answers.iter().find(|(wanted, _)| *wanted == line).map(|(_, output)| output.clone());
        let unknown = Output { code: 127, stderr: format!("no answer for: {line}"), ..Output::default() };
        Ok(known.unwrap_or(unknown))
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ShellError> {
        Ok(self.1.files.get(&(self.0.clone(), path.to_string())).cloned())
    }

    async fn write(&self, path: &str, _: &[u8], _: u32) -> Result<(), ShellError> {
        Err(ShellError::Refused(format!("a test wrote {path}")))
    }

    async fn fetch(&self, path: &str, _: &Path) -> Result<u64, ShellError> {
        Err(ShellError::Refused(format!("a test fetched {path}")))
    }
}

/// Makes the ports of a test.
pub(crate) fn ports(cluster: Option<&Cluster>, shells: &Scripted, clock: &Arc<Still>) -> Ports {
    Ports {
        kube: cluster.map(Cluster::client),
        shells: Arc::new(shells.clone()),
        clock: clock.clone(),
        web: None,
    }
}

/// Makes the context of a step about a node of a cluster.
pub(crate) async fn context(cluster: &Cluster, node: &str, args: &[(&str, Value)]) -> Context {
    let ports = ports(Some(cluster), &Scripted::default(), &Arc::default());
    let inventory = crate::inventory::cluster(ports.kube.as_ref().unwrap()).await.unwrap();
    with(ports, inventory, node, args)
}

/// Makes the context of a step of ports and an inventory.
pub(crate) fn with(ports: Ports, inventory: Inventory, node: &str, args: &[(&str, Value)]) -> Context {
    Context {
        node: inventory.nodes.get(node).cloned().map(Arc::new),
        ports: ports.into(),
        inventory: Arc::new(inventory),
        run: "run-1".into(),
        key: "key".to_string(),
        attempt: 1,
        args: args.iter().map(|(name, value)| (name.to_string(), value.clone())).collect(),
        long: false,
        gives: false,
        folder: std::path::Path::new(".").into(),
        secrets: Arc::new(engine::secret::Secrets::closed()),
    }
}
