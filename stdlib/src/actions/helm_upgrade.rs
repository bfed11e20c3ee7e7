//! `helm upgrade`: a release at a version of its chart. Its history is the probe, so it is upgraded once whoever was killed;
//! a revision that some helm left pending is told, and never guessed away.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use indexmap::IndexMap;
use serde_json::Value as Json;

use super::configuration::documents;
use super::helm::{self, Revision};
use super::host::Host;
use super::{argument, failure};

/// The verb.
pub(super) struct HelmUpgrade;

#[async_trait]
impl Action for HelmUpgrade {
    fn name(&self) -> &'static str {
        "helm upgrade"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let (release, wanted) = (argument::text(cx, "release")?, argument::text(cx, "version")?);
        // They are read also where the chart is another one: a mistake in them is told when the plan is made.
        let values = values(cx).await?;
        let history = helm::history(cx).await?;
        let Some(last) = history.last() else {
            let before = Value::Record(IndexMap::new());
            return Ok(Check::Needs { now: "not installed".to_string(), then: wanted.to_string(), before });
        };
        if last.is_pending() {
            return Err(pending(cx, last, &history)?);
        }
        let deployed = history.iter().rfind(|revision| revision.status == "deployed");
        let right = last.status == "deployed" && is_at(last, wanted);
        let kept = match (&values, right) {
            (Some(values), true) => same(&helm::values(cx).await?, values),
            (_, right) => right,
        };
        if kept {
            return Ok(Check::Done(format!("{release} is at {}", last.chart)));
        }
        let mut before = IndexMap::new();
        if let Some(deployed) = deployed {
            before.insert("revision".to_string(), Value::Number(deployed.revision));
        }
        let now = match (last.status.as_str(), right) {
            ("deployed", true) => format!("{} with other values", last.chart),
            ("deployed", false) => last.chart.clone(),
            (status, _) => format!("{} ({status})", last.chart),
        };
        Ok(Check::Needs { now, then: wanted.to_string(), before: Value::Record(before) })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let (release, version) = (argument::text(cx, "release")?, argument::text(cx, "version")?);
        let chart = chart(cx)?;
        let files = files(cx)?;
        let mut words = vec!["upgrade", release, &chart, "--install", "--version", version];
        words.extend(files.iter().flat_map(|file| ["--values", file]));
        let output = helm::run(cx, &words, true).await?;
        if !output.ok() {
            return Err(failure::classify("helm upgrade", &output));
        }
        match helm::history(cx).await?.last() {
            Some(last) if last.status == "deployed" && is_at(last, version) => {
                Ok(Progress::Done(Value::Text(last.chart.clone())))
            }
            // Of a chart in a folder helm takes the version that it has.
            Some(last) => Err(Failure::last(format!("{release} is at {} ({})", last.chart, last.status))
                .with_hint(format!(
                    "the chart that helm found is not {version}: look at `version` in its Chart.yaml"
                ))),
            None => Err(Failure::unknown(format!("helm knows nothing of {release} behind its own upgrade"))),
        }
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        let release = argument::text(cx, "release")?;
        let history = helm::history(cx).await?;
        let Some(last) = history.last() else { return Ok(()) };
        if last.is_pending() {
            return Err(pending(cx, last, &history)?);
        }
        let Some(Value::Number(revision)) = before.get("revision") else {
            let output = helm::run(cx, &["uninstall", release], true).await?;
            return if output.ok() { Ok(()) } else { Err(failure::classify("helm uninstall", &output)) };
        };
        // Nothing was done, or an earlier try to take it back has.
        let there = last.status == "deployed"
            && (last.revision == *revision || last.description == format!("Rollback to {revision}"));
        if there {
            return Ok(());
        }
        let output = helm::run(cx, &["rollback", release, &revision.to_string()], true).await?;
        if output.ok() { Ok(()) } else { Err(failure::classify("helm rollback", &output)) }
    }
}

/// Says that a helm is at it, or was killed over it: nobody can tell which.
fn pending(cx: &Context, last: &Revision, history: &[Revision]) -> Result<Failure, Failure> {
    let (release, namespace) = (argument::text(cx, "release")?, argument::text(cx, "namespace")?);
    let back = match history.iter().rfind(|revision| revision.status == "deployed") {
        Some(good) => format!("helm rollback {release} {} --namespace {namespace}", good.revision),
        None => format!("helm uninstall {release} --namespace {namespace}"),
    };
    Ok(Failure::transient(format!(
        "revision {} of {release} is at `{}` since {}",
        last.revision, last.status, last.updated
    ))
    .with_hint(format!("if no helm runs any more, it was killed: `{back}`, then go on")))
}

