//! `write static pods`: kubeadm writes a control plane node's manifests anew from the cluster's
//! configuration, one after the other; each pod is seen to run from its new manifest before the next one.
//!
//! A pod runs from a manifest when the API shows another hash of it (`kubernetes.io/config.hash`), and Ready.

use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::{Class, Failure};
use engine::port::Command;
use indexmap::IndexMap;

use super::configuration::{CLUSTER, Kept};
use super::host::Host;
use super::{argument, kubeadm};
use crate::api;

const MANIFESTS: &str = "/etc/kubernetes/manifests";
/// The configuration that kubeadm is given, and a manifest on its way back: on the disk of the manifests, and not
/// among them, where the kubelet would run it.
const CONFIG: &str = "/etc/kubernetes/kup-kubeadm.yaml";
const ASIDE: &str = "/etc/kubernetes/kup-manifest.yaml";

/// What is written, etcd first: an apiserver needs it. With the words of kubeadm's phase.
const COMPONENTS: [(&str, [&str; 2]); 4] = [
    ("etcd", ["etcd", "local"]),
    ("kube-apiserver", ["control-plane", "apiserver"]),
    ("kube-controller-manager", ["control-plane", "controller-manager"]),
    ("kube-scheduler", ["control-plane", "scheduler"]),
];

/// How often to look.
const AGAIN: Duration = Duration::from_secs(2);
/// How long a static pod may take: as long as `kubeadm upgrade` waits for one (`upgradeManifests`).
const PATIENCE: Duration = Duration::from_secs(300);

/// Writes the manifests of a node.
pub(super) struct WriteStaticPods;

#[async_trait]
impl Action for WriteStaticPods {
    fn name(&self) -> &'static str {
        "write static pods"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let kube = api::client(&cx.ports)?;
        let host = Host::of(cx)?;
        let kept = CLUSTER.read(&kube).await?;
        let mark = CLUSTER.marked(&host).await?;
        let named = behind(&host, &kept, mark.as_deref());
        if named.is_empty() {
            return Ok(Check::Done("the static pods are as the configuration says".to_string()));
        }
        let pods = kubeadm::components(&kube, &host.name).await?;
        let mut before = IndexMap::new();
        for name in &named {
            let Some(text) = host.read(&path(name)).await? else { return Err(missing(&host, name)) };
            let hash = pods.iter().find(|pod| pod.name == *name).map(|pod| pod.hash.clone());
            let one = [("text", text), ("hash", hash.unwrap_or_default())];
            before.insert((*name).to_string(), record(&one));
        }
        if let Some(mark) = mark {
            before.insert("mark".to_string(), Value::Text(mark));
        }
        Ok(Check::Needs { now: String::new(), then: named.join(", "), before: Value::Record(before) })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        next(cx, 0).await
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let (at, was, since) = read(handle)?;
        let (name, _) = COMPONENTS[at];
        match waits_for(cx, &host, name, |hash| was.is_empty() || hash != was).await {
            None => match next(cx, at + 1).await {
                // The apiserver that has just restarted may stumble once more.
                Err(failure) if failure.class == Class::Transient => Ok(pending(handle, failure.message)),
                ended => ended,
            },
            Some(_) if now(cx).saturating_sub(since) > PATIENCE.as_secs() => Err(Failure::last(format!(
                "{name} of {} does not come up with what the configuration says",
                host.name
            ))
            .with_hint(format!(
                "see `crictl ps -a --name {name}` and `crictl logs` there: a flag that it does not know?"
            ))),
            Some(reason) => Ok(pending(handle, reason)),
        }
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        let Value::Record(before) = before else { return Ok(()) };
        let host = Host::of(cx)?;
        for (name, _) in COMPONENTS {
            let Some(old) = before.get(name) else { continue };
            let text = old.get("text").and_then(Value::as_text).unwrap_or_default();
            let hash = old.get("hash").and_then(Value::as_text).unwrap_or_default();
            put_back(cx, &host, name, text, hash).await?;
        }
        CLUSTER.set_mark(&host, before.get("mark").and_then(Value::as_text)).await
    }
}

/// Returns the static pods whose manifests are not as the configuration says.
fn behind(host: &Host, kept: &Kept, mark: Option<&str>) -> Vec<&'static str> {
    let (now, reflected) = (kept.reflection(), kept.reflected_by(mark));
    let stacked = host.node.as_ref().is_some_and(|node| node.etcd);
    let is_behind = |name: &str| match name {
        "etcd" => stacked && now.etcd != reflected.etcd,
        _ => now.most != reflected.most,
    };
    COMPONENTS.into_iter().map(|(name, _)| name).filter(|name| is_behind(name)).collect()
}

