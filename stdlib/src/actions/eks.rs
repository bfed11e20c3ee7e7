//! EKS, by `aws eks` on this machine: control plane, managed node groups, add-ons.
//! <https://docs.aws.amazon.com/eks/latest/userguide/update-cluster.html>, and the reference of the commands:
//! <https://docs.aws.amazon.com/cli/latest/reference/eks/>

use async_trait::async_trait;
use dsl::value::{Minor, Value};
use engine::action::Context;
use engine::event::Failure;
use serde_json::Value as Json;

use super::check_version_skew::lag;
use super::managed::{Managed, Operation, Seen, ask, order, text};
use super::verdict::{Findings, Verdict};
use super::{argument, detached};

/// `check eks`: the cluster and its groups are well and may be brought to a minor.
pub(super) struct CheckEks;

/// `eks upgrade control plane`
pub(super) struct ControlPlane;

/// `eks upgrade node group`
pub(super) struct NodeGroup;

/// `eks upgrade addon`
pub(super) struct Addon;

fn cluster(cx: &Context) -> Result<&str, Failure> {
    argument::text(cx, "cluster")
}

/// EKS knows minors only, and writes them so: `1.34`.
fn target(cx: &Context) -> Result<(Minor, String), Failure> {
    let minor = argument::minor(cx, "to")?;
    Ok((minor, format!("{}.{}", minor.major, minor.minor)))
}

fn minor(version: &str) -> Option<Minor> {
    format!("v{version}").parse().ok()
}

/// Names a request, so that a second one of the same attempt begins nothing more.
fn token(cx: &Context) -> String {
    format!("kup-{}-{}-{}", cx.run, detached::step_hash(cx), cx.attempt)
}

async fn describe(cx: &Context, name: &str) -> Result<Json, Failure> {
    ask(cx, &["aws", "eks", "describe-cluster", "--name", name, "--output", "json"]).await
}

async fn group(cx: &Context, cluster: &str, name: &str) -> Result<Json, Failure> {
    let argv = [
        "aws",
        "eks",
        "describe-nodegroup",
        "--cluster-name",
        cluster,
        "--nodegroup-name",
        name,
        "--output",
        "json",
    ];
    ask(cx, &argv).await
}

#[async_trait]
impl Verdict for CheckEks {
    fn name(&self) -> &'static str {
        "check eks"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let (name, (to, wanted)) = (cluster(cx)?, target(cx)?);
        let refuse = cx.args.get("insights").and_then(Value::as_text) != Some("allow");
        let answer = describe(cx, name).await?;
        let mut findings = Findings::default();
        let (version, status) = (text(&answer, "/cluster/version"), text(&answer, "/cluster/status"));
        let now = minor(version)
            .ok_or_else(|| Failure::last(format!("cluster {name} has the version `{version}`")))?;
        if !matches!(status, "ACTIVE" | "UPDATING") {
            findings.add(true, format!("cluster {name} is {status}"));
        }
        if to < now {
            findings.add(
                true,
                format!(
                    "{now} to {to} goes down, which EKS does within 7 days of an upgrade, and kup does not"
                ),
            );
        } else if to.minor > now.minor + 1 {
            findings.add(true, format!("{now} to {to} skips a minor, which EKS does not"));
        }
        let groups =
            ask(cx, &["aws", "eks", "list-nodegroups", "--cluster-name", name, "--output", "json"]).await?;
        for group_name in groups["nodegroups"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            let answer = group(cx, name, group_name).await?;
            judge_group(group_name, &answer["nodegroup"], to, &mut findings);
        }
        let filter = format!("categories=UPGRADE_READINESS,kubernetesVersions={wanted}");
        let insights = ask(
            cx,
            &["aws", "eks", "list-insights", "--cluster-name", name, "--filter", &filter, "--output", "json"],
        )
        .await?;
        for insight in insights["insights"].as_array().into_iter().flatten() {
            let (status, reason) =
                (text(insight, "/insightStatus/status"), text(insight, "/insightStatus/reason"));
            if matches!(status, "ERROR" | "WARNING") {
                let text = format!("insight `{}`: {reason}", text(insight, "/name"));
                findings.add(refuse && status == "ERROR", text);
            }
        }
        let hint = format!(
            "see `aws eks list-insights --cluster-name {name}` and its groups; `insights=allow` goes on over an insight"
        );
        findings.conclude(format!("EKS cluster {name} is {status} with {now}"), &hint)
    }
}

