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

#[test]
fn every_example_of_the_reference_is_sound() {
    let reference = include_str!("../../reference.md");
    let blocks: Vec<&str> =
        reference.split("```kup\n").skip(1).filter_map(|b| b.split("```").next()).collect();
    assert!(blocks.len() > 3);
    for block in blocks {
        assert_eq!(draw(&run(&[("example.kup", block)])), "ok\n", "{block}");
    }
}

#[test]
fn the_reference_names_all_types_facts_functions_and_laws() {
    let reference = include_str!("../../reference.md");
    let facts = crate::check::FACTS.iter().map(|(name, _)| *name);
    let all = crate::check::TYPES.into_iter().chain(crate::check::LAWS).chain(facts);
    let missing: Vec<_> = all.filter(|name| !reference.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(crate::check::FUNCTIONS.iter().all(|f| reference.contains(&format!("`{f}("))));
}
