//! `note workloads`, `save workloads`, `wait workloads` and `check workloads`: how many pods of each Deployment, DaemonSet and StatefulSet
//! were ready before, in a file on this machine, and whether as many are now. What was broken before is not held against an upgrade, and
//! what it has broken cannot be told from it without.
//!
//! ```text
//! note, save:  list the workloads -> CLUSTER-RUN-workloads.json
//! wait, check: list them again    -> worse where fewer are ready than before, and fewer than are wanted now
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::{Class, Failure};
use indexmap::IndexMap;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use kube::api::{Api, ListParams, ObjectMeta};
use serde::{Deserialize, Serialize};

use super::argument;
use super::etcd_snapshot::unprivileged;
use super::host::Host;
use super::verdict::{Findings, Verdict};
use crate::api;

/// Writes down how they are: where something is upgraded behind it, or for its own sake.
pub(super) struct SaveWorkloads(pub(super) &'static str);

/// Waits until they are as they were when this run wrote it down.
pub(super) struct WaitWorkloads;

/// Holds them against a file.
pub(super) struct CheckWorkloads;

/// How often to look. Each look lists all of them.
const AGAIN: Duration = Duration::from_secs(10);

/// How many looks in a row must be good: a pod that was evicted a moment ago is still counted.
const LOOKS: i64 = 2;

/// How many are told by name.
const TOLD: usize = 5;

/// What stands in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Baseline {
    cluster: String,
    run: String,
    at: String,
    workloads: Vec<Row>,
}

/// A workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    kind: String,
    name: String,
    wanted: i32,
    ready: i32,
}

impl Row {
    fn new(kind: &str, metadata: &ObjectMeta, wanted: i32, ready: i32) -> Row {
        Row { kind: kind.to_string(), name: api::full_name(metadata), wanted, ready }
    }

    fn text(&self) -> String {
        format!("{} {}: {} of {} pods are ready", self.kind, self.name, self.ready, self.wanted)
    }
}

#[async_trait]
impl Action for SaveWorkloads {
    fn name(&self) -> &'static str {
        self.0
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        if matches!(cx.args.get("into"), None | Some(Value::None)) {
            return Ok(Check::Done("no folder is named for it".to_string()));
        }
        let path = place(cx, "into")?.display().to_string();
        if Host::here(cx).read(&path).await?.is_some() {
            return Ok(Check::Done(format!("{path} is written")));
        }
        Ok(Check::Needs { now: String::new(), then: path, before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let path = place(cx, "into")?;
        let here = Host::here(cx);
        if let Some(folder) = path.parent() {
            here.ask(unprivileged(["mkdir".to_string(), "-p".to_string(), folder.display().to_string()]))
                .await?;
        }
        let workloads = list(&api::client(&cx.ports)?).await?;
        let unready: Vec<&Row> = workloads.iter().filter(|row| row.ready < row.wanted).collect();
        let gave = IndexMap::from([
            ("path".to_string(), Value::Text(path.display().to_string())),
            ("workloads".to_string(), number(workloads.len())),
            ("unready".to_string(), number(unready.len())),
        ]);
        let seconds = i64::try_from(cx.ports.clock.wall().as_secs()).unwrap_or_default();
        let at = Timestamp::from_second(seconds).map(|at| at.to_string()).unwrap_or_default();
        let (cluster, run) = (cx.inventory.cluster.clone(), cx.run.to_string());
        let text = serde_json::to_string_pretty(&Baseline { cluster, run, at, workloads });
        let text = text.map_err(|error| Failure::last(format!("cannot write what was seen: {error}")))?;
        here.write(&path.display().to_string(), &format!("{text}\n"), 0o600).await?;
        Ok(Progress::Done(Value::Record(gave)))
    }
}

#[async_trait]
impl Action for WaitWorkloads {
    fn name(&self) -> &'static str {
        "wait workloads"
    }