fn judge_group(name: &str, group: &Json, to: Minor, findings: &mut Findings) {
    let (status, version) = (text(group, "/status"), text(group, "/version"));
    if !matches!(status, "ACTIVE" | "UPDATING") {
        let issues = group.pointer("/health/issues").and_then(Json::as_array).cloned().unwrap_or_default();
        let issues: Vec<&str> = issues.iter().map(|issue| text(issue, "/code")).collect();
        findings.add(true, format!("node group {name} is {status} ({})", issues.join(", ")));
    }
    if let Some(version) = minor(version).filter(|version| version.minor + lag(*version) < to.minor) {
        findings.add(true, format!("node group {name} has {version}, too old for {to}: upgrade it first"));
    }
}

/// Finds the update that goes on at the cluster, a group or an add-on.
async fn running(cx: &Context, of: &[&str]) -> Result<Option<String>, Failure> {
    let name = cluster(cx)?;
    let list: Vec<&str> = ["aws", "eks", "list-updates", "--name", name]
        .iter()
        .chain(of)
        .chain(&["--output", "json"])
        .copied()
        .collect();
    let updates = ask(cx, &list).await?;
    // The service names the order of the list nowhere, and it is short.
    for id in updates["updateIds"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        let update = update(cx, id, of).await?;
        if text(&update, "/update/status") == "InProgress"
            && matches!(text(&update, "/update/type"), "VersionUpdate" | "AddonUpdate")
        {
            return Ok(Some(id.to_string()));
        }
    }
    Ok(None)
}

async fn update(cx: &Context, id: &str, of: &[&str]) -> Result<Json, Failure> {
    let name = cluster(cx)?;
    let head = ["aws", "eks", "describe-update", "--name", name, "--update-id", id];
    let argv: Vec<&str> = head.iter().chain(of).chain(&["--output", "json"]).copied().collect();
    ask(cx, &argv).await
}

/// Looks at an update. A state that kup does not know is one in which it goes on.
async fn follow(cx: &Context, id: &str, of: &[&str]) -> Result<Operation, Failure> {
    let answer = update(cx, id, of).await?;
    Ok(match text(&answer, "/update/status") {
        "Successful" => Operation::Done,
        state @ ("Failed" | "Cancelled") => {
            let errors =
                answer.pointer("/update/errors").and_then(Json::as_array).cloned().unwrap_or_default();
            Operation::Failed(failed(id, state, &errors))
        }
        state => Operation::Runs(format!("update {id} is {state}")),
    })
}

fn failed(id: &str, state: &str, errors: &[Json]) -> Failure {
    let line = |error: &Json| {
        let about: Vec<&str> =
            error["resourceIds"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        format!("{}: {} ({})", text(error, "/errorCode"), text(error, "/errorMessage"), about.join(", "))
    };
    let said: Vec<String> = errors.iter().map(line).collect();
    let first = errors.first().map_or("", |error| text(error, "/errorCode"));
    let hint = match first {
        "PodEvictionFailure" => {
            "a disruption budget never lets a pod go: change it, or give the step force=allow, which ends such pods"
        }
        "NodeCreationFailure" => {
            "nodes of the new version did not join: see the group's health, its subnets and its role"
        }
        _ => "mend what it says; the update can be begun again",
    };
    Failure::last(format!("update {id} is {state}: {}", said.join("; "))).with_hint(hint)
}

#[async_trait]
impl Managed for ControlPlane {
    fn name(&self) -> &'static str {
        "eks upgrade control plane"
    }

    async fn versions(&self, cx: &Context) -> Result<Seen, Failure> {
        let answer = describe(cx, cluster(cx)?).await?;
        Ok(Seen {
            now: text(&answer, "/cluster/version").to_string(),
            wanted: target(cx)?.1,
            settled: String::new(),
        })
    }

    async fn running(&self, cx: &Context) -> Result<Option<String>, Failure> {
        running(cx, &[]).await
    }

    async fn begin(&self, cx: &Context) -> Result<String, Failure> {
        let (name, (_, to), token) = (cluster(cx)?, target(cx)?, token(cx));
        let argv = [
            "aws",
            "eks",
            "update-cluster-version",
            "--name",
            name,
            "--kubernetes-version",
            &to,
            "--client-request-token",
            &token,
        ];
        let answer = order(cx, &[&argv[..], &["--output", "json"]].concat()).await?;
        Ok(text(&answer, "/update/id").to_string())
    }

    async fn follow(&self, cx: &Context, id: &str) -> Result<Operation, Failure> {
        follow(cx, id, &[]).await
    }
}

