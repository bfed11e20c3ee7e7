//! `kup rbac FILE`: the least rights in the cluster and on the nodes that a playbook needs, as manifests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stdlib::access::{Access, Right, access};

use super::explain;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::printable::{one_line, shell_word};
use crate::text;

/// Prints what a playbook needs.
pub(crate) fn rbac(console: Console, file: &Path, libraries: &[PathBuf], user: &str) -> Result<Exit, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-@:".contains(c);
    if user.is_empty() || !user.chars().all(plain) {
        return Err(Error::usage(format!("`{}` is not the name of a user", one_line(user)))
            .hint("a name has letters, digits and any of `._-@:`"));
    }
    let checked = text::read(file, libraries)?;
    if let Some((_, _, drawn)) = text::findings(&checked) {
        console.alarm(&drawn);
        text::first(&checked.diagnostics).inspect(|code| console.say(&explain::way(code)));
    }
    let Some(program) = checked.program else {
        return Err(Error { exit: Exit::Usage, message: String::new(), hints: Vec::new() });
    };
    let access = access(program.verbs());
    console.result(&manifests(&one_line(&file.display().to_string()), &access, user));
    access.notes.iter().for_each(|note| console.say(&format!("note: {note}")));
    if program.tasks.iter().any(|task| matches!(task.body, dsl::program::TaskBody::Script(_))) {
        console.say("note: what scripts of the playbook read from the cluster is not in it");
    }
    Ok(Exit::Done)
}

/// Writes the roles, their bindings, and in comments what the nodes must allow.
fn manifests(file: &str, access: &Access, user: &str) -> String {
    let mut by_namespace: BTreeMap<Option<&str>, Vec<&Right>> = BTreeMap::new();
    for right in &access.api {
        by_namespace.entry(right.namespace.as_deref()).or_default().push(right);
    }
    let mut text = format!("# What `kup run {}` needs in the cluster, and no more.\n", shell_word(file));
    for (namespace, rights) in by_namespace {
        let (kind, within) = match namespace {
            Some(namespace) => ("Role", format!("\n  namespace: {namespace}")),
            None => ("ClusterRole", String::new()),
        };
        text.push_str(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: kup{within}\nrules:\n"
        ));
        let mut rules: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for right in rights {
            rules.entry((&right.group, &right.resource)).or_default().push(&right.verb);
        }
        for ((group, resource), verbs) in rules {
            text.push_str(&format!(
                "- apiGroups: [\"{group}\"]\n  resources: [\"{resource}\"]\n  verbs: [{}]\n",
                verbs.join(", ")
            ));
        }
        text.push_str(&format!(
            "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}Binding\nmetadata:\n  name: kup{within}\n\
             roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: {kind}\n  name: kup\nsubjects:\n\
             - apiGroup: rbac.authorization.k8s.io\n  kind: User\n  name: \"{user}\"\n---\n"
        ));
    }
    let programs: Vec<&str> = access.root.iter().map(String::as_str).collect();
    text.push_str(&format!(
        "# On the nodes, where kup's login is not root, in /etc/sudoers.d/kup:\n#   {user} ALL=(root) NOPASSWD: ALL\n\
         # As root it runs {}; with `sh` among them, a shorter list would be no limit.",
        programs.join(", ")
    ));
    text
}
