//! The ports of a run: a real cluster and real nodes, or simulated ones.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::live::{self, Connect, ConnectError, SshOptions};
use engine::port::Ports;
use engine::secret::Secrets;

use crate::args::Global;
use crate::chosen::chosen;
use crate::error::Error;
use crate::target::Place;

/// Makes the ports. For a simulated cluster this must be called inside of its runtime.
pub(crate) async fn open(global: &Global, place: &Place) -> Result<Ports, Error> {
    match place {
        Place::Sim { shape, seed, faults } => {
            Ok(sim::Cluster::start(shape.clone(), *seed, faults.clone()).ports())
        }
        Place::Live { alone: true, .. } => live(global, Need::Nothing).await,
        Place::Live { hosts: Some(_), .. } => live(global, Need::IfThere).await,
        Place::Live { hosts: None, .. } => live(global, Need::Answer).await,
    }
}

/// What a run needs of a real cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Its API must answer.
    Answer,
    /// Its API must answer if there is a kubeconfig.
    IfThere,
    /// It is known, and its API may be away: the run itself may have stopped it.
    Known,
    /// There is none.
    Nothing,
}

/// Makes the ports of a real cluster. With a hosts file there may be no cluster at all.
pub(crate) async fn live(global: &Global, need: Need) -> Result<Ports, Error> {
    // A session has a folder in memory, of nobody else, which ends with it.
    let sockets = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let ssh = SshOptions { config: global.ssh_config.clone(), sockets };
    if need == Need::Nothing {
        return Ok(live::ports(None, ssh));
    }
    let options = Connect { kubeconfig: global.kubeconfig.clone(), context: global.context.clone() };
    let asked_for = global.kubeconfig.is_some() || global.context.is_some();
    let kube = match live::connect(&options).await {
        Ok(cluster) => {
            match cluster.reach().await {
                Err(ConnectError::Unreachable { .. }) if need == Need::Known => {}
                reached => drop(reached.map_err(unusable)?),
            }
            Some(cluster.client)
        }
        Err(ConnectError::Missing(_)) if need == Need::IfThere && !asked_for => None,
        Err(e) => return Err(unusable(e)),
    };
    let ports = live::ports(kube, ssh);
    Ok(Ports {
        shells: chosen(ports.shells.clone(), global.kubeconfig.as_deref(), global.context.as_deref()),
        ..ports
    })
}

/// Returns the secrets of a playbook, which are read from where one is, also for a simulated cluster.
pub(crate) fn secrets(beside: &Path) -> Arc<Secrets> {
    Arc::new(Secrets::new(Arc::new(live::Here { folder: beside.to_path_buf() })))
}

fn unusable(e: ConnectError) -> Error {
    let error = Error::told_by(crate::exit::Exit::Environment, &e.to_string());
    match e {
        ConnectError::Missing(_) => error.hint("or try the playbook on a simulated cluster: add `--sim`"),
        ConnectError::Broken { .. }
        | ConnectError::NoContext(_)
        | ConnectError::NoContexts
        | ConnectError::UnknownContext { .. }
        | ConnectError::Unusable { .. }
        | ConnectError::Unreachable { .. } => error,
    }
}

/// Does what a verb does: with threads for a real cluster, with one thread and a leaping clock for a simulated one.
pub(crate) fn within<T>(simulated: bool, verb: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = match simulated {
        true => sim::runtime(),
        false => tokio::runtime::Runtime::new().map_err(|e| {
            Error::environment(format!("cannot start threads: {}", crate::loader::reason(&e)))
        })?,
    };
    let done = runtime.block_on(verb);
    // What it still holds ends with the process: to end each connection of a fleet before would only take time.
    std::mem::forget(runtime);
    done
}