#[async_trait]
impl Managed for NodeGroup {
    fn name(&self) -> &'static str {
        "eks upgrade node group"
    }

    async fn versions(&self, cx: &Context) -> Result<Seen, Failure> {
        let answer = group(cx, cluster(cx)?, argument::text(cx, "group")?).await?;
        Ok(Seen {
            now: text(&answer, "/nodegroup/version").to_string(),
            wanted: target(cx)?.1,
            settled: String::new(),
        })
    }

    async fn running(&self, cx: &Context) -> Result<Option<String>, Failure> {
        running(cx, &["--nodegroup-name", argument::text(cx, "group")?]).await
    }

    async fn begin(&self, cx: &Context) -> Result<String, Failure> {
        let (name, group, (_, to), token) =
            (cluster(cx)?, argument::text(cx, "group")?, target(cx)?, token(cx));
        let mut argv =
            vec!["aws", "eks", "update-nodegroup-version", "--cluster-name", name, "--nodegroup-name", group];
        argv.extend(["--kubernetes-version", &to, "--client-request-token", &token, "--output", "json"]);
        if cx.args.get("force").and_then(Value::as_text) == Some("allow") {
            argv.push("--force");
        }
        let answer = order(cx, &argv).await?;
        Ok(text(&answer, "/update/id").to_string())
    }

    async fn follow(&self, cx: &Context, id: &str) -> Result<Operation, Failure> {
        follow(cx, id, &["--nodegroup-name", argument::text(cx, "group")?]).await
    }
}

#[async_trait]
impl Managed for Addon {
    fn name(&self) -> &'static str {
        "eks upgrade addon"
    }

    async fn versions(&self, cx: &Context) -> Result<Seen, Failure> {
        let (name, addon) = (cluster(cx)?, argument::text(cx, "addon")?);
        let list =
            ask(cx, &["aws", "eks", "list-addons", "--cluster-name", name, "--output", "json"]).await?;
        if !list["addons"].as_array().is_some_and(|all| all.iter().any(|one| one == addon)) {
            let settled = format!("{addon} is no add-on of EKS here: it is yours to upgrade");
            return Ok(Seen { now: String::new(), wanted: String::new(), settled });
        }
        let argv = [
            "aws",
            "eks",
            "describe-addon",
            "--cluster-name",
            name,
            "--addon-name",
            addon,
            "--output",
            "json",
        ];
        let answer = ask(cx, &argv).await?;
        let now = text(&answer, "/addon/addonVersion").to_string();
        let wanted = default_version(cx).await?;
        // Somebody may have chosen a newer one.
        let settled = if newer(&now, &wanted) {
            format!("it is {now}, newer than the default {wanted}")
        } else {
            String::new()
        };
        Ok(Seen { now, wanted, settled })
    }

    async fn running(&self, cx: &Context) -> Result<Option<String>, Failure> {
        running(cx, &["--addon-name", argument::text(cx, "addon")?]).await
    }

    async fn begin(&self, cx: &Context) -> Result<String, Failure> {
        let (name, addon, token) = (cluster(cx)?, argument::text(cx, "addon")?, token(cx));
        let version = default_version(cx).await?;
        let mut argv = vec![
            "aws",
            "eks",
            "update-addon",
            "--cluster-name",
            name,
            "--addon-name",
            addon,
            "--addon-version",
            &version,
        ];
        // What somebody has changed by hand stays.
        argv.extend([
            "--resolve-conflicts",
            "PRESERVE",
            "--client-request-token",
            &token,
            "--output",
            "json",
        ]);
        let answer = order(cx, &argv).await?;
        Ok(text(&answer, "/update/id").to_string())
    }

    async fn follow(&self, cx: &Context, id: &str) -> Result<Operation, Failure> {
        follow(cx, id, &["--addon-name", argument::text(cx, "addon")?]).await
    }
}

