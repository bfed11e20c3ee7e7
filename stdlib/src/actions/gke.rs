//! GKE, by `gcloud container` on this machine: control plane, then node pools.
//! <https://cloud.google.com/kubernetes-engine/docs/how-to/upgrading-a-cluster>, and the reference of the command:
//! <https://cloud.google.com/sdk/gcloud/reference/container/clusters/upgrade>

use async_trait::async_trait;
use engine::action::Context;
use engine::event::Failure;
use serde_json::Value as Json;

use super::argument;
use super::managed::{Managed, Operation, Seen, ask, order, target, text, version};
use super::verdict::{Findings, Verdict};

/// `check gke`: the cluster is well and may be brought to a version.
pub(super) struct CheckGke;

/// `gke upgrade control plane`, `gke upgrade node pool`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The control plane.
    ControlPlane,
    /// The pool that the step names.
    NodePool,
}

/// What every command needs to find the cluster.
struct Place<'a> {
    name: &'a str,
    location: &'a str,
}

fn place(cx: &Context) -> Result<Place<'_>, Failure> {
    Ok(Place { name: argument::text(cx, "cluster")?, location: argument::text(cx, "location")? })
}

async fn describe(cx: &Context) -> Result<Json, Failure> {
    let Place { name, location } = place(cx)?;
    ask(cx, &["gcloud", "container", "clusters", "describe", name, "--location", location, "--format=json"])
        .await
}

fn pool<'a>(cluster: &'a Json, name: &str) -> Result<&'a Json, Failure> {
    let pools = cluster["nodePools"].as_array();
    let found = pools.into_iter().flatten().find(|pool| text(pool, "/name") == name);
    found.ok_or_else(|| Failure::last(format!("the cluster has no node pool {name}")))
}

#[async_trait]
impl Verdict for CheckGke {
    fn name(&self) -> &'static str {
        "check gke"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let (to, _) = target(cx)?;
        let cluster = describe(cx).await?;
        let (name, status) = (text(&cluster, "/name"), text(&cluster, "/status"));
        let now = text(&cluster, "/currentMasterVersion");
        let now =
            version(now).ok_or_else(|| Failure::last(format!("cluster {name} has the version `{now}`")))?;
        let mut findings = Findings::default();
        if !matches!(status, "RUNNING" | "RECONCILING") {
            findings.add(true, format!("cluster {name} is {status}: {}", text(&cluster, "/statusMessage")));
        }
        if to < now {
            findings.add(
                true,
                format!("{now} to {to} goes down: GKE takes a control plane back to an older patch only"),
            );
        } else if to.minor > now.minor + 1 {
            findings.add(true, format!("{now} to {to} skips a minor, which GKE does not"));
        }
        for pool in cluster["nodePools"].as_array().into_iter().flatten() {
            let (name, status) = (text(pool, "/name"), text(pool, "/status"));
            if matches!(status, "ERROR" | "RUNNING_WITH_ERROR" | "STOPPING") {
                findings.add(true, format!("node pool {name} is {status}"));
            }
            // GKE supports nodes of two minors behind their control plane.
            // https://cloud.google.com/kubernetes-engine/versioning
            if let Some(version) =
                version(text(pool, "/version")).filter(|version| version.minor + 2 < to.minor)
            {
                findings
                    .add(true, format!("node pool {name} has {version}, too old for {to}: upgrade it first"));
            }
        }
        if cluster.pointer("/releaseChannel/channel").is_some() {
            findings.add(
                false,
                "a release channel upgrades this cluster by itself, too, unless an exclusion forbids it"
                    .to_string(),
            );
        }
        findings.conclude(
            format!("GKE cluster {name} is {status} with {now}"),
            "see `gcloud container clusters describe`",
        )
    }
}

/// Finds the operation that upgrades the control plane, or a pool.
async fn running(cx: &Context, pool: Option<&str>) -> Result<Option<String>, Failure> {
    let Place { name, location } = place(cx)?;
    let argv = [
        "gcloud",
        "container",
        "operations",
        "list",
        "--location",
        location,
        "--filter=status!=DONE",
        "--format=json",
    ];
    let operations = ask(cx, &argv).await?;
    let (kind, end) = match pool {
        None => ("UPGRADE_MASTER", format!("/clusters/{name}")),
        Some(pool) => ("UPGRADE_NODES", format!("/clusters/{name}/nodePools/{pool}")),
    };
    let ours = |operation: &&Json| {
        text(operation, "/operationType") == kind
            && text(operation, "/status") != "DONE"
            && text(operation, "/targetLink").ends_with(&end)
    };
    Ok(operations
        .as_array()
        .into_iter()
        .flatten()
        .find(ours)
        .map(|operation| text(operation, "/name").to_string()))
}

/// With `--async` the command prints no operation: it is found where it stands.
async fn begin(cx: &Context, pool: Option<&str>) -> Result<String, Failure> {
    let (Place { name, location }, (_, to)) = (place(cx)?, target(cx)?);
    let mut argv = vec![
        "gcloud",
        "container",
        "clusters",
        "upgrade",
        name,
        "--location",
        location,
        "--cluster-version",
        &to,
    ];
    match pool {
        None => argv.push("--master"),
        Some(pool) => argv.extend(["--node-pool", pool]),
    }
    argv.extend(["--async", "--quiet", "--format=json"]);
    order(cx, &argv).await?;
    let begun = running(cx, pool).await?;
    begun.ok_or_else(|| {
        Failure::unknown("the upgrade was begun, and no operation is in the list")
            .with_hint("see `gcloud container operations list`; a second attempt looks at the version first")
    })
}

