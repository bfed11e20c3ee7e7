//! F23: the kubelet of another minor does not know a flag of this node and ends at once, until the
//! package of the old one is back.

use super::{Entry, Kind, armed};
use crate::node::{Node, Release};

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::KubeletFlag,
    code: "F23",
    meaning: "the kubelet of a new minor ends with an unknown flag",
    symptom: "unknown flag",
};

/// Returns why the installed kubelet cannot start.
pub(crate) fn strikes(node: &mut Node) -> Option<String> {
    armed(node, Kind::KubeletFlag)?;
    let old = Release::parse(&node.kubelet_running)?;
    let new = node.packages.version("kubelet").or_else(|| Release::parse(&node.binary_version()?))?;
    (new.minor != old.minor).then(|| {
        "\"command failed\" err=\"failed to parse kubelet flag: unknown flag: --pod-infra-container-image\"".to_string()
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::node::stories::{INSTALL, tell};

    #[test]
    fn the_new_kubelet_loops_until_the_old_one_is_back() {
        tell(&["F23@w1"], |s| async move {
            s.switch("w1", 34).await;
            s.does("w1", &format!("{INSTALL} --allow-change-held-packages kubelet=1.34.4-1.1")).await;
            s.does("w1", "systemctl restart kubelet").await;
            tokio::time::sleep(Duration::from_secs(25)).await;
            let output = s.root("w1", "systemctl is-active kubelet").await.unwrap();
            assert_eq!((output.code, output.stdout.as_str()), (3, "activating\n"));
            let state =
                s.does("w1", "systemctl show kubelet -p ActiveState,SubState,NRestarts,ExecMainStatus").await;
            assert_eq!(
                state,
                "NRestarts=2\nExecMainStatus=1\nActiveState=activating\nSubState=auto-restart\n"
            );
            let journal = s.does("w1", "journalctl -u kubelet -n 40 --no-pager -o cat").await;
            assert!(journal.contains(super::ENTRY.symptom), "{journal}");
            s.switch("w1", 33).await;
            s.does("w1", &format!("{INSTALL} --allow-downgrades kubelet=1.33.13-1.1")).await;
            s.does("w1", "systemctl restart kubelet").await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(s.does("w1", "systemctl is-active kubelet").await, "active\n");
        });
    }
}
