//! `kup new`: the first playbook is one that works.

use std::fs;

use crate::support::Kup;

#[test]
fn the_first_playbook_checks_plans_and_runs_as_it_stands() {
    let kup = Kup::new();
    kup.run("new").exits(0).prints("playbook.kup: written").says("next: kup plan playbook.kup --sim");
    let ran = kup.run("check playbook.kup --deny warnings").exits(0);
    assert_eq!(ran.stderr, "");
    kup.run("fmt --check playbook.kup").exits(0);
    kup.run("plan playbook.kup --sim").exits(0).prints("systemctl restart containerd");
    kup.run("run playbook.kup --sim --yes").exits(0);
    let text = fs::read_to_string(kup.path("playbook.kup")).unwrap();
    assert!(text.contains("kup plan playbook.kup --sim") && !text.contains("FILE"), "{text}");
}

#[test]
fn no_file_is_written_over() {
    let kup = Kup::new().with("my.kup", "# mine\n");
    kup.run("new my.kup").exits(2).says("there is a `my.kup` already").says("give another name");
    assert_eq!(fs::read_to_string(kup.path("my.kup")).unwrap(), "# mine\n");
    kup.run("new nowhere/my.kup").exits(2).says("cannot write `nowhere/my.kup`");
    let ran = kup.run_args(&["new", "a b.kup"]).exits(0);
    assert!(ran.stderr.contains("kup plan 'a b.kup' --sim"), "{}", ran.stderr);
    kup.run_args(&["check", "a b.kup"]).exits(0);
}