fn is_at(revision: &Revision, version: &str) -> bool {
    revision.chart.strip_suffix(version).is_some_and(|name| name.ends_with('-'))
}

/// Returns the chart; one that is a file or a folder begins at the playbook's folder.
fn chart(cx: &Context) -> Result<String, Failure> {
    let chart = argument::text(cx, "chart")?;
    if chart.starts_with(['.', '/']) {
        return Ok(argument::path(cx, "chart")?.display().to_string());
    }
    Ok(chart.to_string())
}

fn files(cx: &Context) -> Result<Vec<String>, Failure> {
    let files = argument::words(cx, "values")?;
    // Put together again from its parts, a path has no `/./` within.
    let path = |file: String| {
        cx.folder.join(file).components().collect::<std::path::PathBuf>().display().to_string()
    };
    Ok(files.into_iter().map(path).collect())
}

/// Reads the values of all files, as helm merges them; `None` where there is no file.
async fn values(cx: &Context) -> Result<Option<Json>, Failure> {
    let mut all = None;
    for file in files(cx)? {
        let Some(text) = Host::here(cx).read(&file).await? else {
            return Err(Failure::last(format!("there is no file {file}")));
        };
        let read = documents(&text).map_err(|failure| Failure {
            message: format!("cannot read {file}: {}", failure.message),
            ..failure
        })?;
        let into = all.get_or_insert_with(|| Json::Object(serde_json::Map::new()));
        for document in read {
            overlay(into, document);
        }
    }
    Ok(all)
}

/// Lays values over others: maps by their keys, all else as a whole.
fn overlay(into: &mut Json, more: Json) {
    match (into, more) {
        (Json::Object(into), Json::Object(more)) => {
            for (key, value) in more {
                overlay(into.entry(key).or_insert(Json::Null), value);
            }
        }
        (_, Json::Null) => {}
        (into, more) => *into = more,
    }
}

