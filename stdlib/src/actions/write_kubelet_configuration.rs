//! `write kubelet configuration`: kubeadm writes a node's kubelet configuration anew from what the cluster
//! has, and the kubelet, which reads it only when it starts, is restarted.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::port::Command;
use indexmap::IndexMap;

use super::argument;
use super::configuration::KUBELET;
use super::host::Host;
use super::restart_kubelet::RestartKubelet;
use crate::api;

const CONFIG: &str = "/var/lib/kubelet/config.yaml";

/// Writes the configuration of a node's kubelet.
pub(super) struct WriteKubeletConfiguration;

#[async_trait]
impl Action for WriteKubeletConfiguration {
    fn name(&self) -> &'static str {
        "write kubelet configuration"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let kube = api::client(&cx.ports)?;
        let host = Host::of(cx)?;
        let kept = KUBELET.read(&kube).await?;
        let mark = KUBELET.marked(&host).await?;
        if kept.reflected_by(mark.as_deref()) == kept.reflection() {
            return Ok(Check::Done("the kubelet is as the configuration says".to_string()));
        }
        let Some(text) = host.read(CONFIG).await? else {
            return Err(Failure::last(format!("{} has no {CONFIG}", host.name))
                .with_hint("its kubelet was not set up by kubeadm; keep the node out of this step"));
        };
        let mut before = IndexMap::from([("text".to_string(), Value::Text(text))]);
        if let Some(mark) = mark {
            before.insert("mark".to_string(), Value::Text(mark));
        }
        let then = "as the configuration says".to_string();
        Ok(Check::Needs { now: String::new(), then, before: Value::Record(before) })
    }

    async fn start(&self, cx: &Context, before: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let mut argv = vec!["kubeadm", "upgrade", "node", "phase", "kubelet-config"];
        if let Some(folder) = argument::optional_text(cx, "patches") {
            argv.extend(["--patches", folder]);
        }
        host.ask(Command::change(argv)).await?;
        RestartKubelet.start(cx, before).await
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let progress = RestartKubelet.poll(cx, handle).await?;
        if let Progress::Done(_) = progress {
            let kept = KUBELET.read(&api::client(&cx.ports)?).await?;
            KUBELET.set_mark(&Host::of(cx)?, Some(&kept.reflection().to_string())).await?;
        }
        Ok(progress)
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        let Some(text) = before.get("text").and_then(Value::as_text) else { return Ok(()) };
        let host = Host::of(cx)?;
        if host.read(CONFIG).await?.as_deref() != Some(text) {
            host.write(CONFIG, text, 0o644).await?;
            host.ask(Command::change(["systemctl", "restart", "kubelet"])).await?;
        }
        KUBELET.set_mark(&host, before.get("mark").and_then(Value::as_text)).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::configuration::REFLECTED;
    use super::super::testing::Bench;
    use super::*;

    const MARK: &str = "/var/lib/kup/reflects-kubelet-config";

    /// A cluster whose kubelets reflected something else before kup changed their configuration.
    fn node() -> Bench {
        let bench =
            Bench::default().file(CONFIG, "old\n").says("kubeadm upgrade node phase kubelet-config", "");
        let text = "kind: KubeletConfiguration\nmaxPods: 150\n";
        let map = json!({
            "metadata": { "name": "kubelet-config", "annotations": { REFLECTED: "a b" } }, "data": { "kubelet": text },
        });
        bench.cluster.put("/api/v1/namespaces/kube-system/configmaps/kubelet-config", map);
        bench.cluster.node("n1", "v1.33.4", false);
        bench
    }

    #[tokio::test]
    async fn a_node_is_behind_until_it_says_what_it_reflects() {
        let bench = node();
        let cx = bench.step(&[]);
        assert!(matches!(WriteKubeletConfiguration.check(&cx).await, Ok(Check::Needs { .. })));
        let kept = KUBELET.read(&api::client(&cx.ports).unwrap()).await.unwrap();
        let bench = bench.file(MARK, &kept.reflection().to_string());
        assert!(matches!(WriteKubeletConfiguration.check(&bench.step(&[])).await, Ok(Check::Done(_))));
    }

    #[tokio::test]
    async fn what_kubeadm_wrote_is_taken_back_once_with_the_mark() {
        let bench = node().file(MARK, "c d");
        let cx = bench.step(&[]);
        let Ok(Check::Needs { before, .. }) = WriteKubeletConfiguration.check(&cx).await else { panic!() };
        let bench = bench.file(CONFIG, "new\n").file(MARK, "e f");
        WriteKubeletConfiguration.undo(&cx, &before).await.unwrap();
        assert_eq!(
            (bench.content(CONFIG).unwrap().as_str(), bench.content(MARK).unwrap().as_str()),
            ("old\n", "c d")
        );
        assert!(bench.sent().contains("systemctl restart kubelet"));
        WriteKubeletConfiguration.undo(&cx, &before).await.unwrap();
        assert!(!bench.sent().contains("systemctl restart kubelet"), "the second time it is as it was");
    }

    #[tokio::test]
    async fn a_node_that_kubeadm_did_not_set_up_is_told() {
        let bench = Bench::default().beside(node());
        bench.cluster.put(
            "/api/v1/namespaces/kube-system/configmaps/kubelet-config",
            json!({
                "metadata": { "name": "kubelet-config", "annotations": { REFLECTED: "a b" } },
                "data": { "kubelet": "kind: KubeletConfiguration\n" },
            }),
        );
        let failure = WriteKubeletConfiguration.check(&bench.step(&[])).await.unwrap_err();
        assert!(failure.hint.contains("was not set up by kubeadm"), "{failure:?}");
    }
}
