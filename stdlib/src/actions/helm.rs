//! What helm says of a release: its history, its values, what it rendered to. It is the `helm` of this machine, run as who
//! runs kup, against the cluster of the same kubeconfig.

use engine::action::Context;
use engine::event::Failure;
use engine::port::{Command, Output};
use serde::Deserialize;
use serde_json::Value as Json;

use super::host::Host;
use super::{argument, failure};

/// One revision of a release, as `helm history` has it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Revision {
    /// Its number.
    pub(super) revision: i64,
    /// `deployed`, `superseded`, `failed`, `pending-upgrade`, ..
    pub(super) status: String,
    /// The chart with its version: `cilium-1.18.2`.
    pub(super) chart: String,
    /// When it was written.
    #[serde(default)]
    pub(super) updated: String,
    /// What was done.
    #[serde(default)]
    pub(super) description: String,
}

impl Revision {
    /// Returns whether some helm is at it, or was killed over it.
    pub(super) fn is_pending(&self) -> bool {
        self.status.starts_with("pending-")
    }
}

/// Runs a command of helm about the step's release in its namespace.
pub(super) async fn run(cx: &Context, words: &[&str], changes: bool) -> Result<Output, Failure> {
    let namespace = argument::text(cx, "namespace")?;
    let mut argv = vec!["helm"];
    argv.extend(words);
    argv.extend(["--namespace", namespace]);
    let output = Host::here(cx).run(Command { changes, ..Command::read(argv) }).await?;
    if output.code == 127 {
        return Err(Failure::last("this machine has no helm")
            .with_hint("install it (https://helm.sh/docs/intro/install), or put it into the PATH of kup"));
    }
    Ok(output)
}

/// Asks helm something that it must know.
async fn ask(cx: &Context, words: &[&str]) -> Result<String, Failure> {
    let output = run(cx, words, false).await?;
    let what = format!("helm {}", words[0]);
    if output.ok() { Ok(output.stdout) } else { Err(failure::classify(&what, &output)) }
}

/// Returns the revisions of the release, the oldest first; none where there is no release.
pub(super) async fn history(cx: &Context) -> Result<Vec<Revision>, Failure> {
    let release = argument::text(cx, "release")?;
    let output = run(cx, &["history", release, "--max", "20", "--output", "json"], false).await?;
    if !output.ok() && output.stderr.contains("release: not found") {
        return Ok(Vec::new());
    }
    if !output.ok() {
        return Err(failure::classify("helm history", &output));
    }
    let mut revisions: Vec<Revision> = serde_json::from_str(&output.stdout).map_err(|error| {
        Failure::last(format!("cannot read what `helm history` says: {error}"))
            .with_output(failure::tail(&output.stdout))
    })?;
    revisions.sort_by_key(|revision| revision.revision);
    Ok(revisions)
}

/// Returns the values that somebody gave to the release.
pub(super) async fn values(cx: &Context) -> Result<Json, Failure> {
    let release = argument::text(cx, "release")?;
    let text = ask(cx, &["get", "values", release, "--output", "json"]).await?;
    serde_json::from_str(&text)
        // What it says may hold passwords.
        .map_err(|_| Failure::last("cannot read what `helm get values` says"))
}

/// Returns what the release was rendered to.
pub(super) async fn manifest(cx: &Context) -> Result<String, Failure> {
    ask(cx, &["get", "manifest", argument::text(cx, "release")?]).await
}
