//! The finished playbooks, in the binary: `std/NAME` names one wherever a playbook is expected.

use std::path::Path;

use crate::loader::{Unreadable, nearest};

/// What begins the name of a playbook in the binary, as it does that of a module.
const STD: &str = "std/";

/// The playbooks by name.
const PLAYBOOKS: &[(&str, &str)] = &[
    ("aks", include_str!("../playbooks/aks.kup")),
    ("binaries", include_str!("../playbooks/binaries.kup")),
    ("certs-renew", include_str!("../playbooks/certs-renew.kup")),
    ("eks", include_str!("../playbooks/eks.kup")),
    ("etcd-backup", include_str!("../playbooks/etcd-backup.kup")),
    ("etcd-defrag", include_str!("../playbooks/etcd-defrag.kup")),
    ("etcd-move-leader", include_str!("../playbooks/etcd-move-leader.kup")),
    ("etcd-restore", include_str!("../playbooks/etcd-restore.kup")),
    ("gke", include_str!("../playbooks/gke.kup")),
    ("k3s", include_str!("../playbooks/k3s.kup")),
    ("kubeadm-config", include_str!("../playbooks/kubeadm-config.kup")),
    ("kubeadm-hops", include_str!("../playbooks/kubeadm-hops.kup")),
    ("kubeadm-minor", include_str!("../playbooks/kubeadm-minor.kup")),
    ("kubeadm-patch", include_str!("../playbooks/kubeadm-patch.kup")),
    ("node-reboot", include_str!("../playbooks/node-reboot.kup")),
    ("node-replace", include_str!("../playbooks/node-replace.kup")),
    ("os-patch", include_str!("../playbooks/os-patch.kup")),
    ("preflight", include_str!("../playbooks/preflight.kup")),
    ("rke2", include_str!("../playbooks/rke2.kup")),
    ("rollback-control-plane", include_str!("../playbooks/rollback-control-plane.kup")),
    ("rollback-worker", include_str!("../playbooks/rollback-worker.kup")),
    ("validate", include_str!("../playbooks/validate.kup")),
    ("windows-workers", include_str!("../playbooks/windows-workers.kup")),
    ("workers-only", include_str!("../playbooks/workers-only.kup")),
];

/// A playbook in the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shipped {
    /// Its name behind `std/`.
    pub(crate) name: &'static str,
    /// Its text.
    pub(crate) text: &'static str,
}

impl Shipped {
    /// Returns its path: named like a file, for a module may have the same name.
    pub(crate) fn path(&self) -> String {
        format!("{STD}{}.kup", self.name)
    }
}

/// Returns all of them by name.
pub(crate) fn all() -> impl Iterator<Item = Shipped> {
    PLAYBOOKS.iter().map(|(name, text)| Shipped { name, text })
}

/// Returns the playbook that has a path in the binary: `std/NAME.kup`.
pub(crate) fn of_the_binary(path: &str) -> Option<Shipped> {
    all().find(|playbook| playbook.path() == path)
}

/// Returns whether a path names a playbook in the binary: `std/NAME`, where a file would have its ending.
pub(crate) fn is_named(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.starts_with(STD) && !path.ends_with(".kup"))
}

/// Returns the playbook that a path names, if it names one in the binary.
pub(crate) fn find(path: &Path) -> Option<Result<Shipped, Unreadable>> {
    let wanted = path.to_str().filter(|_| is_named(path))?.strip_prefix(STD)?;
    let known = all().find(|playbook| playbook.name == wanted);
    Some(known.ok_or_else(|| {
        let hint = match nearest(wanted, all().map(|playbook| playbook.name.to_string())) {
            Some(name) => format!("did you mean `{STD}{name}`?"),
            None => "`kup doc` lists them all; a file of your own ends in `.kup`".to_string(),
        };
        Unreadable { message: format!("kup ships no playbook `{STD}{wanted}`"), hint }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_playbooks_is_the_folder() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| Some(name.strip_suffix(".kup")?.to_string()))
            .collect();
        files.sort();
        assert_eq!(all().map(|playbook| playbook.name).collect::<Vec<_>>(), files);
    }

    #[test]
    fn every_playbook_says_in_its_head_what_it_does_needs_and_changes_how_it_is_taken_back_and_how_to_run_it()
    {
        for playbook in all() {
            let head: Vec<&str> = playbook.text.lines().take_while(|line| line.starts_with('#')).collect();
            assert!(head[0].ends_with('.'), "{}", playbook.name);
            assert!(head.iter().any(|line| line.starts_with("#   kup run ")), "{}", playbook.name);
            let words: Vec<&str> =
                head.iter().flat_map(|line| line.split([' ', '`', ';', ':', ',', '.'])).collect();
            for part in [&["Needs"][..], &["Changes", "changes"], &["back", "rollback"]] {
                assert!(words.iter().any(|word| part.contains(word)), "{}: {part:?}", playbook.name);
            }
        }
    }
}
