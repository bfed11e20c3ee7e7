//! The kubelet of a node: its process, and the static pods that it runs from the manifests folder.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::process::Process;
use super::release::Release;
use super::{COMPONENTS, DATA, Node, image, manifest, manifest_path};
use super::{binary, rancher, windows};
use crate::etcd::Data;
use crate::faults::{component_flag, kubelet_flag};
use crate::world::{StaticPod, World};

/// How long the certificates of a cluster last that was made some weeks ago.
pub(crate) const FIRST_CERTIFICATES: Duration = Duration::from_secs(300 * 24 * 3600);

/// How long the certificates last that kubeadm makes.
pub(crate) const CERTIFICATES: Duration = Duration::from_secs(365 * 24 * 3600);

/// Returns the kubelet's configuration as kubeadm of a release writes it.
pub(crate) fn config(release: Release) -> String {
    format!(
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\ncgroupDriver: systemd\n\
         # kubeadm v1.{}\nstaticPodPath: /etc/kubernetes/manifests\n",
        release.minor
    )
}

/// Starts the kubelet's process from what is installed. Returns whether it starts.
pub(crate) fn start(world: &mut World, name: &str) -> bool {
    let now = world.now();
    let Some(node) = world.nodes.get_mut(name) else { return false };
    node.kubelet_since = now;
    node.kubelet_failure = kubelet_flag::strikes(node).or_else(|| windows::unknown_flag(node));
    node.kubelet_active = node.kubelet_failure.is_none();
    let installed = node.packages.version("kubelet").map(|release| format!("v{release}"));
    if node.kubelet_active
        && let Some(version) = installed.or_else(|| node.binary_version())
    {
        node.kubelet_running = version;
    }
    let active = node.kubelet_active;
    world.machines_changed();
    active
}

/// Runs every static pod of a node from its manifest, those that run already too.
pub(crate) fn run_static_pods(world: &mut World, name: &str) {
    for component in COMPONENTS {
        run_static_pod(world, name, component);
    }
}

/// Runs one static pod from its manifest: a new pod if the manifest changed, else one restart more.
pub(crate) fn run_static_pod(world: &mut World, name: &str, component: &str) {
    let Some(node) = world.nodes.get(name) else { return };
    let image_of = |node: &Node| binary::image(node, component).or_else(|| rancher::image(node, component));
    let manifest = match image_of(node) {
        Some(image) if node.components().any(|own| own == component) => {
            Some(manifest(name, component, &image, ""))
        }
        Some(_) => None,
        None => node.files.text(&manifest_path(component)),
    };
    let Some(text) = manifest else { return };
    let Some(image) = text.lines().find_map(|l| l.trim().strip_prefix("image: ")) else { return };
    let (now, hash) = (world.now(), hash(&text));
    let up = !world.nodes.get_mut(name).is_some_and(|n| component_flag::strikes(n, component, &text));
    let key = (name.to_string(), component.to_string());
    let restarts = match world.static_pods.get(&key) {
        Some(pod) if pod.hash == hash => pod.restarts + 1,
        Some(_) | None => 0,
    };
    let pod = StaticPod { image: image.to_string(), hash, up, restarts, since: now };
    world.static_pods.insert(key, pod);
    if component == "etcd" {
        let data = world.nodes.get(name).and_then(|n| Data::read(&n.files, DATA));
        world.etcd.set_version(name, tag(image));
        world.etcd.set_data(name, data);
        world.etcd.set_up(name, true);
        world.settle_etcd();
    }
    world.machines_changed();
}

/// Lets the kubelet see that a manifest was moved into its folder or out of it.
pub(crate) fn manifests_moved(process: &Process, argv: &[&str]) {
    let ["mv", .., from, to] = argv else { return };
    for component in COMPONENTS {
        let path = manifest_path(component);
        let name = process.node.clone();
        // It watches the folder; a container takes a moment to end.
        if *from == path {
            process.later(Duration::from_secs(4), move |w| {
                if w.nodes.get(&name).is_some_and(|n| !n.files.exists(&manifest_path(component))) {
                    stop_static_pod(w, &name, component);
                }
            });
        } else if *to == path {
            process.later(Duration::from_secs(3), move |w| run_static_pod(w, &name, component));
        }
    }
}

/// Takes one static pod's process away.
pub(crate) fn stop_static_pod(world: &mut World, name: &str, component: &str) {
    if let Some(pod) = world.static_pods.get_mut(&(name.to_string(), component.to_string())) {
        pod.up = false;
    }
    if component == "etcd" {
        world.etcd.set_up(name, false);
    }
    world.machines_changed();
}

/// Takes a static pod away after some time and runs it again from its manifest later: the kubelet does
/// it, whatever becomes of the command that made it do so.
pub(crate) fn restart_static_pod(process: &Process, component: &'static str, stop: Duration, back: Duration) {
    let name = process.node.clone();
    process.later(stop, move |w| stop_static_pod(w, &name, component));
    let name = process.node.clone();
    process.later(back, move |w| run_static_pod(w, &name, component));
}

/// Returns the static pods of a fresh control plane node, for the start of a cluster.
pub fn first_static_pods(node: &Node, release: Release) -> Vec<((String, String), StaticPod)> {
    let pod = |component: &str| {
        let own = binary::image(node, component).or_else(|| rancher::image(node, component));
        let image = own.unwrap_or_else(|| image(component, release));
        let hash = hash(&manifest(&node.name, component, &image, ""));
        StaticPod { image, hash, up: true, restarts: 0, since: Duration::ZERO }
    };
    node.components().map(|c| ((node.name.clone(), c.to_string()), pod(c))).collect()
}

/// Returns what the kubelet makes of a manifest for `kubernetes.io/config.hash`.
pub(crate) fn hash(manifest: &str) -> String {
    Sha256::digest(manifest.as_bytes())[..16].iter().map(|b| format!("{b:02x}")).collect()
}

/// Returns `3.5.24` of `registry.k8s.io/etcd:3.5.24-0`.
fn tag(image: &str) -> &str {
    let tag = image.rsplit(':').next().unwrap_or(image).trim_start_matches('v');
    tag.split('-').next().unwrap_or(tag)
}
