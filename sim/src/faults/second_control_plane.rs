//! F16: while this control plane's etcd restarts, another control plane loses its power and stays away. Of
//! three members none but one is left for a while, and afterwards etcd has no member to spare.

use super::{Entry, Kind, strike};
use crate::node::power_off;
use crate::world::World;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::SecondControlPlane,
    code: "F16",
    meaning: "another control plane goes down for good while this one is upgraded",
    symptom: "timeout waiting for etcd cluster to be available",
};

/// Takes the last other control plane away, if the fault waits at this one.
pub(crate) fn strikes(world: &mut World, name: &str) {
    let Some(node) = world.nodes.get_mut(name) else { return };
    if !strike(node, Kind::SecondControlPlane, 1) {
        return;
    }
    let other = world.nodes.values().rfind(|n| n.control_plane && n.up && n.name != name);
    if let Some(other) = other.map(|n| n.name.clone()) {
        power_off(world, &other);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::node::stories::tell;

    #[test]
    fn quorum_is_lost_while_etcd_restarts_and_kubeadm_ends_badly() {
        tell(&["F16@cp1"], |s| async move {
            s.configure();
            s.new_kubeadm("cp1").await;
            let upgrade = "systemd-run --unit=kup-a -p StandardError=file:/run/kup/a.err -q -- kubeadm upgrade apply v1.34.4 --yes";
            s.does("cp1", upgrade).await;
            let mut lost = 0;
            while s.node("cp1", |n| n.units["kup-a"].state == crate::node::UnitState::Running) {
                tokio::time::sleep(Duration::from_secs(1)).await;
                lost += u32::from(s.world(|w| !w.etcd.quorum()));
            }
            assert!(lost > 4, "without a quorum for {lost} s");
            let said = s.does("cp1", "cat /run/kup/a.err").await;
            assert!(said.contains("fatal error rolling back local etcd cluster manifest"), "{said}");
            assert!(said.contains(super::ENTRY.symptom), "{said}");
            let away = s.root("cp3", "true").await.unwrap_err();
            assert!(away.to_string().contains("Connection timed out"), "{away}");
            let said =
                "[ERROR ControlPlaneNodesReady]: there are NotReady control-planes in the cluster: [cp3]";
            s.fails("cp1", "kubeadm upgrade apply v1.34.4 --yes", 2, said).await;
        });
    }
}