/// Returns the release of an add-on that EKS installs with the target.
async fn default_version(cx: &Context) -> Result<String, Failure> {
    let (addon, (_, to)) = (argument::text(cx, "addon")?, target(cx)?);
    let argv = [
        "aws",
        "eks",
        "describe-addon-versions",
        "--addon-name",
        addon,
        "--kubernetes-version",
        &to,
        "--output",
        "json",
    ];
    let answer = ask(cx, &argv).await?;
    let versions =
        answer.pointer("/addons/0/addonVersions").and_then(Json::as_array).cloned().unwrap_or_default();
    let is_default = |version: &&Json| {
        let compatible = version["compatibilities"].as_array();
        compatible
            .into_iter()
            .flatten()
            .any(|one| one["clusterVersion"] == *to && one["defaultVersion"] == true)
    };
    let found = versions.iter().find(is_default).map(|version| text(version, "/addonVersion").to_string());
    found.ok_or_else(|| Failure::last(format!("EKS has no default release of {addon} for {to}")))
}

/// Compares `v1.20.2-eksbuild.1` by its numbers.
fn newer(one: &str, other: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
    };
    numbers(one) > numbers(other)
}

#[cfg(test)]
mod tests {
    use super::super::managed::Upgrade;
    use super::super::testing::{Bench, perform};
    use super::*;
    use engine::action::{Action, Progress};
    use engine::event::Class;

    const DESCRIBE: &str = "aws eks describe-cluster --name prod --output json";
    const LIST: &str = "aws eks list-updates --name prod --output json";
    const UPDATE: &str = "aws eks describe-update --name prod --update-id u1 --output json";

    fn step(bench: &Bench, more: &[(&str, Value)]) -> Context {
        let mut args =
            vec![("cluster", Value::Text("prod".into())), ("to", Value::Minor("v1.34".parse().unwrap()))];
        args.extend(more.iter().cloned());
        bench.step(&args)
    }

