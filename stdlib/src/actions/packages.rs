//! The package manager of a node, apt or dnf: what is installed, what the repository has, what is
//! held. Versions are compared as Kubernetes versions, never by the beginning of their text.

use dsl::value::Version;
use engine::event::Failure;
use engine::inventory::PackageManager;
use engine::port::Command;
use indexmap::IndexMap;

use super::failure;
use super::host::{Host, words};

/// The packages that a Kubernetes repository has for kup.
pub(super) const KUBERNETES: [&str; 3] = ["kubeadm", "kubelet", "kubectl"];

/// A package at an exact version, e.g. `kubeadm` at `1.34.4-1.1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Package {
    /// Its name.
    pub(super) name: String,
    /// Its version with the packager's revision.
    pub(super) version: String,
}

/// The package manager of a node.
pub(super) struct Packages<'a> {
    host: &'a Host,
    /// Which one.
    pub(super) manager: PackageManager,
}

impl<'a> Packages<'a> {
    /// Finds out which package manager a node has.
    pub(super) async fn of(host: &'a Host) -> Result<Packages<'a>, Failure> {
        if let Some(manager) = host.node.as_ref().and_then(|node| node.packages) {
            return Ok(Packages { host, manager });
        }
        let facts = host.ask(Command::read(["cat", "/etc/machine-id", "/etc/os-release"])).await?;
        let ids = facts
            .lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(k, _)| matches!(*k, "ID" | "ID_LIKE"));
        for id in ids.flat_map(|(_, value)| value.trim_matches('"').split(' ')) {
            let manager = match id {
                "debian" | "ubuntu" => PackageManager::Apt,
                "fedora" | "rhel" | "centos" | "rocky" | "almalinux" | "amzn" | "ol" => PackageManager::Dnf,
                _ => continue,
            };
            return Ok(Packages { host, manager });
        }
        Err(Failure::last(format!("kup does not know the package manager of {}", host.name))
            .with_hint("kup knows apt and dnf; use `run command` for others"))
    }

    /// Returns what is installed of these, in their order; what is not installed is missing.
    pub(super) async fn installed(&self, names: &[String]) -> Result<Vec<Package>, Failure> {
        let query: &[&str] = match self.manager {
            PackageManager::Apt => &["dpkg-query", "-W", r"-f=${Package} ${Version} ${db:Status-Status}\n"],
            PackageManager::Dnf => &["rpm", "-q", "--qf", r"%{NAME} %{VERSION}-%{RELEASE}\n"],
        };
        let command = Command::read(query.iter().map(|s| s.to_string()).chain(names.iter().cloned()));
        // Both exit with an error where one package is missing, and still tell of the others.
        let output = self.host.run(command.clone()).await?;
        let mut found = IndexMap::new();
        for line in output.stdout.lines() {
            let mut fields = line.split_whitespace();
            if let (Some(name), Some(version), status) = (fields.next(), fields.next(), fields.next())
                && matches!(status, None | Some("installed"))
                && is_version(version)
            {
                found.insert(name.to_string(), version.to_string());
            }
        }
        let says = |token: &str| output.stdout.contains(token) || output.stderr.contains(token);
        if !output.ok() && !says("no packages found matching") && !says("is not installed") {
            return Err(failure::classify(&words(&command), &output));
        }
        Ok(names
            .iter()
            .filter_map(|name| Some(Package { name: name.clone(), version: found.get(name)?.clone() }))
            .collect())
    }