/// Compares values as helm keeps them: what is null is not there, and a number has no type.
fn same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Object(a), Json::Object(b)) => {
            let mut keys = a.keys().chain(b.keys());
            let of =
                |map: &serde_json::Map<String, Json>, key: &String| map.get(key).cloned().unwrap_or_default();
            keys.all(|key| same(&of(a, key), &of(b, key)))
        }
        (Json::Null, Json::Object(map)) | (Json::Object(map), Json::Null) => map.values().all(Json::is_null),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use engine::event::Class;
    use serde_json::json;

    use super::super::testing::{Bench, perform};
    use super::*;

    const HISTORY: &str = "helm history cilium --max 20 --output json --namespace kube-system";
    const UPGRADE: &str = "helm upgrade cilium cilium/cilium --install --version 1.18.2 --values /playbooks/v.yaml --namespace kube-system";

    fn history(revisions: &[(i64, &str, &str)]) -> String {
        let all: Vec<Json> = revisions
            .iter()
            .map(|(revision, status, chart)| json!({ "revision": revision, "status": status, "chart": chart, "updated": "2026" }))
            .collect();
        json!(all).to_string()
    }

    fn step(bench: &Bench) -> Context {
        bench.step(&[
            ("release", Value::Text("cilium".into())),
            ("chart", Value::Text("cilium/cilium".into())),
            ("version", Value::Text("1.18.2".into())),
            ("namespace", Value::Text("kube-system".into())),
            ("values", Value::List(vec![Value::Path("v.yaml".into())])),
        ])
    }

    fn bench(revisions: &[(i64, &str, &str)]) -> Bench {
        Bench::default()
            .file("/playbooks/v.yaml", "mtu: 1400\nipam: { mode: kubernetes }\n")
            .says(HISTORY, &history(revisions))
    }

    #[tokio::test]
    async fn a_release_is_upgraded_once_and_rolled_back_to_the_revision_before() {
        let bench = bench(&[(1, "superseded", "cilium-1.17.3"), (2, "deployed", "cilium-1.17.4")])
            .says(HISTORY, &history(&[(2, "deployed", "cilium-1.17.4")]))
            .says(HISTORY, &history(&[(2, "superseded", "cilium-1.17.4"), (3, "deployed", "cilium-1.18.2")]))
            .says(UPGRADE, "Release \"cilium\" has been upgraded.")
            .says(
                "helm get values cilium --output json --namespace kube-system",
                "{\"ipam\":{\"mode\":\"kubernetes\"},\"mtu\":1400}",
            )
            .says("helm rollback cilium 2 --namespace kube-system", "Rollback was a success!");
        let cx = step(&bench);
        let Ok(Check::Needs { now, then, before }) = HelmUpgrade.check(&cx).await else { panic!() };
        assert_eq!((now.as_str(), then.as_str()), ("cilium-1.17.4", "1.18.2"));
        let done = perform(&HelmUpgrade, &cx).await.unwrap();
        assert_eq!(done.to_string(), "cilium-1.18.2");
        assert_eq!(HelmUpgrade.check(&cx).await, Ok(Check::Done("cilium is at cilium-1.18.2".into())));
        bench.sent();
        HelmUpgrade.undo(&cx, &before).await.unwrap();
        assert_eq!(
            bench.sent(),
            format!("here: {HISTORY}\nhere: helm rollback cilium 2 --namespace kube-system\n")
        );
    }

    #[tokio::test]
    async fn other_values_are_work_and_a_release_that_was_not_there_is_uninstalled() {
        let bench = bench(&[(1, "deployed", "cilium-1.18.2")])
            .says("helm get values cilium --output json --namespace kube-system", "{\"mtu\":1500}")
            .says("helm uninstall cilium --namespace kube-system", "");
        let Ok(Check::Needs { now, .. }) = HelmUpgrade.check(&step(&bench)).await else { panic!() };
        assert_eq!(now, "cilium-1.18.2 with other values");
        HelmUpgrade.undo(&step(&bench), &Value::Record(IndexMap::new())).await.unwrap();
        assert!(bench.sent().ends_with("helm uninstall cilium --namespace kube-system\n"));
        let none = Bench::default().file("/playbooks/v.yaml", "a: 1").ends(
            HISTORY,
            1,
            "",
            "Error: release: not found",
        );
        let Ok(Check::Needs { now, .. }) = HelmUpgrade.check(&step(&none)).await else { panic!() };
        assert_eq!(now, "not installed");
    }

    #[tokio::test]
    async fn a_revision_that_is_pending_is_told_with_the_way_out() {
        let bench = bench(&[(4, "deployed", "cilium-1.17.4"), (5, "pending-upgrade", "cilium-1.18.2")]);
        let failure = HelmUpgrade.check(&step(&bench)).await.unwrap_err();
        assert_eq!(
            (failure.class, failure.message.as_str()),
            (Class::Transient, "revision 5 of cilium is at `pending-upgrade` since 2026")
        );
        assert!(failure.hint.contains("helm rollback cilium 4 --namespace kube-system"));
    }

    #[tokio::test]
    async fn a_machine_without_helm_and_a_chart_that_nobody_has_are_told() {
        let none = Bench::default().file("/playbooks/v.yaml", "a: 1").ends(
            HISTORY,
            127,
            "",
            "env: 'helm': No such file or directory",
        );
        assert_eq!(HelmUpgrade.check(&step(&none)).await.unwrap_err().message, "this machine has no helm");
        let missing = "Error: chart \"cilium\" matching 1.18.2 not found in cilium index. (try 'helm repo update'): no chart version found for cilium-1.18.2\n";
        let bench = bench(&[(1, "deployed", "cilium-1.17.4")]).ends(UPGRADE, 1, "", missing);
        let failure = perform(&HelmUpgrade, &step(&bench)).await.unwrap_err();
        assert_eq!(failure.class, Class::Final);
        assert!(failure.hint.contains("helm repo update"), "{failure:?}");
    }

    #[test]
    fn values_are_laid_over_each_other_and_compared_as_helm_keeps_them() {
        let mut all = json!({ "a": { "b": 1, "c": [1, 2] } });
        overlay(&mut all, json!({ "a": { "c": [3] }, "d": "x" }));
        assert_eq!(all, json!({ "a": { "b": 1, "c": [3] }, "d": "x" }));
        assert!(same(&json!({ "a": 1.0, "b": null }), &json!({ "a": 1 })));
        assert!(!same(&json!({ "a": 1 }), &json!({ "a": 2 })) && same(&Json::Null, &json!({})));
    }
}
