//! `cordon`: makes a node unschedulable and leaves on it who did so, in the same patch. Only what
//! kup cordoned is ever uncordoned by kup, also after a crash and by another machine.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use k8s_openapi::api::core::v1::Node;
use serde_json::json;

use crate::api;

/// The annotation that holds the id of the run which cordoned the node.
pub(crate) const CORDONED: &str = "kup.dev/cordoned";

/// What is told of a node that is cordoned, and not by kup.
pub(crate) const LEFT: &str = "cordoned by somebody else: left";

/// How often a patch is tried anew when somebody wrote the node between our look and our patch.
const RACES: u32 = 5;

/// The verb.
pub(crate) struct Cordon;

/// Who keeps pods off a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Nobody: the node is schedulable.
    Nobody,
    /// A run of kup.
    Kup,
    /// Somebody else.
    Other,
}

/// Tells who cordoned a node.
pub(crate) fn by(node: &Node) -> By {
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default();
    match (cordoned, api::annotation(&node.metadata, CORDONED)) {
        (false, _) => By::Nobody,
        (true, Some(_)) => By::Kup,
        (true, None) => By::Other,
    }
}

/// Returns the name of the node a step is about: the one its argument names, else its lane's.
pub(crate) fn node_of(cx: &Context) -> Result<&str, Failure> {
    let named = match cx.args.get("node") {
        Some(Value::Node(name)) => Some(name.as_str()),
        _ => cx.node.as_ref().map(|node| node.name.as_str()),
    };
    named.ok_or_else(|| Failure::last("the step is about no node").with_hint("give it `node=NAME`"))
}

/// Cordons a node unless it is; returns whether this call did it.
pub(crate) async fn cordon(kube: &kube::Client, name: &str, run: &str) -> Result<bool, Failure> {
    change(kube, name, |node| {
        let patch = json!({
            "metadata": { "annotations": { CORDONED: run } },
            "spec": { "unschedulable": true },
        });
        (by(node) == By::Nobody).then_some(patch)
    })
    .await
}

/// Uncordons a node if kup cordoned it; returns whether anything was to do. The annotation of a
/// node that somebody uncordoned by hand goes too: later it would claim somebody else's cordon.
pub(crate) async fn uncordon(kube: &kube::Client, name: &str) -> Result<bool, Failure> {
    change(kube, name, |node| {
        api::annotation(&node.metadata, CORDONED).map(|_| {
            json!({
                "metadata": { "annotations": { CORDONED: null } },
                "spec": { "unschedulable": null },
            })
        })
    })
    .await
}

/// Patches a node as a look at it says. The patch carries the resource version of that look, so
/// that it cannot overwrite what a person did in between; after a conflict the node is read again.
async fn change(
    kube: &kube::Client,
    name: &str,
    wanted: impl Fn(&Node) -> Option<serde_json::Value>,
) -> Result<bool, Failure> {
    let what = format!("patch node {name}");
    for _ in 0..RACES {
        let node = api::node(kube, name).await?;
        let Some(mut patch) = wanted(&node) else { return Ok(false) };
        patch["metadata"]["resourceVersion"] = json!(node.metadata.resource_version);
        match api::raw(api::patch_node(kube, name, &patch)).await {
            Some(Ok(_)) => return Ok(true),
            Some(Err(kube::Error::Api(status))) if status.code == 409 => {}
            Some(Err(error)) => return Err(api::failure(&what, &error)),
            None => return Err(api::silent(&what)),
        }
    }
    Err(Failure::transient(format!("cannot {what}: somebody changes it all the time")))
}

#[async_trait]
impl Action for Cordon {
    fn name(&self) -> &'static str {
        "cordon"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let node = api::node(&api::client(&cx.ports)?, node_of(cx)?).await?;
        Ok(match by(&node) {
            By::Nobody => {
                Check::Needs { now: "schedulable".into(), then: "cordoned".into(), before: Value::None }
            }
            By::Kup => Check::Done("cordoned".into()),
            By::Other => Check::Done(LEFT.into()),
        })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        cordon(&api::client(&cx.ports)?, node_of(cx)?, &cx.run).await?;
        Ok(Progress::Done(Value::None))
    }

    async fn undo(&self, cx: &Context, _: &Value) -> Result<(), Failure> {
        uncordon(&api::client(&cx.ports)?, node_of(cx)?).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use engine::port::Ports;

    use super::*;
    use crate::testing::{Cluster, context};

    const W1: &str = "/api/v1/nodes/w1";

    #[tokio::test]
    async fn a_cordon_leaves_the_run_in_the_same_patch() {
        let cluster = Cluster::new();
        cluster.node("w1", "v1.33.4", false);
        let cx = context(&cluster, "w1", &[]).await;
        assert!(matches!(Cordon.check(&cx).await, Ok(Check::Needs { now, .. }) if now == "schedulable"));
        Cordon.start(&cx, &Value::None).await.unwrap();
        let patch = json!({
            "metadata": { "annotations": { "kup.dev/cordoned": "run-1" }, "resourceVersion": "1" },
            "spec": { "unschedulable": true },
        });
        assert_eq!(cluster.sent("PATCH /api/v1/nodes/w1"), [patch]);
        assert_eq!(Cordon.check(&cx).await, Ok(Check::Done("cordoned".into())));
    }

    #[tokio::test]
    async fn an_undone_cordon_leaves_no_trace() {
        let cluster = Cluster::new();
        cluster.node("w1", "v1.33.4", false);
        let cx = context(&cluster, "w1", &[]).await;
        Cordon.start(&cx, &Value::None).await.unwrap();
        Cordon.undo(&cx, &Value::None).await.unwrap();
        let node = cluster.get(W1);
        assert_eq!((&node["spec"], &node["metadata"]["annotations"]), (&json!({}), &json!({})));
    }

    #[tokio::test]
    async fn a_node_that_a_person_cordoned_stays_cordoned() {
        let cluster = Cluster::new();
        cluster.node("w1", "v1.33.4", false);
        let mut node = cluster.get(W1);
        node["spec"]["unschedulable"] = json!(true);
        cluster.put(W1, node);
        let cx = context(&cluster, "w1", &[]).await;
        assert_eq!(Cordon.check(&cx).await, Ok(Check::Done(LEFT.into())));
        Cordon.start(&cx, &Value::None).await.unwrap();
        Cordon.undo(&cx, &Value::None).await.unwrap();
        assert_eq!(cluster.sent("PATCH /api/v1/nodes/w1"), Vec::<serde_json::Value>::new());
    }

    #[tokio::test]
    async fn a_write_between_look_and_patch_makes_it_look_again() {
        let cluster = Cluster::new();
        cluster.node("w1", "v1.33.4", false);
        let conflict = json!({ "kind": "Status", "code": 409, "message": "modified" });
        cluster.answer("PATCH /api/v1/nodes/w1", 409, conflict);
        let cx = context(&cluster, "w1", &[]).await;
        Cordon.start(&cx, &Value::None).await.unwrap();
        assert_eq!(cluster.get(W1)["spec"]["unschedulable"], true);
    }

    #[tokio::test]
    async fn hosts_alone_cannot_be_cordoned() {
        let cluster = Cluster::new();
        cluster.node("w1", "v1.33.4", false);
        let cx = context(&cluster, "w1", &[]).await;
        let ports = Ports { kube: None, ..(*cx.ports).clone() };
        let cx = Context { ports: ports.into(), ..cx };
        let failure = Cordon.check(&cx).await.unwrap_err();
        assert_eq!(failure.message, "needs a cluster; kup was given hosts only");
    }
}