    async fn check(&self, _: &Context) -> Result<Check, Failure> {
        let then = "as many pods are ready as before".to_string();
        Ok(Check::Needs { now: String::new(), then, before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        read(cx, &place(cx, "noted")?).await?;
        let reason = "a first look at the workloads".to_string();
        Ok(Progress::Pending { handle: Value::Number(0), reason, again: Duration::ZERO })
    }

    async fn poll(&self, cx: &Context, passes: &Value) -> Result<Progress, Failure> {
        let before = read(cx, &place(cx, "noted")?).await?;
        let passes = match passes {
            Value::Number(passes) => *passes,
            _ => 0,
        };
        let found = match list(&api::client(&cx.ports)?).await {
            Ok(now) => compare(&before, &now),
            // An API that does not answer for a moment is no verdict.
            Err(failure) if failure.class == Class::Transient => {
                Findings { against: vec![failure.message], notes: Vec::new() }
            }
            Err(failure) => return Err(failure),
        };
        if found.against.is_empty() && passes + 1 >= LOOKS {
            return Ok(Progress::Done(Value::Text(well(&before, found.notes))));
        }
        let (passes, reason) = match found.against.is_empty() {
            true => (passes + 1, "as many pods are ready as before; is it stable?".to_string()),
            false => (0, few(&found.against)),
        };
        Ok(Progress::Pending { handle: Value::Number(passes), reason, again: AGAIN })
    }
}

#[async_trait]
impl Verdict for CheckWorkloads {
    fn name(&self) -> &'static str {
        "check workloads"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let before = match cx.args.get("before") {
            None | Some(Value::None) => None,
            Some(_) => Some(read(cx, &argument::path(cx, "before")?).await?),
        };
        let now = list(&api::client(&cx.ports)?).await?;
        let Some(before) = before else {
            let unready: Vec<String> =
                now.iter().filter(|row| row.ready < row.wanted).map(Row::text).collect();
            return Ok(match unready.as_slice() {
                [] => format!("all pods of {} are ready", count(now.len())),
                some => format!("{}; what was so before nobody has written down", few(some)),
            });
        };
        let Findings { against, notes } = compare(&before, &now);
        if against.is_empty() {
            return Ok(well(&before, notes));
        }
        let failure = Failure::last(few(&against)).with_output(against.join("\n"));
        // They may be on their way.
        Err(Failure { class: Class::Transient, ..failure.with_hint("look at their pods: kubectl describe") })
    }
}

fn number(n: usize) -> Value {
    Value::Number(i64::try_from(n).unwrap_or(i64::MAX))
}

fn count(n: usize) -> String {
    if n == 1 { "1 workload".to_string() } else { format!("{n} workloads") }
}

/// Tells the first of them, and how many more there are.
fn few(all: &[String]) -> String {
    let told = all[..all.len().min(TOLD)].join("; ");
    if all.len() > TOLD { format!("{told}; and {} more", all.len() - TOLD) } else { told }
}

fn well(before: &Baseline, notes: Vec<String>) -> String {
    let text = format!("as many pods of {} are ready as before", count(before.workloads.len()));
    if notes.is_empty() { text } else { format!("{text}; note: {}", few(&notes)) }
}

/// Returns where this run's file stands.
fn place(cx: &Context, folder: &str) -> Result<PathBuf, Failure> {
    let file = format!("{}-{}-workloads.json", cx.inventory.cluster, cx.run);
    Ok(argument::path(cx, folder)?.join(file))
}

async fn read(cx: &Context, path: &Path) -> Result<Baseline, Failure> {
    let shown = path.display().to_string();
    let text = Host::here(cx).read(&shown).await?.ok_or_else(|| {
        Failure::last(format!("there is no {shown}"))
            .with_hint("it is written by `note workloads` in this run, or by `save workloads` in another one")
    })?;
    let baseline: Baseline = serde_json::from_str(&text)
        .map_err(|error| Failure::last(format!("{shown} is not what `save workloads` writes: {error}")))?;
    if baseline.cluster != cx.inventory.cluster {
        return Err(Failure::last(format!("{shown} is of another cluster"))
            .with_hint("name the file of this one, or another kubeconfig"));
    }
    Ok(baseline)
}

async fn list(kube: &kube::Client) -> Result<Vec<Row>, Failure> {
    let all = ListParams::default;
    let (deployments, daemons, sets) = (
        Api::<Deployment>::all(kube.clone()),
        Api::<DaemonSet>::all(kube.clone()),
        Api::<StatefulSet>::all(kube.clone()),
    );
    let (deployments, daemons, sets) = futures::try_join!(
        api::list("list the Deployments", &deployments, all()),
        api::list("list the DaemonSets", &daemons, all()),
        api::list("list the StatefulSets", &sets, all()),
    )?;
    let ready = |ready: Option<i32>| ready.unwrap_or_default();
    let deployments = deployments.iter().map(|d| {
        let wanted = d.spec.replicas.unwrap_or(1);
        Row::new("Deployment", &d.metadata, wanted, ready(d.status.as_ref().and_then(|s| s.ready_replicas)))
    });
    let daemons = daemons.iter().map(|d| {
        let status = d.status.as_ref();
        let (wanted, ready) = status.map_or((0, 0), |s| (s.desired_number_scheduled, s.number_ready));
        Row::new("DaemonSet", &d.metadata, wanted, ready)
    });
    let sets = sets.iter().map(|s| {
        let wanted = s.spec.replicas.unwrap_or(1);
        Row::new("StatefulSet", &s.metadata, wanted, ready(s.status.as_ref().and_then(|s| s.ready_replicas)))
    });
    Ok(deployments.chain(daemons).chain(sets).collect())
}

/// Tells what is worse than before. Who wants fewer pods now, or more, has changed its mind, and nothing is broken by that.
fn compare(before: &Baseline, now: &[Row]) -> Findings {
    let mut findings = Findings::default();
    let mut gone: BTreeMap<(&str, &str), &Row> =
        before.workloads.iter().map(|row| ((row.kind.as_str(), row.name.as_str()), row)).collect();
    for row in now {
        match gone.remove(&(row.kind.as_str(), row.name.as_str())) {
            Some(was) if row.ready < row.wanted.min(was.ready) => {
                findings.add(true, format!("{}, {} of {} before", row.text(), was.ready, was.wanted));
            }
            Some(_) if row.ready < row.wanted => findings.add(false, row.text()),
            Some(_) => {}
            None if row.ready < row.wanted => findings.add(false, format!("{}, and it is new", row.text())),
            None => {}
        }
    }
    gone.values().for_each(|row| findings.add(false, format!("{} {} is gone", row.kind, row.name)));
    findings
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, perform};
    use super::*;
    use crate::testing::named;
    use serde_json::json;

