//! Which releases the package repositories offer, and what kubeadm of each brings along: the dated
//! table of the standard library, read as a file.

use std::fmt;
use std::sync::LazyLock;

use serde::Deserialize;

/// A release of Kubernetes 1.x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    /// `34` of `1.34.4`
    pub minor: u16,
    /// `4` of `1.34.4`
    pub patch: u16,
}

/// A minor of the table.
#[derive(Deserialize)]
struct Row {
    minor: String,
    newest: u16,
    etcd: String,
    etcd_late: Option<Late>,
    coredns: String,
}

/// From which patch on kubeadm sets up a newer etcd.
#[derive(Deserialize)]
struct Late {
    from: u16,
    tag: String,
}

#[derive(Deserialize)]
struct Table {
    release: Vec<Row>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    // The file is compiled in, and a test reads it.
    toml::from_str(include_str!("../../../stdlib/data/versions.toml")).expect("versions.toml is well formed")
});

/// Returns the row of a minor.
fn row(minor: u16) -> Option<&'static Row> {
    TABLE.release.iter().find(|row| row.minor.strip_prefix("v1.") == Some(&minor.to_string()))
}

/// Returns the row of a minor, or the nearest one: a cluster may be older or newer than the table.
fn nearest(minor: u16) -> &'static Row {
    let rows = &TABLE.release;
    row(minor).unwrap_or(if minor < 30 { &rows[0] } else { &rows[rows.len() - 1] })
}

impl Release {
    /// Makes `1.MINOR.PATCH`.
    pub const fn new(minor: u16, patch: u16) -> Release {
        Release { minor, patch }
    }

    /// Reads `1.34.4`, `v1.34.4` or `1.34.4-1.1`.
    pub fn parse(text: &str) -> Option<Release> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split(['-', '+']).next()?;
        let mut parts = text.split('.');
        let (major, minor, patch) = (parts.next()?, parts.next()?, parts.next()?);
        if major != "1" || parts.next().is_some() {
            return None;
        }
        Some(Release { minor: minor.parse().ok()?, patch: patch.parse().ok()? })
    }

    /// Returns the releases of a minor, the newest first; none if there is no such minor.
    pub fn all_of(minor: u16) -> Vec<Release> {
        row(minor).map_or_else(Vec::new, |row| {
            (0..=row.newest).rev().map(|patch| Release { minor, patch }).collect()
        })
    }

    /// Returns whether a repository offers it.
    pub fn exists(self) -> bool {
        row(self.minor).is_some_and(|row| self.patch <= row.newest)
    }

    /// Returns the version of the Debian package.
    pub fn deb(self) -> String {
        format!("{self}-1.1")
    }

    /// Returns version and release of the RPM package.
    pub fn rpm(self) -> String {
        format!("{self}-150500.1.1")
    }

    /// Returns the tag of the etcd image that kubeadm of this release sets up.
    pub fn etcd(self) -> &'static str {
        let row = nearest(self.minor);
        match &row.etcd_late {
            Some(late) if self.patch >= late.from => &late.tag,
            Some(_) | None => &row.etcd,
        }
    }

    /// Returns the tag of the CoreDNS image that kubeadm of this release sets up.
    pub fn coredns(self) -> &'static str {
        &nearest(self.minor).coredns
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}.{}", self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read_in_the_spellings_of_all_tools() {
        let wanted = Some(Release::new(34, 4));
        for text in ["1.34.4", "v1.34.4", "1.34.4-1.1", "1.34.4-150500.1.1"] {
            assert_eq!(Release::parse(text), wanted, "{text}");
        }
        for text in ["1.34", "2.34.4", "1.34.4.5", "1.34.x", ""] {
            assert_eq!(Release::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_minor_that_does_not_exist_offers_nothing() {
        assert!(Release::all_of(39).is_empty());
        assert_eq!(Release::all_of(33).first(), Some(&Release::new(33, 13)));
        assert!(!Release::new(34, 99).exists());
    }

    #[test]
    fn etcd_goes_to_3_6_with_kubernetes_1_34() {
        assert_eq!(Release::new(33, 13).etcd(), "3.5.24-0");
        assert_eq!(Release::new(34, 4).etcd(), "3.6.5-0");
    }
}
