//! `package repository`: points a node's Kubernetes package repository at a minor release. The
//! community's repositories are one a minor, so each hop edits this file on every node.

use async_trait::async_trait;
use dsl::value::{Minor, Value};
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::inventory::PackageManager;
use indexmap::IndexMap;

use super::argument;
use super::host::Host;
use super::packages::{KUBERNETES, Packages, kubernetes};

/// Edits the repository file and reads the index.
pub(super) struct PackageRepository;

#[async_trait]
impl Action for PackageRepository {
    fn name(&self) -> &'static str {
        "package repository"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let minor = argument::minor(cx, "minor")?;
        let host = Host::of(cx)?;
        let packages = Packages::of(&host).await?;
        let file = Repository::read(&host, packages.manager).await?;
        if file.names(minor) && has(&packages, minor).await? {
            return Ok(Check::Done(format!("{} names {minor}", file.path)));
        }
        let now = file.minors().iter().map(Minor::to_string).collect::<Vec<_>>().join(", ");
        Ok(Check::Needs { now, then: minor.to_string(), before: file.into_value() })
    }

    async fn start(&self, cx: &Context, before: &Value) -> Result<Progress, Failure> {
        let minor = argument::minor(cx, "minor")?;
        let host = Host::of(cx)?;
        let packages = Packages::of(&host).await?;
        let old = Repository::from_value(before)?;
        let done = async {
            old.pointed_at(minor).write(&host).await?;
            packages.update().await?;
            if has(&packages, minor).await? {
                return Ok(());
            }
            Err(Failure::last(format!("the repository has no packages of {minor}"))
                .with_hint("look whether this minor has been released, and whether your mirror carries it"))
        };
        match done.await {
            Ok(()) => Ok(Progress::Done(Value::Text(old.path))),
            Err(failure) => {
                // No node is left with a repository that it cannot read.
                if let Err(also) = old.write(&host).await {
                    return Err(Failure {
                        hint: format!("write {} back on {}: {}", old.path, host.name, also.message),
                        ..failure
                    });
                }
                Err(failure)
            }
        }
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        let host = Host::of(cx)?;
        Repository::from_value(before)?.write(&host).await?;
        Packages::of(&host).await?.update().await
    }
}

/// Points the repository at a minor, whatever it was before, and reads the index: for those who must
/// go back to packages that only an older repository has.
pub(super) async fn point(host: &Host, packages: &Packages<'_>, minor: Minor) -> Result<(), Failure> {
    let file = Repository::read(host, packages.manager).await?;
    if !file.names(minor) {
        file.pointed_at(minor).write(host).await?;
    }
    packages.update().await
}

/// Returns whether the index has packages of a minor.
async fn has(packages: &Packages<'_>, minor: Minor) -> Result<bool, Failure> {
    let available = packages.available(&KUBERNETES.map(str::to_string)).await?;
    Ok(available.iter().any(|package| kubernetes(&package.version).is_some_and(|v| v.minor() == minor)))
}

/// A repository file.
#[derive(Clone, Debug, PartialEq)]
struct Repository {
    path: String,
    content: String,
}

impl Repository {
    async fn read(host: &Host, manager: PackageManager) -> Result<Repository, Failure> {
        let paths: &[&str] = match manager {
            PackageManager::Apt => {
                &["/etc/apt/sources.list.d/kubernetes.list", "/etc/apt/sources.list.d/kubernetes.sources"]
            }
            PackageManager::Dnf => &["/etc/yum.repos.d/kubernetes.repo"],
        };
        for path in paths {
            if let Some(content) = host.read(path).await? {
                let file = Repository { path: path.to_string(), content };
                if file.minors().is_empty() {
                    return Err(Failure::last(format!("{path} on {} names no minor release", host.name))
                        .with_hint(
                            "kup edits addresses such as https://pkgs.k8s.io/core:/stable:/v1.34/deb/",
                        ));
                }
                return Ok(file);
            }
        }
        Err(Failure::last(format!("{} has no {}", host.name, paths.join(" and no "))).with_hint(
            "set it up: kubernetes.io, tasks/administer-cluster/kubeadm/change-package-repository",
        ))
    }

    async fn write(&self, host: &Host) -> Result<(), Failure> {
        host.write(&self.path, &self.content, 0o644).await
    }

    /// Returns the minors that the file's addresses name.
    fn minors(&self) -> Vec<Minor> {
        let mut minors: Vec<Minor> = self.content.lines().filter_map(|line| Some(address(line)?.1)).collect();
        minors.sort();
        minors.dedup();
        minors
    }

    fn names(&self, minor: Minor) -> bool {
        self.minors() == [minor]
    }