    const FILE: &str = "/playbooks/c0ffee-r1-workloads.json";

    /// A cluster whose `web` has so many pods.
    fn web(bench: &Bench, wanted: i32, ready: i32) {
        let web = json!({ "metadata": named("shop", "web"), "spec": { "replicas": wanted, "selector": {}, "template": {} },
            "status": { "readyReplicas": ready } });
        bench.cluster.put("/apis/apps/v1/namespaces/shop/deployments/web", web);
    }

    fn daemon(bench: &Bench, wanted: i32, ready: i32) {
        let status = json!({ "currentNumberScheduled": wanted, "desiredNumberScheduled": wanted, "numberMisscheduled": 0, "numberReady": ready });
        let set = json!({ "metadata": named("kube-system", "cni"), "spec": { "selector": {}, "template": {} }, "status": status });
        bench.cluster.put("/apis/apps/v1/namespaces/kube-system/daemonsets/cni", set);
    }

    fn step(bench: &Bench, arg: &str) -> Context {
        bench.step(&[(arg, Value::Path(if arg == "before" { FILE } else { "." }.into()))])
    }

    async fn saved() -> Bench {
        let bench = Bench::default();
        web(&bench, 3, 2);
        daemon(&bench, 5, 5);
        let gave = perform(&SaveWorkloads("note workloads"), &step(&bench, "into")).await.unwrap();
        assert_eq!(gave.get("workloads"), Some(&Value::Number(2)));
        assert_eq!(gave.get("unready"), Some(&Value::Number(1)));
        bench
    }

