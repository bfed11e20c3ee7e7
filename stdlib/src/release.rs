//! The dated table of Kubernetes' minor releases. It knows the past; what is newer than it is told
//! as unknown and never refused.

use std::sync::LazyLock;

use dsl::value::{Minor, Version};
use engine::hops::Roads;
use jiff::civil::Date;
use serde::{Deserialize, Deserializer};

/// A minor release.
#[derive(Debug, Deserialize)]
pub(crate) struct Release {
    /// Which.
    #[serde(deserialize_with = "minor")]
    pub(crate) minor: Minor,
    /// When its `.0` was released.
    #[cfg(test)]
    released: Date,
    /// When its support ends.
    pub(crate) eol: Date,
    /// The newest patch that was seen to be good.
    newest: u32,
    /// The tag of the etcd image that kubeadm runs with it.
    pub(crate) etcd: String,
}

/// The table.
#[derive(Debug, Deserialize)]
pub(crate) struct Table {
    /// The day on which it was last compared with its sources.
    pub(crate) known_until: Date,
    /// How many minors a kubelet may be older than an apiserver.
    kubelets_behind: u32,
    release: Vec<Release>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    // The file is compiled in, and a test reads it.
    toml::from_str(include_str!("../data/versions.toml")).expect("data/versions.toml is well formed")
});

impl Table {
    /// Returns the table.
    pub(crate) fn get() -> &'static Table {
        &TABLE
    }

    /// Returns where a cluster may stop on its way up.
    pub(crate) fn roads(&self) -> Roads {
        let stop = |release: &Release| {
            let Minor { major, minor } = release.minor;
            let (pre, vendor) = (String::new(), String::new());
            Version { major, minor, patch: release.newest, pre, vendor }
        };
        Roads { stops: self.release.iter().map(stop).collect(), behind: self.kubelets_behind }
    }

    /// Returns what is known of a minor release.
    pub(crate) fn of(&self, minor: Minor) -> Option<&Release> {
        self.release.iter().find(|release| release.minor == minor)
    }
}

impl Release {
    /// Returns the minor release of its etcd, e.g. `3.6`.
    pub(crate) fn etcd_minor(&self) -> &str {
        self.etcd.rsplit_once('.').map_or(self.etcd.as_str(), |(minor, _)| minor)
    }
}

/// How far a table of facts reaches that change with versions.
#[derive(Debug, Deserialize)]
pub(crate) struct Dated {
    /// The day on which it was last compared with its sources.
    pub(crate) known_until: Date,
    /// The newest minor that its sources spoke of then.
    #[serde(deserialize_with = "minor")]
    pub(crate) newest: Minor,
}

impl Dated {
    /// Tells that a target is newer than the table: what it knows may not be all.
    pub(crate) fn note(&self, what: &str, to: Minor) -> Option<String> {
        (to > self.newest).then(|| format!("kup's table of {what} ends before {to} ({})", self.known_until))
    }
}

/// Whether a fact of a table forbids an upgrade.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Weight {
    /// It does.
    Refuse,
    /// It is worth knowing.
    Note,
}

/// Returns the numbers that any release begins with: those of `v1.7.27~ds1` are 1, 7 and 27.
pub(crate) fn numbers(release: &str) -> Vec<u32> {
    let release = release.trim_start_matches('v');
    let head = release.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
    head.split('.').map_while(|number| number.parse().ok()).collect()
}

/// Reads a minor release such as `v1.34`.
pub(crate) fn minor<'de, D: Deserializer<'de>>(from: D) -> Result<Minor, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_minor_once_and_in_order() {
        let table = Table::get();
        let minors: Vec<u32> = table.release.iter().map(|release| release.minor.minor).collect();
        assert!(minors.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{minors:?}");
        for release in &table.release {
            assert!(release.released < release.eol, "{}", release.minor);
            assert!(release.released <= table.known_until, "{}", release.minor);
        }
    }

    #[test]
    fn etcd_jumps_where_the_sharp_edges_are() {
        let etcd = |minor: &str| Table::get().of(minor.parse().unwrap()).unwrap().etcd_minor();
        assert_eq!((etcd("v1.33"), etcd("v1.34"), etcd("v1.37")), ("3.5", "3.6", "3.7"));
    }
}
