//! `stop static pods` and `start static pods`: the kubelet runs what lies in its folder of manifests, so
//! a static pod is stopped by taking its manifest away, and started by putting it back. No API is asked:
//! these verbs are for the time when there is none.

use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::port::Command;

use super::failure;
use super::host::Host;
use crate::crictl;

/// Where the kubelet looks.
const MANIFESTS: &str = "/etc/kubernetes/manifests";
/// Where it does not look; on the same disk, so that a manifest is moved at once or not at all.
const STOPPED: &str = "/etc/kubernetes/kup-stopped";

/// How often to look whether containers have followed.
const AGAIN: Duration = Duration::from_secs(2);
/// How long an undo waits for that.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which way manifests go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Stop,
    Start,
}

/// Stops static pods.
pub(super) struct StopStaticPods;

/// Starts them again.
pub(super) struct StartStaticPods;

#[async_trait]
impl Action for StopStaticPods {
    fn name(&self) -> &'static str {
        "stop static pods"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        Way::Stop.check(cx).await
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        Way::Stop.go(cx).await
    }

    async fn poll(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        Way::Stop.look(cx).await
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        Way::Start.back(cx, before).await
    }
}

#[async_trait]
impl Action for StartStaticPods {
    fn name(&self) -> &'static str {
        "start static pods"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        Way::Start.check(cx).await
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        Way::Start.go(cx).await
    }

    async fn poll(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        Way::Start.look(cx).await
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        Way::Stop.back(cx, before).await
    }
}

impl Way {
    fn from(self) -> &'static str {
        match self {
            Way::Stop => MANIFESTS,
            Way::Start => STOPPED,
        }
    }

    fn to(self) -> &'static str {
        match self {
            Way::Stop => STOPPED,
            Way::Start => MANIFESTS,
        }
    }

    async fn check(self, cx: &Context) -> Result<Check, Failure> {
        let host = Host::of(cx)?;
        let pods = named(cx)?;
        let (from, to) = (listing(&host, self.from()).await?, listing(&host, self.to()).await?);
        let waiting: Vec<&String> = pods.iter().filter(|pod| has(&from, pod)).collect();
        if let Some(lost) = pods.iter().find(|pod| !has(&from, pod) && !has(&to, pod)) {
            return Err(Failure::last(format!("{} has no manifest of {lost}", host.name))
                .with_hint(format!("look into {MANIFESTS} and {STOPPED} there")));
        }
        let names: Vec<String> = waiting.iter().map(|pod| (*pod).clone()).collect();
        if waiting.is_empty() && self.late(&host, &pods).await?.is_none() {
            return Ok(Check::Done(self.done(&pods)));
        }
        let before = Value::List(names.into_iter().map(Value::Text).collect());
        let now = if self == Way::Stop { "runs" } else { "stopped" };
        let then = if self == Way::Stop { "stopped" } else { "runs" };
        Ok(Check::Needs { now: now.to_string(), then: then.to_string(), before })
    }

    /// Moves what is still to be moved.
    async fn go(self, cx: &Context) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let pods = named(cx)?;
        self.shift(&host, &pods).await?;
        Ok(pending(format!("waiting for the kubelet of {}", host.name)))
    }

    async fn shift(self, host: &Host, pods: &[String]) -> Result<(), Failure> {
        let there = listing(host, self.from()).await?;
        if self == Way::Stop {
            host.ask(Command::change(["mkdir", "-p", "-m", "0700", STOPPED])).await?;
        }
        for pod in pods.iter().filter(|pod| has(&there, pod)) {
            let (from, to) = (file(self.from(), pod), file(self.to(), pod));
            host.ask(Command::change(["mv", "-f", "-T", &from, &to])).await?;
        }
        Ok(())
    }

    async fn look(self, cx: &Context) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let pods = named(cx)?;
        Ok(match self.late(&host, &pods).await? {
            None => Progress::Done(Value::Text(self.done(&pods))),
            Some(pod) if self == Way::Stop => pending(format!("waiting for {pod} of {} to end", host.name)),
            Some(pod) => pending(format!("waiting for {pod} of {} to start", host.name)),
        })
    }

    /// Returns a pod whose container has not followed yet.
    async fn late(self, host: &Host, pods: &[String]) -> Result<Option<String>, Failure> {
        for pod in pods {
            if runs(host, pod).await? == (self == Way::Stop) {
                return Ok(Some(pod.clone()));
            }
        }
        Ok(None)
    }

    fn done(self, pods: &[String]) -> String {
        let word = if self == Way::Stop { "stopped" } else { "running" };
        format!("{} {word}", pods.join(", "))
    }

    /// Takes the other way back: moves this way what `before` names, and waits for it.
    async fn back(self, cx: &Context, before: &Value) -> Result<(), Failure> {
        let Value::List(moved) = before else { return Ok(()) };
        let pods: Vec<String> = moved.iter().filter_map(Value::as_text).map(str::to_string).collect();
        let host = Host::of(cx)?;
        self.shift(&host, &pods).await?;
        let since = cx.ports.clock.now();
        while let Some(pod) = self.late(&host, &pods).await? {
            if cx.ports.clock.now().saturating_sub(since) > PATIENCE {
                let word = if self == Way::Stop { "still runs" } else { "does not start" };
                return Err(Failure::transient(format!("{pod} {word} on {}", host.name))
                    .with_hint(format!("see `journalctl -u kubelet` on {}", host.name)));
            }
            cx.ports.clock.sleep(AGAIN).await;
        }
        Ok(())
    }
}

