//! k3s and RKE2: one binary and one unit that are the whole node, a server's with a member of etcd in it,
//! and the pages that their releases are downloaded from.

use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::process::Process;
use super::release::Release;
use super::{COMPONENTS, DATA, Node, kubelet};
use crate::etcd::Data;
use crate::faults::old_mirror;
use crate::shape::Distribution;
use crate::world::World;

/// What RKE2 adds to the tags of its images: when they were built.
const BUILD: &str = "-build20250814";

/// The names of a distribution.
pub(crate) struct Names {
    /// Of its binary and of the unit of a k3s server.
    pub(crate) program: &'static str,
    /// The unit of a server.
    pub(crate) server: &'static str,
    /// The unit of an agent.
    pub(crate) agent: &'static str,
    /// Where its releases are.
    pub(crate) page: &'static str,
    /// The file of a release.
    pub(crate) asset: &'static str,
}

/// Returns the names of a distribution; kubeadm's nodes have none of this.
pub(crate) fn names(distribution: Distribution) -> Option<&'static Names> {
    match distribution {
        Distribution::Kubeadm | Distribution::Units => None,
        Distribution::K3s => Some(&Names {
            program: "k3s",
            server: "k3s",
            agent: "k3s-agent",
            page: "https://github.com/k3s-io/k3s/releases/download/",
            asset: "k3s",
        }),
        Distribution::Rke2 => Some(&Names {
            program: "rke2",
            server: "rke2-server",
            agent: "rke2-agent",
            page: "https://github.com/rancher/rke2/releases/download/",
            asset: "rke2.linux-amd64",
        }),
    }
}

impl Names {
    /// Returns where the installer puts the binary.
    pub(crate) fn path(&self) -> String {
        format!("/usr/local/bin/{}", self.program)
    }
}

/// Lays down what an installer leaves.
pub(super) fn lay_down(node: &mut Node, version: &str) {
    let Some(names) = names(Distribution::of(version)) else { return };
    // No package of Kubernetes: the binary brings all of it.
    node.packages = super::Packages::none(node.package_manager);
    node.files.write(&names.path(), binary(names, version), 0o755);
    if node.control_plane {
        let folder = format!("/var/lib/rancher/{}/server", names.program);
        node.files.write(
            &format!("{folder}/token"),
            format!("K10{}::server:1f2e3d4c\n", "0".repeat(64)),
            0o600,
        );
        node.files.write(&Data::path(DATA), Data::FIRST.to_string(), 0o600);
        let config = format!("/etc/rancher/{0}/{0}.yaml", names.program);
        node.files.write(&config, "apiVersion: v1\nkind: Config\n", 0o600);
    }
}

/// Returns the bytes of a binary, which the box reads its version from.
fn binary(names: &Names, version: &str) -> String {
    format!("{} {version}\n", names.program)
}

/// Returns the version of a binary on a node: by its path, or by its name where an installer puts it.
pub(super) fn version_of(node: &Node, program: &str) -> Option<String> {
    let names = names(node.distribution())?;
    let path = if program.contains('/') { program.to_string() } else { format!("/usr/local/bin/{program}") };
    let text = node.files.get(&path).filter(|file| file.mode & 0o111 != 0)?;
    let text = String::from_utf8_lossy(&text.content).into_owned();
    Some(text.strip_prefix(names.program)?.trim().to_string()).filter(|version| version.starts_with('v'))
}

/// Returns the version of the binary that the unit would start.
pub(super) fn installed(node: &Node) -> Option<String> {
    version_of(node, names(node.distribution())?.program)
}

/// Returns the node's unit.
pub(super) fn unit(node: &Node) -> Option<&'static str> {
    let names = names(node.distribution())?;
    Some(if node.control_plane { names.server } else { names.agent })
}

