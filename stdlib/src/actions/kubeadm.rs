//! What the three kubeadm verbs share: evidence of what a control plane runs, and kubeadm itself as a
//! command that goes on by itself.

use dsl::value::{Value, Version};
use engine::action::{Context, Progress};
use engine::event::{Class, Failure};
use engine::port::{Command, Output};
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
    pub(super) version: Option<Version>,
    /// Whether its pod is Ready.
    pub(super) ready: bool,
    /// What the kubelet makes of its manifest.
    pub(super) hash: String,
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
                hash: api::annotation(&pod.metadata, "kubernetes.io/config.hash")
                    .unwrap_or_default()
                    .to_string(),
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
        Some(found) if found.minor() == target.minor() && found.release() >= target.release() => Ok(()),
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

/// Follows kubeadm. The exit code alone is the verdict; its words say what kind of failure it was.
pub(super) async fn follow(
    cx: &Context,
    host: &Host,
    handle: &Value,
    argv: &[&str],
    done: impl FnOnce() -> Value + Send,
) -> Result<Progress, Failure> {
    match detached::look(cx, host, handle, what(argv)).await {
        Ok(Unit::Ended(output)) if output.ok() => Ok(Progress::Done(done())),
        Ok(Unit::Ended(output)) => {
            let failure = with_cause(failure::classify(what(argv), &output), what(argv), &output);
            let again = output.code == PREFLIGHT || is_nearly_done(&output);
            Err(if again { failure } else { at_most_one_rerun(cx, host, argv, failure) })
        }
        Ok(unit) => Ok(detached::pending(handle, host, what(argv), &unit)),
        Err(failure) => Err(at_most_one_rerun(cx, host, argv, failure)),
    }
}

/// The exit code with which kubeadm's preflight refuses, before anything is changed.
const PREFLIGHT: i32 = 2;

/// Returns whether only the kubelet's configuration is missing: the static pods are behind it.
fn is_nearly_done(output: &Output) -> bool {
    failure::known(&failure::said(output)).is_some_and(|known| known.name == "kubelet-config-forbidden")
}

/// Holds that kubeadm gets past its preflight on a control plane at most twice in a run: the first
/// time, and once more by itself. Whether more will help a person decides.
fn at_most_one_rerun(cx: &Context, host: &Host, argv: &[&str], failure: Failure) -> Failure {
    let is_apply = argv.get(2) == Some(&"apply");
    let is_control_plane = is_apply || host.node.as_ref().is_some_and(|node| node.control_plane);
    if !is_control_plane || cx.attempt == 1 || failure.class == Class::Final {
        return failure;
    }
    let hint = match failure.hint.as_str() {
        "" => "kubeadm is run again by itself only once".to_string(),
        hint => format!("{hint}; kubeadm is run again by itself only once"),
    };
    Failure { class: Class::Final, hint, ..failure }
}

/// Names the cause where nobody has written down what such words mean.
fn with_cause(failure: Failure, what: &str, output: &Output) -> Failure {
    let said = failure::said(output);
    match cause(&said).filter(|_| failure::known(&said).is_none()) {
        Some(cause) => Failure { message: format!("`{what}`: {cause}"), ..failure },
        None => failure,
    }
}

/// Returns the line in which kubeadm says why it ended: a check of its preflight, else its last error,
/// else what it last found wrong with etcd.
fn cause(said: &str) -> Option<String> {
    const CHARS: usize = 400;
    let clean = failure::printable(said);
    let find = |is: fn(&str) -> bool| clean.lines().map(str::trim).rfind(|line| is(line));
    let line = find(|line| line.starts_with("[ERROR "))
        .or_else(|| find(|line| line.starts_with("error:") || line.contains("] FATAL: ")))
        .or_else(|| {
            find(|line| line.contains("healthcheck etcd") || line.contains("etcd cluster is not healthy"))
        })?;
    let line = line.strip_prefix("error:").unwrap_or(line).trim();
    Some(line.strip_prefix("error execution phase ").unwrap_or(line).chars().take(CHARS).collect())
}

fn what(argv: &[&str]) -> &'static str {
    match argv.get(2) {
        Some(&"apply") => "kubeadm upgrade apply",
        _ => "kubeadm upgrade node",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_the_line_that_names_it() {
        let preflight = "error: error execution phase preflight: [preflight] Some fatal errors occurred:\n\t[ERROR ControlPlaneNodesReady]: there are NotReady control-planes in the cluster: [cp3]\n[preflight] If you know what you are doing\n";
        let etcd = "[upgrade/etcd] Failed to healthcheck etcd: timeout\nerror: error execution phase control-plane: fatal error rolling back local etcd cluster manifest: timeout\nTo see the stack trace of this error execute with --v=5 or higher\n";
        for (said, wanted) in [
            (
                preflight,
                Some(
                    "[ERROR ControlPlaneNodesReady]: there are NotReady control-planes in the cluster: [cp3]",
                ),
            ),
            (etcd, Some("control-plane: fatal error rolling back local etcd cluster manifest: timeout")),
            ("[upgrade/apply] FATAL: no such thing\n", Some("[upgrade/apply] FATAL: no such thing")),
            ("killed\n", None),
        ] {
            assert_eq!(cause(said).as_deref(), wanted);
        }
        let health = "[upgrade/etcd] Failed to \u{1b}[31mhealthcheck etcd: timeout\nkilled\n";
        assert_eq!(cause(health).as_deref(), Some("[upgrade/etcd] Failed to healthcheck etcd: timeout"));
    }
}
