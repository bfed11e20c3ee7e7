//! What a run is aimed at, from the command line: inputs, hosts, and a real or a simulated cluster.

use std::path::{Path, PathBuf};

use stdlib::hosts::{self, Host, Role};

use crate::args;
use crate::error::Error;
use crate::exit::Exit;
use crate::inputs::Inputs;
use crate::loader::{self, Unreadable};

/// What a run is aimed at.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The playbook.
    pub(crate) file: PathBuf,
    /// Where its libraries are.
    pub(crate) libraries: Vec<PathBuf>,
    /// The parameters that were given.
    pub(crate) inputs: Inputs,
    /// Where the nodes are.
    pub(crate) place: Place,
    /// The nodes that are left out.
    pub(crate) without: Vec<String>,
}

/// Where the nodes are.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A real cluster, real hosts, or both.
    Live {
        /// The hosts file, if one was given.
        hosts: Option<Vec<Host>>,
        /// Whether no cluster is asked, also where there is one.
        alone: bool,
    },
    /// A simulated cluster.
    Sim {
        /// What it is made of.
        shape: sim::Shape,
        /// What its chances are drawn from.
        seed: u64,
        /// What will go wrong.
        faults: Vec<sim::Fault>,
    },
}

impl Target {
    /// Reads the options of `plan` and `run`.
    pub(crate) fn parse(target: args::Target) -> Result<Target, Error> {
        let target = target.mended();
        let Some(file) = target.file else {
            return Err(Error::usage("no playbook was given")
                .hint("name one, e.g. `kup run std/kubeadm-minor --sim --set target=v1.34.4`"));
        };
        let place = match &target.sim {
            None => Place::Live {
                hosts: target.hosts.as_deref().map(read_hosts).transpose()?,
                alone: target.no_cluster,
            },
            Some(shape) => {
                let shape = read_shape(shape)?;
                let faults = target.fault.iter().map(|f| read_fault(f, &shape)).collect::<Result<_, _>>()?;
                Place::Sim { shape, seed: target.seed, faults }
            }
        };
        let inputs = Inputs::read(&target.set, &target.set_file, target.values.as_deref())?;
        Ok(Target { file, libraries: target.path, inputs, place, without: target.without })
    }

    /// Whether the cluster is simulated.
    pub(crate) fn is_simulated(&self) -> bool {
        match self.place {
            Place::Live { .. } => false,
            Place::Sim { .. } => true,
        }
    }
}

fn read_hosts(path: &Path) -> Result<Vec<Host>, Error> {
    let text = read_text(path, "hosts file")?;
    hosts::parse(&text).map_err(|e| Error::told_by(Exit::Usage, &format!("`{}`: {e}", path.display())))
}

/// Returns what a hosts file would say of a simulated cluster: where the members of an external etcd are.
pub(crate) fn simulated_hosts(shape: &sim::Shape) -> Vec<Host> {
    let host = |name: String| Host { ssh: name.clone(), name, roles: vec![Role::Etcd] };
    shape.etcd_services().into_iter().map(host).collect()
}

/// Reads the shape of a simulated cluster.
pub(crate) fn read_shape(text: &str) -> Result<sim::Shape, Error> {
    let shape = parse_shape(text)?;
    let nodes = shape.pools.iter().fold(shape.control_plane, |nodes, pool| nodes.saturating_add(pool.count));
    if nodes > MAX_NODES {
        return Err(Error::usage(format!("`--sim {text}`: {nodes} nodes are too many"))
            .hint(format!("a cluster has at most {MAX_NODES} nodes, a simulated one too")));
    }
    Ok(shape)
}

/// What Kubernetes itself is tested for.
const MAX_NODES: usize = 5000;

fn parse_shape(text: &str) -> Result<sim::Shape, Error> {
    if text.ends_with(".toml") {
        let content = read_text(Path::new(text), "shape file")?;
        return sim::Shape::from_toml(&content).map_err(|e| Error::usage(format!("`{text}`: {e}")));
    }
    sim::Shape::parse(text).map_err(|e| {
        Error::usage(format!("`--sim {text}`: {e}"))
            .hint(format!("a shape looks like `{}`, or is a .toml file", args::DEFAULT_SHAPE))
    })
}

/// Reads a fault of a simulated cluster.
pub(crate) fn read_fault(text: &str, shape: &sim::Shape) -> Result<sim::Fault, Error> {
    let fault = sim::Fault::parse(text).map_err(|e| {
        Error::usage(format!("`--fault {text}`: {e}")).hint("a fault looks like `F26@w2`: number and node")
    })?;
    let etcd = shape.external_etcd().map_or(0, |etcd| etcd.hosts);
    let kinds = [("cp", shape.control_plane), ("e", etcd)].into_iter();
    let kinds: Vec<_> = kinds.chain(shape.pools.iter().map(|p| (p.name.as_str(), p.count))).collect();
    let is_node = |(name, count): &(&str, usize)| {
        let number = fault.node.strip_prefix(name).and_then(|n| n.parse::<usize>().ok());
        number.is_some_and(|n| (1..=*count).contains(&n) && fault.node == format!("{name}{n}"))
    };
    if kinds.iter().any(is_node) {
        return Ok(fault);
    }
    let range = |(name, count): &(&str, usize)| match count {
        1 => format!("`{name}1`"),
        n => format!("`{name}1` to `{name}{n}`"),
    };
    let nodes: Vec<String> = kinds.iter().filter(|(_, n)| *n > 0).map(range).collect();
    Err(Error::usage(format!("`--fault {text}`: the cluster has no node `{}`", fault.node))
        .hint(format!("its nodes are {}", nodes.join(", "))))
}

fn read_text(path: &Path, kind: &str) -> Result<String, Error> {
    loader::read(path, kind).map_err(|Unreadable { message, hint }| Error::usage(message).hint(hint))
}
