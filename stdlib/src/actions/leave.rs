//! `reset node` and `delete node`: how a node goes, first from its machine, then from the cluster.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::port::Command;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams};

use super::detached::{self, Unit};
use super::host::Host;
use super::{cordon, failure};
use crate::api;

/// What a kubelet that has joined reaches its cluster with.
const KUBELET: &str = "/etc/kubernetes/kubelet.conf";
const WHAT: &str = "kubeadm reset";

/// Resets a machine.
pub(super) struct ResetNode;

/// Deletes a node's object.
pub(super) struct DeleteNode;

#[async_trait]
impl Action for ResetNode {
    fn name(&self) -> &'static str {
        "reset node"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let host = Host::of(cx)?;
        if host.read(KUBELET).await?.is_none() {
            return Ok(Check::Done(format!("{} is in no cluster", host.name)));
        }
        is_not_the_last(cx, &host.name)?;
        Ok(Check::Needs { now: "in the cluster".to_string(), then: "reset".to_string(), before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let command = Command::change(["kubeadm", "reset", "--force"]);
        let handle = detached::begin(cx, &host, &command).await?;
        Ok(detached::pending(&handle, &host, WHAT, &Unit::Runs(String::new())))
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        match detached::look(cx, &host, handle, WHAT).await? {
            Unit::Ended(output) if output.ok() => Ok(Progress::Done(Value::None)),
            Unit::Ended(output) => Err(failure::classify(WHAT, &output)),
            unit => Ok(detached::pending(handle, &host, WHAT, &unit)),
        }
    }

    async fn clean(&self, cx: &Context) {
        detached::clean(cx).await;
    }
}

#[async_trait]
impl Action for DeleteNode {
    fn name(&self) -> &'static str {
        "delete node"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let name = cordon::node_of(cx)?;
        let nodes = Api::<Node>::all(api::client(&cx.ports)?);
        Ok(match api::find(&format!("read node {name}"), nodes.get(name)).await? {
            None => Check::Done(format!("the cluster has no node {name}")),
            Some(_) => {
                is_not_the_last(cx, name)?;
                Check::Needs { now: String::new(), then: "deleted".to_string(), before: Value::None }
            }
        })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let name = cordon::node_of(cx)?;
        let nodes = Api::<Node>::all(api::client(&cx.ports)?);
        let params = DeleteParams::default();
        api::find(&format!("delete node {name}"), nodes.delete(name, &params)).await?;
        Ok(Progress::Done(Value::None))
    }
}

/// Holds that a node is not the only control plane: with it the cluster would go, also where etcd is elsewhere.
fn is_not_the_last(cx: &Context, name: &str) -> Result<(), Failure> {
    let nodes = &cx.inventory.nodes;
    let is_plane = nodes.get(name).is_some_and(|node| node.control_plane);
    if is_plane && !nodes.values().any(|other| other.control_plane && other.name != name) {
        return Err(Failure::last(format!("{name} is the only control plane, and the cluster goes with it"))
            .with_hint("join another control plane first"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::{Bench, perform};
    use super::*;

    const SHOW: &str = "systemctl show kup-r1-a2906e1d50-1.service -p LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus";

    fn plane(bench: &Bench, others: bool) -> Context {
        let mut cx = bench.step(&[]);
        let mut inventory = (*cx.inventory).clone();
        inventory.nodes[0].control_plane = true;
        if others {
            let name = "n2".to_string();
            let other =
                engine::inventory::Node { name: name.clone(), control_plane: true, ..Default::default() };
            inventory.nodes.insert(name, other);
        }
        cx.inventory = Arc::new(inventory);
        cx
    }

    #[tokio::test]
    async fn the_only_control_plane_is_neither_reset_nor_deleted() {
        let bench = Bench::default().file(KUBELET, "kind: Config\n");
        bench.cluster.node("n1", "v1.34.2", true);
        let alone = plane(&bench, false);
        for failure in
            [ResetNode.check(&alone).await.unwrap_err(), DeleteNode.check(&alone).await.unwrap_err()]
        {
            assert!(failure.message.contains("n1 is the only control plane"), "{failure:?}");
        }
        let two = plane(&bench, true);
        assert!(matches!(ResetNode.check(&two).await, Ok(Check::Needs { .. })));
        assert!(matches!(DeleteNode.check(&two).await, Ok(Check::Needs { .. })));
    }

    #[tokio::test]
    async fn a_machine_that_was_reset_and_a_node_that_was_deleted_are_left() {
        let bench = Bench::default();
        let said = perform(&ResetNode, &bench.step(&[])).await.unwrap();
        assert_eq!(said.as_text(), Some("n1 is in no cluster"));
        let said = perform(&DeleteNode, &bench.step(&[])).await.unwrap();
        assert_eq!(said.as_text(), Some("the cluster has no node n1"));
        assert_eq!(bench.sent(), "");
    }

    #[tokio::test]
    async fn a_reset_that_fails_says_why() {
        let bench = Bench::default()
            .file(KUBELET, "kind: Config\n")
            .says(SHOW, "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nExecMainCode=1\nExecMainStatus=1\n")
            .file("/run/kup/kup-r1-a2906e1d50-1.err", "error: cannot stop it\n");
        let failure = perform(&ResetNode, &bench.step(&[])).await.unwrap_err();
        assert!(failure.output.contains("cannot stop it"), "{failure:?}");
        assert!(bench.sent().contains("-- kubeadm reset --force"));
    }
}