/// Holds that none of these pods runs on a host, nor is about to.
pub(super) async fn hold_stopped(host: &Host, pods: &[&str]) -> Result<(), Failure> {
    let there = listing(host, MANIFESTS).await?;
    for pod in pods {
        if has(&there, pod) || runs(host, pod).await? {
            return Err(Failure::last(format!("{pod} still runs on {}", host.name))
                .with_hint("stop it on every control plane first, with `stop static pods`"));
        }
    }
    Ok(())
}

/// Reads the manifest of a pod, stopped or not.
pub(super) async fn manifest(host: &Host, pod: &str) -> Result<String, Failure> {
    for folder in [STOPPED, MANIFESTS] {
        if let Some(text) = host.read(&file(folder, pod)).await? {
            return Ok(text);
        }
    }
    Err(Failure::last(format!("{} has no manifest of {pod}", host.name)))
}

async fn runs(host: &Host, pod: &str) -> Result<bool, Failure> {
    let ids = host.ask(Command::read(crictl::ps(pod)).as_root()).await?;
    Ok(crictl::container(&ids).is_some())
}

/// Returns the files of a folder; none if there is no such folder.
async fn listing(host: &Host, folder: &str) -> Result<Vec<String>, Failure> {
    let output = host.run(Command::read(["ls", "-A", folder]).as_root()).await?;
    match output.ok() {
        true => Ok(output.stdout.lines().map(str::to_string).collect()),
        false if output.stderr.contains("No such file or directory") => Ok(Vec::new()),
        false => Err(failure::classify("ls", &output)),
    }
}

fn has(files: &[String], pod: &str) -> bool {
    files.iter().any(|file| file.strip_suffix(".yaml") == Some(pod))
}

fn file(folder: &str, pod: &str) -> String {
    format!("{folder}/{pod}.yaml")
}

fn named(cx: &Context) -> Result<Vec<String>, Failure> {
    match cx.args.get("pods") {
        Some(Value::List(pods)) => Ok(pods.iter().filter_map(Value::as_text).map(str::to_string).collect()),
        _ => Err(Failure::last("the argument `pods` is not a list")),
    }
}

fn pending(reason: String) -> Progress {
    Progress::Pending { handle: Value::None, reason, again: AGAIN }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, perform};
    use super::*;

    fn pods() -> (&'static str, Value) {
        ("pods", Value::List(["etcd"].map(|pod| Value::Word(pod.into())).into()))
    }

    const PS: &str = "crictl ps --name ^etcd$ -q";
    const LS: &str = "ls -A /etc/kubernetes/manifests";
    const LS_STOPPED: &str = "ls -A /etc/kubernetes/kup-stopped";

    #[tokio::test]
    async fn a_pod_is_stopped_when_its_container_has_ended() {
        let gone = |bench: Bench| {
            bench.ends(LS_STOPPED, 2, "", "ls: cannot access '/x': No such file or directory\n")
        };
        let bench = gone(Bench::default())
            .says(LS, "etcd.yaml\nkube-apiserver.yaml\n")
            .says("mv -f -T /etc/kubernetes/manifests/etcd.yaml /etc/kubernetes/kup-stopped/etcd.yaml", "")
            .says(PS, "abc\n")
            .says(PS, "abc\n")
            .says(PS, "");
        let said = perform(&StopStaticPods, &bench.step(&[pods()])).await.unwrap();
        assert_eq!(said.as_text(), Some("etcd stopped"));
        assert!(bench.sent().contains("mv -f -T "));
    }

    #[tokio::test]
    async fn what_is_stopped_already_is_left_and_what_is_nowhere_is_told() {
        let stopped = Bench::default().says(LS, "").says(LS_STOPPED, "etcd.yaml\n").says(PS, "");
        let said = perform(&StopStaticPods, &stopped.step(&[pods()])).await.unwrap();
        assert_eq!(said.as_text(), Some("etcd stopped"));
        assert!(!stopped.sent().contains("mv"));
        let nowhere = Bench::default().says(LS, "").says(LS_STOPPED, "").says(PS, "");
        let failure = perform(&StopStaticPods, &nowhere.step(&[pods()])).await.unwrap_err();
        assert_eq!(failure.message, "n1 has no manifest of etcd");
    }
}
