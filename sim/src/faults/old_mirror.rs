//! F03: the repository host is a mirror that has not got the new minor yet: 404 for every minor above
//! the one that the node runs.

use super::{Entry, Kind, armed};
use crate::node::{Node, Release};

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::OldMirror,
    code: "F03",
    meaning: "the node's package mirror has not got any newer minor: 404",
    symptom: "404  Not Found",
};

/// Returns whether the node's repository host has a minor.
pub(crate) fn has(node: &mut Node, minor: u16) -> bool {
    let running = Release::parse(&node.kubelet_running).map_or(0, |r| r.minor);
    let old = armed(node, Kind::OldMirror).is_some() && minor > running;
    !old && !Release::all_of(minor).is_empty()
}

#[cfg(test)]
mod tests {
    use crate::node::Repository;
    use crate::node::stories::{MAKECACHE, UPDATE, tell};
    use crate::shape::Packages;

    #[test]
    fn the_new_minor_is_404_and_the_old_one_is_there() {
        tell(&["F03@w1", "F03@d1"], |s| async move {
            s.does("w1", UPDATE).await;
            let (path, text) = Repository::file(Packages::Apt, 34);
            s.on("w1").write(path, text.as_bytes(), 0o644).await.unwrap();
            let output = s.root("w1", UPDATE).await.unwrap();
            assert_eq!(output.code, 100);
            assert!(output.stdout.contains(super::ENTRY.symptom), "{output:?}");
            let (path, text) = Repository::file(Packages::Dnf, 34);
            s.on("d1").write(path, text.as_bytes(), 0o644).await.unwrap();
            s.fails("d1", MAKECACHE, 1, "Status code: 404").await;
            s.switch("cp1", 34).await;
        });
    }
}
