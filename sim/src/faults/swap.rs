//! F53: somebody has turned swap on, which the kubelet sees when it is started the next time.

use super::{Entry, Kind};
use crate::node::{Node, SWAPS};

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::Swap,
    code: "F53",
    meaning: "swap is on, and the kubelet has not seen it yet",
    symptom: "",
};

/// Turns it on.
pub(super) fn strike(node: &mut Node) {
    let on = "/dev/sda2                               partition\t4194300\t\t0\t\t-2\n";
    node.files.write("/proc/swaps", format!("{SWAPS}{on}"), 0o444);
}

#[cfg(test)]
mod tests {
    use crate::node::stories::tell;

    #[test]
    fn the_kernel_tells_it() {
        tell(&["F53@w1"], |s| async move {
            assert_eq!(s.does("w1", "cat /proc/swaps").await.lines().count(), 2);
            assert_eq!(s.does("cp1", "cat /proc/swaps").await.lines().count(), 1);
        });
    }
}
