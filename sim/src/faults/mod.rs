//! What goes wrong in a simulated cluster, by the codes of the fault catalogue. Each fault is one file:
//! what it means, when it strikes, and the words that the tools then say.

pub(crate) mod budget;
pub(crate) mod certificate_request;
pub(crate) mod clock_skew;
pub(crate) mod component_flag;
pub(crate) mod disk_full;
pub(crate) mod dpkg_lock;
pub(crate) mod gpu_driver;
pub(crate) mod image_pull;
pub(crate) mod kubelet_config;
pub(crate) mod kubelet_flag;
pub(crate) mod lost_connection;
pub(crate) mod old_addon;
pub(crate) mod old_key;
pub(crate) mod old_mirror;
pub(crate) mod pod_hash;
pub(crate) mod pod_image;
pub(crate) mod reboot;
pub(crate) mod removed_api;
pub(crate) mod removed_gate;
pub(crate) mod second_control_plane;
pub(crate) mod silent;
pub(crate) mod static_pod_file;
pub(crate) mod swap;
pub(crate) mod vanished;
pub(crate) mod webhook;

use std::fmt;
use std::time::Duration;

use crate::node::Node;
use crate::world::World;

/// A fault of the catalogue at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: Kind,
    /// The node it strikes.
    pub node: String,
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// F02
    DpkgLock,
    /// F03
    OldMirror,
    /// F10
    ImagePull,
    /// F11
    PodHash,
    /// F12
    StaticPodFile,
    /// F13
    ComponentFlag,
    /// F14
    DiskFull,
    /// F16
    SecondControlPlane,
    /// F23
    KubeletFlag,
    /// F26
    Budget,
    /// F32
    Webhook,
    /// F33
    RemovedApi,
    /// F37
    KubeletConfig,
    /// F39
    ClockSkew,
    /// F40
    LostConnection,
    /// F41
    Reboot,
    /// F43
    CertificateRequest,
    /// F44
    GpuDriver,
    /// F52
    PodImage,
    /// F53
    Swap,
    /// F54
    RemovedGate,
    /// F55
    OldAddon,
    /// F56
    Silent,
    /// F57
    Vanished,
    /// F58
    OldKey,
}

/// What is to be known of a kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The kind.
    pub kind: Kind,
    /// Its code in the catalogue.
    pub code: &'static str,
    /// What happens, in one line.
    pub meaning: &'static str,
    /// A stable piece of what the tools then say; empty if they say nothing.
    pub symptom: &'static str,
}

/// A fault that waits at a node for its moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Armed {
    /// What will go wrong.
    pub kind: Kind,
    /// How often it struck.
    pub struck: u32,
    /// When it struck first, since the start of the cluster.
    pub since: Option<Duration>,
}

const ALL: [Entry; 25] = [
    dpkg_lock::ENTRY,
    old_mirror::ENTRY,
    image_pull::ENTRY,
    pod_hash::ENTRY,
    static_pod_file::ENTRY,
    component_flag::ENTRY,
    disk_full::ENTRY,
    second_control_plane::ENTRY,
    kubelet_flag::ENTRY,
    budget::ENTRY,
    webhook::ENTRY,
    removed_api::ENTRY,
    kubelet_config::ENTRY,
    clock_skew::ENTRY,
    lost_connection::ENTRY,
    reboot::ENTRY,
    certificate_request::ENTRY,
    gpu_driver::ENTRY,
    pod_image::ENTRY,
    swap::ENTRY,
    removed_gate::ENTRY,
    old_addon::ENTRY,
    silent::ENTRY,
    vanished::ENTRY,
    old_key::ENTRY,
];

impl Fault {
    /// Reads `F26@w1`; the code may be written in lower case.
    pub fn parse(text: &str) -> Result<Fault, String> {
        let Some((code, node)) = text.split_once('@').filter(|(_, node)| !node.is_empty()) else {
            return Err(format!("`{text}` is not a fault: write it like `F26@w1`"));
        };
        match ALL.iter().find(|e| e.code.eq_ignore_ascii_case(code)) {
            Some(entry) => Ok(Fault { kind: entry.kind, node: node.to_string() }),
            None => {
                let known: String = ALL.iter().map(|e| format!("\n  {}  {}", e.code, e.meaning)).collect();
                Err(format!("no fault `{code}`; there are{known}"))
            }
        }
    }

    /// Returns all kinds of fault, by code.
    pub fn all() -> &'static [Entry] {
        &ALL
    }

    /// Returns what is to be known of its kind.
    pub fn entry(&self) -> &'static Entry {
        self.kind.entry()
    }
}