    async fn check(bench: &Bench) -> String {
        let cx = step(bench, "before");
        CheckWorkloads.judge(&cx).await.unwrap_or_else(|failure| format!("no: {}", failure.message))
    }

    #[tokio::test]
    async fn what_was_not_ready_before_is_a_note_and_what_is_worse_is_not() {
        let bench = saved().await;
        let note = "as many pods of 2 workloads are ready as before; note: Deployment shop/web: 2 of 3 pods are ready";
        assert_eq!(check(&bench).await, note);
        web(&bench, 3, 1);
        assert_eq!(check(&bench).await, "no: Deployment shop/web: 1 of 3 pods are ready, 2 of 3 before");
        // It wants fewer now, or has more.
        web(&bench, 1, 1);
        assert_eq!(check(&bench).await, "as many pods of 2 workloads are ready as before");
        daemon(&bench, 5, 4);
        assert_eq!(
            check(&bench).await,
            "no: DaemonSet kube-system/cni: 4 of 5 pods are ready, 5 of 5 before"
        );
        bench.cluster.remove("/apis/apps/v1/namespaces/kube-system/daemonsets/cni");
        assert!(check(&bench).await.ends_with("note: DaemonSet kube-system/cni is gone"));
    }

    #[tokio::test]
    async fn without_a_file_nothing_is_judged_and_a_wrong_one_is_told() {
        let bench = Bench::default();
        web(&bench, 3, 2);
        let said = CheckWorkloads.judge(&bench.step(&[("before", Value::None)])).await.unwrap();
        assert_eq!(
            said,
            "Deployment shop/web: 2 of 3 pods are ready; what was so before nobody has written down"
        );
        assert_eq!(check(&bench).await, format!("no: there is no {FILE}"));
        let other = Bench::default().file(FILE, r#"{"cluster":"other","run":"r1","at":"","workloads":[]}"#);
        assert_eq!(check(&other).await, format!("no: {FILE} is of another cluster"));
    }

    #[tokio::test]
    async fn it_is_waited_for_until_as_many_are_ready_again() {
        let bench = saved().await;
        let cx = step(&bench, "noted");
        daemon(&bench, 5, 3);
        let Progress::Pending { handle, reason, .. } =
            WaitWorkloads.poll(&cx, &Value::Number(1)).await.unwrap()
        else {
            panic!("it does not wait")
        };
        assert_eq!(reason, "DaemonSet kube-system/cni: 3 of 5 pods are ready, 5 of 5 before");
        assert_eq!(handle, Value::Number(0));
        daemon(&bench, 5, 5);
        assert!(
            perform(&WaitWorkloads, &cx)
                .await
                .unwrap()
                .to_string()
                .starts_with("as many pods of 2 workloads")
        );
    }

    #[tokio::test]
    async fn who_may_not_read_the_workloads_need_not_wait_for_them() {
        let bench = saved().await;
        let status = json!({ "kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "daemonsets.apps is forbidden" });
        bench.cluster.answer("GET /apis/apps/v1/daemonsets", 403, status);
        let failure = WaitWorkloads.poll(&step(&bench, "noted"), &Value::Number(0)).await.unwrap_err();
        assert_eq!(failure.class, Class::Final);
        assert!(failure.message.contains("is forbidden"), "{}", failure.message);
    }

    #[tokio::test]
    async fn what_this_run_has_written_is_not_written_again() {
        let bench = saved().await;
        let cx = step(&bench, "into");
        web(&bench, 3, 0);
        assert!(matches!(SaveWorkloads("note workloads").check(&cx).await, Ok(Check::Done(_))));
        assert!(bench.content(FILE).unwrap().contains("\"ready\": 2"));
    }
}
