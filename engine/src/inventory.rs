//! The cluster as kup knows it: nodes, roles, versions. A snapshot; it does not change during a run.

use dsl::eval::Facts;
use dsl::program::Set;
use dsl::value::{Value, Version};
use indexmap::IndexMap;

use crate::hops::{Hop, Roads};

/// What is known of a cluster, or of a bare list of hosts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// The UID of the namespace `kube-system`, which names a cluster for life; empty for hosts
    /// without a cluster.
    pub cluster: String,
    /// The lowest version of all apiservers, if there is a cluster.
    pub version: Option<Version>,
    /// Where the cluster may stop on its way up; not stored with a plan, which has its hops.
    pub roads: Roads,
    /// The nodes by name, control planes first, then hosts of etcd beside them, each group in the order of their names.
    pub nodes: IndexMap<String, Node>,
    /// Nodes of the cluster that somebody leaves out: the run asks and touches them as little as it would a stranger's.
    pub left_out: Vec<String>,
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
    /// It stands beside the cluster: a host of an external etcd, which the API does not know.
    pub beside: bool,
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
    /// Whether `status.nodeInfo.operatingSystem` is `windows`: no shell of POSIX, no packages, no systemd.
    pub windows: bool,
    /// `amd64`, `arm64`, ...
    pub arch: String,
    /// The kernel's release.
    pub kernel: String,
    /// `containerd://1.7.27`
    pub runtime: String,
    /// The version of control groups, `v1` or `v2`; empty until the node has been asked.
    pub cgroup: String,
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
    /// Returns what the node is for: `control_plane`, `etcd` without an apiserver, or `worker`.
    pub fn role(&self) -> &'static str {
        match (self.control_plane, self.etcd) {
            (true, _) => "control_plane",
            (false, true) => "etcd",
            (false, false) => "worker",
        }
    }

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
            Set::Nodes => of(|n| !n.beside),
            Set::ControlPlane => of(|n| n.control_plane),
            Set::Workers => of(|n| !n.control_plane && !n.beside),
            Set::Etcd => of(|n| n.etcd),
        }
    }

    fn fact(&self, node: &str, fact: &str) -> Option<Value> {
        let n = self.nodes.get(node)?;
        let text = |s: &str| Value::Text(s.to_string());
        Some(match fact {
            "name" => text(&n.name),
            "role" => Value::Word(n.role().to_string()),
            "control_plane" => Value::Bool(n.control_plane),
            "etcd" => Value::Bool(n.etcd),
            "stacked" => Value::Bool(n.control_plane && n.etcd),
            "worker" => Value::Bool(!n.control_plane && !n.beside),
            "taints" => Value::List(n.taints.iter().map(|taint| text(taint)).collect()),
            "gpu" => Value::Number(i64::try_from(n.gpu).unwrap_or(i64::MAX)),
            "zone" => text(n.labels.get("topology.kubernetes.io/zone").map_or("", String::as_str)),
            "pool" => text(n.pool()),
            "os" => text(&n.os),
            "windows" => Value::Bool(n.windows),
            "arch" => text(&n.arch),
            "kernel" => text(&n.kernel),
            "cgroup" if n.cgroup.is_empty() => return None,
            "cgroup" => Value::Word(n.cgroup.clone()),
            "runtime" => text(&n.runtime),
            "runtime_version" => Value::Version(n.runtime.split_once("://")?.1.parse().ok()?),
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

    fn hops(&self, to: &Version) -> Result<Vec<Value>, String> {
        let apiserver = self.version.as_ref().ok_or("the version of the apiserver is not known")?;
        let kubelet = self.nodes.values().filter_map(|node| node.kubelet.as_ref()).min();
        let hops = self.roads.hops(apiserver, kubelet, to)?;
        let last = hops.len().saturating_sub(1);
        let hop = |(i, hop): (usize, Hop)| {
            let fields = [
                ("version", Value::Version(hop.version)),
                ("kubelets", Value::Bool(hop.kubelets)),
                ("first", Value::Bool(i == 0)),
                ("last", Value::Bool(i == last)),
            ];
            Value::Record(fields.map(|(name, value)| (name.to_string(), value)).into_iter().collect())
        };
        Ok(hops.into_iter().enumerate().map(hop).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_node_is_a_fact_and_what_is_not_known_is_none() {
        let taints = vec!["nvidia.com/gpu=present:NoSchedule".to_string()];
        let known = Node {
            name: "cp1".to_string(),
            control_plane: true,
            etcd: true,
            taints,
            runtime: "containerd://1.7.27".to_string(),
            cgroup: "v2".to_string(),
            ..Node::default()
        };
        let unknown = Node { name: "e1".to_string(), etcd: true, ..Node::default() };
        let nodes = [known, unknown].map(|node| (node.name.clone(), node));
        let inventory = Inventory { nodes: nodes.into_iter().collect(), ..Inventory::default() };
        let fact = |node, fact| inventory.fact(node, fact).map_or("unknown".to_string(), |v| v.to_string());
        let both = |name| [fact("cp1", name), fact("e1", name)];
        assert_eq!(both("role"), ["control_plane", "etcd"]);
        assert_eq!(both("stacked"), ["true", "false"]);
        assert_eq!(both("taints"), ["nvidia.com/gpu=present:NoSchedule", ""]);
        assert_eq!(both("runtime_version"), ["v1.7.27", "unknown"]);
        assert_eq!(both("cgroup"), ["v2", "unknown"]);
    }

    #[test]
    fn a_host_of_etcd_beside_the_cluster_is_no_node_of_it() {
        let node = |name: &str, control_plane, etcd, beside| {
            (name.to_string(), Node { name: name.into(), control_plane, etcd, beside, ..Node::default() })
        };
        let nodes = [
            node("cp1", true, false, false),
            node("e1", false, true, true),
            node("w1", false, false, false),
            node("w2", false, true, false),
        ];
        let inventory = Inventory { nodes: nodes.into_iter().collect(), ..Inventory::default() };
        assert_eq!(inventory.set(Set::Nodes), ["cp1", "w1", "w2"]);
        assert_eq!(inventory.set(Set::Workers), ["w1", "w2"]);
        assert_eq!(inventory.set(Set::Etcd), ["e1", "w2"]);
        assert_eq!(inventory.fact("e1", "worker"), Some(Value::Bool(false)));
    }
}
