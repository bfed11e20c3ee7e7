//! What a provider upgrades for us: a control plane, a pool of nodes, an add-on. It is begun by the provider's own command on this
//! machine, goes on by itself for minutes to hours, and is followed until it ends, also by another process than the one that began it.
//!
//! ```text
//! check: the version that is there       start: what goes on already? else begin        poll: the operation by its id, or the state
//! ```

use std::time::Duration;

use async_trait::async_trait;
use dsl::value::{Value, Version};
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::port::Command;
use indexmap::IndexMap;
use serde_json::Value as Json;

use super::host::Host;
use super::{argument, failure};

/// How often an operation is looked at: it takes minutes, and providers count requests.
const AGAIN: Duration = Duration::from_secs(20);

/// Something that a provider upgrades.
#[async_trait]
pub(super) trait Managed: Send + Sync {
    /// Returns the verb's words.
    fn name(&self) -> &'static str;

    /// Returns the version that is there, as the provider writes it, and the one that is wanted.
    async fn versions(&self, cx: &Context) -> Result<Seen, Failure>;

    /// Returns what goes on there already.
    async fn running(&self, cx: &Context) -> Result<Option<String>, Failure>;

    /// Begins the upgrade, and returns its id.
    async fn begin(&self, cx: &Context) -> Result<String, Failure>;

    /// Looks how it goes on.
    async fn follow(&self, cx: &Context, id: &str) -> Result<Operation, Failure>;
}

/// What is there.
pub(super) struct Seen {
    /// The version now.
    pub(super) now: String,
    /// The version that is wanted.
    pub(super) wanted: String,
    /// Why there is nothing to do although they differ; empty where there is.
    pub(super) settled: String,
}

impl Seen {
    fn done(&self) -> Option<String> {
        if !self.settled.is_empty() {
            return Some(self.settled.clone());
        }
        (self.now == self.wanted).then(|| format!("it is {}", self.now))
    }
}

/// How an operation is.
pub(super) enum Operation {
    /// It goes on; what it does.
    Runs(String),
    /// It has ended well.
    Done,
    /// It has ended otherwise.
    Failed(Failure),
}

/// The action of such a thing.
pub(super) struct Upgrade<M>(pub(super) M);

#[async_trait]
impl<M: Managed> Action for Upgrade<M> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let seen = self.0.versions(cx).await?;
        Ok(match seen.done() {
            Some(why) => Check::Done(why),
            None => Check::Needs { now: seen.now, then: seen.wanted, before: Value::None },
        })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        // What kup began before it died, or somebody else did, is followed and not begun again.
        let id = match self.0.running(cx).await? {
            Some(id) => id,
            None => self.0.begin(cx).await?,
        };
        let handle = Value::Record(IndexMap::from([("operation".to_string(), Value::Text(id))]));
        Ok(Progress::Pending { handle, reason: "the provider has begun".to_string(), again: AGAIN })
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let id = match handle {
            Value::Record(record) => record.get("operation").and_then(Value::as_text).unwrap_or_default(),
            _ => "",
        };
        match self.0.follow(cx, id).await? {
            Operation::Runs(reason) => Ok(Progress::Pending { handle: handle.clone(), reason, again: AGAIN }),
            Operation::Failed(failure) => Err(failure),
            Operation::Done => {
                let seen = self.0.versions(cx).await?;
                match seen.done() {
                    Some(_) => Ok(Progress::Done(Value::None)),
                    // What was followed was another one's operation, or the provider shows the version a little later.
                    None => {
                        let text = format!("the operation {id} has ended, and it is still {}", seen.now);
                        Err(Failure::transient(text)
                            .with_hint("see what the operation did; a second attempt begins another one"))
                    }
                }
            }
        }
    }
}

/// Asks a provider's command on this machine, and reads its JSON.
pub(super) async fn ask(cx: &Context, argv: &[&str]) -> Result<Json, Failure> {
    say(cx, Command::read(argv.iter().copied())).await
}

/// Gives a provider's command on this machine something to do, and reads its JSON; `null` where it says nothing.
pub(super) async fn order(cx: &Context, argv: &[&str]) -> Result<Json, Failure> {
    say(cx, Command::change(argv.iter().copied())).await
}

async fn say(cx: &Context, command: Command) -> Result<Json, Failure> {
    let what = command.argv.iter().take(3).cloned().collect::<Vec<_>>().join(" ");
    let output = Host::here(cx).run(command).await?;
    if output.code == 127 {
        let program = what.split(' ').next().unwrap_or_default().to_string();
        return Err(Failure::last(format!("there is no `{program}` on this machine"))
            .with_hint("install the provider's command, log in, and try what `kup plan` shows by hand"));
    }
    if !output.ok() {
        return Err(failure::classify(&what, &output));
    }
    if output.stdout.trim().is_empty() {
        return Ok(Json::Null);
    }
    serde_json::from_str(&output.stdout).map_err(|error| {
        Failure::last(format!("`{what}` printed no JSON: {error}")).with_output(failure::tail(&output.stdout))
    })
}

/// Returns the version of a step, and as GKE and AKS write it, without `v`: `1.34.2-gke.1036000`.
pub(super) fn target(cx: &Context) -> Result<(Version, String), Failure> {
    let version = argument::version(cx, "to")?;
    let text = version.to_string().trim_start_matches('v').to_string();
    Ok((version, text))
}

/// Reads a version that is written so.
pub(super) fn version(text: &str) -> Option<Version> {
    format!("v{text}").parse().ok()
}

/// Returns a text of an answer; empty where it is not there.
pub(super) fn text<'a>(answer: &'a Json, pointer: &str) -> &'a str {
    answer.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}
