//! A verb that is added to a module never changes silently what a playbook means: the plan stays the
//! same, or the step that has two readings now is an error which names both.

use std::collections::BTreeSet;

use dsl::Checked;
use dsl::source::{LoadError, Loader};

use super::inventory;
use super::playbook::Folders;

const BOOK: &str = r#"use std/preflight, std/etcd, std/kubeadm, std/validate
playbook "Many steps"
param target: version = v1.34.2
stage a {
  check nodes ready
  check upgrade to=target
  etcd snapshot into="./snapshots"
}
stage b {
  each node in control_plane {
    package repository minor=target
    install kubeadm version=target
    kubeadm upgrade apply to=target
    kubeadm upgrade node
    drain node emptydir=refuse
    install kubelet, kubectl version=target
    restart kubelet
    wait healthy
    wait healthy control_plane
    uncordon node
  }
  each node in workers {
    upgrade worker to=target
    reboot drained node always=true
    cordon node
    run command "hostname" unless="true"
    uncordon
  }
}
stage c { validate cluster to=target }
"#;

/// The repository's folders, with more text behind the module `std/kubeadm`.
struct With<'t>(&'t str);

impl Loader for With<'_> {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        match path {
            "book.kup" => Ok(BOOK.to_string()),
            "std/kubeadm" => Ok(Folders.load(path)? + self.0),
            path => Folders.load(path),
        }
    }
}

fn checked(more: &str) -> Checked {
    dsl::check("book.kup", &With(more), &["std/node", "std/run"])
}

fn plan(checked: &Checked) -> Option<String> {
    let program = checked.program.as_ref()?;
    let values = ["v1.34.2".parse().map(dsl::value::Value::Version).ok()?];
    let inventory = inventory(2, 2);
    let plan = crate::plan::build(program, &inventory, &values).ok()?;
    Some(crate::plan::show(&plan, &inventory))
}

/// Returns verbs that are longer than those of the book, by the words behind them and by others.
fn longer() -> BTreeSet<String> {
    let mut longer = BTreeSet::new();
    for line in BOOK.lines().map(str::trim) {
        let words: Vec<&str> = line.split(' ').take_while(|word| !word.contains(['=', '"', ','])).collect();
        let is_step = !matches!(words[0], "use" | "playbook" | "param" | "stage" | "each" | "}");
        for n in 1..=if is_step { words.len() } else { 0 } {
            let name = words[..n].join(" ");
            let params = ["()", "(node: node = here)", "(; to: version = v1.34.2)"];
            longer.extend(params.map(|params| format!("{name} {params}")));
            for (i, behind) in ["slowly", "node", "control_plane", "again now", "cluster"].iter().enumerate()
            {
                longer.insert(format!("{name} {behind} {}", params[i % params.len()]));
            }
        }
    }
    longer
}

#[test]
fn a_longer_verb_leaves_the_plan_as_it_was_or_is_an_error_that_names_both() {
    let before = plan(&checked("")).expect("the book is sound");
    let (mut same, mut told) = (0, 0);
    for head in longer() {
        let text = format!("\ntask {head} {{ run command \"true\" on=local }}\n");
        let checked = checked(&text);
        match plan(&checked) {
            Some(plan) => {
                assert_eq!(plan, before, "{head}");
                same += 1;
            }
            None => {
                let name = head.split(" (").next().unwrap_or_default();
                let named = |d: &dsl::diagnostic::Diagnostic| {
                    let twice =
                        d.code == "K0212" && d.message.contains(&format!("`{name}` of `std/kubeadm`"));
                    // The same words twice in one module are one mistake there.
                    twice || d.message.contains(&format!("`{name}`")) && d.message.contains("twice")
                };
                assert!(checked.diagnostics.iter().any(named), "{head}: {:#?}", checked.diagnostics);
                told += 1;
            }
        }
    }
    assert!(same + told >= 200 && told >= 10, "{same} leave the plan as it was, {told} are told");
}
