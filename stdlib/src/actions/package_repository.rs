//! `package repository`: points a node's Kubernetes package repository at a minor release, and at a mirror where one is
//! named. The community's repositories are one a minor, so each hop edits this file on every node. Their key is one for all
//! minors, and ends now and then: it is fetched anew where that is wanted.

use std::time::Duration;

use async_trait::async_trait;
use dsl::value::{Minor, Value};
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::inventory::PackageManager;
use engine::port::Command;
use indexmap::IndexMap;

use super::host::Host;
use super::packages::{KUBERNETES, Packages, kubernetes};
use super::signing_key::Keyring;
use super::{argument, failure};

/// How long before its end a key is fetched anew, and told: time enough for every node of a large cluster.
pub(super) const SOON: Duration = Duration::from_secs(30 * 24 * 3600);

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
        let base = base(cx)?;
        let file = Repository::read(&host, packages.manager).await?;
        let stale = fetches(cx) && file.has_old_key(cx, &host).await?;
        if file.pointed_at(minor, base) == file && !stale && has(&packages, minor).await? {
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
            let new = old.pointed_at(minor, base(cx)?);
            if fetches(cx) {
                new.fetch_key(cx, &host).await?;
            }
            new.write(&host).await?;
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
        file.pointed_at(minor, None).write(host).await?;
    }
    packages.update().await
}

/// Returns what stands before `/v1.34/` in the addresses from now on, if they are to be those of a mirror.
pub(super) fn base(cx: &Context) -> Result<Option<&str>, Failure> {
    let Some(base) = argument::optional_text(cx, "base") else { return Ok(None) };
    let plain = base.split_once("://").is_some_and(|(scheme, rest)| {
        matches!(scheme, "http" | "https" | "file") && !rest.is_empty() && !base.contains(char::is_whitespace)
    });
    let short = base.trim_end_matches('/');
    if plain && core(short) == Some(short.len()) {
        return Ok(Some(short));
    }
    Err(Failure::last(format!("`{base}` is not where a mirror has the packages of Kubernetes"))
        .with_hint("write what stands before the minor, such as https://mirror.example/core:/stable:"))
}

/// Returns whether the key is to be fetched anew.
pub(super) fn fetches(cx: &Context) -> bool {
    argument::optional_text(cx, "key") == Some("fetch")
}

/// Where apt's source of Kubernetes may be: in one line, or as a stanza (sources.list(5)).
pub(super) const APT_FILES: [&str; 2] =
    ["/etc/apt/sources.list.d/kubernetes.list", "/etc/apt/sources.list.d/kubernetes.sources"];

/// Returns the keyring that an apt source names, `signed-by=` in a line or `Signed-By:` in a stanza.
pub(super) fn keyring_of(source: &str) -> Option<&str> {
    let ends = |c: char| c.is_whitespace() || matches!(c, ',' | ']');
    source.lines().map(str::trim).filter(|line| !line.starts_with('#')).find_map(|line| {
        let rest = match line.split_once("signed-by=") {
            Some((_, rest)) => rest,
            None => line.strip_prefix("Signed-By:").map(str::trim)?,
        };
        rest.split(ends).next().filter(|path| path.starts_with('/'))
    })
}

