//! A running simulation: the machines that a shape asks for, and the tasks that move them.

use std::sync::{Arc, Mutex};

use engine::port::Ports;

use crate::clock::Clock;
use crate::faults::{self, Fault};
use crate::managed::Managed;
use crate::node::{self, Machines, Node, Release, Role, begin_services, first_static_pods, member_address};
use crate::shape::{Components, Packages, Shape, System};
use crate::world::{Shared, World, lock};
use crate::{api, content, controllers, kubelet};

/// A simulated cluster.
#[derive(Clone)]
pub struct Cluster {
    /// Its world, for those who look behind the ports.
    pub world: Shared,
}

/// Makes the runtime that a simulation needs: one thread, and a clock that leaps.
#[expect(clippy::expect_used, reason = "a process that cannot make a runtime can do nothing")]
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread can be made")
}

impl Cluster {
    /// Starts a cluster. Must be called inside [`runtime`]; the same shape, seed and faults give the
    /// same sequence of everything.
    pub fn start(shape: Shape, seed: u64, faults: Vec<Fault>) -> Cluster {
        let mut world = World::new(shape, seed, faults);
        let external = world.shape.external_etcd().cloned();
        // A provider has a control plane, too; the API only shows nothing of it.
        for index in 1..=world.shape.control_plane.max(1) {
            let (packages, version) = (world.shape.packages, world.shape.version.clone());
            let role = Role::ControlPlane { etcd: external.is_none() };
            let name = format!("cp{index}");
            add_machine(&mut world, name.clone(), role, packages, &version);
            if let Some(node) = world.nodes.get_mut(&name) {
                node.packages.updates = node::Packages::usual_updates(packages, index);
            }
        }
        for pool in world.shape.pools.clone() {
            let version = pool.version.clone().unwrap_or_else(|| world.shape.version.clone());
            let version = world.shape.managed.map_or(version.clone(), |provider| provider.version(&version));
            for index in 1..=pool.count {
                let name = format!("{}{index}", pool.name);
                add_machine(&mut world, name.clone(), Role::Worker, pool.packages, &version);
                let Some(node) = world.nodes.get_mut(&name) else { continue };
                node.packages.updates = match &pool.updates {
                    Some(names) => names.clone(),
                    None => node::Packages::usual_updates(pool.packages, index),
                };
                if pool.os == System::Windows {
                    node.run_windows(&version);
                }
                if pool.reboot_wanted {
                    node.want_reboot();
                }
            }
        }
        for (index, name) in world.shape.etcd_hosts().into_iter().enumerate() {
            let Some(etcd) = &external else { continue };
            let version = world.shape.version.clone();
            add_machine(&mut world, name.clone(), Role::Etcd, etcd.packages, &version);
            let release = Release::parse(&version).unwrap_or(Release::new(34, 0));
            let tag = etcd.version.as_deref().unwrap_or(release.etcd().trim_end_matches("-0"));
            world.etcd.join(&name, tag, format!("10.77.250.{}", 11 + index));
        }
        if world.shape.versionlock {
            let dnf = |node: &&mut Node| node.package_manager == Packages::Dnf;
            world.nodes.values_mut().filter(dnf).for_each(|node| node.packages.lock());
        }
        world.managed = world.shape.managed.map(|provider| Managed::new(&world, provider));
        begin_services(&mut world);
        kubelet::begin(&mut world);
        let controllers = content::fill(&mut world);
        world.first = world.store.image();
        faults::arm(&mut world);
        let world = Arc::new(Mutex::new(world));
        tokio::spawn(kubelet::observe(world.clone()));
        tokio::spawn(kubelet::follow(world.clone()));
        tokio::spawn(controllers::run(world.clone(), controllers));
        Cluster { world }
    }

    /// Returns all that a run needs to reach it.
    pub fn ports(&self) -> Ports {
        Ports {
            kube: Some(self.client()),
            shells: Arc::new(Machines::new(&self.world)),
            clock: Arc::new(self.clock()),
            web: None,
        }
    }

    /// Returns a client of its API.
    pub fn client(&self) -> kube::Client {
        api::client(&self.world)
    }

    /// Returns its clock.
    pub fn clock(&self) -> Clock {
        lock(&self.world).clock
    }

    /// Returns the names of the machines, control planes first, hosts of an external etcd last.
    pub fn node_names(&self) -> Vec<String> {
        lock(&self.world).nodes.keys().cloned().collect()
    }
}

fn add_machine(world: &mut World, name: String, role: Role, package_manager: Packages, version: &str) {
    let seed = world.random.bits();
    let mut node = Node::new(&name, role, package_manager, version, seed);
    if let Some(release) = world.shape.upgraded_from.as_deref().and_then(Release::parse) {
        node.was_upgraded(release);
    }
    if world.shape.components == Components::Systemd && !node.beside {
        node.build_by_hand(version);
    }
    if node.control_plane {
        let release = Release::parse(version).unwrap_or(Release::new(34, 0));
        if node.etcd {
            world.etcd.join(&name, release.etcd().trim_end_matches("-0"), member_address(&name));
        }
        world.static_pods.extend(first_static_pods(&node, release));
    }
    world.nodes.insert(name, node);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_machines() {
        runtime().block_on(async {
            let shape = Shape::parse("3+2@v1.33.4").unwrap();
            let one = Cluster::start(shape.clone(), 7, Vec::new());
            let two = Cluster::start(shape, 7, Vec::new());
            assert_eq!(one.node_names(), ["cp1", "cp2", "cp3", "w1", "w2"]);
            let ids =
                |c: &Cluster| lock(&c.world).nodes.values().map(|n| n.boot_id.clone()).collect::<Vec<_>>();
            assert_eq!(ids(&one), ids(&two));
        });
    }
}
