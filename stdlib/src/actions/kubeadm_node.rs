//! `kubeadm upgrade node`: brings a node to what the cluster's configuration says: static pods on a
//! control plane, the kubelet's configuration everywhere.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::port::Command;

use super::host::Host;
use super::{detached, kubeadm, windows};
use crate::api;

/// What a worker's undo writes back.
const CONFIG: &str = "/var/lib/kubelet/config.yaml";

/// And on Windows, where kubeadm writes below the drive of the system.
const CONFIG_ON_WINDOWS: &str = r"C:\var\lib\kubelet\config.yaml";

const ARGV: [&str; 3] = ["kubeadm", "upgrade", "node"];

/// Runs kubeadm until the node is at the cluster's version.
pub(super) struct KubeadmNode;

#[async_trait]
impl Action for KubeadmNode {
    fn name(&self) -> &'static str {
        "kubeadm upgrade node"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let kube = api::client(&cx.ports)?;
        let host = Host::of_any(cx)?;
        let target = kubeadm::configured(&kube).await?;
        if is_control_plane(&host) {
            return Ok(match kubeadm::lacks(&kube, &host.name, &target).await? {
                None => Check::Done(format!("the control plane of {} is at {target}", host.name)),
                Some(now) => Check::Needs { now, then: target.to_string(), before: Value::None },
            });
        }
        // A worker shows nothing of what kubeadm did; a kubelet of the cluster's version has it behind
        // it, and to run kubeadm once more costs a second.
        let node = api::node(&kube, &host.name).await?;
        let running = node.status.and_then(|status| status.node_info).map(|info| info.kubelet_version);
        let running = running.unwrap_or_default();
        if running.parse().is_ok_and(|version: dsl::value::Version| version == target) {
            return Ok(Check::Done(format!("the kubelet of {} is {target}", host.name)));
        }
        let saved = host.read(config(&host)).await?.map_or(Value::None, Value::Text);
        Ok(Check::Needs { now: running, then: target.to_string(), before: saved })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let kube = api::client(&cx.ports)?;
        let host = Host::of_any(cx)?;
        let target = kubeadm::configured(&kube).await?;
        if host.is_windows() {
            return windows::kubeadm_upgrade_node(&host, &target).await;
        }
        kubeadm::fits(&host, &target).await?;
        kubeadm::begin(cx, &host, &ARGV).await
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        kubeadm::follow(cx, &Host::of(cx)?, handle, &ARGV, || Value::None).await
    }

    async fn clean(&self, cx: &Context) {
        detached::clean(cx).await;
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        let host = Host::of_any(cx)?;
        if is_control_plane(&host) {
            return Err(Failure::last("kubeadm cannot downgrade a control plane")
                .with_hint("a control plane of two neighbouring minors may be held; go forward"));
        }
        let Some(saved) = before.as_text() else { return Ok(()) };
        let path = config(&host);
        if host.read(path).await?.as_deref() == Some(saved) {
            return Ok(());
        }
        host.write(path, saved, 0o644).await?;
        if host.is_windows() {
            return windows::restart(&host).await;
        }
        // The old kubelet may have refused the newer configuration, so let it read the old one.
        host.ask(Command::change(["systemctl", "restart", "kubelet"])).await.map(drop)
    }
}

fn config(host: &Host) -> &'static str {
    if host.is_windows() { CONFIG_ON_WINDOWS } else { CONFIG }
}

fn is_control_plane(host: &Host) -> bool {
    host.node.as_ref().is_some_and(|node| node.control_plane)
}

#[cfg(test)]
mod tests {
    use engine::event::Class;
    use serde_json::json;

    use super::super::testing::{self, Bench, perform};
    use super::*;

    const SHOW: &str = "systemctl show kup-r1-a2906e1d50-1.service -p LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus";

    fn cluster(kubelet: &str) -> Bench {
        let bench =
            Bench::default().says("kubeadm version -o short", "v1.34.4\n").file(CONFIG, "old: true\n");
        bench.cluster.put(
            "/api/v1/namespaces/kube-system/configmaps/kubeadm-config",
            json!({ "metadata": { "name": "kubeadm-config" },
                "data": { "ClusterConfiguration": "kubernetesVersion: v1.34.4\n" } }),
        );
        bench.cluster.node("n1", kubelet, false);
        bench
    }

    #[tokio::test]
    async fn a_worker_keeps_its_old_configuration_for_the_undo() {
        let bench = cluster("v1.33.4");
        let cx = bench.step(&[]);
        let Check::Needs { before, .. } = KubeadmNode.check(&cx).await.unwrap() else { panic!() };
        let bench = bench.file(CONFIG, "new: true\n");
        KubeadmNode.undo(&cx, &before).await.unwrap();
        assert_eq!(bench.content(CONFIG).as_deref(), Some("old: true\n"));
        assert!(bench.sent().ends_with("systemctl restart kubelet\n"));
        KubeadmNode.undo(&cx, &before).await.unwrap();
        assert_eq!(bench.sent(), "");
    }

    #[tokio::test]
    async fn a_worker_whose_kubelet_is_at_the_clusters_version_has_it_behind_it() {
        assert!(matches!(KubeadmNode.check(&cluster("v1.34.4").step(&[])).await, Ok(Check::Done(_))));
    }

    #[tokio::test]
    async fn a_control_plane_is_judged_by_its_static_pods() {
        let bench = cluster("v1.33.4");
        bench.cluster.control_plane("n1", "v1.33.4");
        let mut cx = bench.step(&[]);
        testing::node(&mut cx).control_plane = true;
        let Check::Needs { now, .. } = KubeadmNode.check(&cx).await.unwrap() else { panic!() };
        assert_eq!(now, "kube-apiserver v1.33.4");
        bench.cluster.control_plane("n1", "v1.34.4");
        assert!(matches!(KubeadmNode.check(&cx).await, Ok(Check::Done(_))));
    }

    #[tokio::test]
    async fn a_right_that_comes_a_little_later_is_waited_for() {
        let bench = cluster("v1.33.4")
            .says(SHOW, "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nExecMainCode=1\nExecMainStatus=1\n")
            .file("/run/kup/kup-r1-a2906e1d50-1.err", "error: configmaps \"kubelet-config\" is forbidden: User \"system:node:n1\" cannot get resource\n");
        let failure = perform(&KubeadmNode, &bench.step(&[])).await.unwrap_err();
        assert_eq!(failure.class, Class::Transient);
    }
}
