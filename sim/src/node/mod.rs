//! A node as its own shell sees it: packages, files, units, the kubelet. The commands of `command/`
//! change it; the kubelets and controllers of the box see the change by [`World::machines_changed`].

mod binary;
mod command;
mod files;
pub(crate) mod keyring;
mod kubelet;
mod packages;
mod power;
mod process;
mod rancher;
mod release;
mod service;
mod shell;
#[cfg(test)]
pub(crate) mod stories;
mod unit;
mod windows;

use std::time::Duration;

use indexmap::IndexMap;

pub use files::{File, Files};
pub use kubelet::first_static_pods;
pub use packages::{Packages, Repository};
pub use power::{power_off, reboot};
pub(crate) use rancher::version_of_tag;
pub use release::Release;
pub use service::begin as begin_services;
pub use shell::Machines;
pub use unit::{Unit, UnitState};

use crate::etcd::Data;
use crate::faults::Armed;
use crate::random::Random;
use crate::shape::{Distribution, Packages as Manager};

/// The static pods of a control plane, in the order in which kubeadm upgrades them.
pub const COMPONENTS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// The kernel of a machine as an installer leaves it, and the one that an update brings.
const KERNEL: &str = "6.1.0-37-amd64";
const NEWER_KERNEL: &str = "6.1.0-40-amd64";

/// What the kernel says where there is no swap.
pub(crate) const SWAPS: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

/// Where a member has its data.
pub(crate) const DATA: &str = "/var/lib/etcd";

/// A machine of the cluster.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name in the API and for ssh.
    pub name: String,
    /// Whether it runs the control plane's static pods.
    pub control_plane: bool,
    /// Whether it runs an etcd member.
    pub etcd: bool,
    /// Whether it is no node of the cluster, but a host of an external etcd beside it.
    pub beside: bool,
    /// Whether somebody built it: each component is a binary that a unit of its own runs.
    pub by_units: bool,
    /// Whether it runs Windows.
    pub windows: bool,
    /// The version of the process of kube-proxy, where that is a unit.
    pub proxy_running: String,
    /// Why units do not start, as their journals say it.
    pub unit_failures: IndexMap<String, String>,
    /// Who installs packages.
    pub package_manager: Manager,
    /// What is installed and held.
    pub packages: Packages,
    /// The version of the kubelet process, such as `v1.33.4`; it changes when the kubelet is restarted.
    pub kubelet_running: String,
    /// Whether the kubelet's unit is active.
    pub kubelet_active: bool,
    /// How often systemd restarted the kubelet by itself since it was last started.
    pub kubelet_restarts: u32,
    /// When the kubelet's process began, since the start of the cluster.
    pub kubelet_since: Duration,
    /// Why the kubelet cannot start, as its journal says it.
    pub kubelet_failure: Option<String>,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// Whether what was installed asks for a reboot.
    pub reboot_wanted: bool,
    /// When the certificates of its control plane end, since the start of the cluster.
    pub certificates: Duration,
    /// Whether the machine runs and can be reached.
    pub up: bool,
    /// How often it was booted: a process belongs to one boot and ends with it.
    pub boots: u32,
    /// Files that matter.
    pub files: Files,
    /// Units made by `systemd-run`.
    pub units: IndexMap<String, Unit>,
    /// Faults that wait for their moment here.
    pub armed: Vec<Armed>,
    /// What was run here, in order.
    pub transcript: Vec<Ran>,
    /// Chance.
    pub random: Random,
}

/// What a machine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It runs the control plane's static pods; with a stacked etcd that of a member too.
    ControlPlane {
        /// Whether etcd is stacked.
        etcd: bool,
    },
    /// It runs workloads.
    Worker,
    /// It runs a member of an external etcd, and nothing of Kubernetes.
    Etcd,
}

/// A command that was run on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// When it began, since the start of the cluster.
    pub at: Duration,
    /// The command as one could type it.
    pub line: String,
    /// Its exit code; `None` while it runs, or when the machine went away first.
    pub code: Option<i32>,
}