    /// Returns all that the repository's index has of these, newest revision first for each version.
    pub(super) async fn available(&self, names: &[String]) -> Result<Vec<Package>, Failure> {
        let query: &[&str] = match self.manager {
            PackageManager::Apt => &["apt-cache", "madison"],
            PackageManager::Dnf => &["dnf", "-q", "list", "--showduplicates"],
        };
        let argv = query.iter().map(|s| s.to_string()).chain(names.iter().cloned());
        let command = match self.manager {
            PackageManager::Apt => Command::read(argv),
            PackageManager::Dnf => Command::read(argv.chain([LIFTED.to_string()])),
        };
        let output = self.host.run(command.clone()).await?;
        let says = |token: &str| output.stdout.contains(token) || output.stderr.contains(token);
        if !output.ok() && !says("Unable to locate package") && !says("No matching") {
            return Err(failure::classify(&words(&command), &output));
        }
        let listed: Vec<(&str, &str)> = match self.manager {
            // ` kubeadm | 1.34.4-1.1 | https://pkgs.k8s.io/core:/stable:/v1.34/deb  Packages`
            PackageManager::Apt => output
                .stdout
                .lines()
                .filter_map(|line| {
                    let mut columns = line.split('|').map(str::trim);
                    Some((columns.next()?, columns.next()?))
                })
                .collect(),
            PackageManager::Dnf => offered(&output.stdout).collect(),
        };
        let package =
            |(name, version): &(&str, &str)| Package { name: name.to_string(), version: version.to_string() };
        let mut found: Vec<Package> =
            listed.iter().filter(|(_, version)| is_version(version)).map(package).collect();
        found.sort_by_cached_key(|package| std::cmp::Reverse(numbers(&package.version)));
        Ok(found)
    }

    /// Resolves a Kubernetes version to what the repository calls it; `None` if one package lacks it.
    pub(super) async fn resolve(
        &self,
        names: &[String],
        version: &Version,
    ) -> Result<Option<Vec<Package>>, Failure> {
        let available = self.available(names).await?;
        let of = |name: &String| {
            let fits = |p: &&Package| p.name == *name && kubernetes(&p.version).as_ref() == Some(version);
            available.iter().find(fits).cloned()
        };
        Ok(names.iter().map(of).collect())
    }

    /// Reads the repository's index again.
    pub(super) async fn update(&self) -> Result<(), Failure> {
        let command = match self.manager {
            PackageManager::Apt => Command::change([
                "apt-get",
                "update",
                "-q",
                "-o",
                "APT::Update::Error-Mode=any",
                "-o",
                "APT::Color=0",
            ]),
            // Where `skip_if_unavailable` is set, as in what Fedora and Debian ship, dnf ends well although the
            // repository did not answer. And what has not expired need not be looked at again (dnf(8), makecache).
            PackageManager::Dnf => Command::change([
                "dnf",
                "-q",
                "makecache",
                "--refresh",
                "--disablerepo=*",
                "--enablerepo=kubernetes",
                "--setopt=kubernetes.skip_if_unavailable=False",
            ]),
        };
        self.host.ask(command).await.map(drop)
    }

    /// Reads the indexes of all repositories again.
    pub(super) async fn update_all(&self) -> Result<(), Failure> {
        match self.manager {
            PackageManager::Apt => self.update().await,
            PackageManager::Dnf => {
                let command = Command::change(["dnf", "-q", "makecache", "--refresh"]);
                self.host.ask(command).await.map(drop)
            }
        }
    }

    /// Returns the one command that brings all packages to what the index has, but held ones.
    pub(super) fn upgrade(&self) -> Command {
        match self.manager {
            PackageManager::Apt => quiet(words_of(
                "apt-get upgrade -y -q --with-new-pkgs -o DPkg::Lock::Timeout=300 \
                 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o APT::Color=0",
            )),
            PackageManager::Dnf => Command::change(["dnf", "-y", "upgrade"]),
        }
    }

    /// Finishes what dpkg was interrupted in.
    pub(super) async fn configure(&self) -> Result<(), Failure> {
        self.host.ask(Command::change(["dpkg", "--configure", "-a"])).await.map(drop)
    }

