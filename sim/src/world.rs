//! Everything that is true in the box: the machines, their static pods, etcd, and what the API has
//! stored. Tasks share it behind one lock that is never held across an await.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indexmap::IndexMap;
use tokio::sync::watch;

use crate::api::{Image, Store};
use crate::clock::Clock;
use crate::etcd::Etcd;
use crate::faults::Fault;
use crate::helm::Releases;
use crate::kubelet::Heart;
use crate::managed::Managed;
use crate::node::{Files, Node};
use crate::random::Random;
use crate::shape::Shape;

/// The whole simulated world.
pub struct World {
    /// What it was made from.
    pub shape: Shape,
    /// What the API has stored.
    pub store: Store,
    /// The machines by name, control planes first.
    pub nodes: IndexMap<String, Node>,
    /// The static pods that run, by node and component (`etcd`, `kube-apiserver`, ...).
    pub static_pods: BTreeMap<(String, String), StaticPod>,
    /// The files of this machine: what is written and fetched here lasts as long as the world.
    pub here: Files,
    /// What a provider keeps of it, if it is one's.
    pub managed: Option<Managed>,
    /// The etcd cluster.
    pub etcd: Etcd,
    /// What the API had stored at the start.
    pub(crate) first: Image,
    /// What it had stored when a snapshot was saved, by revision.
    pub(crate) saved: BTreeMap<u64, Image>,
    /// What helm has installed.
    pub(crate) releases: Releases,
    /// The bootstrap tokens that somebody has made.
    pub(crate) tokens: Vec<String>,
    /// What the control plane's certificates were uploaded with last.
    pub(crate) certificate_key: Option<String>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Chance.
    pub random: Random,
    /// Time.
    pub clock: Clock,
    /// What the API's side knows of each kubelet.
    pub(crate) hearts: BTreeMap<String, Heart>,
    machines: watch::Sender<u64>,
}

/// A static pod as its container runtime sees it; its mirror pod in the API follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticPod {
    /// The image, such as `registry.k8s.io/kube-apiserver:v1.33.4`.
    pub image: String,
    /// The hash of its manifest, `kubernetes.io/config.hash`.
    pub hash: String,
    /// Whether its process runs and serves.
    pub up: bool,
    /// How often its container was restarted under this hash.
    pub restarts: u32,
    /// When its process began, since the start of the cluster.
    pub since: Duration,
}

/// The world as tasks share it. Never held across an await.
pub type Shared = Arc<Mutex<World>>;

/// Locks the world. A task that panicked has failed the whole simulation already, so its poison is ignored.
pub fn lock(shared: &Shared) -> MutexGuard<'_, World> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// Makes a world without machines.
    pub fn new(shape: Shape, seed: u64, faults: Vec<Fault>) -> World {
        let clock = Clock::start();
        World {
            shape,
            store: Store::new(clock, seed),
            nodes: IndexMap::new(),
            static_pods: BTreeMap::new(),
            here: Files::default(),
            managed: None,
            etcd: Etcd::default(),
            first: Image::default(),
            saved: BTreeMap::new(),
            releases: Releases::new(),
            tokens: Vec::new(),
            certificate_key: None,
            faults,
            random: Random::new(seed),
            clock,
            hearts: BTreeMap::new(),
            machines: watch::Sender::new(0),
        }
    }

    /// Returns the time since the start.
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Returns whether a component's process runs on a node.
    pub fn component_up(&self, node: &str, component: &str) -> bool {
        let machine = self.nodes.get(node).is_some_and(|n| n.up);
        let key = (node.to_string(), component.to_string());
        machine && self.static_pods.get(&key).is_some_and(|p| p.up)
    }

    /// Returns the nodes of the control plane: no other runs a component.
    pub fn control_plane(&self) -> impl Iterator<Item = &str> {
        self.nodes.values().take_while(|n| n.control_plane).map(|n| n.name.as_str())
    }

    /// Returns the first node, in the order of the cluster, on which a component runs.
    pub fn first_up(&self, component: &str) -> Option<&str> {
        self.control_plane().find(|node| self.component_up(node, component))
    }

    /// Returns whether the API can answer: an apiserver runs and etcd has a quorum.
    pub fn api_up(&self) -> bool {
        self.first_up("kube-apiserver").is_some() && self.etcd.quorum()
    }

    /// Lets the API have what etcd now holds, once other data than before have a quorum: those of a snapshot,
    /// or, of one that was saved elsewhere, those of the start.
    pub(crate) fn settle_etcd(&mut self) {
        let Some(data) = self.etcd.new_data() else { return };
        let image =
            data.revision.and_then(|revision| self.saved.get(&revision)).unwrap_or(&self.first).clone();
        self.store.restore(&image);
    }

    /// Wakes those who wait for machines, kubelets or static pods. To be called after every such change.
    pub fn machines_changed(&self) {
        self.machines.send_modify(|n| *n += 1);
    }

    /// Returns a channel that changes with the machines.
    pub fn watch_machines(&self) -> watch::Receiver<u64> {
        self.machines.subscribe()
    }
}