impl Node {
    /// Makes a machine as an installer leaves it.
    pub fn new(name: &str, role: Role, manager: Manager, version: &str, seed: u64) -> Node {
        let (control_plane, beside) = (matches!(role, Role::ControlPlane { .. }), role == Role::Etcd);
        // A version that is no release of the table (`v1.34.0-rc.1`) still has a minor and a patch.
        let release = Release::parse(version).unwrap_or(Release::new(34, 0));
        let mut random = Random::named(seed, name);
        let mut node = Node {
            name: name.to_string(),
            control_plane,
            etcd: matches!(role, Role::ControlPlane { etcd: true } | Role::Etcd),
            beside,
            by_units: false,
            windows: false,
            proxy_running: String::new(),
            unit_failures: IndexMap::new(),
            package_manager: manager,
            packages: if beside { Packages::none(manager) } else { Packages::new(manager, release) },
            kubelet_running: version.to_string(),
            kubelet_active: !beside,
            kubelet_restarts: 0,
            kubelet_since: Duration::ZERO,
            kubelet_failure: None,
            boot_id: String::new(),
            machine_id: random.hex(32),
            reboot_wanted: false,
            certificates: kubelet::FIRST_CERTIFICATES,
            up: true,
            boots: 1,
            files: Files::default(),
            units: IndexMap::new(),
            armed: Vec::new(),
            transcript: Vec::new(),
            random,
        };
        node.files.write("/etc/os-release", os_release(manager), 0o644);
        node.files.write("/proc/sys/kernel/osrelease", format!("{KERNEL}\n"), 0o444);
        node.files.write(&format!("/boot/vmlinuz-{KERNEL}"), "", 0o644);
        node.files.write("/proc/swaps", SWAPS, 0o444);
        node.files.write("/proc/self/cgroup", "0::/user.slice/user-0.slice/session-1.scope\n", 0o444);
        node.new_boot_id();
        node.files.write("/etc/machine-id", format!("{}\n", node.machine_id), 0o444);
        if beside {
            return node;
        }
        if node.distribution() != Distribution::Kubeadm {
            rancher::lay_down(&mut node, version);
            return node;
        }
        let (path, text) = Repository::file(manager, release.minor);
        node.files.write(path, text, 0o644);
        if manager == Manager::Apt {
            node.files.write(keyring::KEYRING, keyring::fresh(), 0o644);
        }
        node.files.write("/var/lib/kubelet/config.yaml", kubelet::config(release), 0o644);
        node.files.write("/etc/kubernetes/kubelet.conf", "kind: Config\n", 0o600);
        if control_plane {
            node.files.write("/etc/kubernetes/admin.conf", "kind: Config\n", 0o600);
            if node.etcd {
                node.files.write(&Data::path(DATA), Data::FIRST.to_string(), 0o600);
            }
            for component in node.components() {
                node.files.write(
                    &manifest_path(component),
                    manifest(name, component, &image(component, release), ""),
                    0o600,
                );
            }
        }
        node
    }

    /// Returns what it was set up with: the version of its kubelet tells, unless somebody built it.
    pub(crate) fn distribution(&self) -> Distribution {
        if self.by_units { Distribution::Units } else { Distribution::of(&self.kubelet_running) }
    }

    /// Returns the version of the kubelet that no package brought: the binary of k3s or RKE2, or one of its own.
    pub(crate) fn binary_version(&self) -> Option<String> {
        let own = binary::version_of(self, "kubelet").map(|(_, version)| version);
        own.or_else(|| rancher::installed(self))
    }

    /// Makes it a node that somebody built.
    pub(crate) fn build_by_hand(&mut self, version: &str) {
        binary::lay_down(self, version);
    }

    /// Makes it a worker that runs Windows.
    pub(crate) fn run_windows(&mut self, version: &str) {
        windows::lay_down(self, version);
    }

    /// Returns whether its etcd is a service: on a host of its own, or on a control plane that somebody built.
    pub(crate) fn serves_etcd(&self) -> bool {
        self.beside || (self.by_units && self.etcd)
    }

    /// Leaves what `kubeadm upgrade` puts aside when it comes from a release.
    pub(crate) fn was_upgraded(&mut self, from: Release) {
        let tmp = "/etc/kubernetes/tmp";
        if !self.beside {
            let path = format!("{tmp}/kubeadm-kubelet-config1066319437/config.yaml");
            self.files.write(&path, kubelet::config(from), 0o600);
        }
        let components: Vec<&str> = if self.control_plane { self.components().collect() } else { Vec::new() };
        for component in components {
            let text = manifest(&self.name, component, &image(component, from), "");
            let path = format!("{tmp}/kubeadm-backup-manifests-2025-12-20-09-30-00/{component}.yaml");
            self.files.write(&path, text, 0o600);
        }
    }

