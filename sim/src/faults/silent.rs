//! F56: a machine goes away for good in the moment in which it is first changed. Its node stays, and turns NotReady.

use super::{Entry, Kind, strike};
use crate::node::Node;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::Silent,
    code: "F56",
    meaning: "a machine goes away for good when it is first changed; its node stays",
    symptom: "",
};

/// Returns whether it strikes now.
pub(crate) fn strikes(node: &mut Node) -> bool {
    strike(node, Kind::Silent, 1)
}

#[cfg(test)]
mod tests {
    use engine::port::ShellError;

    use crate::node::stories::tell;

    #[test]
    fn the_machine_is_away_and_the_node_stays() {
        tell(&["F56@w1"], |s| async move {
            let lost = s.root("w1", "mkdir -p /run/kup").await.unwrap_err();
            assert!(matches!(lost, ShellError::Lost { .. }), "{lost}");
            let away = s.root("w1", "true").await.unwrap_err();
            assert!(matches!(away, ShellError::Unreachable { .. }), "{away}");
            assert!(s.world(|w| w.store.get("nodes", "", "w1").is_some()));
        });
    }
}