async fn follow(cx: &Context, id: &str) -> Result<Operation, Failure> {
    let Place { location, .. } = place(cx)?;
    let argv = ["gcloud", "container", "operations", "describe", id, "--location", location, "--format=json"];
    let answer = ask(cx, &argv).await?;
    let error = text(&answer, "/error/message");
    Ok(match text(&answer, "/status") {
        "DONE" if error.is_empty() => Operation::Done,
        "DONE" => Operation::Failed(Failure::last(format!("operation {id} has failed: {error}")).with_hint(
            "mend what it says; nodes that are upgraded stay so, and the upgrade can be begun again",
        )),
        state => Operation::Runs(format!("operation {id} is {state}")),
    })
}

impl Part {
    /// Returns the name of the pool that it is.
    fn pool(self, cx: &Context) -> Result<Option<&str>, Failure> {
        match self {
            Part::ControlPlane => Ok(None),
            Part::NodePool => argument::text(cx, "pool").map(Some),
        }
    }
}

#[async_trait]
impl Managed for Part {
    fn name(&self) -> &'static str {
        match self {
            Part::ControlPlane => "gke upgrade control plane",
            Part::NodePool => "gke upgrade node pool",
        }
    }

    async fn versions(&self, cx: &Context) -> Result<Seen, Failure> {
        let cluster = describe(cx).await?;
        let now = match self.pool(cx)? {
            None => text(&cluster, "/currentMasterVersion"),
            Some(name) => text(pool(&cluster, name)?, "/version"),
        };
        Ok(Seen { now: now.to_string(), wanted: target(cx)?.1, settled: String::new() })
    }

    async fn running(&self, cx: &Context) -> Result<Option<String>, Failure> {
        running(cx, self.pool(cx)?).await
    }

    async fn begin(&self, cx: &Context) -> Result<String, Failure> {
        begin(cx, self.pool(cx)?).await
    }

    async fn follow(&self, cx: &Context, id: &str) -> Result<Operation, Failure> {
        follow(cx, id).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::managed::Upgrade;
    use super::super::testing::{Bench, perform};
    use super::*;
    use dsl::value::Value;

    const DESCRIBE: &str = "gcloud container clusters describe prod --location eu --format=json";
    const LIST: &str = "gcloud container operations list --location eu --filter=status!=DONE --format=json";
    const TARGET: &str = "1.34.2-gke.1036000";

    fn step(bench: &Bench) -> Context {
        let text = |text: &str| Value::Text(text.into());
        let to = Value::Version(format!("v{TARGET}").parse().unwrap());
        bench.step(&[("cluster", text("prod")), ("location", text("eu")), ("pool", text("web")), ("to", to)])
    }

    fn cluster(master: &str, nodes: &str, status: &str) -> String {
        format!(
            r#"{{"name":"prod","status":"{status}","currentMasterVersion":"{master}","nodePools":[{{"name":"web","version":"{nodes}","status":"RUNNING"}}]}}"#
        )
    }

    #[tokio::test]
    async fn a_pool_is_upgraded_by_an_operation_that_is_found_in_the_list() {
        let end = "https://x/clusters/prod/nodePools/web";
        let operation = |status: &str| {
            format!(
                r#"{{"name":"op1","operationType":"UPGRADE_NODES","status":"{status}","targetLink":"{end}"}}"#
            )
        };
        let begin = format!(
            "gcloud container clusters upgrade prod --location eu --cluster-version {TARGET} --node-pool web --async --quiet --format=json"
        );
        let look = "gcloud container operations describe op1 --location eu --format=json";
        let bench = Bench::default()
            .says(DESCRIBE, &cluster(TARGET, "1.33.4-gke.1", "RUNNING"))
            .says(DESCRIBE, &cluster(TARGET, TARGET, "RUNNING"))
            .says(LIST, "[]")
            .says(&begin, "")
            .says(LIST, &format!("[{}]", operation("RUNNING")))
            .says(look, &operation("RUNNING"))
            .says(look, &operation("DONE"));
        assert_eq!(perform(&Upgrade(Part::NodePool), &step(&bench)).await, Ok(Value::None));
        assert_eq!(bench.sent().lines().filter(|line| line.contains("clusters upgrade")).count(), 1);
    }

    #[tokio::test]
    async fn an_operation_that_ends_with_an_error_is_told() {
        let operation = r#"{"name":"op1","operationType":"UPGRADE_MASTER","status":"DONE","error":{"code":13,"message":"internal"}}"#;
        let bench = Bench::default()
            .says("gcloud container operations describe op1 --location eu --format=json", operation);
        let Ok(Operation::Failed(failure)) = follow(&step(&bench), "op1").await else { panic!() };
        assert_eq!(failure.message, "operation op1 has failed: internal");
    }

    #[tokio::test]
    async fn a_cluster_is_judged_with_its_pools() {
        let check = |master: &str, nodes: &str, status: &str| {
            let bench = Bench::default().says(DESCRIBE, &cluster(master, nodes, status));
            let cx = step(&bench);
            async move { CheckGke.judge(&cx).await.map_err(|failure| failure.message) }
        };
        let well = check("1.33.4-gke.1", "1.33.4-gke.1", "RUNNING").await.unwrap();
        assert_eq!(well, "GKE cluster prod is RUNNING with v1.33.4-gke.1");
        assert!(
            check("1.32.4-gke.1", "1.32.4-gke.1", "RUNNING").await.unwrap_err().contains("skips a minor")
        );
        assert!(check("1.33.4-gke.1", "1.31.4-gke.1", "RUNNING").await.unwrap_err().contains("too old for"));
        assert!(
            check("1.33.4-gke.1", "1.33.4-gke.1", "ERROR")
                .await
                .unwrap_err()
                .starts_with("cluster prod is ERROR")
        );
    }
}