/// Writes the first manifest from a place on that is to be written, or says that the node has followed.
async fn next(cx: &Context, from: usize) -> Result<Progress, Failure> {
    let kube = api::client(&cx.ports)?;
    let host = Host::of(cx)?;
    let kept = CLUSTER.read(&kube).await?;
    let mark = CLUSTER.marked(&host).await?;
    let named = behind(&host, &kept, mark.as_deref());
    let found = COMPONENTS.iter().enumerate().skip(from).find(|(_, (name, _))| named.contains(name));
    let Some((at, &(name, [phase, part]))) = found else {
        host.ask(Command::change(["rm", "-f", CONFIG])).await?;
        CLUSTER.set_mark(&host, Some(&kept.reflection().to_string())).await?;
        return Ok(Progress::Done(Value::None));
    };
    let pods = kubeadm::components(&kube, &host.name).await?;
    let hash = pods.iter().find(|pod| pod.name == name).map(|pod| pod.hash.clone()).unwrap_or_default();
    let Some(old) = host.read(&path(name)).await? else { return Err(missing(&host, name)) };
    host.write(CONFIG, &configuration(cx, &kube, &host, &kept).await?, 0o600).await?;
    host.ask(Command::change(["kubeadm", "init", "phase", phase, part, "--config", CONFIG])).await?;
    // What is as it was does not restart, and only has to be well: also the second time, after a crash.
    let was =
        if host.read(&path(name)).await?.as_deref() == Some(old.as_str()) { String::new() } else { hash };
    let handle = Value::Record(IndexMap::from([
        ("at".to_string(), Value::Number(at as i64)),
        ("was".to_string(), Value::Text(was)),
        ("since".to_string(), Value::Number(i64::try_from(now(cx)).unwrap_or_default())),
    ]));
    Ok(pending(&handle, format!("waiting for {name} of {}", host.name)))
}

/// Returns what kubeadm is given: the cluster's configuration, and what is this node's own. kubeadm would else guess the address by
/// the default route, and the name by the host's.
async fn configuration(
    cx: &Context,
    kube: &kube::Client,
    host: &Host,
    kept: &Kept,
) -> Result<String, Failure> {
    let manifest = host.read(&path("kube-apiserver")).await?.unwrap_or_default();
    let flag = |name: &str| {
        let line = manifest.lines().find_map(|line| line.trim().strip_prefix("- ")?.strip_prefix(name));
        line.map(|value| value.trim_matches('"').to_string())
    };
    let (Some(address), port) = (flag("--advertise-address="), flag("--secure-port=")) else {
        return Err(Failure::last(format!(
            "the apiserver's manifest on {} has no --advertise-address",
            host.name
        ))
        .with_hint("it is none of kubeadm's; put the node's address there, as kubeadm does"));
    };
    let node = api::node(kube, &host.name).await?;
    let mut registration = serde_json::json!({ "name": host.name });
    if let Some(socket) = api::annotation(&node.metadata, "kubeadm.alpha.kubernetes.io/cri-socket") {
        registration["criSocket"] = socket.into();
    }
    let port: u16 = port.and_then(|port| port.parse().ok()).unwrap_or(6443);
    let mut own = serde_json::json!({
        "apiVersion": kept.value["apiVersion"], "kind": "InitConfiguration",
        "localAPIEndpoint": { "advertiseAddress": address, "bindPort": port }, "nodeRegistration": registration,
    });
    if let Some(folder) = argument::optional_text(cx, "patches") {
        own["patches"] = serde_json::json!({ "directory": folder });
    }
    Ok(format!("{}---\n{}", super::configuration::yaml(&own), kept.text))
}

/// Returns what is still missing until a pod is well and has a hash that will do.
async fn waits_for(cx: &Context, host: &Host, name: &str, will_do: impl Fn(&str) -> bool) -> Option<String> {
    let kube = match api::client(&cx.ports) {
        Ok(kube) => kube,
        Err(failure) => return Some(failure.message),
    };
    // The apiserver itself may be what restarts.
    match kubeadm::components(&kube, &host.name).await {
        Err(failure) => Some(failure.message),
        Ok(pods) => match pods.iter().find(|pod| pod.name == name) {
            None => Some(format!("{} shows no {name}", host.name)),
            Some(pod) if !will_do(&pod.hash) => {
                Some(format!("waiting for the kubelet to start {name} again"))
            }
            Some(pod) if !pod.ready => Some(format!("{name} is not Ready")),
            Some(_) => None,
        },
    }
}

/// Puts an old manifest back, and waits until its pod runs as it did.
async fn put_back(cx: &Context, host: &Host, name: &str, text: &str, hash: &str) -> Result<(), Failure> {
    if host.read(&path(name)).await?.as_deref() == Some(text) {
        return Ok(());
    }
    host.write(ASIDE, text, 0o600).await?;
    host.ask(Command::change(["mv", "-f", "-T", ASIDE, &path(name)])).await?;
    let since = cx.ports.clock.now();
    while let Some(reason) = waits_for(cx, host, name, |now| hash.is_empty() || now == hash).await {
        if cx.ports.clock.now().saturating_sub(since) > PATIENCE {
            return Err(
                Failure::transient(reason).with_hint(format!("see `journalctl -u kubelet` on {}", host.name))
            );
        }
        cx.ports.clock.sleep(AGAIN).await;
    }
    Ok(())
}

