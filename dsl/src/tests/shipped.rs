//! What kup ships must be sound: modules, playbooks, and every example of the reference.

use super::{Files, PRELUDE, STD, draw, line, run};

#[test]
fn every_shipped_module_is_sound() {
    for (path, _) in STD {
        let (sources, tasks, found) = crate::module(path, &Files(&[]), &PRELUDE);
        let said: String = found.iter().map(|d| line(&sources, d)).collect();
        assert_eq!(said, "", "{path}");
        assert!(!tasks.is_empty(), "{path}");
        assert!(tasks.iter().all(|t| t.module == path && !t.doc.is_empty()), "{path}");
    }
}

#[test]
fn the_first_playbook_is_sound() {
    let text = include_str!("../../../playbooks/kubeadm-minor.kup");
    let checked = run(&[("playbooks/kubeadm-minor.kup", text)]);
    assert_eq!(draw(&checked), "ok\n");
}