    /// Returns which of these are held, by dnf's versionlock on its nodes. What a repository's file excludes there
    /// is no hold: that is lifted for one command at a time, and never lost.
    pub(super) async fn held(&self, names: &[String]) -> Result<Vec<String>, Failure> {
        let held: Vec<String> = match self.manager {
            PackageManager::Apt => {
                let held = self.host.ask(Command::read(["apt-mark", "showhold"])).await?;
                held.lines().map(|line| line.trim().to_string()).collect()
            }
            PackageManager::Dnf => self.locks().await?.into_iter().map(|lock| lock.name).collect(),
        };
        Ok(names.iter().filter(|name| held.contains(name)).cloned().collect())
    }

    /// Holds packages, or lets them go.
    pub(super) async fn hold(&self, verb: Hold, names: &[String]) -> Result<(), Failure> {
        if names.is_empty() {
            return Ok(());
        }
        match (self.manager, verb) {
            (PackageManager::Apt, Hold::Hold) => self.change(&["apt-mark", "hold"], names, &[]).await,
            (PackageManager::Apt, Hold::Unhold) => self.change(&["apt-mark", "unhold"], names, &[]).await,
            (PackageManager::Dnf, Hold::Unhold) => self.unlock(names).await,
            (PackageManager::Dnf, Hold::Hold) => {
                // A lock that is still there is one of the version before, and dnf would leave it as it is. Of a name
                // alone it would say that it is locked out, where one version of it is.
                self.unlock(names).await?;
                let installed = self.installed(names).await?;
                let exact: Vec<String> =
                    installed.iter().map(|package| format!("{}-{}", package.name, package.version)).collect();
                self.change(&["dnf", "-q", "versionlock", "add"], &exact, &[NO_REPOSITORY]).await
            }
        }
    }

    /// Takes the locks of these away, each by its own words: a name alone would take what is locked out, too.
    async fn unlock(&self, names: &[String]) -> Result<(), Failure> {
        let locks = self.locks().await?.into_iter().filter(|lock| names.contains(&lock.name));
        let entries: Vec<String> = locks.map(|lock| lock.entry).collect();
        if entries.is_empty() {
            return Ok(());
        }
        self.change(&["dnf", "-q", "versionlock", "delete"], &entries, &[NO_REPOSITORY]).await
    }

    async fn change(&self, verb: &[&str], names: &[String], options: &[&str]) -> Result<(), Failure> {
        let argv = verb.iter().map(|s| s.to_string()).chain(names.iter().cloned());
        let argv = argv.chain(options.iter().map(|s| s.to_string()));
        self.host.ask(Command::change(argv)).await.map(drop)
    }

    /// Returns what dnf's versionlock keeps at a version; nothing where there is no such plugin.
    pub(super) async fn locks(&self) -> Result<Vec<Lock>, Failure> {
        let command = Command::read(["dnf", "-q", "versionlock", "list", NO_REPOSITORY]).as_root();
        let output = self.host.run(command.clone()).await?;
        // dnf says the one, and dnf5 the other.
        let unknown = |text: &str| text.contains("No such command") || text.contains("Unknown argument");
        if !output.ok() && (unknown(&output.stderr) || unknown(&output.stdout)) {
            return Ok(Vec::new());
        }
        if !output.ok() {
            return Err(failure::classify(&words(&command), &output));
        }
        Ok(output.stdout.lines().filter_map(Lock::read).collect())
    }

    /// Returns the one command that installs these.
    pub(super) fn install(&self, packages: &[Package], way: Way) -> Command {
        let mut argv: Vec<String> = match (self.manager, way) {
            (PackageManager::Apt, _) => words_of(
                "apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 \
                 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o APT::Color=0",
            ),
            (PackageManager::Dnf, Way::Up) => words_of("dnf -y install"),
            (PackageManager::Dnf, Way::Down) => words_of("dnf -y downgrade"),
        };
        match self.manager {
            PackageManager::Apt => {
                if way == Way::Down {
                    argv.push("--allow-downgrades".to_string());
                }
                argv.extend(packages.iter().map(|p| format!("{}={}", p.name, p.version)));
                quiet(argv)
            }
            PackageManager::Dnf => {
                argv.extend(packages.iter().map(|p| format!("{}-{}", p.name, p.version)));
                argv.push(LIFTED.to_string());
                Command::change(argv)
            }
        }
    }
}

