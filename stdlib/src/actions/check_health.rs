//! `check health`: the cluster is healthy now, judged as `wait healthy cluster` judges it, but by one
//! look: for before a change, and for a cluster that nobody changes.

use async_trait::async_trait;
use engine::action::Context;
use engine::event::Failure;

use super::verdict::Verdict;
use crate::health::Starts;
use crate::{api, health};

/// The verb.
pub(super) struct CheckHealth;

#[async_trait]
impl Verdict for CheckHealth {
    fn name(&self) -> &'static str {
        "check health"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let kube = api::client(&cx.ports)?;
        let (mut starts, mut rollouts) = (Starts::new(), health::cluster::Rollouts::default());
        match health::cluster::look(cx, &kube, &mut starts, &mut rollouts).await? {
            None => Ok("the cluster is healthy".to_string()),
            // A pod may be on its way at this very moment.
            Some(finding) => Err(Failure::transient(finding).with_hint(
                "mend it first: what is broken before an upgrade cannot be told from what it breaks",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cluster, context};
    use engine::event::Class;

    #[tokio::test]
    async fn a_cluster_is_judged_by_one_look() {
        let cluster = Cluster::new();
        cluster.node("cp1", "v1.34.4", true);
        cluster.control_plane("cp1", "v1.34.4");
        let cx = context(&cluster, "", &[]).await;
        assert_eq!(CheckHealth.judge(&cx).await.unwrap(), "the cluster is healthy");
        cluster.remove("/api/v1/namespaces/kube-system/pods/kube-scheduler-cp1");
        let failure = CheckHealth.judge(&cx).await.unwrap_err();
        assert_eq!(
            (failure.class, failure.message.as_str()),
            (Class::Transient, "kube-scheduler-cp1 is missing")
        );
    }
}
