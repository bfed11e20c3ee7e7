//! The machine a step works on, with its shell: a node, or with `local` the one kup runs on.

use std::sync::Arc;

use dsl::value::{LOCAL, Value};
use engine::action::Context;
use engine::event::Failure;
use engine::inventory::Node;
use engine::port::{Command, Output, Shell, ShellError};
use futures::StreamExt;

use super::failure;

/// What kup keeps on a node is here. Not in /run, which a reboot empties.
pub(super) const FOLDER: &str = "/var/lib/kup";

/// A machine and the way to it.
#[derive(Clone)]
pub(super) struct Host {
    /// Its name in reports.
    pub(super) name: String,
    /// What is known of the node; `None` for this machine.
    pub(super) node: Option<Node>,
    /// Runs commands there.
    pub(super) shell: Arc<dyn Shell>,
}

impl Host {
    /// Returns the machine that the argument `on` or `node` names, else the step's own node. It is no Windows, of which most verbs
    /// know nothing.
    pub(super) fn of(cx: &Context) -> Result<Host, Failure> {
        let host = Host::of_any(cx)?;
        match host.is_windows() {
            true => Err(Failure::last(format!(
                "{} runs Windows, and this verb works on Linux only",
                host.name
            ))
            .with_hint(
                "leave it out with `where not windows`, or use `upgrade windows worker` of std/kubeadm",
            )),
            false => Ok(host),
        }
    }

    /// Returns whether it runs Windows.
    pub(super) fn is_windows(&self) -> bool {
        self.node.as_ref().is_some_and(|node| node.windows)
    }

    /// Returns that machine, whatever it runs.
    pub(super) fn of_any(cx: &Context) -> Result<Host, Failure> {
        let named = ["on", "node"].into_iter().find_map(|name| match cx.args.get(name) {
            Some(Value::Node(node)) => Some(node.as_str()),
            _ => None,
        });
        if named == Some(LOCAL) {
            return Ok(Host::here(cx));
        }
        let node = match named {
            Some(name) => match cx.node.as_deref() {
                Some(node) if node.name == name => Some(node),
                _ => cx.inventory.nodes.get(name),
            },
            None => cx.node.as_deref(),
        };
        let Some(node) = node else {
            return Err(Failure::last(format!("there is no node `{}`", named.unwrap_or_default())));
        };
        Ok(Host::named(cx, node))
    }

    /// Returns a node with its shell.
    pub(super) fn named(cx: &Context, node: &Node) -> Host {
        Host { name: node.name.clone(), node: Some(node.clone()), shell: cx.ports.shells.on(&node.ssh) }
    }

    /// Returns this machine.
    pub(super) fn here(cx: &Context) -> Host {
        Host { name: LOCAL.to_string(), node: None, shell: cx.ports.shells.here() }
    }

    /// Returns whether it is this machine.
    pub(super) fn is_local(&self) -> bool {
        self.node.is_none()
    }

    /// Runs a command to its end, whatever its exit code.
    pub(super) async fn run(&self, command: Command) -> Result<Output, Failure> {
        self.shell.run(&command).await.map_err(|error| failure::shell(&error))
    }

    /// Runs a command that must succeed; returns its standard output.
    pub(super) async fn ask(&self, command: Command) -> Result<String, Failure> {
        let output = self.run(command.clone()).await?;
        if output.ok() { Ok(output.stdout) } else { Err(failure::classify(&words(&command), &output)) }
    }

    /// Reads a text file; `None` if there is none.
    pub(super) async fn read(&self, path: &str) -> Result<Option<String>, Failure> {
        let bytes = self.shell.read(path).await.map_err(|error| failure::shell(&error))?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Replaces a file.
    pub(super) async fn write(&self, path: &str, content: &str, mode: u32) -> Result<(), Failure> {
        self.shell.write(path, content.as_bytes(), mode).await.map_err(|error| failure::shell(&error))
    }
}

/// How many nodes are asked at once.
const AT_ONCE: usize = 32;

/// Asks many at once, and returns the answers in the order of the questions.
pub(super) async fn together<F: Future>(asks: Vec<F>) -> Vec<F::Output> {
    futures::stream::iter(asks).buffered(AT_ONCE).collect().await
}

/// Asks every node of the cluster, many at once, and returns all answers, or the first failure.
pub(super) async fn everywhere<T, F: Future<Output = Result<T, Failure>>>(
    cx: &Context,
    ask: impl Fn(Host) -> F,
) -> Result<Vec<T>, Failure> {
    let nodes = cx.inventory.nodes.values().filter(|node| !node.beside);
    together(nodes.map(|node| ask(Host::named(cx, node))).collect()).await.into_iter().collect()
}

/// Returns whether the machine did not answer, so that nothing is known of it.
pub(super) fn is_away(error: &ShellError) -> bool {
    match error {
        ShellError::Unreachable { .. } | ShellError::Lost { .. } => true,
        ShellError::Refused(_) => false,
    }
}

/// Returns a command in few words, for reports: the program and its verb.
pub(super) fn words(command: &Command) -> String {
    let plain = |word: &&String| !word.starts_with('-') && !word.contains(['/', '=', '\n']);
    let named: Vec<&str> = command.argv.iter().take_while(plain).take(3).map(String::as_str).collect();
    match named.as_slice() {
        // A program given by its path is called by its file's name.
        [] => command.argv.first().and_then(|p| p.rsplit('/').next()).unwrap_or_default().to_string(),
        named => named.join(" "),
    }
}
