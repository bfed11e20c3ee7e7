//! F33: somebody asks the apiserver of this node for an API that goes with the next minor that takes one away.

use std::sync::LazyLock;

use serde::Deserialize;

use super::{Entry, Kind, armed};
use crate::node::Node;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::RemovedApi,
    code: "F33",
    meaning: "a client asks this apiserver for an API that a later minor does not serve",
    symptom: "apiserver_requested_deprecated_apis",
};

#[derive(Deserialize)]
struct Table {
    api: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    removed: String,
    version: String,
    kinds: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    resource: String,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    // The file is compiled in, and a test of stdlib reads it.
    toml::from_str(include_str!("../../../stdlib/data/removed_apis.toml"))
        .expect("removed_apis.toml is well formed")
});

/// Returns group, version, resource and the release of the removal, as the metric has them.
pub(crate) fn used(
    node: &mut Node,
    minor: u32,
) -> Option<(&'static str, &'static str, &'static str, &'static str)> {
    armed(node, Kind::RemovedApi)?.struck += 1;
    let later = |row: &&Row| {
        row.removed.strip_prefix("v1.").and_then(|m| m.parse().ok()).is_some_and(|m: u32| m > minor)
    };
    let row = TABLE.api.iter().find(later)?;
    let (group, version) = row.version.split_once('/').unwrap_or(("", &row.version));
    Some((group, version, row.kinds.first()?.resource.as_str(), row.removed.trim_start_matches('v')))
}

#[cfg(test)]
mod tests {
    use crate::node::stories::tell;

    #[test]
    fn its_apiserver_counts_the_request_and_the_others_do_not() {
        tell(&["F33@cp2"], |s| async move {
            let ask = "kubectl --kubeconfig=/etc/kubernetes/admin.conf get --raw=/metrics";
            let said = s.does("cp2", ask).await;
            assert!(
                said.contains(super::ENTRY.symptom) && said.contains("removed_release=\"1.34\""),
                "{said}"
            );
            assert!(!s.does("cp1", ask).await.contains(super::ENTRY.symptom));
        });
    }
}
