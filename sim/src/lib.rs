//! A Kubernetes cluster in a box, on virtual time: an API server under a real `kube::Client`, nodes
//! with their shells, etcd members and faults. Start with [`runtime`], [`Shape`] and [`Cluster`].
//!
//! ```text
//!   kube::Client -> api (axum) ---.
//!                                  v
//!   Shell -> node (apt, kubeadm) -> World { store, nodes, etcd } <- controllers, kubelets (by the clock)
//! ```

mod cluster;
mod content;
mod controllers;
mod helm;
mod kubelet;
mod pod;
mod shape;

pub mod api;
pub mod clock;
pub mod etcd;
pub mod faults;
pub mod managed;
pub mod node;
pub mod random;
pub mod world;

pub use cluster::{Cluster, runtime};
pub use faults::Fault;
pub use shape::{
    Components, Distribution, EtcdHosts, EtcdPlace, Packages, Pool, Provider, Release, Shape, ShapeError,
    System,
};
