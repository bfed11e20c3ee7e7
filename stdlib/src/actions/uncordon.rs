//! `uncordon`: makes a node schedulable again, if it was kup that cordoned it.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;

use super::cordon::{self, By, CORDONED, LEFT};
use crate::api;

/// The verb.
pub(crate) struct Uncordon;

#[async_trait]
impl Action for Uncordon {
    fn name(&self) -> &'static str {
        "uncordon"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let node = api::node(&api::client(&cx.ports)?, cordon::node_of(cx)?).await?;
        let claimed = api::annotation(&node.metadata, CORDONED).is_some();
        let needs =
            |now: &str| Check::Needs { now: now.into(), then: "schedulable".into(), before: Value::None };
        Ok(match cordon::by(&node) {
            By::Nobody if claimed => needs("uncordoned by hand, still marked by kup"),
            By::Nobody => Check::Done("schedulable".into()),
            By::Kup => needs("cordoned"),
            By::Other => Check::Done(LEFT.into()),
        })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        cordon::uncordon(&api::client(&cx.ports)?, cordon::node_of(cx)?).await?;
        Ok(Progress::Done(Value::None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cluster, context};
    use serde_json::json;

    async fn after(spec: serde_json::Value, annotations: serde_json::Value) -> (Check, serde_json::Value) {
        let cluster = Cluster::new();
        cluster.node("w1", "v1.33.4", false);
        let mut node = cluster.get("/api/v1/nodes/w1");
        node["spec"] = spec;
        node["metadata"]["annotations"] = annotations;
        cluster.put("/api/v1/nodes/w1", node);
        let cx = context(&cluster, "w1", &[]).await;
        let check = Uncordon.check(&cx).await.unwrap();
        Uncordon.start(&cx, &Value::None).await.unwrap();
        let node = cluster.get("/api/v1/nodes/w1");
        (check, json!([node["spec"], node["metadata"]["annotations"]]))
    }

    #[tokio::test]
    async fn what_any_run_of_kup_cordoned_is_uncordoned() {
        let (check, node) =
            after(json!({ "unschedulable": true }), json!({ "kup.dev/cordoned": "run-0" })).await;
        assert!(matches!(check, Check::Needs { now, .. } if now == "cordoned"));
        assert_eq!(node, json!([{}, {}]));
    }

    #[tokio::test]
    async fn what_a_person_cordoned_is_left() {
        let (check, node) = after(json!({ "unschedulable": true }), json!({})).await;
        assert_eq!(check, Check::Done(LEFT.into()));
        assert_eq!(node, json!([{ "unschedulable": true }, {}]));
    }

    #[tokio::test]
    async fn the_mark_on_a_node_that_a_person_uncordoned_goes() {
        let (check, node) = after(json!({}), json!({ "kup.dev/cordoned": "run-0" })).await;
        assert!(matches!(check, Check::Needs { .. }));
        assert_eq!(node, json!([{}, {}]));
    }
}
