//! The vocabulary of kup: half in kup text (`kup/*.kup`, embedded here), half in Rust (`actions/`).
//! A verb done in Rust is a `native task` header there and one action of the same name here.

use std::sync::Arc;

use engine::action::Actions;

pub mod hosts;
pub mod inventory;

pub mod access;
mod actions;
mod answer;
mod api;
mod census;
mod crictl;
mod etcd;
mod health;
mod release;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod testing;

/// The modules whose verbs are in scope without `use`.
pub const PRELUDE: &[&str] = &["std/run", "std/node"];

/// Returns every verb that is done in Rust, and who knows which nodes are still there.
pub fn actions() -> Actions {
    actions::all().with_census(Arc::new(census::Listed))
}

/// Returns the modules written in kup: the path that `use` names, and the text.
pub fn modules() -> &'static [(&'static str, &'static str)] {
    &[
        ("std/addon", include_str!("../kup/addon.kup")),
        ("std/aks", include_str!("../kup/aks.kup")),
        ("std/binaries", include_str!("../kup/binaries.kup")),
        ("std/eks", include_str!("../kup/eks.kup")),
        ("std/etcd", include_str!("../kup/etcd.kup")),
        ("std/gate", include_str!("../kup/gate.kup")),
        ("std/gke", include_str!("../kup/gke.kup")),
        ("std/k3s", include_str!("../kup/k3s.kup")),
        ("std/kubeadm", include_str!("../kup/kubeadm.kup")),
        ("std/node", include_str!("../kup/node.kup")),
        ("std/notify", include_str!("../kup/notify.kup")),
        ("std/os", include_str!("../kup/os.kup")),
        ("std/preflight", include_str!("../kup/preflight.kup")),
        ("std/reconfigure", include_str!("../kup/reconfigure.kup")),
        ("std/replace", include_str!("../kup/replace.kup")),
        ("std/rke2", include_str!("../kup/rke2.kup")),
        ("std/rollback", include_str!("../kup/rollback.kup")),
        ("std/run", include_str!("../kup/run.kup")),
        ("std/validate", include_str!("../kup/validate.kup")),
        ("std/windows", include_str!("../kup/windows.kup")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_modules_is_the_folder() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/kup");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| Some(format!("std/{}", name.strip_suffix(".kup")?)))
            .collect();
        files.sort();
        let table: Vec<&str> = modules().iter().map(|(path, _)| *path).collect();
        assert_eq!(table, files);
    }

    struct Shipped;

    impl dsl::source::Loader for Shipped {
        fn load(&self, path: &str) -> Result<String, dsl::source::LoadError> {
            let text = modules().iter().find(|(known, _)| *known == path).map(|(_, text)| text.to_string());
            text.ok_or(dsl::source::LoadError::NotFound)
        }

        fn script(&self, text: &str, names: &[&str]) -> Result<(), dsl::source::BadScript> {
            engine::hook::check(text, names)
        }
    }

    #[test]
    fn every_header_of_a_native_verb_has_its_action_and_every_action_its_header() {
        let mut headers: Vec<String> = Vec::new();
        for (path, _) in modules() {
            let (_, tasks, found) = dsl::module(path, &Shipped, PRELUDE);
            assert!(found.is_empty(), "{path}: {found:?}");
            // What a handler decides is the machine's work.
            let native = tasks.into_iter().filter(|task| {
                matches!(task.body, dsl::program::TaskBody::Native)
                    && task.header.effect != dsl::program::Effect::Decides
            });
            headers.extend(native.map(|task| task.name));
        }
        headers.sort();
        let all = actions();
        let mut names: Vec<&str> = all.names().collect();
        names.sort_unstable();
        assert_eq!(headers, names);
    }

    #[test]
    fn who_is_gone_by_plan_is_told_by_what_delete_node_ensures() {
        let (_, tasks, _) = dsl::module("std/replace", &Shipped, PRELUDE);
        let delete = tasks.iter().find(|task| task.name == "delete node").unwrap();
        assert!(delete.header.ensures.iter().any(|claim| claim.fact == census::DELETED));
    }

    #[test]
    fn every_table_of_facts_says_until_when_it_is_known() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/data");
        for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            // What a verb may do is kup's own matter, and no fact that grows old.
            if file.ends_with("access.toml") {
                continue;
            }
            let table: toml::Table = toml::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
            let day =
                table.get("known_until").and_then(toml::Value::as_str).map(str::parse::<jiff::civil::Date>);
            assert!(matches!(day, Some(Ok(_))), "{}: {day:?}", file.display());
        }
    }

    #[test]
    fn the_prelude_names_modules() {
        assert!(PRELUDE.iter().all(|path| modules().iter().any(|(known, _)| known == path)));
    }
}