/// Returns the image of a component as the node's process runs it; `None` where it is kubeadm's.
/// Those of k3s are no images: nothing shows them.
pub(super) fn image(node: &Node, component: &str) -> Option<String> {
    let version = &node.kubelet_running;
    let release = Release::parse(version)?;
    match (node.distribution(), component) {
        (Distribution::Kubeadm | Distribution::Units, _) => None,
        (Distribution::K3s, "etcd") => Some(format!("k3s/etcd:{}", release.etcd())),
        (Distribution::K3s, _) => Some(format!("k3s/{component}:{version}")),
        (Distribution::Rke2, "etcd") => {
            Some(format!("index.docker.io/rancher/hardened-etcd:v{}", release.etcd()))
        }
        (Distribution::Rke2, _) => {
            let tag = version.replace('+', "-");
            Some(format!("index.docker.io/rancher/hardened-kubernetes:{tag}{BUILD}"))
        }
    }
}

/// Returns the version that an apiserver of an image says: tags have no `+`.
pub(crate) fn version_of_tag(tag: &str) -> String {
    match tag.strip_suffix(BUILD) {
        Some(tag) => tag.replacen("-rke2r", "+rke2r", 1),
        None => tag.to_string(),
    }
}

/// Restarts the unit: the process begins anew with the binary that lies there, and a server's components with it.
/// A server answers again after some 20 seconds. Containers of pods go on.
pub(super) fn restart(process: &Process) {
    let name = process.node.clone();
    process.world(|world| {
        let now = world.now();
        if let Some(node) = world.nodes.get_mut(&name) {
            (node.kubelet_active, node.kubelet_since, node.kubelet_restarts) = (true, now, 0);
        }
        for component in COMPONENTS {
            if world.nodes.get(&name).is_some_and(|node| node.control_plane) {
                kubelet::stop_static_pod(world, &name, component);
            }
        }
        world.machines_changed();
    });
    let servers = name.clone();
    process.later(Duration::from_secs(2), move |world| {
        kubelet::start(world, &name);
    });
    for (component, back) in COMPONENTS.into_iter().zip([6, 14, 18, 18]) {
        let name = servers.clone();
        process.later(Duration::from_secs(back), move |world| {
            if world.nodes.get(&name).is_some_and(|node| node.control_plane && node.kubelet_active) {
                kubelet::run_static_pod(world, &name, component);
            }
        });
    }
}

/// What lies at an address of a release page: the binary, or the list of hashes.
pub(super) fn released(node: &mut Node, url: &str) -> Option<Vec<u8>> {
    let names = names(node.distribution())?;
    let (version, file) = url.strip_prefix(names.page)?.split_once('/')?;
    let version = version.replace("%2B", "+");
    let release = Release::parse(&version).filter(|release| release.exists())?;
    if Distribution::of(&version) != node.distribution() || !old_mirror::has(node, release.minor) {
        return None;
    }
    let binary = binary(names, &version);
    match file {
        file if file == names.asset => Some(binary.into_bytes()),
        "sha256sum-amd64.txt" => {
            let hex: String = Sha256::digest(binary.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
            Some(
                format!(
                    "{}  {}-airgap-images-amd64.tar\n{hex}  {file}\n",
                    "0".repeat(64),
                    names.program,
                    file = names.asset
                )
                .into_bytes(),
            )
        }
        _ => None,
    }
}

/// Saves the embedded etcd into the folder of snapshots; returns the file's name.
pub(super) fn save(world: &mut World, name: &str, base: &str) -> Result<String, &'static str> {
    if !world.etcd.quorum() || !world.etcd.is_up(name) {
        return Err("context deadline exceeded");
    }
    let (revision, at) = (world.store.revision(), world.clock.stamp());
    let seconds = at.parse::<jiff::Timestamp>().map_or(0, |time| time.as_second());
    world.saved.insert(revision, world.store.image());
    let Some(node) = world.nodes.get_mut(name) else { return Err("no such node") };
    let Some(names) = names(node.distribution()) else { return Err("no such command") };
    let file = format!("{base}-{name}-{seconds}");
    let mut bytes = format!("etcd snapshot {}\n", json!({"revision": revision})).into_bytes();
    bytes.resize(20 * 4096, 0);
    let checksum = Sha256::digest(&bytes);
    bytes.extend(checksum);
    node.files.write(&format!("/var/lib/rancher/{}/server/db/snapshots/{file}", names.program), bytes, 0o600);
    Ok(file)
}
