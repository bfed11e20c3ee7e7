//! AKS, by `az aks` on this machine: control plane, then node pools. The command tells no id of an operation without an extension of
//! preview, so the state of the cluster or the pool is followed, which any process finds again.
//! <https://learn.microsoft.com/en-us/azure/aks/upgrade-aks-cluster>, and the reference of the commands:
//! <https://learn.microsoft.com/en-us/cli/azure/aks#az-aks-upgrade>, <https://learn.microsoft.com/en-us/cli/azure/aks/nodepool>

use async_trait::async_trait;
use engine::action::Context;
use engine::event::Failure;
use serde_json::Value as Json;

use super::argument;
use super::check_version_skew::lag;
use super::managed::{Managed, Operation, Seen, ask, order, target, text, version};
use super::verdict::{Findings, Verdict};

/// `check aks`: the cluster is well and may be brought to a version.
pub(super) struct CheckAks;

/// `aks upgrade control plane`, `aks upgrade node pool`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The control plane.
    ControlPlane,
    /// The pool that the step names.
    NodePool,
}

/// What the id of an operation stands for here.
const BY_STATE: &str = "by its state";

async fn show(cx: &Context) -> Result<Json, Failure> {
    let (group, cluster) = (argument::text(cx, "group")?, argument::text(cx, "cluster")?);
    ask(cx, &["az", "aks", "show", "--resource-group", group, "--name", cluster, "--output", "json"]).await
}

async fn show_pool(cx: &Context) -> Result<Json, Failure> {
    let (group, cluster, pool) =
        (argument::text(cx, "group")?, argument::text(cx, "cluster")?, argument::text(cx, "pool")?);
    let argv = [
        "az",
        "aks",
        "nodepool",
        "show",
        "--resource-group",
        group,
        "--cluster-name",
        cluster,
        "--name",
        pool,
        "--output",
        "json",
    ];
    ask(cx, &argv).await
}

#[async_trait]
impl Verdict for CheckAks {
    fn name(&self) -> &'static str {
        "check aks"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let (to, _) = target(cx)?;
        let cluster = show(cx).await?;
        let (name, state, power) = (
            text(&cluster, "/name"),
            text(&cluster, "/provisioningState"),
            text(&cluster, "/powerState/code"),
        );
        let now = text(&cluster, "/currentKubernetesVersion");
        let now =
            version(now).ok_or_else(|| Failure::last(format!("cluster {name} has the version `{now}`")))?;
        let mut findings = Findings::default();
        if !matches!(state, "Succeeded" | "Upgrading") || power == "Stopped" {
            findings.add(true, format!("cluster {name} is {state}, {power}"));
        }
        if to < now {
            findings.add(true, format!("{now} to {to} goes down: an AKS control plane never does"));
        } else if to.minor > now.minor + 1 {
            findings.add(true, format!("{now} to {to} skips a minor, which AKS does not"));
        }
        for pool in cluster["agentPoolProfiles"].as_array().into_iter().flatten() {
            let (name, state) = (text(pool, "/name"), text(pool, "/provisioningState"));
            if state == "Failed" {
                findings.add(true, format!("node pool {name} is {state}"));
            }
            if let Some(version) = version(text(pool, "/currentOrchestratorVersion"))
                .filter(|version| version.minor + lag(version.minor()) < to.minor)
            {
                findings
                    .add(true, format!("node pool {name} has {version}, too old for {to}: upgrade it first"));
            }
        }
        findings.conclude(
            format!("AKS cluster {name} is {state} with {now}"),
            "see `az aks show` and `az aks get-upgrades`",
        )
    }
}

/// Judges a state: what neither has succeeded nor failed goes on.
fn judge(what: &str, state: &str) -> Operation {
    match state {
        "Succeeded" => Operation::Done,
        "Failed" | "Canceled" => Operation::Failed(Failure::last(format!("{what} is {state}")).with_hint(
            "see why: az monitor activity-log list --resource-group GROUP --status Failed; then begin again",
        )),
        state => Operation::Runs(format!("{what} is {state}")),
    }
}

impl Part {
    /// Returns what the provider shows of it.
    async fn show(self, cx: &Context) -> Result<Json, Failure> {
        match self {
            Part::ControlPlane => show(cx).await,
            Part::NodePool => show_pool(cx).await,
        }
    }
}

