//! What the three kubeadm verbs share: evidence of what a control plane runs, and kubeadm itself as a
//! command that goes on by itself.

use dsl::value::{Value, Version};
use engine::action::{Context, Progress};
use engine::event::Failure;
use engine::port::Command;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;

use super::detached::{self, Unit};
use super::failure;
use super::host::Host;
use crate::api;

/// The components whose images have the version of Kubernetes; etcd has its own.
const VERSIONED: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// A static pod of a control plane node.
pub(super) struct Component {
    /// What it runs, e.g. `kube-apiserver`.
    pub(super) name: String,
    /// The version its image's tag names, if it names one of Kubernetes.
    version: Option<Version>,
    /// Whether its pod is Ready.
    pub(super) ready: bool,
}

/// Returns the static pods of a node.
pub(super) async fn components(kube: &kube::Client, node: &str) -> Result<Vec<Component>, Failure> {
    let pods = api::static_pods(kube).await?;
    let here =
        pods.iter().filter(|pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node));
    Ok(here
        .filter_map(|pod| {
            let name = api::label(&pod.metadata, "component")?;
            Some(Component {
                name: name.to_string(),
                version: api::image_version(pod, name),
                ready: api::is_ready(pod),
            })
        })
        .collect())
}

/// Returns what shows that a node's control plane does not run a version yet; `None` if it does.
pub(super) async fn lacks(
    kube: &kube::Client,
    node: &str,
    target: &Version,
) -> Result<Option<String>, Failure> {
    let components = components(kube, node).await?;
    for name in VERSIONED {
        match components.iter().find(|component| component.name == name) {
            Some(component) if component.version.as_ref() != Some(target) => {
                let version =
                    component.version.as_ref().map_or("another image".to_string(), Version::to_string);
                return Ok(Some(format!("{name} {version}")));
            }
            Some(component) if !component.ready => return Ok(Some(format!("{name} is not Ready"))),
            Some(_) => {}
            None => return Ok(Some(format!("no {name}"))),
        }
    }
    if components.iter().any(|component| !component.ready) {
        return Ok(Some("etcd is not Ready".to_string()));
    }
    // The last control plane rolls the addons, after everything else that can be seen.
    if is_last(kube, node, target).await?
        && let Some(proxy) = proxy_version(kube).await?
        && proxy != *target
    {
        return Ok(Some(format!("kube-proxy {proxy}")));
    }
    Ok(None)
}

/// Returns whether all apiservers of other nodes run the target.
async fn is_last(kube: &kube::Client, node: &str, target: &Version) -> Result<bool, Failure> {
    let pods = api::static_pods(kube).await?;
    Ok(pods
        .iter()
        .filter(|pod| api::label(&pod.metadata, "component") == Some("kube-apiserver"))
        .filter(|pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) != Some(node))
        .all(|pod| api::image_version(pod, "kube-apiserver").as_ref() == Some(target)))
}

async fn proxy_version(kube: &kube::Client) -> Result<Option<Version>, Failure> {
    let sets = Api::<DaemonSet>::namespaced(kube.clone(), api::SYSTEM);
    let Some(set) = api::find("read kube-proxy", sets.get("kube-proxy")).await? else { return Ok(None) };
    let containers = set.spec.template.spec.map(|pod| pod.containers).unwrap_or_default();
    Ok(containers.iter().find_map(|c| api::tag(c.image.as_deref()?)?.parse().ok()))
}

/// Returns the version that the cluster's configuration names.
pub(super) async fn configured(kube: &kube::Client) -> Result<Version, Failure> {
    let maps = Api::<ConfigMap>::namespaced(kube.clone(), api::SYSTEM);
    let map = api::find("read the configuration of kubeadm", maps.get("kubeadm-config")).await?;
    let Some(map) = map else {
        return Err(Failure::last("kube-system has no ConfigMap kubeadm-config")
            .with_hint("this cluster was not made by kubeadm, or somebody removed it"));
    };
    let text = map.data.unwrap_or_default().remove("ClusterConfiguration").unwrap_or_default();
    // One key at the top of a YAML document that kubeadm writes itself.
    let value = text.lines().find_map(|line| line.strip_prefix("kubernetesVersion:"));
    let version = value.map(|value| value.trim().trim_matches(['"', '\'']));
    version
        .and_then(|version| version.parse().ok())
        .ok_or_else(|| Failure::last("ConfigMap kube-system/kubeadm-config names no version of Kubernetes"))
}

/// Holds that the kubeadm which will run can bring the target.
pub(super) async fn fits(host: &Host, target: &Version) -> Result<(), Failure> {
    let said = host.ask(Command::read(["kubeadm", "version", "-o", "short"])).await?;
    let found: Option<Version> = said.trim().parse().ok();
    match found {
        Some(found) if found.minor() == target.minor() && found >= *target => Ok(()),
        _ => Err(Failure::last(format!("kubeadm on {} is {}, not {target}", host.name, failure::printable(said.trim())))
            .with_hint(format!("put `install kubeadm version={target}` before this step, or look which kubeadm is first on the PATH"))),
    }
}

/// Begins kubeadm, detached from the connection.
pub(super) async fn begin(cx: &Context, host: &Host, argv: &[&str]) -> Result<Progress, Failure> {
    let command = Command::change(argv.iter().copied());
    let handle = detached::begin(cx, host, &command).await?;
    Ok(detached::pending(&handle, host, what(argv), &Unit::Runs(String::new())))
}

/// Follows kubeadm. The exit code alone is the verdict; its words are only shown.
pub(super) async fn follow(
    cx: &Context,
    host: &Host,
    handle: &Value,
    argv: &[&str],
    done: impl FnOnce() -> Value + Send,
) -> Result<Progress, Failure> {
    match detached::look(cx, host, handle, what(argv)).await? {
        Unit::Ended(output) if output.ok() => Ok(Progress::Done(done())),
        Unit::Ended(output) => Err(failure::classify(what(argv), &output)),
        unit => Ok(detached::pending(handle, host, what(argv), &unit)),
    }
}

fn what(argv: &[&str]) -> &'static str {
    match argv.get(2) {
        Some(&"apply") => "kubeadm upgrade apply",
        _ => "kubeadm upgrade node",
    }
}
