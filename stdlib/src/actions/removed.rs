//! The dated table of APIs that a minor release serves no more.

use std::sync::LazyLock;

use dsl::value::Minor;
use serde::Deserialize;

use crate::release::{Dated, minor};

/// The table.
#[derive(Deserialize)]
pub(super) struct Table {
    /// How far it reaches.
    #[serde(flatten)]
    pub(super) dated: Dated,
    /// The versions of APIs, the first that went first.
    pub(super) api: Vec<Removed>,
}

/// Kinds that are no longer served in one version of their API.
#[derive(Debug, Deserialize)]
pub(super) struct Removed {
    /// The first minor without them.
    #[serde(deserialize_with = "minor")]
    pub(super) removed: Minor,
    /// `policy/v1beta1`
    pub(super) version: String,
    /// Which.
    pub(super) kinds: Vec<Kind>,
    /// The version to use instead, if there is one.
    pub(super) instead: Option<String>,
}

/// A kind of object.
#[derive(Debug, Deserialize)]
pub(super) struct Kind {
    /// Its plural in paths.
    pub(super) resource: String,
    /// Its name in `kind`.
    pub(super) kind: String,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    // The file is compiled in, and a test reads it.
    toml::from_str(include_str!("../../data/removed_apis.toml"))
        .expect("data/removed_apis.toml is well formed")
});

/// Returns the table.
pub(super) fn table() -> &'static Table {
    &TABLE
}

/// Returns what an object of such a version and kind means for a target; `None` where it is still served.
pub(super) fn find(version: &str, kind: &str, to: Minor) -> Option<&'static Removed> {
    let gone = TABLE.api.iter().filter(|api| api.removed <= to && api.version == version);
    gone.into_iter().find(|api| api.kinds.iter().any(|known| known.kind == kind))
}

impl Removed {
    /// Tells what to do instead.
    pub(super) fn advice(&self) -> String {
        match &self.instead {
            Some(instead) => format!("gone since {}, use {instead}", self.removed),
            None => format!("gone since {} without a successor", self.removed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_names_each_version_of_a_kind_once() {
        assert!(TABLE.api.is_sorted_by_key(|api| api.removed));
        let mut all: Vec<(&str, &str)> = Vec::new();
        for api in &TABLE.api {
            assert!(api.removed <= TABLE.dated.newest, "{}", api.version);
            all.extend(api.kinds.iter().map(|kind| (api.version.as_str(), kind.kind.as_str())));
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn a_kind_is_gone_from_its_minor_on() {
        let gone = |to: &str| find("policy/v1beta1", "PodDisruptionBudget", to.parse().unwrap()).is_some();
        assert!(!gone("v1.24") && gone("v1.25") && gone("v1.34"));
        assert!(find("policy/v1", "PodDisruptionBudget", "v1.34".parse().unwrap()).is_none());
        let policy = find("policy/v1beta1", "PodSecurityPolicy", "v1.25".parse().unwrap()).unwrap();
        assert_eq!(policy.advice(), "gone since v1.25 without a successor");
    }
}
