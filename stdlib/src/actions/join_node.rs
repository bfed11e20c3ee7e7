//! `join node`: makes a machine the node that another one of its name was. Token and certificate key are made for it on another control
//! plane and are in no argument and no journal: kubeadm reads them from a file, which goes when it has ended.

use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::{Class, Failure};
use engine::inventory::Node;
use engine::port::Command;
use k8s_openapi::api::core::v1 as core;
use kube::api::Api;
use serde_json::{Value as Json, json};

use super::configuration::{CLUSTER, yaml};
use super::detached::{self, Unit};
use super::failure;
use super::host::Host;
use crate::api;

/// Where nothing outlives a boot, should nobody come back to remove it.
const CONFIG: &str = "/run/kup/join.yaml";
const KUBELET: &str = "/etc/kubernetes/kubelet.conf";
const WHAT: &str = "kubeadm join";
/// What `kubeadm join` gives a control plane when all of it is there (kubeadm's phase `mark-control-plane`), and nobody else.
const MARK: &str = "node-role.kubernetes.io/control-plane";
/// How often to look whether the node is there.
const AGAIN: Duration = Duration::from_secs(2);

/// Joins a node.
pub(super) struct JoinNode;

#[async_trait]
impl Action for JoinNode {
    fn name(&self) -> &'static str {
        "join node"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let host = Host::of(cx)?;
        let nodes = Api::<core::Node>::all(api::client(&cx.ports)?);
        let found = api::find(&format!("read node {}", host.name), nodes.get(&host.name)).await?;
        let known = known(cx, &host)?;
        match found {
            Some(node) if is_whole(known, &node) && dress(known, &node).is_none() => {
                Ok(Check::Done(format!("{} is a node", host.name)))
            }
            _ => Ok(Check::Needs {
                now: String::new(),
                then: known.role().replace('_', " "),
                before: Value::None,
            }),
        }
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        if let Some(handle) = detached::find(cx, &host).await? {
            return Ok(detached::pending(&handle, &host, WHAT, &Unit::Runs(String::new())));
        }
        let node = known(cx, &host)?;
        if host.read(KUBELET).await?.is_some() {
            return joined(cx, &host, node).await?.map(Progress::Done).ok_or_else(|| {
                Failure::last(format!("{} was set up by kubeadm before, and is no whole node", host.name))
                    .with_hint("run `kubeadm reset` there, and resume; half a join is taken away by that too")
            });
        }
        let config = joining(cx, &host, node).await?;
        host.ask(Command::change(["mkdir", "-p", "-m", "0700", detached::FOLDER])).await?;
        host.write(CONFIG, &config, 0o600).await?;
        let command = Command::change(["kubeadm", "join", "--config", CONFIG]);
        let handle = detached::begin(cx, &host, &command).await?;
        Ok(detached::pending(&handle, &host, WHAT, &Unit::Runs(String::new())))
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let unit = detached::look(cx, &host, handle, WHAT).await?;
        let Unit::Ended(output) = unit else { return Ok(detached::pending(handle, &host, WHAT, &unit)) };
        host.ask(Command::change(["rm", "-f", CONFIG])).await?;
        if !output.ok() {
            return Err(failure::classify(WHAT, &output)
                .with_hint(format!("look at {}: `kubeadm reset` takes half a join away", host.name)));
        }
        match joined(cx, &host, known(cx, &host)?).await {
            Ok(Some(said)) => Ok(Progress::Done(said)),
            Ok(None) => Ok(pending(handle, format!("waiting for {} to register", host.name))),
            // The apiserver that has just joined may be among those that are asked.
            Err(failure) if failure.class == Class::Transient => Ok(pending(handle, failure.message)),
            Err(failure) => Err(failure),
        }
    }

    async fn clean(&self, cx: &Context) {
        detached::clean(cx).await;
    }
}

/// Gives a node that is there what it had, and says so; `None` while it is not there as a whole.
async fn joined(cx: &Context, host: &Host, known: &Node) -> Result<Option<Value>, Failure> {
    let kube = api::client(&cx.ports)?;
    let nodes = Api::<core::Node>::all(kube.clone());
    let found = api::find(&format!("read node {}", host.name), nodes.get(&host.name)).await?;
    let Some(node) = found.filter(|node| is_whole(known, node)) else { return Ok(None) };
    if let Some(patch) = dress(known, &node) {
        let what = format!("give {} its labels and taints", host.name);
        api::call(&what, api::patch_node(&kube, &host.name, &patch)).await?;
    }
    Ok(Some(Value::Text(format!("{} has joined", host.name))))
}

fn pending(handle: &Value, reason: String) -> Progress {
    Progress::Pending { handle: handle.clone(), reason, again: AGAIN }
}

/// Returns what the node was when the plan was made.
fn known<'a>(cx: &'a Context, host: &Host) -> Result<&'a Node, Failure> {
    cx.inventory
        .nodes
        .get(&host.name)
        .ok_or_else(|| Failure::last(format!("nobody knows what {} was", host.name)))
}

