//! What a package manager knows on one node: what is installed, what is held, which index was read.
//! It knows the three packages that an upgrade moves; their dependencies come and go unseen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indexmap::IndexMap;

use super::files::Files;
use super::release::Release;
use crate::shape::Packages as Manager;

/// Where apt is told of the repository.
pub(crate) const APT_LIST: &str = "/etc/apt/sources.list.d/kubernetes.list";
/// Where dnf is told of the repository.
pub(crate) const DNF_REPO: &str = "/etc/yum.repos.d/kubernetes.repo";
/// The packages, in the order of their names.
pub(crate) const NAMES: [&str; 3] = ["kubeadm", "kubectl", "kubelet"];

/// The packages of a node.
#[derive(Clone, Debug)]
pub struct Packages {
    /// Who installs them.
    pub manager: Manager,
    /// What is installed.
    pub installed: IndexMap<String, Release>,
    /// What `apt-mark` holds.
    pub held: BTreeSet<String>,
    /// What dnf's versionlock keeps, and at which release.
    pub locked: BTreeMap<String, Release>,
    /// The minor whose index was read last.
    pub index: Option<u16>,
    /// Whether dpkg was interrupted.
    pub broken: bool,
    /// Packages of the operating system that could be updated, by name.
    pub updates: Vec<String>,
    /// Until when an installation holds the lock, since the start of the cluster.
    pub locked_until: Duration,
}

impl Packages {
    /// Returns a node's packages, all of one release; apt holds them, as kubeadm's documentation wants.
    pub fn new(manager: Manager, release: Release) -> Packages {
        let held = match manager {
            Manager::Apt => NAMES.iter().map(|n| n.to_string()).collect(),
            Manager::Dnf => BTreeSet::new(),
        };
        Packages {
            manager,
            installed: NAMES.iter().map(|n| (n.to_string(), release)).collect(),
            held,
            locked: BTreeMap::new(),
            index: Some(release.minor),
            broken: false,
            updates: Vec::new(),
            locked_until: Duration::ZERO,
        }
    }

    /// Returns the packages of a machine that has none of Kubernetes.
    pub fn none(manager: Manager) -> Packages {
        Packages {
            manager,
            installed: IndexMap::new(),
            held: BTreeSet::new(),
            locked: BTreeMap::new(),
            index: None,
            updates: Vec::new(),
            broken: false,
            locked_until: Duration::ZERO,
        }
    }

    /// Locks what is installed at its release, as `dnf versionlock add` does.
    pub fn lock(&mut self) {
        self.locked = self.installed.iter().map(|(name, release)| (name.clone(), *release)).collect();
    }

    /// Returns an installed version.
    pub fn version(&self, name: &str) -> Option<Release> {
        self.installed.get(name).copied()
    }

    /// Returns what a machine that nobody patched for a while could update; every second one a kernel too.
    pub fn usual_updates(manager: Manager, place: usize) -> Vec<String> {
        let (library, kernel) = match manager {
            Manager::Apt => ("libssl3", "linux-image-6.1.0-40-amd64"),
            Manager::Dnf => ("openssl-libs", "kernel-core"),
        };
        let names = [library, "openssl", kernel];
        names[..if place.is_multiple_of(2) { 3 } else { 2 }].iter().map(|name| name.to_string()).collect()
    }

    /// Returns the packages of Kubernetes that nothing keeps from being updated, each with what it would
    /// become, and those that a hold keeps back.
    pub fn newer(&self, files: &Files) -> (Vec<(String, Release)>, Vec<String>) {
        let Some(newest) = self.offered(files).into_iter().max() else { return Default::default() };
        let old = NAMES.iter().filter(|name| self.version(name).is_some_and(|there| there < newest));
        let (held, free): (Vec<&str>, Vec<&str>) = old.copied().partition(|name| self.held.contains(*name));
        let free = free.into_iter().map(|name| (name.to_string(), newest)).collect();
        (free, held.into_iter().map(str::to_string).collect())
    }

