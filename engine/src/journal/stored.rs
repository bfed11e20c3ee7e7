//! `plan.json`: the plan of a run with the inventory it was made of, version 1, so that a later kup
//! can finish what an older one began.

use std::path::PathBuf;

use dsl::value::Version;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::JournalError;
use super::format::{checked, digest, unseal};
use super::stored_plan::WirePlan;
use super::value::parse;
use crate::inventory::{Inventory, Node, PackageManager};
use crate::plan::Plan;

/// The version of `plan.json` that this kup writes.
const VERSION: u32 = 1;

/// What a run needs besides its journal.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The plan's digest, which the journal repeats.
    pub digest: String,
    /// The folder that relative paths of the playbook start from.
    pub folder: PathBuf,
    /// The plan.
    pub plan: Plan,
    /// The cluster as it was when the plan was made.
    pub inventory: Inventory,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    kup: String,
    v: u32,
    digest: String,
    folder: PathBuf,
    plan: WirePlan,
    inventory: WireInventory,
}

#[derive(Serialize, Deserialize)]
struct WireInventory {
    cluster: String,
    version: Option<String>,
    nodes: Vec<WireNode>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct WireNode {
    name: String,
    ssh: String,
    control_plane: bool,
    etcd: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    beside: bool,
    kubelet: Option<String>,
    apiserver: Option<String>,
    ready: bool,
    unschedulable: bool,
    labels: IndexMap<String, String>,
    taints: Vec<String>,
    gpu: u64,
    os: String,
    #[serde(default)]
    windows: bool,
    arch: String,
    kernel: String,
    runtime: String,
    #[serde(default)]
    cgroup: String,
    packages: Option<WirePackages>,
    machine_id: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WirePackages {
    Apt,
    Dnf,
}

impl Stored {
    /// Returns the content of `plan.json`.
    pub fn to_json(&self) -> Result<String, JournalError> {
        let wire = Wire {
            kup: "plan".to_string(),
            v: VERSION,
            digest: self.digest.clone(),
            folder: self.folder.clone(),
            plan: WirePlan::write(&self.plan),
            inventory: WireInventory::write(&self.inventory),
        };
        checked(&wire)
    }

    /// Reads the content of `plan.json`.
    pub fn from_json(text: &str) -> Result<Stored, JournalError> {
        let any: serde_json::Value = serde_json::from_str(text).map_err(JournalError::content)?;
        if any.get("kup").and_then(|k| k.as_str()) != Some("plan") {
            return Err(JournalError::Content("it is not a plan of kup".to_string()));
        }
        let version = any.get("v").and_then(serde_json::Value::as_u64).unwrap_or_default();
        if version != u64::from(VERSION) {
            return Err(JournalError::Version(version));
        }
        let sealed = unseal(text.trim_end(), "check").filter(|(body, check)| digest("", body) == *check);
        if sealed.is_none() {
            let reason = "it does not match its checksum; restore it from a copy, or begin a new run";
            return Err(JournalError::Content(reason.to_string()));
        }
        let wire: Wire = serde_json::from_value(any).map_err(JournalError::content)?;
        Ok(Stored {
            digest: wire.digest,
            folder: wire.folder,
            plan: wire.plan.read()?,
            inventory: wire.inventory.read()?,
        })
    }
}

impl WireInventory {
    fn write(inventory: &Inventory) -> WireInventory {
        let node = |n: &Node| WireNode {
            name: n.name.clone(),
            ssh: n.ssh.clone(),
            control_plane: n.control_plane,
            etcd: n.etcd,
            beside: n.beside,
            kubelet: n.kubelet.as_ref().map(Version::to_string),
            apiserver: n.apiserver.as_ref().map(Version::to_string),
            ready: n.ready,
            unschedulable: n.unschedulable,
            labels: n.labels.clone(),
            taints: n.taints.clone(),
            gpu: n.gpu,
            os: n.os.clone(),
            windows: n.windows,
            arch: n.arch.clone(),
            kernel: n.kernel.clone(),
            runtime: n.runtime.clone(),
            cgroup: n.cgroup.clone(),
            packages: n.packages.map(|p| match p {
                PackageManager::Apt => WirePackages::Apt,
                PackageManager::Dnf => WirePackages::Dnf,
            }),
            machine_id: n.machine_id.clone(),
        };
        WireInventory {
            cluster: inventory.cluster.clone(),
            version: inventory.version.as_ref().map(Version::to_string),
            nodes: inventory.nodes.values().map(node).collect(),
            left_out: inventory.left_out.clone(),
        }
    }

    fn read(self) -> Result<Inventory, JournalError> {
        let version = |text: Option<String>| text.map(|t| parse::<Version>(&t)).transpose();
        let mut nodes = IndexMap::new();
        for n in self.nodes {
            let node = Node {
                ssh: n.ssh,
                control_plane: n.control_plane,
                etcd: n.etcd,
                beside: n.beside,
                kubelet: version(n.kubelet)?,
                apiserver: version(n.apiserver)?,
                ready: n.ready,
                unschedulable: n.unschedulable,
                labels: n.labels,
                taints: n.taints,
                gpu: n.gpu,
                os: n.os,
                windows: n.windows,
                arch: n.arch,
                kernel: n.kernel,
                runtime: n.runtime,
                cgroup: n.cgroup,
                packages: n.packages.map(|p| match p {
                    WirePackages::Apt => PackageManager::Apt,
                    WirePackages::Dnf => PackageManager::Dnf,
                }),
                machine_id: n.machine_id,
                name: n.name.clone(),
            };
            nodes.insert(n.name, node);
        }
        Ok(Inventory {
            cluster: self.cluster,
            version: version(self.version)?,
            nodes,
            left_out: self.left_out,
            ..Inventory::default()
        })
    }
}