/// Makes token and key, and writes what kubeadm is told.
async fn joining(cx: &Context, host: &Host, node: &Node) -> Result<String, Failure> {
    let others =
        cx.inventory.nodes.values().filter(|other| other.apiserver.is_some() && other.name != host.name);
    let Some(other) = others.max_by_key(|other| other.ready) else {
        return Err(Failure::last(format!("there is no control plane but {}", host.name)).with_hint(
            "the only control plane cannot be replaced: std/etcd-backup, then set up another cluster",
        ));
    };
    let other = Host::named(cx, other);
    let create = ["kubeadm", "token", "create", "--ttl", "30m", "--print-join-command"];
    let said = other.ask(Command::change(create)).await?;
    let words: Vec<&str> = said.split_whitespace().collect();
    let after =
        |flag: &str| words.iter().position(|word| *word == flag).and_then(|at| words.get(at + 1).copied());
    let (Some(endpoint), Some(token), Some(hash)) =
        (after("join"), after("--token"), after("--discovery-token-ca-cert-hash"))
    else {
        return Err(Failure::last("`kubeadm token create` names no endpoint, token and hash").with_hint(
            format!("run it on {} by hand: kubeadm token create --print-join-command", other.name),
        ));
    };
    let kept = CLUSTER.read(&api::client(&cx.ports)?).await?;
    let mut document = json!({
        "apiVersion": kept.value["apiVersion"], "kind": "JoinConfiguration",
        "discovery": { "bootstrapToken": { "apiServerEndpoint": endpoint, "token": token, "caCertHashes": [hash] } },
        "nodeRegistration": { "name": host.name },
    });
    if node.control_plane {
        let upload = ["kubeadm", "init", "phase", "upload-certs", "--upload-certs"];
        let said = other.ask(Command::change(upload)).await?;
        let key = said
            .lines()
            .map(str::trim)
            .rfind(|line| line.len() == 64 && line.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(key) = key else {
            return Err(Failure::last("`kubeadm init phase upload-certs` prints no certificate key"));
        };
        document["controlPlane"] = json!({ "certificateKey": key });
    }
    Ok(yaml(&document))
}

/// Returns whether kubeadm has come to its end with a node: a control plane is there for its kubelet long before it has etcd and an
/// apiserver, and is marked as one last of all.
fn is_whole(known: &Node, now: &core::Node) -> bool {
    !known.control_plane || now.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(MARK))
}

/// Returns the patch that gives a node the labels and taints that it had and has not; `None` if it has all of them.
fn dress(known: &Node, now: &core::Node) -> Option<Json> {
    let labels = now.metadata.labels.as_ref();
    let lost: serde_json::Map<String, Json> = known
        .labels
        .iter()
        .filter(|(key, _)| labels.is_none_or(|labels| !labels.contains_key(*key)))
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    let taints = now.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let mut all: Vec<Json> = taints
        .iter()
        .map(|taint| json!({ "key": taint.key, "value": taint.value, "effect": taint.effect }))
        .collect();
    let has = all.len();
    for text in &known.taints {
        let Some((pair, effect)) = text.rsplit_once(':') else { continue };
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        // What the system says of a node's state it says by itself.
        let own = key.starts_with("node.kubernetes.io/");
        if !own && !taints.iter().any(|taint| taint.key == key && taint.effect == effect) {
            all.push(json!({ "key": key, "value": value, "effect": effect }));
        }
    }
    if lost.is_empty() && all.len() == has {
        return None;
    }
    Some(json!({ "metadata": { "labels": lost }, "spec": { "taints": all } }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;

    /// A machine on which kubeadm has begun, and the node that its kubelet has made.
    async fn again(control_plane: bool, labels: Json) -> Result<Progress, Failure> {
        let bench = Bench::default().file(KUBELET, "kind: Config\n").says(
            "systemctl show kup-r1-a2906e1d50-1.service -p LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus",
            "LoadState=not-found\nActiveState=inactive\nSubState=dead\n",
        );
        bench.cluster.node("n1", "v1.34.2", false);
        let mut node = bench.cluster.get("/api/v1/nodes/n1");
        node["metadata"]["labels"] = labels;
        bench.cluster.put("/api/v1/nodes/n1", node);
        let mut cx = bench.step(&[]);
        let mut inventory = (*cx.inventory).clone();
        inventory.nodes[0].control_plane = control_plane;
        cx.inventory = std::sync::Arc::new(inventory);
        let ended = JoinNode.start(&cx, &Value::None).await;
        assert!(!bench.sent().contains("kubeadm join"), "never twice on one machine");
        ended
    }

    #[tokio::test]
    async fn half_a_control_plane_is_not_taken_for_one_that_has_joined() {
        let failure = again(true, json!({})).await.unwrap_err();
        assert!(failure.message.contains("is no whole node"), "{failure:?}");
        assert!(matches!(again(true, json!({ MARK: "" })).await, Ok(Progress::Done(_))));
        assert!(matches!(again(false, json!({})).await, Ok(Progress::Done(_))));
    }

    #[test]
    fn a_node_gets_the_labels_and_taints_that_it_had_and_lacks() {
        let known = Node {
            labels: [("a", "1"), ("b", "2")]
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .into_iter()
                .collect(),
            taints: vec!["gpu=yes:NoSchedule".into(), "node.kubernetes.io/not-ready=:NoExecute".into()],
            ..Node::default()
        };
        let now: core::Node = serde_json::from_value(json!({
            "metadata": { "labels": { "a": "other" } }, "spec": { "taints": [{ "key": "x", "effect": "NoExecute" }] },
        }))
        .unwrap();
        let patch = dress(&known, &now).unwrap();
        assert_eq!(patch["metadata"]["labels"], json!({ "b": "2" }), "what it says of itself by now counts");
        let keys: Vec<&str> =
            patch["spec"]["taints"].as_array().unwrap().iter().filter_map(|t| t["key"].as_str()).collect();
        assert_eq!(keys, ["x", "gpu"]);
        let full: core::Node = serde_json::from_value(json!({
            "metadata": { "labels": { "a": "1", "b": "2" } },
            "spec": { "taints": [{ "key": "gpu", "value": "yes", "effect": "NoSchedule" }] },
        }))
        .unwrap();
        assert_eq!(dress(&known, &full), None);
    }
}