/// Reads a keyring; `None` if there is none, or nothing that kup can read.
pub(super) async fn keyring(host: &Host, path: &str) -> Result<Option<Keyring>, Failure> {
    let bytes = host.shell.read(path).await.map_err(|error| failure::shell(&error))?;
    Ok(bytes.as_deref().and_then(Keyring::read))
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
            PackageManager::Apt => &APT_FILES,
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

    /// Returns whether its keyring has only keys that end soon, or none.
    async fn has_old_key(&self, cx: &Context, host: &Host) -> Result<bool, Failure> {
        let Some(path) = keyring_of(&self.content) else { return Ok(false) };
        let ends = keyring(host, path).await?.map(|keyring| keyring.ends());
        Ok(ends.is_none_or(|ends| ends.is_some_and(|ends| ends < cx.ports.clock.wall() + SOON)))
    }

    /// Fetches the key of the repository that it names, and puts it into the keyring over what is there. What comes
    /// without TLS must be a key that the node knows already, such as one that was renewed.
    async fn fetch_key(&self, cx: &Context, host: &Host) -> Result<(), Failure> {
        // dnf fetches the key that its file names by itself.
        let Some(path) = keyring_of(&self.content) else { return Ok(()) };
        let Some(address) = self.content.lines().find_map(Address::of) else { return Ok(()) };
        let url = format!("{}/{}/deb/Release.key", address.base, address.minor);
        let file = format!("/tmp/kup-key-{}", address.minor);
        let helper = ["/usr/lib/apt/apt-helper", "download-file", &url, &file];
        let output = host.run(Command::read(helper)).await?;
        let new = if output.ok() { keyring(host, &file).await } else { Ok(None) };
        host.run(Command::read(["rm", "-f", &file])).await?;
        if !output.ok() {
            let said = failure::classify("apt-helper download-file", &output);
            return Err(Failure { message: format!("cannot read {url}"), ..said });
        }
        let mend = "look at that address, or bring the key to the node yourself";
        let Some(new) = new? else {
            return Err(Failure::last(format!("there is no key at {url}")).with_hint(mend));
        };
        if new.ends().is_some_and(|ends| ends <= cx.ports.clock.wall()) {
            let text = format!("the key at {url} has ended, too");
            return Err(Failure::last(text)
                .with_hint("a newer minor, or the mirror's origin, may have one that has not"));
        }
        let old = keyring(host, path).await?.unwrap_or_default();
        if !url.starts_with("https://") && !new.is_within(&old) {
            let text = format!("the key at {url} is another one than {path} has, and it came without TLS");
            return Err(Failure::last(text)
                .with_hint("compare it with https://pkgs.k8s.io, and bring it to the node yourself"));
        }
        let bytes = new.over(old).for_file(path);
        host.shell.write(path, &bytes, 0o644).await.map_err(|error| failure::shell(&error))
    }

    /// Returns the minors that the file's addresses name.
    fn minors(&self) -> Vec<Minor> {
        let mut minors: Vec<Minor> =
            self.content.lines().filter_map(|line| Some(Address::of(line)?.minor)).collect();
        minors.sort();
        minors.dedup();
        minors
    }

    fn names(&self, minor: Minor) -> bool {
        self.minors() == [minor]
    }

    /// Returns the file with its addresses pointed at a minor, of a mirror if one is named; nothing else of it changes.
    fn pointed_at(&self, minor: Minor, base: Option<&str>) -> Repository {
        let mut content = String::with_capacity(self.content.len() + 8);
        for line in self.content.split_inclusive('\n') {
            match Address::of(line) {
                Some(address) => {
                    content.push_str(&line[..address.begins]);
                    content.push_str(&format!("{}/{minor}", base.unwrap_or(address.base)));
                    content.push_str(&line[address.ends..]);
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

/// The address of a Kubernetes repository in a line: `https://pkgs.k8s.io/core:/stable:` and `v1.33` of
/// `https://pkgs.k8s.io/core:/stable:/v1.33/deb/`.
struct Address<'a> {
    /// What stands before the minor, without a slash at its end.
    base: &'a str,
    minor: Minor,
    /// Where the address begins in the line.
    begins: usize,
    /// Where its minor ends.
    ends: usize,
}

impl<'a> Address<'a> {
    fn of(line: &'a str) -> Option<Address<'a>> {
        if line.trim_start().starts_with('#') {
            return None;
        }
        let start = core(line)?;
        let length = line[start..].strip_prefix('/')?.find('/')? + 1;
        let minor = line[start + 1..start + length].strip_prefix('v')?.parse().ok()?;
        let begins = line[..start].rfind(|c: char| c.is_whitespace() || c == '=').map_or(0, |at| at + 1);
        Some(Address { base: &line[begins..start], minor, begins, ends: start + length })
    }
}

/// Finds where the part of an address ends that says that its packages are of Kubernetes. Other projects, such as CRI-O, have
/// minors in their addresses too.
fn core(line: &str) -> Option<usize> {
    const CORE: [&str; 4] = ["core:/stable:", "core:/prerelease:", "core/stable", "core/prerelease"];
    CORE.iter().find_map(|core| Some(line.find(core)? + core.len()))
}

#[cfg(test)]
mod tests {
    use engine::event::Class;

    use super::super::signing_key::tests::{OTHER, OVER, RENEWED};
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
        let minor = "v1.34".parse().unwrap();
        assert_eq!(file.pointed_at(minor, None).content, old.replace("v1.33", "v1.34"));
        let mirror = Some("http://mirror:8080/core/stable");
        let moved = "[kubernetes]\nbaseurl=http://mirror:8080/core/stable/v1.34/rpm/\ngpgkey=http://mirror:8080/core/stable/v1.34/rpm/repodata/repomd.xml.key\nexclude=kubelet\n";
        assert_eq!(file.pointed_at(minor, mirror).content, moved);
    }

    #[tokio::test]
    async fn a_mirror_takes_the_place_of_the_address_and_is_gone_again_with_an_undo() {
        let bench = Bench::default().file(PATH, OLD).says(LIST, NEW).says(UPDATE, "");
        let base = ("base", Value::Text("http://10.0.0.5/core:/stable:/".into()));
        let cx = bench.step(&[minor(), base]);
        let Check::Needs { before, .. } = PackageRepository.check(&cx).await.unwrap() else { panic!() };
        PackageRepository.start(&cx, &before).await.unwrap();
        let new = OLD.replacen(
            "https://pkgs.k8s.io/core:/stable:/v1.33/",
            "http://10.0.0.5/core:/stable:/v1.34/",
            1,
        );
        assert_eq!(bench.content(PATH).unwrap(), new);
        assert!(matches!(PackageRepository.check(&cx).await, Ok(Check::Done(_))));
        PackageRepository.undo(&cx, &before).await.unwrap();
        assert_eq!(bench.content(PATH).unwrap(), OLD);
        let wrong = ("base", Value::Text("https://mirror.example/debian".into()));
        let failure = PackageRepository.check(&bench.step(&[minor(), wrong])).await.unwrap_err();
        assert!(failure.hint.contains("such as https://mirror.example/core:/stable:"), "{failure:?}");
    }

    const KEYRING: &str = "/etc/apt/keyrings/kubernetes-apt-keyring.gpg";
    const FETCH: &str = "/usr/lib/apt/apt-helper download-file https://pkgs.k8s.io/core:/stable:/v1.34/deb/Release.key /tmp/kup-key-v1.34";

    fn with_key(old: &str, new: &str) -> Bench {
        let bench = Bench::default().file(PATH, OLD).says(LIST, NEW).says(UPDATE, "").says(FETCH, "");
        bench.file(KEYRING, old).file("/tmp/kup-key-v1.34", new)
    }

    fn fetch() -> (&'static str, Value) {
        ("key", Value::Word("fetch".into()))
    }

    #[test]
    fn both_forms_of_an_apt_source_name_their_keyring() {
        assert_eq!(keyring_of(OLD), Some(KEYRING));
        let stanza = "Types: deb\nURIs: https://pkgs.k8s.io/core:/stable:/v1.33/deb/\nSigned-By: /etc/apt/keyrings/k.asc\n";
        assert_eq!(keyring_of(stanza), Some("/etc/apt/keyrings/k.asc"));
        assert_eq!(keyring_of("deb [arch=amd64 signed-by=/k.gpg] https://x/ /"), Some("/k.gpg"));
        assert_eq!(keyring_of("deb [trusted=yes] https://x/ /\n# signed-by=/k.gpg"), None);
    }

    #[tokio::test]
    async fn a_key_that_ended_is_fetched_anew_before_the_index_is_read() {
        let bench = with_key(OVER, RENEWED);
        // The bench's clock says 2027.
        perform(&PackageRepository, &bench.step(&[minor(), fetch()])).await.unwrap();
        let sent = bench.sent();
        assert!(
            sent.find(FETCH) < sent.find(UPDATE) && sent.contains(&format!("write {KEYRING} 644")),
            "{sent}"
        );
        let again = PackageRepository.check(&bench.step(&[minor(), fetch()])).await;
        assert!(matches!(again, Ok(Check::Done(_))), "{again:?}");
    }

    #[tokio::test]
    async fn a_key_that_has_ended_at_its_source_too_or_is_none_is_not_taken() {
        for (new, said) in [(OVER, "has ended, too"), ("<html>", "there is no key at https://")] {
            let bench = with_key(OVER, new);
            let failure = perform(&PackageRepository, &bench.step(&[minor(), fetch()])).await.unwrap_err();
            assert!(failure.message.contains(said), "{failure:?}");
            assert_eq!(bench.content(KEYRING).unwrap(), OVER);
        }
    }

    #[tokio::test]
    async fn an_unknown_key_is_taken_by_tls_alone() {
        let plain = FETCH.replace("https://pkgs.k8s.io/", "http://mirror/");
        for (new, taken) in [(RENEWED, true), (OTHER, false)] {
            let bench = with_key(OVER, new).says(&plain, "");
            let base = ("base", Value::Text("http://mirror/core:/stable:".into()));
            let done = perform(&PackageRepository, &bench.step(&[minor(), base, fetch()])).await;
            assert_eq!(done.is_ok(), taken, "{done:?}");
            assert_eq!(bench.sent().contains(&format!("write {KEYRING}")), taken);
        }
    }

    #[tokio::test]
    async fn a_node_without_a_repository_file_is_told() {
        let failure = PackageRepository.check(&Bench::default().step(&[minor()])).await.unwrap_err();
        assert_eq!(failure.class, Class::Final);
    }
}
