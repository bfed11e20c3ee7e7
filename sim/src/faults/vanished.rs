//! F57: an autoscaler takes a node away in the moment in which it is first changed: the machine and its node are gone.

use super::{Entry, Kind, strike};
use crate::node::Node;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::Vanished,
    code: "F57",
    meaning: "an autoscaler takes a node away when it is first changed",
    symptom: "",
};

/// Returns whether it strikes now.
pub(crate) fn strikes(node: &mut Node) -> bool {
    strike(node, Kind::Vanished, 1)
}

#[cfg(test)]
mod tests {
    use engine::port::ShellError;

    use crate::node::stories::tell;

    #[test]
    fn the_machine_and_its_node_are_gone() {
        tell(&["F57@w1"], |s| async move {
            let lost = s.root("w1", "mkdir -p /run/kup").await.unwrap_err();
            assert!(matches!(lost, ShellError::Lost { .. }), "{lost}");
            let away = s.root("w1", "true").await.unwrap_err();
            assert!(matches!(away, ShellError::Unreachable { .. }), "{away}");
            assert!(s.world(|w| w.store.get("nodes", "", "w1").is_none()));
        });
    }
}
