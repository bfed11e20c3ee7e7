//! `kubeadm upgrade apply`: the first control plane node and the cluster's configuration.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;

use super::host::Host;
use super::{argument, detached, kubeadm};
use crate::api;

/// Runs kubeadm until the node's static pods and the configuration are at the target.
pub(super) struct KubeadmApply;

#[async_trait]
impl Action for KubeadmApply {
    fn name(&self) -> &'static str {
        "kubeadm upgrade apply"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let target = argument::version(cx, "to")?;
        let kube = api::client(&cx.ports)?;
        let host = Host::of(cx)?;
        let configured = kubeadm::configured(&kube).await?;
        if configured == target && kubeadm::lacks(&kube, &host.name, &target).await?.is_none() {
            return Ok(Check::Done(format!("{} and the cluster's configuration are at {target}", host.name)));
        }
        Ok(Check::Needs {
            now: configured.to_string(),
            then: target.to_string(),
            before: Value::Version(configured),
        })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let target = argument::version(cx, "to")?;
        let host = Host::of(cx)?;
        kubeadm::fits(&host, &target).await?;
        kubeadm::begin(cx, &host, &["kubeadm", "upgrade", "apply", &target.to_string(), "--yes"]).await
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let target = argument::version(cx, "to")?;
        let host = Host::of(cx)?;
        kubeadm::follow(cx, &host, handle, &["kubeadm", "upgrade", "apply"], || Value::Version(target)).await
    }

    async fn clean(&self, cx: &Context) {
        detached::clean(cx).await;
    }
}

#[cfg(test)]
mod tests {
    use engine::event::Class;
    use serde_json::json;

    use super::super::testing::{Bench, perform};
    use super::*;

    const SHOW: &str = "systemctl show kup-r1-a2906e1d50-1.service -p LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus";

    fn cluster(configured: &str, running: &str) -> Bench {
        let bench = Bench::default().says("kubeadm version -o short", "v1.34.4\n");
        let config = format!("apiVersion: kubeadm.k8s.io/v1beta4\nkubernetesVersion: {configured}\n");
        bench.cluster.put(
            "/api/v1/namespaces/kube-system/configmaps/kubeadm-config",
            json!({ "metadata": { "name": "kubeadm-config" }, "data": { "ClusterConfiguration": config } }),
        );
        bench.cluster.control_plane("n1", running);
        bench
    }

    fn step(bench: &Bench) -> Context {
        let mut cx = bench.step(&[("to", Value::Version("v1.34.4".parse().unwrap()))]);
        cx.long = true;
        cx
    }

    #[tokio::test]
    async fn apply_runs_detached_and_is_followed() {
        let bench = cluster("v1.33.4", "v1.33.4")
            .says(SHOW, "LoadState=loaded\nActiveState=active\nSubState=running\n")
            .says(SHOW, "LoadState=loaded\nActiveState=active\nSubState=exited\nResult=success\nExecMainCode=1\nExecMainStatus=0\n");
        let value = perform(&KubeadmApply, &step(&bench)).await.unwrap();
        assert_eq!(value.to_string(), "v1.34.4");
        assert!(bench.sent().contains("-q -- kubeadm upgrade apply v1.34.4 --yes\n"));
    }

    #[tokio::test]
    async fn images_and_configuration_at_the_target_are_evidence_enough() {
        let done = KubeadmApply.check(&step(&cluster("v1.34.4", "v1.34.4"))).await.unwrap();
        assert!(matches!(done, Check::Done(_)));
        for (configured, running) in [("v1.33.4", "v1.34.4"), ("v1.34.4", "v1.33.4")] {
            let check = KubeadmApply.check(&step(&cluster(configured, running))).await.unwrap();
            assert!(matches!(check, Check::Needs { .. }), "{configured} {running}");
        }
    }

    #[tokio::test]
    async fn addons_that_the_last_control_plane_did_not_roll_are_work() {
        let bench = cluster("v1.34.4", "v1.34.4");
        bench.cluster.put(
            "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy",
            json!({ "metadata": { "name": "kube-proxy" }, "spec": { "selector": {}, "template": { "spec": {
                "containers": [{ "name": "kube-proxy", "image": "registry.k8s.io/kube-proxy:v1.33.4" }] } } } }),
        );
        assert!(matches!(KubeadmApply.check(&step(&bench)).await, Ok(Check::Needs { .. })));
        // While another control plane is old, kubeadm leaves them alone on purpose.
        bench.cluster.control_plane("n2", "v1.33.4");
        assert!(matches!(KubeadmApply.check(&step(&bench)).await, Ok(Check::Done(_))));
    }

    #[tokio::test]
    async fn kubeadms_own_rollback_is_an_outcome_and_not_a_crash_and_ends_the_second_run() {
        let failed = "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nExecMainCode=1\nExecMainStatus=1\n";
        let bench = cluster("v1.33.4", "v1.33.4")
            .says(SHOW, "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nExecMainCode=1\nExecMainStatus=1\n")
            .file("/run/kup/kup-r1-a2906e1d50-1.err", "error: couldn't upgrade control plane. kubeadm has tried to recover everything into the earlier state. Errors faced: static Pod hash for component etcd on Node n1 did not change after 5m0s\n");
        let failure = perform(&KubeadmApply, &step(&bench)).await.unwrap_err();
        assert_eq!(failure.class, Class::Transient);
        assert!(failure.message.ends_with("kubeadm restored the old manifests"), "{}", failure.message);
        let second = SHOW.replace("50-1", "50-2");
        for (status, class) in [("1", Class::Final), ("2", Class::Transient)] {
            let ended = failed.replace("Status=1", &format!("Status={status}"));
            let bench = cluster("v1.33.4", "v1.33.4").says(&second, &ended);
            let bench =
                bench.file("/run/kup/kup-r1-a2906e1d50-2.err", "\t[ERROR ImagePull]: failed to pull image\n");
            let mut cx = step(&bench);
            cx.attempt = 2;
            let handle = super::super::detached::handle(&cx);
            let failure = KubeadmApply.poll(&cx, &handle).await.unwrap_err();
            assert_eq!(failure.class, class, "exit code {status}");
        }
    }

    #[tokio::test]
    async fn the_wrong_kubeadm_does_not_run() {
        let bench = cluster("v1.33.4", "v1.33.4");
        let mut cx = step(&bench);
        cx.args.insert("to".into(), Value::Version("v1.35.0".parse().unwrap()));
        let failure = perform(&KubeadmApply, &cx).await.unwrap_err();
        assert_eq!(failure.message, "kubeadm on n1 is v1.34.4, not v1.35.0");
        assert!(!bench.sent().contains("systemd-run"));
    }
}