/// Reads what `dnf list` says that there is, in lines such as `kubeadm.x86_64  1.34.4-150500.1.1  kubernetes`. What is installed is
/// listed before, whether or not a repository has it: dnf writes `@kubernetes` there, dnf5 only that title.
pub(super) fn offered(said: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut installed = false;
    said.lines().filter_map(move |line| {
        let mut columns = line.split_whitespace();
        let (Some(name), Some(version), Some(from)) = (columns.next(), columns.next(), columns.next()) else {
            installed = line.starts_with("Installed");
            return None;
        };
        let name = name.rsplit_once('.').map_or(name, |(name, _architecture)| name);
        (!installed && !from.starts_with('@')).then_some((name, version))
    })
}

/// Lifts what the repository's file excludes, for one command. dnf knows it as `--disableexcludes=kubernetes`, too, and dnf5 no more
/// (kubernetes.io: setup/production-environment/tools/kubeadm/install-kubeadm).
pub(super) const LIFTED: &str = "--setopt=disable_excludes=kubernetes";

/// The list of locks is a file: no repository need be read for it.
const NO_REPOSITORY: &str = "--disablerepo=*";

/// What versionlock keeps at a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lock {
    /// The package.
    pub(super) name: String,
    /// The line of the list, which names it and nothing else.
    entry: String,
}

impl Lock {
    /// Reads `kubelet-0:1.34.4-150500.1.1.*` of dnf, and `Package name: kubelet` of dnf5. `!kubelet-0:1.34.4-1.1.*`
    /// is no lock, but keeps that one version away.
    fn read(line: &str) -> Option<Lock> {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("Package name: ") {
            return Some(Lock { name: name.to_string(), entry: name.to_string() });
        }
        let digits = |at: usize| line[at + 1..].trim_start_matches(|c: char| c.is_ascii_digit());
        let begins = |at: &usize| line[at + 1..].starts_with(|c: char| c.is_ascii_digit());
        let places = || line.match_indices('-').map(|(at, _)| at).filter(begins);
        // The epoch tells where the version begins; what somebody wrote by hand may have none.
        let at = places().find(|at| digits(*at).starts_with(':')).or_else(|| places().next())?;
        let name = line[..at].to_string();
        let plain =
            name.starts_with(|c: char| c.is_ascii_alphanumeric()) && !name.contains(char::is_whitespace);
        plain.then(|| Lock { name, entry: line.to_string() })
    }
}

/// Whether to hold or to let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Hold.
    Hold,
    /// Let go.
    Unhold,
}

/// Whether an installation may lower a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It may not.
    Up,
    /// It may.
    Down,
}

/// Returns the Kubernetes version of a package's version: `1.34.4` of `1.34.4-1.1`, `1.35.0-rc.1` of
/// `1.35.0~rc.1-1.1`.
pub(super) fn kubernetes(version: &str) -> Option<Version> {
    let plain = version.split_once(':').map_or(version, |(_epoch, rest)| rest);
    let upstream = plain.split_once('-').map_or(plain, |(upstream, _revision)| upstream);
    upstream.replace('~', "-").parse().ok()
}

/// Returns whether a text is a package's version and nothing else that a command could read.
fn is_version(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '~' | ':' | '_' | '^');
    text.starts_with(|c: char| c.is_ascii_digit()) && text.len() <= 80 && text.chars().all(allowed)
}