    /// Returns a release as this package manager writes it.
    pub fn spell(&self, release: Release) -> String {
        match self.manager {
            Manager::Apt => release.deb(),
            Manager::Dnf => release.rpm(),
        }
    }

    /// Returns what may be installed now, the newest first: the index that was read counts only as
    /// long as the repository file still names its minor.
    pub fn offered(&self, files: &Files) -> Vec<Release> {
        match (self.index, Repository::of(self.manager, files)) {
            (Some(read), Some(repository)) if repository.minor == read => Release::all_of(read),
            (_, _) => Vec::new(),
        }
    }

    /// Returns the newest release offered whose spelling fits a pattern with `*`.
    pub fn find(&self, files: &Files, pattern: &str) -> Option<Release> {
        self.offered(files).into_iter().find(|r| fits(pattern, &self.spell(*r)))
    }
}

/// The repository that a node's file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// `http://pkgs.k8s.io/core:/stable:/v1.34/deb`
    pub url: String,
    /// `34`
    pub minor: u16,
}

impl Repository {
    /// Reads the repository file of a package manager.
    pub fn of(manager: Manager, files: &Files) -> Option<Repository> {
        let (path, key) = match manager {
            Manager::Apt => (APT_LIST, "deb "),
            Manager::Dnf => (DNF_REPO, "baseurl="),
        };
        let text = files.text(path)?;
        let line = text.lines().find(|l| l.starts_with(key))?;
        let url = line[line.find("http")?..].split_whitespace().next()?;
        Repository::at(url)
    }

    /// Reads the minor out of a URL.
    pub fn at(url: &str) -> Option<Repository> {
        let rest = &url[url.find("/v1.")? + 4..];
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some(Repository { url: url.trim_end_matches('/').to_string(), minor: digits.parse().ok()? })
    }

    /// Returns the files that an installer leaves for a minor.
    pub fn file(manager: Manager, minor: u16) -> (&'static str, String) {
        let base = format!("http://pkgs.k8s.io/core:/stable:/v1.{minor}");
        match manager {
            Manager::Apt => (
                APT_LIST,
                format!("deb [signed-by=/etc/apt/keyrings/kubernetes-apt-keyring.gpg] {base}/deb/ /\n"),
            ),
            Manager::Dnf => (
                DNF_REPO,
                format!(
                    "[kubernetes]\nname=Kubernetes\nbaseurl={base}/rpm/\nenabled=1\ngpgcheck=1\n\
                     gpgkey={base}/rpm/repodata/repomd.xml.key\nexclude=kubelet kubeadm kubectl cri-tools kubernetes-cni\n"
                ),
            ),
        }
    }
}

/// Returns whether a text fits a pattern in which `*` stands for anything.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.is_char_boundary(at) && fits(tail, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_counts_only_for_the_minor_that_the_file_names() {
        let mut files = Files::default();
        let (path, text) = Repository::file(Manager::Apt, 33);
        files.write(path, text, 0o644);
        let packages = Packages::new(Manager::Apt, Release::new(33, 13));
        assert_eq!(packages.offered(&files).len(), 14);
        let (path, text) = Repository::file(Manager::Apt, 34);
        files.write(path, text, 0o644);
        assert!(packages.offered(&files).is_empty());
    }

    #[test]
    fn a_star_takes_the_newest_patch() {
        let mut files = Files::default();
        let (path, text) = Repository::file(Manager::Dnf, 34);
        files.write(path, text, 0o644);
        let packages = Packages::new(Manager::Dnf, Release::new(34, 0));
        assert_eq!(packages.find(&files, "1.34.*"), Some(Release::new(34, 4)));
        assert_eq!(packages.find(&files, "1.34.3-*"), Some(Release::new(34, 3)));
        assert_eq!(packages.find(&files, "1.34.9-*"), None);
    }

    #[test]
    fn the_minor_is_read_out_of_both_files() {
        for manager in [Manager::Apt, Manager::Dnf] {
            let mut files = Files::default();
            let (path, text) = Repository::file(manager, 33);
            files.write(path, text, 0o644);
            assert_eq!(Repository::of(manager, &files).map(|r| r.minor), Some(33));
        }
    }
}
