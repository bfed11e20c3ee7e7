//! F41: the node reboots in the middle of its kubeadm step, or of the upgrade of its operating system: its unit
//! is gone, its boot id is another.

use super::{Entry, Kind, strike};
use crate::node::Node;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::Reboot,
    code: "F41",
    meaning: "the node reboots in the middle of its kubeadm step, or of its operating system's upgrade; once",
    symptom: "",
};

/// Returns whether the node reboots now.
pub(crate) fn strikes(node: &mut Node) -> bool {
    strike(node, Kind::Reboot, 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use engine::port::ShellError;

    use crate::node::stories::tell;

    #[test]
    fn the_unit_is_gone_with_the_boot_and_the_step_can_be_done_again() {
        tell(&["F41@w1"], |s| async move {
            s.configure();
            let boot = s.does("w1", "cat /proc/sys/kernel/random/boot_id").await;
            s.does("w1", "systemd-run --unit=kup-a -p RemainAfterExit=yes -q -- kubeadm upgrade node").await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            let away = s.root("w1", "true").await.unwrap_err();
            assert!(matches!(away, ShellError::Unreachable { .. }), "{away}");
            assert_ne!(s.does("w1", "cat /proc/sys/kernel/random/boot_id").await, boot);
            let state = s.does("w1", "systemctl show kup-a.service -p LoadState,ActiveState").await;
            assert_eq!(state, "LoadState=not-found\nActiveState=inactive\n");
            s.does("w1", "kubeadm upgrade node").await;
        });
    }

    #[test]
    fn a_control_plane_comes_back_with_its_static_pods() {
        tell(&["F41@cp1"], |s| async move {
            s.configure();
            s.new_kubeadm("cp1").await;
            let lost = s.root("cp1", "kubeadm upgrade apply v1.34.4 --yes").await.unwrap_err();
            assert!(matches!(lost, ShellError::Lost { .. }), "{lost}");
            assert!(s.world(|w| !w.etcd.is_up("cp1") && w.etcd.quorum()));
            tokio::time::sleep(Duration::from_secs(21)).await;
            s.world(|w| {
                assert!(w.component_up("cp1", "kube-apiserver") && w.etcd.is_up("cp1"));
                // etcd's manifest had been replaced before.
                assert_eq!(w.etcd.members["cp1"].version, "3.6.5");
            });
            s.does("cp1", "kubeadm upgrade apply v1.34.4 --yes").await;
        });
    }
}
