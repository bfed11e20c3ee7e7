//! What etcd and the apiservers say of themselves. A kubelet asks a static pod how it is for the first
//! time 10 seconds after its start and then every 10 seconds (the probes of kubeadm 1.33), and its word
//! goes by way of its own apiserver. Who asks the component itself has the same answer sooner.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::action::Context;
use engine::inventory::Node;
use engine::port::Command;
use futures::future;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::client::Body;

use super::{Finding, node};
use crate::api;
use crate::etcd::{Found, find};

/// A component that does not answer within this time is not well; etcdctl gives up after as long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks every etcd and apiserver whose pod runs and is not Ready; returns the names of the pods whose
/// component says that it is well. Who cannot be asked has said nothing.
pub(super) async fn well(cx: &Context, kube: &kube::Client, pods: &[Pod]) -> BTreeSet<String> {
    let nodes = || node::control_planes(&cx.inventory);
    let asked = pods.iter().filter(|pod| api::is_static(pod) && runs(pod) && !api::is_ready(pod));
    let answers = asked.filter_map(|pod| {
        let name = pod.metadata.name.clone()?;
        let on = pod.spec.as_ref()?.node_name.as_ref()?;
        let host = nodes().find(|node| node.name == *on)?;
        let component = api::label(&pod.metadata, "component")?.to_string();
        Some(async move {
            let answer = async {
                match component.as_str() {
                    "etcd" => member_answers(cx, host).await,
                    "kube-apiserver" => apiserver_answers(kube, &name).await,
                    _ => None,
                }
            };
            let answer = tokio::time::timeout(PATIENCE, answer).await.ok().flatten();
            answer.map(|()| name)
        })
    });
    future::join_all(answers).await.into_iter().flatten().collect()
}

/// Asks an apiserver by way of whichever one serves us: `/readyz` is what its kubelet asks, too, and
/// needs no rights there.
async fn apiserver_answers(kube: &kube::Client, pod: &str) -> Option<()> {
    let path = format!("/api/v1/namespaces/{}/pods/https:{pod}:6443/proxy/readyz", api::SYSTEM);
    let request = http::Request::get(path).body(Body::empty()).ok()?;
    let answer = kube.send(request).await.ok()?;
    answer.status().is_success().then_some(())
}

/// Lets a member read a key with the consent of the quorum.
async fn member_answers(cx: &Context, node: &Node) -> Option<()> {
    let shell = cx.ports.shells.on(&node.ssh);
    let Found::Member(member) = find(&*shell, Some(node)).await.ok()? else { return None };
    let health = member.tool("etcdctl", &["endpoint", "health", "-w", "json"]);
    let said = shell.run(&Command::read(health).as_root()).await.ok()?;
    said.ok().then_some(())
}

/// Asks every member of an external etcd on its own host: no pod in the API speaks for it.
pub(super) async fn beside(cx: &Context) -> Finding {
    let hosts = cx.inventory.nodes.values().filter(|node| node.beside);
    let asked = hosts.map(|host| async move {
        let answer = tokio::time::timeout(PATIENCE, member_answers(cx, host)).await.ok().flatten();
        answer.is_none().then(|| format!("the etcd of {} does not answer well", host.name))
    });
    future::join_all(asked).await.into_iter().flatten().next()
}

/// Returns whether all containers of the pod run.
fn runs(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
    let runs = |status: &ContainerStatus| status.state.as_ref().is_some_and(|state| state.running.is_some());
    pod.metadata.deletion_timestamp.is_none()
        && statuses.is_some_and(|statuses| !statuses.is_empty() && statuses.iter().all(runs))
}