    /// Returns the file with its addresses pointed at a minor; nothing else of it changes.
    fn pointed_at(&self, minor: Minor) -> Repository {
        let mut content = String::with_capacity(self.content.len() + 8);
        for line in self.content.split_inclusive('\n') {
            match address(line) {
                Some((place, _)) => {
                    content.push_str(&line[..place.start]);
                    content.push_str(&minor.to_string());
                    content.push_str(&line[place.end..]);
                }
                None => content.push_str(line),
            }
        }
        Repository { path: self.path.clone(), content }
    }

    fn into_value(self) -> Value {
        Value::Record(IndexMap::from([
            ("path".to_string(), Value::Text(self.path)),
            ("content".to_string(), Value::Text(self.content)),
        ]))
    }

    fn from_value(value: &Value) -> Result<Repository, Failure> {
        let field = |name: &str| value.get(name).and_then(Value::as_text).map(str::to_string);
        match (field("path"), field("content")) {
            (Some(path), Some(content)) => Ok(Repository { path, content }),
            _ => Err(Failure::last("the journal does not have the old repository file")),
        }
    }
}

/// Finds the minor in a line's address of a Kubernetes repository: `v1.33` in
/// `.../core:/stable:/v1.33/deb/`. Other projects, such as CRI-O, have minors in their addresses too.
fn address(line: &str) -> Option<(std::ops::Range<usize>, Minor)> {
    const CORE: [&str; 4] = ["core:/stable:/", "core:/prerelease:/", "core/stable/", "core/prerelease/"];
    if line.trim_start().starts_with('#') {
        return None;
    }
    let start = CORE.iter().find_map(|core| Some(line.find(core)? + core.len()))?;
    let length = line[start..].find('/')?;
    let minor = line[start..start + length].strip_prefix('v')?.parse().ok()?;
    Some((start..start + length, minor))
}

#[cfg(test)]
mod tests {
    use engine::event::Class;

    use super::super::testing::{Bench, perform};
    use super::*;

    const PATH: &str = "/etc/apt/sources.list.d/kubernetes.list";
    const OLD: &str = "# deb http://x/core:/stable:/v1.32/deb/ /\ndeb [signed-by=/etc/apt/keyrings/kubernetes-apt-keyring.gpg] https://pkgs.k8s.io/core:/stable:/v1.33/deb/ /\ndeb http://x/isv:/cri-o:/stable:/v1.33/deb/ /\n";
    const UPDATE: &str = "apt-get update -q -o APT::Update::Error-Mode=any -o APT::Color=0";
    const LIST: &str = "apt-cache madison kubeadm kubelet kubectl";
    const NEW: &str = " kubeadm | 1.34.4-1.1 | http://x  Packages\n";

    fn minor() -> (&'static str, Value) {
        ("minor", Value::Minor("v1.34".parse().unwrap()))
    }

    #[tokio::test]
    async fn only_the_kubernetes_address_changes_and_undo_writes_the_old_file_back() {
        let bench = Bench::default().file(PATH, OLD).says(LIST, NEW).says(UPDATE, "");
        let cx = bench.step(&[minor()]);
        let Check::Needs { now, then, before } = PackageRepository.check(&cx).await.unwrap() else {
            panic!()
        };
        assert_eq!((now.as_str(), then.as_str()), ("v1.33", "v1.34"));
        PackageRepository.start(&cx, &before).await.unwrap();
        assert_eq!(bench.content(PATH).unwrap(), OLD.replacen("/v1.33/", "/v1.34/", 1));
        assert!(matches!(PackageRepository.check(&cx).await, Ok(Check::Done(_))));
        PackageRepository.undo(&cx, &before).await.unwrap();
        assert_eq!(bench.content(PATH).unwrap(), OLD);
    }

    #[tokio::test]
    async fn a_repository_that_cannot_be_read_is_not_left_behind() {
        let busy = "E: Failed to fetch https://pkgs.k8s.io/InRelease  503  Service Unavailable";
        let bench = Bench::default().file(PATH, OLD).ends(UPDATE, 100, "", busy);
        let failure = perform(&PackageRepository, &bench.step(&[minor()])).await.unwrap_err();
        assert_eq!(failure.class, Class::Transient);
        assert_eq!(bench.content(PATH).unwrap(), OLD);
    }

    #[tokio::test]
    async fn both_addresses_of_a_dnf_repository_change() {
        let path = "/etc/yum.repos.d/kubernetes.repo";
        let old = "[kubernetes]\nbaseurl=https://pkgs.k8s.io/core:/stable:/v1.33/rpm/\ngpgkey=https://pkgs.k8s.io/core:/stable:/v1.33/rpm/repodata/repomd.xml.key\nexclude=kubelet\n";
        let file = Repository { path: path.into(), content: old.into() };
        assert_eq!(file.pointed_at("v1.34".parse().unwrap()).content, old.replace("v1.33", "v1.34"));
    }

    #[tokio::test]
    async fn a_node_without_a_repository_file_is_told() {
        let failure = PackageRepository.check(&Bench::default().step(&[minor()])).await.unwrap_err();
        assert_eq!(failure.class, Class::Final);
    }
}
