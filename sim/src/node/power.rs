//! Power: a machine that goes away and, after a reboot, comes back: ssh after 8 s, the kubelet a
//! little later, its static pods after 20 s.

use std::time::Duration;

use super::COMPONENTS;
use crate::world::{Shared, World, lock};

const SSH_BACK: Duration = Duration::from_secs(8);
const KUBELET_BACK: Duration = Duration::from_secs(3);
const PODS_BACK: Duration = Duration::from_secs(9);

/// Takes a machine away: all its processes end, and what was in memory is lost.
pub fn power_off(world: &mut World, name: &str) {
    let Some(node) = world.nodes.get_mut(name) else { return };
    node.up = false;
    node.boots += 1;
    node.kubelet_active = false;
    node.units.clear();
    node.packages.locked_until = Duration::ZERO;
    node.reboot_wanted = false;
    node.files.remove("/run");
    node.files.remove("/var/run");
    node.files.remove("/tmp");
    for component in COMPONENTS {
        if let Some(pod) = world.static_pods.get_mut(&(name.to_string(), component.to_string())) {
            pod.up = false;
        }
    }
    world.etcd.set_up(name, false);
    world.machines_changed();
}

/// Reboots a machine.
pub fn reboot(shared: &Shared, name: &str) {
    let boot = {
        let mut world = lock(shared);
        power_off(&mut world, name);
        let Some(node) = world.nodes.get_mut(name) else { return };
        node.new_boot_id();
        node.boot_kernel();
        node.boots
    };
    let (shared, name) = (shared.clone(), name.to_string());
    tokio::spawn(async move {
        let still = |world: &World| world.nodes.get(&name).is_some_and(|n| n.boots == boot);
        tokio::time::sleep(SSH_BACK).await;
        {
            let mut world = lock(&shared);
            if !still(&world) {
                return;
            }
            if let Some(node) = world.nodes.get_mut(&name) {
                node.up = true;
            }
            world.machines_changed();
        }
        tokio::time::sleep(KUBELET_BACK).await;
        {
            let mut world = lock(&shared);
            if !still(&world) {
                return;
            }
            if world.nodes.get(&name).is_some_and(|n| n.serves_etcd()) {
                super::service::set(&mut world, &name, true);
            }
            if world.nodes.get(&name).is_some_and(|n| n.beside) {
                return;
            }
            super::kubelet::start(&mut world, &name);
        }
        tokio::time::sleep(PODS_BACK).await;
        let mut world = lock(&shared);
        if still(&world) {
            super::kubelet::run_static_pods(&mut world, &name);
        }
    });
}
