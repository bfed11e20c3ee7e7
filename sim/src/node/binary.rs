//! A self-built node: each component is a binary in /usr/local/bin and a unit of systemd that runs it, as in
//! kubernetes-the-hard-way. A control plane runs etcd so too, unless it has hosts of its own.
//!
//! ```text
//! /usr/local/bin/NAME   what would be started: the box reads its version from its bytes
//! what runs             kubelet_running, proxy_running, the image of a component's process
//! ```

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::process::Process;
use super::release::Release;
use super::{COMPONENTS, Node, Packages, kubelet};
use crate::faults::{component_flag, old_mirror};
use crate::world::World;

/// Where its binaries are.
const BIN: &str = "/usr/local/bin";

/// Where releases are downloaded from: <https://kubernetes.io/releases/download/>
const PAGE: &str = "https://dl.k8s.io/release/";

/// The units of a node, with the process id of each; the first three are a control plane's.
const UNITS: [(&str, u32); 5] = [
    ("kube-apiserver", 801),
    ("kube-controller-manager", 802),
    ("kube-scheduler", 803),
    ("kubelet", 804),
    ("kube-proxy", 805),
];

/// What answers that it is well, and where.
const PROBES: [(&str, &str); 4] = [
    ("kube-apiserver", "https://127.0.0.1:6443/readyz"),
    ("kube-controller-manager", "https://127.0.0.1:10257/healthz"),
    ("kube-scheduler", "https://127.0.0.1:10259/healthz"),
    ("kube-proxy", "http://127.0.0.1:10256/healthz"),
];

/// Lays down what somebody built, in the place of what kubeadm would have left.
pub(super) fn lay_down(node: &mut Node, version: &str) {
    node.by_units = true;
    node.packages = Packages::none(node.package_manager);
    let left: Vec<String> =
        ["/etc/kubernetes", "/var/lib/kubelet", "/etc/apt/sources.list.d", "/etc/yum.repos.d"]
            .iter()
            .flat_map(|folder| node.files.under(folder).map(str::to_string).collect::<Vec<_>>())
            .collect();
    for path in left {
        node.files.remove(&path);
    }
    let own: Vec<&str> = units(node).map(|(unit, _)| unit).chain(["kubectl"]).collect();
    for name in own {
        node.files.write(&format!("{BIN}/{name}"), bytes(name, version), 0o755);
    }
    node.proxy_running = version.to_string();
}

/// Returns the units of a node, with their process ids.
fn units(node: &Node) -> impl Iterator<Item = (&'static str, u32)> + use<> {
    let from = if node.control_plane { 0 } else { 3 };
    UNITS.into_iter().skip(from)
}

/// Returns the bytes of a binary.
fn bytes(name: &str, version: &str) -> String {
    format!("{name} {version}\n")
}

/// Returns the version of a binary, by its path or by its name.
pub(super) fn version_of(node: &Node, program: &str) -> Option<(String, String)> {
    if !node.by_units {
        return None;
    }
    let path = if program.contains('/') { program.to_string() } else { format!("{BIN}/{program}") };
    let file = node.files.get(&path).filter(|file| file.mode & 0o111 != 0)?;
    let text = String::from_utf8_lossy(&file.content).into_owned();
    let (name, version) = text.trim_end().split_once(' ')?;
    let known = UNITS.iter().any(|(unit, _)| *unit == name) || name == "kubectl";
    (known && version.starts_with('v')).then(|| (name.to_string(), version.to_string()))
}

/// Returns what the process of a component is shown as: its binary, as it was when it was started.
pub(super) fn image(node: &Node, component: &str) -> Option<String> {
    let (_, version) = version_of(node, component)?;
    Some(format!("units/{component}:{version}"))
}

/// Returns the version that a unit's process is of.
fn running(world: &World, name: &str, unit: &str) -> Option<String> {
    let node = world.nodes.get(name)?;
    match unit {
        "kubelet" => Some(node.kubelet_running.clone()),
        "kube-proxy" => Some(node.proxy_running.clone()),
        component => {
            let process = world.static_pods.get(&(name.to_string(), component.to_string()))?;
            process.image.rsplit_once(':').map(|(_, version)| version.to_string())
        }
    }
}

/// Returns what systemd says of a unit here; `None` where it is none of these. The kubelet's is told by its own.
pub(super) fn properties(world: &World, name: &str, unit: &str) -> Option<Vec<(&'static str, String)>> {
    let node = world.nodes.get(name).filter(|node| node.by_units)?;
    let (unit, pid) = units(node).find(|(known, _)| *known == unit && *known != "kubelet")?;
    let up = match unit {
        "kube-proxy" => true,
        component => world.static_pods.get(&(name.to_string(), component.to_string())).is_some_and(|p| p.up),
    };
    let fails = node.unit_failures.contains_key(unit);
    let (active, sub) = match (up, fails) {
        (true, _) => ("active", "running"),
        (false, true) => ("activating", "auto-restart"),
        (false, false) => ("activating", "start"),
    };
    Some(vec![
        ("NRestarts", if fails { "3" } else { "0" }.to_string()),
        ("ExecMainStatus", i32::from(fails).to_string()),
        ("MainPID", if up { pid } else { 0 }.to_string()),
        ("LoadState", "loaded".to_string()),
        ("ActiveState", active.to_string()),
        ("SubState", sub.to_string()),
        ("ExecStart", exec_start(unit)),
    ])
}

