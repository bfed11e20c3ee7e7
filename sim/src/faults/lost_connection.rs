//! F40: the ssh connection breaks in the middle of whatever changes the node first for longer than a second, or
//! begins something that goes on there. The node carries on: nobody knows how it ends.

use super::{Entry, Kind, armed, strike};
use crate::node::Node;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::LostConnection,
    code: "F40",
    meaning: "the ssh connection breaks in the middle of a command, which goes on; once",
    symptom: "",
};

/// Returns whether the next connection that changes something for long, or begins to, will break.
pub(crate) fn waits(node: &mut Node) -> bool {
    armed(node, Kind::LostConnection).is_some_and(|a| a.struck == 0)
}

/// Notes that a connection broke.
pub(crate) fn struck(node: &mut Node) {
    strike(node, Kind::LostConnection, 1);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use engine::port::ShellError;

    use crate::node::stories::{INSTALL, tell};

    #[test]
    fn the_connection_breaks_and_the_node_carries_on() {
        tell(&["F40@w1"], |s| async move {
            s.does("w1", "mkdir -p /run/kup").await;
            let install =
                format!("{INSTALL} --allow-downgrades --allow-change-held-packages kubeadm=1.33.12-1.1");
            let lost = s.root("w1", &install).await.unwrap_err();
            assert!(matches!(&lost, ShellError::Lost { machine, .. } if machine == "w1"), "{lost}");
            assert_eq!(s.does("w1", "kubeadm version -o short").await, "v1.33.13\n");
            // The second one waits for the lock that the first one holds, and finds its work done.
            let said = s.does("w1", &install).await;
            assert!(
                said.contains("held by process 5151 (apt-get)")
                    && said.contains("already the newest version"),
                "{said}"
            );
            tokio::time::sleep(Duration::from_secs(10)).await;
            assert_eq!(s.does("w1", "kubeadm version -o short").await, "v1.33.12\n");
        });
    }
}
