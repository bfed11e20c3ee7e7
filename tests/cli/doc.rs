//! `kup doc`: what a verb does, for people, for programs, and as pages.

use crate::support::Kup;

#[test]
fn a_verb_is_shown_with_its_doc_and_its_header() {
    let ran = Kup::new().run("doc drain").exits(0);
    assert!(ran.stdout.starts_with("drain  std/node\n\n  Cordons the node, evicts"), "{}", ran.stdout);
    ran.prints("  disrupts node\n").prints("  undo     itself\n");
    Kup::new().run("doc kubeadm").exits(0).prints("kubeadm upgrade apply").prints("kubeadm upgrade node");
    Kup::new().run("doc drian").exits(2).says("did you mean `drain`?");
    Kup::new().run("doc").exits(0).prints("std/kubeadm-minor").prints("check version skew");
}

#[test]
fn all_of_it_is_there_for_programs() {
    let kup = Kup::new();
    let all = kup.run("doc --json").exits(0).json();
    let of = |kind: &str| all.iter().filter(|l| l["type"] == kind).count();
    assert!(
        of("verb") > 25 && of("playbook") > 7 && of("word") > 90,
        "{} {} {}",
        of("verb"),
        of("playbook"),
        of("word")
    );
    let drain = kup.run("doc drain --json").exits(0).json();
    assert_eq!(drain.len(), 1);
    assert_eq!(drain[0]["effect"], "disrupts node");
    assert_eq!(drain[0]["params"][0]["default"], "here");
    let playbook = kup.run("doc std/node-reboot --json").exits(0).json();
    assert_eq!(playbook[0]["params"][0]["doc"], "the nodes, by their names");
    assert!(kup.run("doc std/node --json").exits(0).json().len() > 8);
}

#[test]
fn pages_are_written_into_a_folder() {
    let kup = Kup::new();
    kup.run("doc --site out/pages").exits(0).says("open `index.html`");
    let page = |name: &str| std::fs::read_to_string(kup.path(&format!("out/pages/{name}"))).unwrap();
    assert!(page("index.html").contains("href=\"std-node.html#drain\""));
    assert!(page("std-node.html").contains("id=\"drain\""));
    assert!(page("language.html").contains("<h2 id=\"stages-and-blocks\">"));
    assert!(page("codes.html").contains("id=\"k0203\""));
    assert!(page("playbook-std-kubeadm-minor.html").contains("workers out of service at once"));
    // Again over the same files.
    kup.run("doc --site out/pages").exits(0);
    kup.with("file", "x").run("doc --site file").exits(2).says("cannot write `file`");
}
