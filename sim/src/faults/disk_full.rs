//! F14: the disk of this machine is nearly full.

use super::{Entry, Kind, armed};
use crate::node::Node;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::DiskFull,
    code: "F14",
    meaning: "the disk of the machine is nearly full",
    symptom: "",
};

/// Returns whether `df` tells so here.
pub(crate) fn strikes(node: &mut Node) -> bool {
    let Some(armed) = armed(node, Kind::DiskFull) else { return false };
    armed.struck += 1;
    true
}

#[cfg(test)]
mod tests {
    use crate::node::stories::tell;

    #[test]
    fn df_tells_it_on_this_machine_only() {
        tell(&["F14@w1"], |s| async move {
            assert!(s.does("w1", "df -PB1 /var/lib/kubelet").await.contains(" 3000000000 "));
            assert!(s.does("cp1", "df -PB1 /var/lib/kubelet").await.contains(" 80000000000 "));
        });
    }
}