/// Returns the package's name if it is one that kup installs.
pub(super) fn checked_name(name: &str) -> Result<String, Failure> {
    if KUBERNETES.contains(&name) {
        return Ok(name.to_string());
    }
    Err(Failure::last(format!("`{name}` is not a package of Kubernetes")))
}

/// Returns the numbers in a version, which is how two of one packager are told apart.
pub(super) fn numbers(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// apt asks nobody, and needrestart only lists: by itself it restarts kubelet and containerd.
fn quiet(argv: Vec<String>) -> Command {
    Command::change(argv).with_env("DEBIAN_FRONTEND", "noninteractive").with_env("NEEDRESTART_MODE", "l")
}

fn words_of(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Bench};
    use super::*;

    #[test]
    fn a_package_version_is_read_as_a_kubernetes_version() {
        let is = |text: &str| kubernetes(text).map(|v| v.to_string());
        assert_eq!(is("1.34.4-1.1").as_deref(), Some("v1.34.4"));
        assert_eq!(is("1.35.0~rc.1-1.1").as_deref(), Some("v1.35.0-rc.1"));
        assert_eq!(is("0:1.34.10-150500.1.1").as_deref(), Some("v1.34.10"));
        assert_eq!(is("kubernetes"), None);
    }

    #[tokio::test]
    async fn a_version_is_not_taken_for_one_that_begins_like_it() {
        let list = " kubeadm | 1.34.10-1.1 | http://x/v1.34/deb  Packages\n kubeadm | 1.34.1-1.1 | http://x/v1.34/deb  Packages\n kubeadm | 1.34.1-1.10 | http://x  Packages\n";
        let bench = Bench::default().says("apt-cache madison kubeadm", list);
        let host = Host::of(&bench.step(&[])).unwrap();
        let packages = Packages::of(&host).await.unwrap();
        let resolved = packages.resolve(&["kubeadm".into()], &"v1.34.1".parse().unwrap()).await.unwrap();
        assert_eq!(resolved.unwrap()[0].version, "1.34.1-1.10");
        assert_eq!(packages.resolve(&["kubeadm".into()], &"v1.34.0".parse().unwrap()).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_not_installed_is_missing() {
        let query = r"dpkg-query -W -f=${Package} ${Version} ${db:Status-Status}\n kubeadm kubectl kubelet";
        let bench = Bench::default().ends(
            query,
            1,
            "kubeadm 1.33.4-1.1 installed\nkubelet 1.33.4-1.1 config-files\n",
            "dpkg-query: no packages found matching kubectl\n",
        );
        let host = Host::of(&bench.step(&[])).unwrap();
        let names = ["kubeadm", "kubectl", "kubelet"].map(str::to_string);
        let installed = Packages::of(&host).await.unwrap().installed(&names).await.unwrap();
        assert_eq!(installed, [Package { name: "kubeadm".into(), version: "1.33.4-1.1".into() }]);
    }

    #[test]
    fn what_is_installed_is_not_offered() {
        let dnf = "Installed Packages\nkubeadm.x86_64 1.33.4-1.1 @kubernetes\nAvailable Packages\nkubeadm.x86_64 1.34.4-1.1 kubernetes\n";
        assert_eq!(offered(dnf).collect::<Vec<_>>(), [("kubeadm", "1.34.4-1.1")]);
        let dnf5 = "Installed packages\nkubeadm.x86_64 1.33.4-1.1 kubernetes\n\nAvailable packages\nkubeadm.x86_64 1.34.4-1.1 kubernetes\n";
        assert_eq!(offered(dnf5).collect::<Vec<_>>(), [("kubeadm", "1.34.4-1.1")]);
    }

    #[test]
    fn a_lock_is_read_with_its_package_and_an_exclusion_is_none() {
        let name = |line: &str| Lock::read(line).map(|lock| lock.name);
        assert_eq!(name("kubelet-0:1.33.4-150500.1.1.*").as_deref(), Some("kubelet"));
        assert_eq!(name("kernel-core-0:5.14.0-503.el9.*").as_deref(), Some("kernel-core"));
        assert_eq!(name("kubelet-1.33*").as_deref(), Some("kubelet"));
        assert_eq!(name("java-21-openjdk-1:21.0.5.0.11-2.el9.*").as_deref(), Some("java-21-openjdk"));
        assert_eq!(name("Package name: kubelet").as_deref(), Some("kubelet"));
        assert_eq!(name("!kubelet-0:1.34.4-150500.1.1.*"), None);
        assert_eq!(name("evr = 1.33.4-150500.1.1"), None);
        assert_eq!(name("# Added by 'versionlock add' command on 2026-11-29 10:00:00"), None);
    }

    #[tokio::test]
    async fn what_is_locked_is_let_go_by_its_own_words_and_locked_at_what_is_there_then() {
        let list = "dnf -q versionlock list --disablerepo=*";
        let delete = "dnf -q versionlock delete kubelet-0:1.33.4-150500.1.1.* --disablerepo=*";
        let query = r"rpm -q --qf %{NAME} %{VERSION}-%{RELEASE}\n kubelet";
        let add = "dnf -q versionlock add kubelet-1.34.4-150500.1.1 --disablerepo=*";
        let old = "kubelet-0:1.33.4-150500.1.1.*\n!kubelet-0:1.34.3-150500.1.1.*\ncri-tools-0:1.33.0-1.1.*\n";
        let bench = Bench::default().says(list, old).says(delete, "").says(add, "");
        let bench = bench.says(query, "kubelet 1.34.4-150500.1.1\n");
        let mut cx = bench.step(&[]);
        testing::node(&mut cx).packages = Some(PackageManager::Dnf);
        let host = Host::of(&cx).unwrap();
        let packages = Packages::of(&host).await.unwrap();
        let names = ["kubelet", "kubectl"].map(str::to_string);
        assert_eq!(packages.held(&names).await.unwrap(), ["kubelet"]);
        packages.hold(Hold::Hold, &names[..1]).await.unwrap();
        assert_eq!(bench.sent(), format!("{list}\n{list}\n{delete}\n{query}\n{add}\n"));
    }

    #[tokio::test]
    async fn a_dnf_without_versionlock_holds_nothing() {
        for (code, said) in [
            (1, "No such command: versionlock. Please use /usr/bin/dnf --help"),
            (2, "Unknown argument \"versionlock\" for command \"dnf5\"."),
        ] {
            let bench = Bench::default().ends("dnf -q versionlock list --disablerepo=*", code, "", said);
            let mut cx = bench.step(&[]);
            testing::node(&mut cx).packages = Some(PackageManager::Dnf);
            let host = Host::of(&cx).unwrap();
            let packages = Packages::of(&host).await.unwrap();
            assert_eq!(packages.held(&["kubelet".to_string()]).await, Ok(Vec::new()));
        }
    }

    #[tokio::test]
    async fn dnf_is_spoken_where_os_release_says_so() {
        let bench = Bench::default()
            .says("cat /etc/machine-id /etc/os-release", "abc\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n")
            .says(
                "dnf -q list --showduplicates kubeadm --setopt=disable_excludes=kubernetes",
                "Installed Packages\nkubeadm.x86_64  1.33.4-150500.1.1  @kubernetes\nAvailable Packages\nkubeadm.x86_64 1.34.4-150500.1.1 kubernetes\n",
            );
        let mut cx = bench.step(&[]);
        testing::node(&mut cx).packages = None;
        let host = Host::of(&cx).unwrap();
        let packages = Packages::of(&host).await.unwrap();
        let found =
            packages.resolve(&["kubeadm".into()], &"v1.34.4".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(
            packages.install(&found, Way::Up).argv.join(" "),
            "dnf -y install kubeadm-1.34.4-150500.1.1 --setopt=disable_excludes=kubernetes"
        );
    }
}