    fn cluster_of(version: &str) -> String {
        format!(r#"{{"cluster":{{"version":"{version}","status":"ACTIVE"}}}}"#)
    }

    fn state_of(status: &str, errors: &str) -> String {
        format!(
            r#"{{"update":{{"id":"u1","status":"{status}","type":"VersionUpdate","errors":[{errors}]}}}}"#
        )
    }

    #[tokio::test]
    async fn an_update_is_begun_with_a_token_and_followed_to_its_end() {
        let bench = Bench::default().says(DESCRIBE, &cluster_of("1.33")).says(DESCRIBE, &cluster_of("1.34"));
        let begin = "aws eks update-cluster-version --name prod --kubernetes-version 1.34 --client-request-token kup-r1-a2906e1d50-1 --output json";
        let bench = bench.says(LIST, r#"{"updateIds":[]}"#).says(begin, &state_of("InProgress", ""));
        let bench = bench.says(UPDATE, &state_of("InProgress", "")).says(UPDATE, &state_of("Successful", ""));
        let cx = step(&bench, &[]);
        assert_eq!(perform(&Upgrade(ControlPlane), &cx).await, Ok(Value::None));
        assert_eq!(bench.sent().lines().filter(|line| line.contains("update-cluster-version")).count(), 1);
    }

    #[tokio::test]
    async fn an_update_that_goes_on_is_followed_and_not_begun_again() {
        let bench = Bench::default().says(DESCRIBE, &cluster_of("1.33"));
        let bench = bench.says(LIST, r#"{"updateIds":["u1"]}"#).says(UPDATE, &state_of("InProgress", ""));
        let cx = step(&bench, &[]);
        let Ok(Progress::Pending { handle, .. }) = Upgrade(ControlPlane).start(&cx, &Value::None).await
        else {
            panic!()
        };
        assert_eq!(handle.to_string(), "{operation: u1}");
        assert!(!bench.sent().contains("update-cluster-version"));
    }

    #[tokio::test]
    async fn an_update_that_failed_says_what_held_it() {
        let error = r#"{"errorCode":"PodEvictionFailure","errorMessage":"Reached max retries","resourceIds":["i-1"]}"#;
        let bench =
            Bench::default().says(DESCRIBE, &cluster_of("1.33")).says(LIST, r#"{"updateIds":["u1"]}"#);
        let bench = bench.says(UPDATE, &state_of("InProgress", "")).says(UPDATE, &state_of("Failed", error));
        let failure = perform(&Upgrade(ControlPlane), &step(&bench, &[])).await.unwrap_err();
        assert_eq!(failure.message, "update u1 is Failed: PodEvictionFailure: Reached max retries (i-1)");
        assert!(failure.class == Class::Final && failure.hint.contains("force=allow"));
    }

    #[tokio::test]
    async fn a_version_that_is_there_needs_nothing() {
        let bench = Bench::default().says(DESCRIBE, &cluster_of("1.34"));
        assert_eq!(
            perform(&Upgrade(ControlPlane), &step(&bench, &[])).await,
            Ok(Value::Text("it is 1.34".into()))
        );
    }

    #[tokio::test]
    async fn an_addon_of_ones_own_is_left_and_a_newer_one_too() {
        let addon = [("addon", Value::Text("vpc-cni".into()))];
        let list = "aws eks list-addons --cluster-name prod --output json";
        let bench = Bench::default().says(list, r#"{"addons":["coredns"]}"#);
        let text = perform(&Upgrade(Addon), &step(&bench, &addon)).await.unwrap();
        assert_eq!(text, Value::Text("vpc-cni is no add-on of EKS here: it is yours to upgrade".into()));
        let bench = Bench::default()
            .says(list, r#"{"addons":["vpc-cni"]}"#)
            .says(
                "aws eks describe-addon --cluster-name prod --addon-name vpc-cni --output json",
                r#"{"addon":{"addonVersion":"v1.21.0-eksbuild.1"}}"#,
            )
            .says(
                "aws eks describe-addon-versions --addon-name vpc-cni --kubernetes-version 1.34 --output json",
                r#"{"addons":[{"addonVersions":[{"addonVersion":"v1.20.2-eksbuild.3","compatibilities":[{"clusterVersion":"1.34","defaultVersion":true}]}]}]}"#,
            );
        let text = perform(&Upgrade(Addon), &step(&bench, &addon)).await.unwrap();
        assert_eq!(
            text,
            Value::Text("it is v1.21.0-eksbuild.1, newer than the default v1.20.2-eksbuild.3".into())
        );
    }

    #[tokio::test]
    async fn a_command_that_is_not_there_is_told_as_such() {
        let bench = Bench::default();
        let failure = perform(&Upgrade(ControlPlane), &step(&bench, &[])).await.unwrap_err();
        assert_eq!(failure.message, "there is no `aws` on this machine");
    }

    async fn check(version: &str, group: &str, insight: &str, allow: &str) -> Result<String, String> {
        let filter = "categories=UPGRADE_READINESS,kubernetesVersions=1.34";
        let bench = Bench::default()
            .says(DESCRIBE, &cluster_of(version))
            .says("aws eks list-nodegroups --cluster-name prod --output json", r#"{"nodegroups":["web"]}"#)
            .says("aws eks describe-nodegroup --cluster-name prod --nodegroup-name web --output json", group)
            .says(
                &format!("aws eks list-insights --cluster-name prod --filter {filter} --output json"),
                insight,
            );
        let cx = step(&bench, &[("insights", Value::Text(allow.into()))]);
        CheckEks.judge(&cx).await.map_err(|failure| failure.message)
    }

    const WELL: &str = r#"{"nodegroup":{"version":"1.32","status":"ACTIVE"}}"#;

    #[tokio::test]
    async fn a_cluster_is_judged_with_its_groups_and_insights() {
        assert_eq!(
            check("1.33", WELL, "{}", "refuse").await.unwrap(),
            "EKS cluster prod is ACTIVE with v1.33"
        );
        assert!(
            check("1.32", WELL, "{}", "refuse").await.unwrap_err().contains("v1.32 to v1.34 skips a minor")
        );
        assert!(check("1.35", WELL, "{}", "refuse").await.unwrap_err().contains("goes down"));
        let old = r#"{"nodegroup":{"version":"1.30","status":"DEGRADED","health":{"issues":[{"code":"Ec2SubnetNotFound"}]}}}"#;
        let text = check("1.33", old, "{}", "refuse").await.unwrap_err();
        assert_eq!(
            text,
            "node group web is DEGRADED (Ec2SubnetNotFound); node group web has v1.30, too old for v1.34: upgrade it first"
        );
        let insight =
            r#"{"insights":[{"name":"Deprecated APIs","insightStatus":{"status":"ERROR","reason":"used"}}]}"#;
        assert_eq!(
            check("1.33", WELL, insight, "refuse").await.unwrap_err(),
            "insight `Deprecated APIs`: used"
        );
        assert!(
            check("1.33", WELL, insight, "allow")
                .await
                .unwrap()
                .contains("note: insight `Deprecated APIs`: used")
        );
    }
}