/// Writes the command of a unit as `systemctl show` does.
pub(super) fn exec_start(unit: &str) -> String {
    format!(
        "{{ path={BIN}/{unit} ; argv[]={BIN}/{unit} --v=2 ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }}"
    )
}

/// Returns the last words of a unit that does not start.
pub(super) fn journal(node: &Node, unit: &str) -> Option<String> {
    node.unit_failures.get(unit).map(|failure| {
        format!("Error: {failure}\n{unit}.service: Main process exited, code=exited, status=1/FAILURE\n")
    })
}

/// Restarts a unit with the binary that lies there.
pub(super) fn restart(process: &Process, unit: &str) -> bool {
    let name = process.node.clone();
    let known = process.on(|n| n.by_units && units(n).any(|(known, _)| known == unit && known != "kubelet"));
    if !known {
        return false;
    }
    let Some(component) = COMPONENTS.into_iter().find(|component| *component == unit) else {
        process.later(Duration::from_secs(1), move |world| {
            if let Some(node) = world.nodes.get_mut(&name)
                && let Some((_, version)) = version_of(node, "kube-proxy")
            {
                node.proxy_running = version;
            }
        });
        return true;
    };
    process.world(|world| {
        if let Some(node) = world.nodes.get_mut(&name) {
            node.unit_failures.shift_remove(component);
        }
        kubelet::stop_static_pod(world, &name, component);
    });
    let wait = if component == "kube-apiserver" { 8 } else { 3 };
    process.later(Duration::from_secs(wait), move |world| start(world, &name, component));
    true
}

/// Starts a component from its binary, unless that knows a flag of its unit no more.
fn start(world: &mut World, name: &str, component: &str) {
    let before = running(world, name, component);
    let Some(node) = world.nodes.get_mut(name) else { return };
    let Some((_, version)) = version_of(node, component) else { return };
    let minor = |version: &str| Release::parse(version).map(|release| release.minor);
    let other = before.as_deref().and_then(minor) != minor(&version);
    if other && component_flag::strikes_unit(node, component) {
        let failure = "unknown flag: --cloud-provider".to_string();
        node.unit_failures.insert(component.to_string(), failure);
        world.machines_changed();
        return;
    }
    kubelet::run_static_pod(world, name, component);
}

/// Answers `curl` on the node about one of its components: the HTTP code.
pub(super) fn probe(world: &World, name: &str, url: &str) -> Option<u16> {
    let node = world.nodes.get(name).filter(|node| node.by_units)?;
    let (unit, _) = PROBES.iter().find(|(_, known)| *known == url)?;
    let code = match *unit {
        "kube-proxy" => 200,
        component if !node.control_plane || !world.component_up(name, component) => 0,
        "kube-apiserver" if !world.etcd.quorum() => 500,
        _ => 200,
    };
    Some(code)
}

/// Identifies the file behind a path as `stat -c %d:%i` does: two names of the same bytes are one file here.
pub(super) fn inode(world: &World, name: &str, path: &str) -> Option<String> {
    let node = world.nodes.get(name).filter(|node| node.by_units)?;
    let identity = |text: &str| {
        let digest = Sha256::digest(text.as_bytes());
        format!("2049:{}", u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]))
    };
    let process = path.strip_prefix("/proc/").and_then(|rest| rest.strip_suffix("/exe"));
    match process {
        Some(pid) => {
            let (unit, _) = units(node).find(|(_, known)| known.to_string() == pid)?;
            Some(identity(&bytes(unit, &running(world, name, unit)?)))
        }
        None => Some(identity(&node.files.text(path)?)),
    }
}

/// What lies at an address of the page of releases, or in a folder of this node: a binary, or its hash.
pub(super) fn released(node: &mut Node, url: &str) -> Option<Vec<u8>> {
    if !node.by_units {
        return None;
    }
    if let Some(path) = url.strip_prefix("file://") {
        return node.files.read(path).map(<[u8]>::to_vec);
    }
    let (version, file) = url.strip_prefix(PAGE)?.split_once("/bin/linux/amd64/")?;
    let release = Release::parse(version).filter(|release| release.exists())?;
    if !old_mirror::has(node, release.minor) {
        return None;
    }
    let (name, ending) = file.split_once('.').unwrap_or((file, ""));
    if !UNITS.iter().any(|(unit, _)| *unit == name) && name != "kubectl" {
        return None;
    }
    let binary = bytes(name, version);
    match ending {
        "" => Some(binary.into_bytes()),
        "sha256" => Some(hex(&Sha256::digest(binary.as_bytes())).into_bytes()),
        "sha512" => Some(hex(&sha2::Sha512::digest(binary.as_bytes())).into_bytes()),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
