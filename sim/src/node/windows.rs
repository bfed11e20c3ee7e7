//! A worker that runs Windows, as PrepareNode.ps1 of sig-windows-tools leaves it: kubeadm.exe and kubelet.exe in C:\k, which is on the PATH,
//! and a service that runs the kubelet. What lies where is kept as below a root: C:\k\kubelet.exe is /k/kubelet.exe.

use sha2::{Digest, Sha256};

use super::release::Release;
use super::{Node, Packages};
use crate::faults::old_mirror;

/// Where its programs are.
pub(super) const FOLDER: &str = r"C:\k";

/// Where releases are downloaded from: <https://kubernetes.io/releases/download/>
const PAGE: &str = "https://dl.k8s.io/release/";

/// What its service runs: kubeadm's flags and some of its own, of which PrepareNode.ps1 of sig-windows-tools writes more.
const STARTS: &str = r#"# Starts the kubelet of HOST.
$own = "--config=/var/lib/kubelet/config.yaml --hostname-override=HOST --pod-infra-container-image=`"pause:3.6`" --cgroups-per-qos=false"
$kubeadms = (Get-Content "/var/lib/kubelet/kubeadm-flags.env") -replace "KUBELET_KUBEADM_ARGS=" -replace '"'
Invoke-Expression "C:\k\kubelet.exe $kubeadms $own"
"#;

/// The flag of it that kubelets know until 1.34.
const PAUSE: &str = "--pod-infra-container-image=`\"pause:3.6`\" ";

/// Where it is.
const STARTER: &str = "/k/StartKubelet.ps1";

/// Its programs.
const PROGRAMS: [&str; 2] = ["kubeadm", "kubelet"];

/// Lays down what is on such a node, in the place of packages.
pub(super) fn lay_down(node: &mut Node, version: &str) {
    node.windows = true;
    // What its kubelet says: kubernetes:pkg/kubelet/winstats/perfcounter_nodestats_windows.go
    node.machine_id = node.name.clone();
    let installed = node.packages.installed.clone();
    node.packages = Packages::none(node.package_manager);
    let left: Vec<String> =
        ["/etc/apt", "/etc/yum.repos.d", "/etc/os-release", "/proc", "/boot", "/etc/machine-id"]
            .iter()
            .flat_map(|path| {
                node.files.under(path).map(str::to_string).chain([path.to_string()]).collect::<Vec<_>>()
            })
            .collect();
    for path in left {
        node.files.remove(&path);
    }
    node.files.write("/proc/sys/kernel/osrelease", "10.0.20348.2227\n", 0o444);
    for name in PROGRAMS.iter().filter(|name| installed.contains_key(**name)) {
        node.files.write(&format!("/k/{name}.exe"), bytes(name, version), 0o755);
    }
    let mut starts = STARTS.replace("HOST", &node.name);
    if Release::parse(version).is_some_and(|release| release.minor >= 35) {
        // Else it would not run.
        starts = starts.replace(PAUSE, "");
    }
    node.files.write(STARTER, starts, 0o644);
    see(node);
}

/// Returns why a kubelet cannot start: the script has a flag that 1.35 knows no more, which kubeadm takes out of its own file only.
pub(super) fn unknown_flag(node: &Node) -> Option<String> {
    let knows = node.packages.version("kubelet").is_none_or(|release| release.minor < 35);
    let has = || node.files.text(STARTER).is_some_and(|text| text.contains(PAUSE));
    (node.windows && !knows && has())
        .then(|| "\"command failed\" err=\"failed to parse kubelet flag: unknown flag: --pod-infra-container-image\"".to_string())
}

/// Returns where a path of Windows is kept; elsewhere a path is what it is.
pub(super) fn file(node: &Node, path: &str) -> String {
    match path.get(1..2) {
        Some(":") if node.windows => path[2..].replace('\\', "/"),
        _ => path.to_string(),
    }
}

/// Notes which programs lie there.
pub(super) fn see(node: &mut Node) {
    for name in PROGRAMS {
        let there = version_of(node, &format!("{FOLDER}\\{name}.exe"));
        match there.and_then(|(_, version)| Release::parse(&version)) {
            Some(release) => node.packages.installed.insert(name.to_string(), release),
            None => node.packages.installed.shift_remove(name),
        };
    }
}

fn bytes(name: &str, version: &str) -> String {
    format!("{name}.exe {version}\n")
}

/// Returns which program is at a path, and its version.
pub(super) fn version_of(node: &Node, path: &str) -> Option<(String, String)> {
    let text = node.files.text(&file(node, path))?;
    let (name, version) = text.trim_end().split_once(".exe ")?;
    (PROGRAMS.contains(&name) && version.starts_with('v')).then(|| (name.to_string(), version.to_string()))
}

/// What lies at an address of the page of releases, or in a folder of this node: a program, or its hash.
pub(super) fn released(node: &mut Node, url: &str) -> Option<Vec<u8>> {
    if let Some(path) = url.strip_prefix("file:///") {
        return node.files.read(&file(node, path)).map(<[u8]>::to_vec);
    }
    let (version, asset) = url.strip_prefix(PAGE)?.split_once("/bin/windows/amd64/")?;
    let release = Release::parse(version).filter(|release| release.exists())?;
    if !old_mirror::has(node, release.minor) {
        return None;
    }
    let (name, ending) = asset.split_once(".exe")?;
    let program = PROGRAMS.contains(&name).then(|| bytes(name, version).into_bytes())?;
    match ending {
        "" => Some(program),
        ".sha256" => Some(hash(&program).into_bytes()),
        _ => None,
    }
}

/// Returns the SHA-256 of bytes, in hexadecimal digits.
pub(super) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
