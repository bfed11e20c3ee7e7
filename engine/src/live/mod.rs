//! The live side of the ports: a cluster by kubeconfig, nodes by the user's own ssh, this machine,
//! and its clock.

mod clock;
mod connect;
mod deadline;
mod local;
mod master;
mod powershell;
mod quote;
mod session;
mod ssh;
mod vault;
mod warm;
mod web;

use std::sync::Arc;

pub use clock::SystemClock;
pub use connect::{Cluster, Connect, ConnectError, connect};
pub use local::Local;
pub use ssh::{Ssh, SshOptions};
pub use vault::Here;
pub use web::Http;

use crate::port::{Ports, Web};

/// Puts the live ports together.
pub fn ports(kube: Option<kube::Client>, ssh: SshOptions) -> Ports {
    let web = Some(Arc::new(Http) as Arc<dyn Web>);
    Ports { kube, shells: Arc::new(Ssh::new(ssh)), clock: Arc::new(SystemClock::default()), web }
}
