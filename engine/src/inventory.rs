//! The cluster as kup knows it: nodes, roles, versions. A snapshot; it does not change during a run.

use dsl::eval::Facts;
use dsl::program::Set;
use dsl::value::{Value, Version};
use indexmap::IndexMap;

/// What is known of a cluster, or of a bare list of hosts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// The UID of the namespace `kube-system`, which names a cluster for life; empty for hosts
    /// without a cluster.
    pub cluster: String,
    /// The lowest version of all apiservers, if there is a cluster.
    pub version: Option<Version>,
    /// The nodes by name, control planes first, each group in the order of their names.
    pub nodes: IndexMap<String, Node>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Its name in the API, or in the hosts file.
    pub name: String,
    /// What to give to ssh; the name unless the hosts file says otherwise.
    pub ssh: String,
    /// It runs an apiserver.
    pub control_plane: bool,
    /// It runs an etcd member.
    pub etcd: bool,
    /// The kubelet's version.
    pub kubelet: Option<Version>,
    /// The apiserver's version, on a control plane.
    pub apiserver: Option<Version>,
    /// Whether the API says Ready.
    pub ready: bool,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Labels.
    pub labels: IndexMap<String, String>,
    /// Taints as `key=value:Effect`.
    pub taints: Vec<String>,
    /// Allocatable GPUs of all vendors.
    pub gpu: u64,
    /// `status.nodeInfo.osImage`.
    pub os: String,
    /// `amd64`, `arm64`, ...
    pub arch: String,
    /// The kernel's release.
    pub kernel: String,
    /// `containerd://1.7.27`
    pub runtime: String,
    /// Who installs packages there, once the node has been asked.
    pub packages: Option<PackageManager>,
    /// `status.nodeInfo.machineID`: held against the host's own, so that no command ever runs on the wrong machine.
    pub machine_id: String,
}

/// A package manager that kup knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageManager {
    /// Debian, Ubuntu.
    Apt,
    /// Fedora, RHEL, Rocky, Alma, Amazon Linux 2023.
    Dnf,
}

impl Node {
    /// Returns the pool by the labels that the usual installers set; empty if there is none.
    pub fn pool(&self) -> &str {
        const LABELS: [&str; 6] = [
            "pool",
            "node.kubernetes.io/pool",
            "cloud.google.com/gke-nodepool",
            "eks.amazonaws.com/nodegroup",
            "kubernetes.azure.com/agentpool",
            "karpenter.sh/nodepool",
        ];
        LABELS.iter().find_map(|l| self.labels.get(*l)).map_or("", String::as_str)
    }
}

impl Facts for Inventory {
    fn set(&self, set: Set) -> Vec<String> {
        let of = |wanted: fn(&Node) -> bool| {
            self.nodes.values().filter(|n| wanted(n)).map(|n| n.name.clone()).collect()
        };
        match set {
            Set::Nodes => of(|_| true),
            Set::ControlPlane => of(|n| n.control_plane),
            Set::Workers => of(|n| !n.control_plane),
            Set::Etcd => of(|n| n.etcd),
        }
    }

    fn fact(&self, node: &str, fact: &str) -> Option<Value> {
        let n = self.nodes.get(node)?;
        let text = |s: &str| Value::Text(s.to_string());
        Some(match fact {
            "name" => text(&n.name),
            "control_plane" => Value::Bool(n.control_plane),
            "etcd" => Value::Bool(n.etcd),
            "worker" => Value::Bool(!n.control_plane),
            "gpu" => Value::Number(i64::try_from(n.gpu).unwrap_or(i64::MAX)),
            "zone" => text(n.labels.get("topology.kubernetes.io/zone").map_or("", String::as_str)),
            "pool" => text(n.pool()),
            "os" => text(&n.os),
            "arch" => text(&n.arch),
            "kernel" => text(&n.kernel),
            "runtime" => text(&n.runtime),
            "ready" => Value::Bool(n.ready),
            "kubelet" => Value::Version(n.kubelet.clone()?),
            "apiserver" => Value::Version(n.apiserver.clone()?),
            "package_manager" => text(match n.packages? {
                PackageManager::Apt => "apt",
                PackageManager::Dnf => "dnf",
            }),
            _ => return None,
        })
    }

    fn label(&self, node: &str, key: &str) -> Option<String> {
        self.nodes.get(node)?.labels.get(key).cloned()
    }
}
