//! F58: the node has the key of the package repositories as it was before it was renewed: it has ended.

use super::{Entry, Kind};
use crate::node::Node;
use crate::node::keyring::{KEYRING, old};

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::OldKey,
    code: "F58",
    meaning: "the key by which apt knows the package repository has ended",
    symptom: "EXPKEYSIG",
};

/// Puts it into the keyring.
pub(super) fn strike(node: &mut Node) {
    node.files.write(KEYRING, old(), 0o644);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::stories::{UPDATE, tell};

    #[test]
    fn apt_complains_until_it_has_the_new_one() {
        tell(&["F58@w1"], |s| async move {
            s.does("cp1", UPDATE).await;
            s.fails("w1", UPDATE, 100, super::ENTRY.symptom).await;
            let helper = "/usr/lib/apt/apt-helper download-file http://pkgs.k8s.io/core:/stable:/v1.34/deb/Release.key /tmp/k";
            s.does("w1", helper).await;
            let key = s.on("w1").read("/tmp/k").await.unwrap().unwrap();
            assert!(key.starts_with(b"-----BEGIN PGP PUBLIC KEY BLOCK-----"));
            s.on("w1").write(KEYRING, b"", 0o644).await.unwrap();
            s.fails("w1", UPDATE, 100, "NO_PUBKEY").await;
            s.on("w1").write(KEYRING, &crate::node::keyring::fresh(), 0o644).await.unwrap();
            s.does("w1", UPDATE).await;
        });
    }
}
