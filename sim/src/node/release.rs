//! Which releases the package repositories offer, and what kubeadm of each brings along.
//! The patches are those last seen of each minor in November 2026 (kubernetes.io/releases); where
//! that page names none any more (1.34), the newest that the simulation was compared with.

use std::fmt;

/// A release of Kubernetes 1.x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    /// `34` of `1.34.4`
    pub minor: u16,
    /// `4` of `1.34.4`
    pub patch: u16,
}

/// The newest patch of each minor.
const PATCHES: [(u16, u16); 10] =
    [(28, 15), (29, 14), (30, 14), (31, 14), (32, 13), (33, 13), (34, 4), (35, 9), (36, 5), (37, 1)];

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
        let newest = PATCHES.iter().find(|(m, _)| *m == minor);
        newest.map_or_else(Vec::new, |(_, patch)| {
            (0..=*patch).rev().map(|patch| Release { minor, patch }).collect()
        })
    }

    /// Returns whether a repository offers it.
    pub fn exists(self) -> bool {
        PATCHES.iter().any(|(minor, patch)| *minor == self.minor && self.patch <= *patch)
    }

    /// Returns the version of the Debian package.
    pub fn deb(self) -> String {
        format!("{self}-1.1")
    }

    /// Returns version and release of the RPM package.
    pub fn rpm(self) -> String {
        format!("{self}-150500.1.1")
    }

    /// Returns the tag of the etcd image that kubeadm of this release sets up (kubeadm's constants.go).
    pub fn etcd(self) -> &'static str {
        match (self.minor, self.patch) {
            (..=28, _) => "3.5.15-0",
            (29..=31, ..=11) => "3.5.15-0",
            (32, ..=8) => "3.5.16-0",
            (33, ..=6) => "3.5.21-0",
            (29..=33, _) => "3.5.24-0",
            (34, ..=1) => "3.6.4-0",
            (34..=35, _) => "3.6.5-0",
            (36, _) => "3.6.8-0",
            (37.., _) => "3.7.0-0",
        }
    }

    /// Returns the tag of the CoreDNS image that kubeadm of this release sets up.
    pub fn coredns(self) -> &'static str {
        match self.minor {
            ..=28 => "v1.10.1",
            29..=32 => "v1.11.3",
            33 => "v1.12.0",
            34 => "v1.12.1",
            35.. => "v1.13.1",
        }
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