#[async_trait]
impl Managed for Part {
    fn name(&self) -> &'static str {
        match self {
            Part::ControlPlane => "aks upgrade control plane",
            Part::NodePool => "aks upgrade node pool",
        }
    }

    async fn versions(&self, cx: &Context) -> Result<Seen, Failure> {
        let place = match self {
            Part::ControlPlane => "/currentKubernetesVersion",
            Part::NodePool => "/currentOrchestratorVersion",
        };
        let now = text(&self.show(cx).await?, place).to_string();
        Ok(Seen { now, wanted: target(cx)?.1, settled: String::new() })
    }

    async fn running(&self, cx: &Context) -> Result<Option<String>, Failure> {
        let is_running = text(&self.show(cx).await?, "/provisioningState") == "Upgrading";
        Ok(is_running.then(|| BY_STATE.to_string()))
    }

    async fn begin(&self, cx: &Context) -> Result<String, Failure> {
        let (group, cluster, (_, to)) =
            (argument::text(cx, "group")?, argument::text(cx, "cluster")?, target(cx)?);
        let version = ["--kubernetes-version", to.as_str()];
        let (verb, which, only) = match self {
            Part::ControlPlane => (&["upgrade"][..], vec!["--name", cluster], &["--control-plane-only"][..]),
            Part::NodePool => {
                let pool = argument::text(cx, "pool")?;
                (&["nodepool", "upgrade"][..], vec!["--cluster-name", cluster, "--name", pool], &[][..])
            }
        };
        let head = [&["az", "aks"], verb, &["--resource-group", group]].concat();
        let tail = [only, &["--yes", "--no-wait", "--output", "json"]].concat();
        order(cx, &[head, which, version.to_vec(), tail].concat()).await?;
        Ok(BY_STATE.to_string())
    }

    async fn follow(&self, cx: &Context, _: &str) -> Result<Operation, Failure> {
        let what = match self {
            Part::ControlPlane => "the cluster".to_string(),
            Part::NodePool => format!("node pool {}", argument::text(cx, "pool")?),
        };
        Ok(judge(&what, text(&self.show(cx).await?, "/provisioningState")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::managed::Upgrade;
    use super::super::testing::{Bench, perform};
    use super::*;
    use dsl::value::Value;

    const SHOW: &str = "az aks show --resource-group rg --name prod --output json";
    const BEGIN: &str = "az aks upgrade --resource-group rg --name prod --kubernetes-version 1.34.2 --control-plane-only --yes --no-wait --output json";

    fn step(bench: &Bench) -> Context {
        let text = |text: &str| Value::Text(text.into());
        let to = Value::Version("v1.34.2".parse().unwrap());
        bench.step(&[("group", text("rg")), ("cluster", text("prod")), ("pool", text("web")), ("to", to)])
    }

    fn cluster(version: &str, state: &str, nodes: &str) -> String {
        format!(
            r#"{{"name":"prod","currentKubernetesVersion":"{version}","provisioningState":"{state}","powerState":{{"code":"Running"}},"agentPoolProfiles":[{{"name":"web","currentOrchestratorVersion":"{nodes}","provisioningState":"Succeeded"}}]}}"#
        )
    }

    #[tokio::test]
    async fn an_upgrade_is_followed_by_the_state_of_the_cluster() {
        let bench = Bench::default()
            .says(SHOW, &cluster("1.33.4", "Succeeded", "1.33.4"))
            .says(SHOW, &cluster("1.33.4", "Succeeded", "1.33.4"))
            .says(BEGIN, "")
            .says(SHOW, &cluster("1.33.4", "Upgrading", "1.33.4"))
            .says(SHOW, &cluster("1.34.2", "Succeeded", "1.33.4"));
        assert_eq!(perform(&Upgrade(Part::ControlPlane), &step(&bench)).await, Ok(Value::None));
    }

    #[tokio::test]
    async fn one_that_goes_on_is_not_begun_again_and_one_that_failed_is_told() {
        let bench = Bench::default()
            .says(SHOW, &cluster("1.33.4", "Upgrading", "1.33.4"))
            .says(SHOW, &cluster("1.33.4", "Upgrading", "1.33.4"))
            .says(SHOW, &cluster("1.33.4", "Failed", "1.33.4"));
        let failure = perform(&Upgrade(Part::ControlPlane), &step(&bench)).await.unwrap_err();
        assert_eq!(failure.message, "the cluster is Failed");
        assert!(!bench.sent().contains("az aks upgrade"));
    }

    #[tokio::test]
    async fn a_cluster_is_judged_with_its_pools() {
        let check = |version: &str, state: &str, nodes: &str| {
            let bench = Bench::default().says(SHOW, &cluster(version, state, nodes));
            let cx = step(&bench);
            async move { CheckAks.judge(&cx).await.map_err(|failure| failure.message) }
        };
        let well = check("1.33.4", "Succeeded", "1.33.4").await.unwrap();
        assert_eq!(well, "AKS cluster prod is Succeeded with v1.33.4");
        assert!(check("1.32.4", "Succeeded", "1.32.4").await.unwrap_err().contains("skips a minor"));
        assert!(check("1.33.4", "Failed", "1.33.4").await.unwrap_err().starts_with("cluster prod is Failed"));
        assert!(check("1.33.4", "Succeeded", "1.30.1").await.unwrap_err().contains("too old for"));
    }
}