fn missing(host: &Host, name: &str) -> Failure {
    Failure::last(format!("{} has no manifest of {name}", host.name))
        .with_hint(format!("look into {MANIFESTS} there"))
}

fn path(name: &str) -> String {
    format!("{MANIFESTS}/{name}.yaml")
}

fn now(cx: &Context) -> u64 {
    cx.ports.clock.wall().as_secs()
}

fn record(fields: &[(&str, String)]) -> Value {
    Value::Record(fields.iter().map(|(name, text)| (name.to_string(), Value::Text(text.clone()))).collect())
}

fn read(handle: &Value) -> Result<(usize, &str, u64), Failure> {
    let number = |name| match handle.get(name) {
        Some(Value::Number(n)) => u64::try_from(*n).ok(),
        _ => None,
    };
    let at = number("at").and_then(|at| usize::try_from(at).ok()).filter(|at| *at < COMPONENTS.len());
    match (at, handle.get("was").and_then(Value::as_text), number("since")) {
        (Some(at), Some(was), Some(since)) => Ok((at, was, since)),
        _ => Err(Failure::last("the handle of `write static pods` is not one of kup's")),
    }
}

fn pending(handle: &Value, reason: String) -> Progress {
    Progress::Pending { handle: handle.clone(), reason, again: AGAIN }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::configuration::{REFLECTED, Reflection};
    use super::super::testing::{self, Bench};
    use super::*;

    const TEXT: &str = "apiVersion: kubeadm.k8s.io/v1beta4\netcd:\n  local:\n    dataDir: /var/lib/etcd\nkind: ClusterConfiguration\nkubernetesVersion: v1.33.4\n";
    const APISERVER: &str = "spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --advertise-address=10.0.0.1\n    - --secure-port=6444\n";

    /// A control plane whose nodes reflect what the annotation says.
    fn node(annotation: &str) -> (Bench, Context) {
        let bench = COMPONENTS
            .into_iter()
            .fold(Bench::default(), |bench, (name, _)| bench.file(&path(name), APISERVER));
        let mut map =
            json!({ "metadata": { "name": "kubeadm-config" }, "data": { "ClusterConfiguration": TEXT } });
        if !annotation.is_empty() {
            map["metadata"]["annotations"] = json!({ REFLECTED: annotation });
        }
        bench.cluster.put("/api/v1/namespaces/kube-system/configmaps/kubeadm-config", map);
        bench.cluster.node("n1", "v1.33.4", true);
        bench.cluster.control_plane("n1", "v1.33.4");
        let mut cx = bench.step(&[]);
        testing::node(&mut cx).etcd = true;
        (bench, cx)
    }

    fn now() -> Reflection {
        let value = super::super::configuration::documents(TEXT).unwrap().remove(0);
        Kept { text: String::new(), value, annotation: None }.reflection()
    }

    async fn todo(annotation: &str) -> String {
        match WriteStaticPods.check(&node(annotation).1).await.unwrap() {
            Check::Needs { then, .. } => then,
            Check::Done(why) => why,
        }
    }

    #[tokio::test]
    async fn etcd_is_written_only_where_its_own_part_is_another() {
        let Reflection { most, etcd } = now();
        assert_eq!(todo("").await, "the static pods are as the configuration says");
        assert_eq!(todo(&format!("{most} {etcd}")).await, "the static pods are as the configuration says");
        assert_eq!(
            todo(&format!("x {etcd}")).await,
            "kube-apiserver, kube-controller-manager, kube-scheduler"
        );
        assert_eq!(todo(&format!("{most} x")).await, "etcd");
    }

    #[tokio::test]
    async fn kubeadm_is_told_what_it_would_guess() {
        let (bench, cx) = node(&format!("x {}", now().etcd));
        let bench = bench
            .says("kubeadm init phase control-plane apiserver --config /etc/kubernetes/kup-kubeadm.yaml", "");
        let Ok(Progress::Pending { handle, .. }) = WriteStaticPods.start(&cx, &Value::None).await else {
            panic!()
        };
        let given = bench.content(CONFIG).unwrap();
        let own = "localAPIEndpoint:\n  advertiseAddress: \"10.0.0.1\"\n  bindPort: 6444\nnodeRegistration:\n  name: n1\n---\n";
        assert!(given.contains(own) && given.ends_with(TEXT), "{given}");
        // The manifest is as it was, so the pod has only to be well; the next one is written then.
        let failure = WriteStaticPods.poll(&cx, &handle).await.unwrap_err();
        assert!(failure.message.contains("kubeadm init phase"), "{failure:?}");
        assert!(bench.sent().contains("kubeadm init phase control-plane controller-manager"));
    }
}