    /// Returns the static pods of a control plane here, in the order in which kubeadm upgrades them: etcd only
    /// where it is stacked.
    pub(crate) fn components(&self) -> impl Iterator<Item = &'static str> + use<> {
        let etcd = self.etcd;
        COMPONENTS.into_iter().filter(move |component| etcd || *component != "etcd")
    }

    /// Asks for a reboot as packages do: Debian's leave a file, dnf compares what was installed when.
    pub(crate) fn want_reboot(&mut self) {
        self.reboot_wanted = true;
        if self.package_manager == Manager::Apt {
            self.files.write("/var/run/reboot-required", "*** System restart required ***\n", 0o644);
        }
    }

    /// Puts a newer kernel into /boot, for the next boot.
    pub(crate) fn install_kernel(&mut self) {
        self.files.write(&format!("/boot/vmlinuz-{NEWER_KERNEL}"), "", 0o644);
    }

    /// Boots what is in /boot.
    fn boot_kernel(&mut self) {
        if self.files.exists(&format!("/boot/vmlinuz-{NEWER_KERNEL}")) {
            self.files.write("/proc/sys/kernel/osrelease", format!("{NEWER_KERNEL}\n"), 0o444);
        }
    }

    /// Returns the kernel that runs.
    pub(crate) fn kernel(&self) -> String {
        self.files.text("/proc/sys/kernel/osrelease").map(|text| text.trim().to_string()).unwrap_or_default()
    }

    fn new_boot_id(&mut self) {
        self.boot_id = self.random.uuid();
        self.files.write("/proc/sys/kernel/random/boot_id", format!("{}\n", self.boot_id), 0o444);
    }
}

/// Returns the image that kubeadm of a release sets up for a component.
pub fn image(component: &str, release: Release) -> String {
    match component {
        "etcd" => format!("registry.k8s.io/etcd:{}", release.etcd()),
        "coredns" => format!("registry.k8s.io/coredns/coredns:{}", release.coredns()),
        other => format!("registry.k8s.io/{other}:v{release}"),
    }
}

/// Returns where the kubelet looks for a component's manifest.
pub(crate) fn manifest_path(component: &str) -> String {
    format!("/etc/kubernetes/manifests/{component}.yaml")
}

/// Returns the address of a control plane's member: `cp1` has 10.77.0.11.
pub(crate) fn member_address(node: &str) -> String {
    let number: u32 = node.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(1);
    format!("10.77.0.{}", 10 + number)
}

/// Returns a component's manifest, as short as it can be; `extra` are the lines of further flags.
pub(crate) fn manifest(node: &str, component: &str, image: &str, extra: &str) -> String {
    let address = member_address(node);
    let flags = match component {
        "kube-apiserver" => format!("    - --advertise-address={address}\n    - --secure-port=6443\n"),
        "etcd" => format!(
            "    - --advertise-client-urls=https://{address}:2379\n    - --data-dir={DATA}\n    - \
             --initial-advertise-peer-urls=https://{address}:2380\n    - --name={node}\n"
        ),
        _ => String::new(),
    };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  labels:\n    component: {component}\n    tier: control-plane\n  \
         name: {component}\n  namespace: kube-system\nspec:\n  containers:\n  - command:\n    - {component}\n{flags}{extra}    \
         image: {image}\n    name: {component}\n  hostNetwork: true\n  priorityClassName: system-node-critical\n"
    )
}

fn os_release(manager: Manager) -> &'static str {
    match manager {
        Manager::Apt => {
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n\
             VERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\nHOME_URL=\"https://www.debian.org/\"\n"
        }
        Manager::Dnf => {
            "NAME=\"Rocky Linux\"\nVERSION=\"9.5 (Blue Onyx)\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n\
             VERSION_ID=\"9.5\"\nPLATFORM_ID=\"platform:el9\"\nPRETTY_NAME=\"Rocky Linux 9.5 (Blue Onyx)\"\n"
        }
    }
}