impl Kind {
    /// Returns what is to be known of it.
    pub fn entry(self) -> &'static Entry {
        match self {
            Kind::DpkgLock => &dpkg_lock::ENTRY,
            Kind::OldMirror => &old_mirror::ENTRY,
            Kind::ImagePull => &image_pull::ENTRY,
            Kind::PodHash => &pod_hash::ENTRY,
            Kind::StaticPodFile => &static_pod_file::ENTRY,
            Kind::ComponentFlag => &component_flag::ENTRY,
            Kind::DiskFull => &disk_full::ENTRY,
            Kind::SecondControlPlane => &second_control_plane::ENTRY,
            Kind::KubeletFlag => &kubelet_flag::ENTRY,
            Kind::Budget => &budget::ENTRY,
            Kind::Webhook => &webhook::ENTRY,
            Kind::RemovedApi => &removed_api::ENTRY,
            Kind::KubeletConfig => &kubelet_config::ENTRY,
            Kind::ClockSkew => &clock_skew::ENTRY,
            Kind::LostConnection => &lost_connection::ENTRY,
            Kind::Reboot => &reboot::ENTRY,
            Kind::CertificateRequest => &certificate_request::ENTRY,
            Kind::GpuDriver => &gpu_driver::ENTRY,
            Kind::PodImage => &pod_image::ENTRY,
            Kind::Swap => &swap::ENTRY,
            Kind::RemovedGate => &removed_gate::ENTRY,
            Kind::OldAddon => &old_addon::ENTRY,
            Kind::Silent => &silent::ENTRY,
            Kind::Vanished => &vanished::ENTRY,
            Kind::OldKey => &old_key::ENTRY,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.entry().code, self.node)
    }
}

/// Lays the world's faults down at their nodes; to be called once, when all objects are there. A fault
/// of a node that is not there waits for ever.
pub(crate) fn arm(world: &mut World) {
    for fault in world.faults.clone() {
        let Some(node) = world.nodes.get_mut(&fault.node) else { continue };
        node.armed.push(Armed { kind: fault.kind, struck: 0, since: None });
        match fault.kind {
            Kind::StaticPodFile => static_pod_file::strike(node),
            Kind::Swap => swap::strike(node),
            Kind::OldKey => old_key::strike(node),
            Kind::RemovedGate => removed_gate::strike(node),
            Kind::Budget => budget::strike(world, &fault.node),
            Kind::Webhook => webhook::strike(world, &fault.node),
            Kind::CertificateRequest => certificate_request::strike(world, &fault.node),
            Kind::OldAddon => old_addon::strike(world),
            Kind::DpkgLock
            | Kind::OldMirror
            | Kind::ImagePull
            | Kind::PodHash
            | Kind::ComponentFlag
            | Kind::DiskFull
            | Kind::SecondControlPlane
            | Kind::KubeletFlag
            | Kind::RemovedApi
            | Kind::KubeletConfig
            | Kind::ClockSkew
            | Kind::LostConnection
            | Kind::Reboot
            | Kind::GpuDriver
            | Kind::PodImage
            | Kind::Silent
            | Kind::Vanished => {}
        }
    }
}

/// Returns a fault that waits at a node.
fn armed(node: &mut Node, kind: Kind) -> Option<&mut Armed> {
    node.armed.iter_mut().find(|a| a.kind == kind)
}

/// Strikes if a fault waits at the node and has struck fewer than `times`.
fn strike(node: &mut Node, kind: Kind, times: u32) -> bool {
    match armed(node, kind) {
        Some(armed) if armed.struck < times => {
            armed.struck += 1;
            true
        }
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_in_any_case() {
        let fault = Fault { kind: Kind::Budget, node: "w1".to_string() };
        assert_eq!(Fault::parse("F26@w1"), Ok(fault.clone()));
        assert_eq!(Fault::parse("f26@w1"), Ok(fault.clone()));
        assert_eq!(fault.to_string(), "F26@w1");
        assert!(Fault::parse("F26").unwrap_err().contains("write it like `F26@w1`"));
    }

    #[test]
    fn an_unknown_fault_lists_those_that_there_are() {
        let said = Fault::parse("F99@w1").unwrap_err();
        for entry in Fault::all() {
            assert!(said.contains(&format!("\n  {}  {}", entry.code, entry.meaning)), "{said}");
            assert_eq!(entry.kind.entry(), entry);
        }
        assert!(Fault::all().is_sorted_by_key(|e| e.code));
    }
}
