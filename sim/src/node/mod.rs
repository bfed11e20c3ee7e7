//! A node as its own shell sees it: packages, files, the kubelet's unit.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use crate::shape::Packages;

/// A machine of the cluster.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name in the API and for ssh.
    pub name: String,
    /// Whether it runs the control plane's static pods.
    pub control_plane: bool,
    /// Whether it runs an etcd member.
    pub etcd: bool,
    /// Who installs packages.
    pub package_manager: Packages,
    /// Installed Kubernetes packages with their exact versions, such as `1.33.4-1.1`.
    pub packages: IndexMap<String, String>,
    /// Packages that are held.
    pub holds: BTreeSet<String>,
    /// The minor release that its package repository names, such as `v1.33`.
    pub repo_minor: String,
    /// The version of the kubelet process, such as `v1.33.4`; it changes when the kubelet is restarted.
    pub kubelet_running: String,
    /// Whether the kubelet's unit is active.
    pub kubelet_active: bool,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// Whether the machine runs and can be reached.
    pub up: bool,
    /// Files that matter.
    pub files: BTreeMap<String, Vec<u8>>,
}
