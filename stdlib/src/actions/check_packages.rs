//! `check packages`: the package repository of every node that is not there yet has the version.
//! Where the configured repository is of another minor, or the packages are to come from a mirror, the index of the
//! target's minor is read beside it; nothing on the node is switched. The key that apt knows the repository by must not have
//! ended, which only apt's own update would tell.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use dsl::value::{Minor, Version};
use engine::action::Context;
use engine::event::{Class, Failure};
use engine::inventory::{Node, PackageManager};
use engine::port::Command;

use super::argument;
use super::failure;
use super::host::{Host, together};
use super::package_repository::{self, APT_FILES, SOON};
use super::packages::{LIFTED, offered};
use super::verdict::Verdict;

/// The verb.
pub(super) struct CheckPackages;

const PACKAGES: [&str; 3] = ["kubeadm", "kubelet", "kubectl"];
const DNF_FILE: &str = "/etc/yum.repos.d/kubernetes.repo";

#[async_trait]
impl Verdict for CheckPackages {
    fn name(&self) -> &'static str {
        "check packages"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let version = argument::version(cx, "version")?;
        let base = package_repository::base(cx)?;
        // Windows has no packages of Kubernetes: what it needs there, `check windows nodes` looks for.
        let packaged = |node: &&Node| !node.beside && !node.windows && !is_at(node, &version);
        let nodes = cx.inventory.nodes.values().filter(packaged);
        let asks: Vec<_> = nodes.map(|node| ask(cx, node, &version, base)).collect();
        let asked = asks.len();
        let mut notes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut lacking: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut class = Class::Transient;
        let mut hint = "mend the package repository of these nodes, or name another version";
        for (node, answer) in together(asks).await {
            match answer {
                Ok(Answer::Well) => {}
                Ok(Answer::Soon(note)) => notes.entry(note).or_default().push(node),
                Ok(Answer::Lacks(why)) => {
                    class = Class::Final;
                    lacking.entry(why).or_default().push(node);
                }
                Ok(Answer::Ended(why)) => {
                    class = Class::Final;
                    hint = "fetch the key anew: key=fetch; or mend the package repository of these nodes";
                    lacking.entry(why).or_default().push(node);
                }
                Err(failure) => {
                    // What may go away by itself stays so only if all that is wrong may.
                    class = if failure.class == Class::Transient { class } else { Class::Final };
                    lacking.entry(failure.message).or_default().push(node);
                }
            }
        }
        if !lacking.is_empty() {
            let line = |(why, nodes): (&String, &Vec<String>)| format!("{}: {why}", nodes.join(", "));
            let text = lacking.iter().map(line).collect::<Vec<_>>().join("; ");
            let failure = Failure { class, ..Failure::transient(text) };
            return Err(failure.with_hint(hint));
        }
        let well = match asked {
            0 => format!("every node is at {version} already"),
            1 => format!("{version} is in the repository of 1 node"),
            asked => format!("{version} is in the repositories of {asked} nodes"),
        };
        let notes = notes.into_iter().map(|(note, nodes)| format!("note: {}: {note}", nodes.join(", ")));
        Ok(std::iter::once(well).chain(notes).collect::<Vec<_>>().join("; "))
    }
}

fn is_at(node: &Node, version: &Version) -> bool {
    node.kubelet.as_ref().is_some_and(|kubelet| kubelet.release() == version.release())
}

/// Reads a package's version: `1.34.4-1.1` and `1.34.4-150500.1.1` are v1.34.4; Debian writes
/// `1.35.0~rc.1` for a pre-release.
fn package(text: &str) -> Option<Version> {
    text.replace('~', "-").parse().ok().as_ref().map(Version::release)
}

/// What is to be said of a node.
enum Answer {
    /// Its repository has the version.
    Well,
    /// It has, and soon something will be wrong.
    Soon(String),
    /// What it lacks.
    Lacks(String),
    /// The key of its repository has ended.
    Ended(String),
}

/// Asks one node.
async fn ask(
    cx: &Context,
    node: &Node,
    version: &Version,
    base: Option<&str>,
) -> (String, Result<Answer, Failure>) {
    let host =
        Host { name: node.name.clone(), node: Some(node.clone()), shell: cx.ports.shells.on(&node.ssh) };
    let answer = match node.packages {
        Some(PackageManager::Apt) => with_apt(cx, &host, version, base).await,
        Some(PackageManager::Dnf) => dnf(&host, version, base).await.map(|offer| offer.answer(version)),
        None => Ok(Answer::Lacks(format!("kup knows no package manager of {:?}", node.os))),
    };
    (node.name.clone(), answer)
}

async fn with_apt(
    cx: &Context,
    host: &Host,
    version: &Version,
    base: Option<&str>,
) -> Result<Answer, Failure> {
    let source = apt_source(host).await?.unwrap_or_default();
    match apt(host, &source, version, base).await?.answer(version) {
        Answer::Well => key(cx, host, &source).await,
        other => Ok(other),
    }
}

/// Looks when the keys end by which apt knows the repository. A keyring that cannot be read says nothing.
async fn key(cx: &Context, host: &Host, source: &str) -> Result<Answer, Failure> {
    let Some(path) = package_repository::keyring_of(source) else { return Ok(Answer::Well) };
    let ends = package_repository::keyring(host, path).await?.and_then(|keyring| keyring.ends());
    let Some(ends) = ends.filter(|_| !package_repository::fetches(cx)) else { return Ok(Answer::Well) };
    let now = cx.ports.clock.wall();
    let key = format!("the signing key in {path}");
    Ok(match day(ends) {
        day if ends <= now => Answer::Ended(format!("{key} ended on {day}")),
        day if ends <= now + SOON => Answer::Soon(format!("{key} ends on {day}; key=fetch fetches it anew")),
        _ => Answer::Well,
    })
}

fn day(time: Duration) -> String {
    let time = i64::try_from(time.as_secs()).ok().and_then(|secs| jiff::Timestamp::from_second(secs).ok());
    time.map(|time| time.strftime("%Y-%m-%d").to_string()).unwrap_or_default()
}

/// The versions of each package that a repository has.
#[derive(Debug, Default, PartialEq, Eq)]
struct Offer(BTreeMap<String, Vec<Version>>);

impl Offer {
    fn add(&mut self, name: &str, version: &str) {
        if PACKAGES.contains(&name)
            && let Some(version) = package(version)
        {
            self.0.entry(name.to_string()).or_default().push(version);
        }
    }

    /// Returns whether every package that was asked for has the version.
    fn has(&self, version: &Version) -> bool {
        !self.0.is_empty() && self.0.values().all(|versions| versions.contains(&version.release()))
    }

    fn answer(&self, version: &Version) -> Answer {
        self.lacks(version).map_or(Answer::Well, Answer::Lacks)
    }

    /// Tells that the version is missing, with the newest that is there.
    fn lacks(&self, version: &Version) -> Option<String> {
        if self.has(version) {
            return None;
        }
        let newest = self.0.values().flatten().filter(|known| known.minor() == version.minor()).max();
        let newest = newest.or_else(|| self.0.values().flatten().max());
        Some(match newest {
            Some(newest) => format!("no packages of {version}; the newest are of {newest}"),
            None => format!("no packages of {}", version.minor()),
        })
    }
}

async fn apt(host: &Host, source: &str, version: &Version, base: Option<&str>) -> Result<Offer, Failure> {
    if let Some(base) = base {
        return index(host, &format!("{base}/{}/deb", version.minor()), version).await;
    }
    let repository = apt_repository(source);
    let other = match &repository {
        Some((_, minor)) if *minor != version.minor() => None,
        _ => {
            let madison = Command::read(["apt-cache", "madison"].into_iter().chain(PACKAGES));
            let offer = madison_offer(&host.ask(madison).await?);
            if offer.has(version) {
                return Ok(offer);
            }
            Some(offer)
        }
    };
    // The lists that apt has may be of another minor, or old: the index itself has the last word.
    match (repository, other) {
        (Some((url, minor)), known) => match index(host, &moved(&url, minor, version.minor()), version).await
        {
            Ok(offer) => Ok(offer),
            Err(failure) => known.filter(|offer| !offer.0.is_empty()).ok_or(failure),
        },
        (None, known) => Ok(known.unwrap_or_default()),
    }
}

/// Reads the index of a repository without making it the node's own.
async fn index(host: &Host, url: &str, version: &Version) -> Result<Offer, Failure> {
    let file = format!("/tmp/kup-packages-{}", version.minor());
    let from = format!("{url}/Packages");
    let helper = ["/usr/lib/apt/apt-helper", "download-file", &from, &file];
    let output = host.run(Command::read(helper)).await?;
    let text = if output.ok() { host.read(&file).await } else { Ok(None) };
    host.run(Command::read(["rm", "-f", &file])).await?;
    match text? {
        Some(text) => Ok(index_offer(&text)),
        None if output.ok() => Err(Failure::transient(format!("apt-helper left no {file}"))),
        None => Err(not_fetched(&from, &output)),
    }
}

/// A repository that answers no such file never had that minor; any other answer may change.
fn not_fetched(url: &str, output: &engine::port::Output) -> Failure {
    let said = failure::classify("apt-helper download-file", output);
    let absent = output.stderr.contains(" 404 ") || output.stderr.contains(" 403 ");
    let class = if absent { Class::Final } else { Class::Transient };
    Failure { class, message: format!("cannot read {url}"), ..said }
}

async fn dnf(host: &Host, version: &Version, base: Option<&str>) -> Result<Offer, Failure> {
    let repository = host.read(DNF_FILE).await?.as_deref().and_then(dnf_repository);
    let other = match (base, repository) {
        (Some(base), _) => Some(format!("{base}/{}/rpm/", version.minor())),
        (None, Some((url, minor))) if minor != version.minor() => Some(moved(&url, minor, version.minor())),
        (None, _) => None,
    };
    let list = ["dnf", "-q", "list", "--showduplicates"];
    let argv: Vec<String> = match other {
        Some(url) => {
            let from = format!("--repofrompath=kup,{url}");
            // Without the last word dnf may end well although nobody answered.
            let asks = "--setopt=kup.skip_if_unavailable=False";
            let rest = [
                "kubeadm",
                "--setopt=disable_excludes=main",
                "--disablerepo=*",
                &from,
                "--enablerepo=kup",
                asks,
            ];
            list.into_iter().chain(rest).map(str::to_string).collect()
        }
        _ => list.into_iter().chain(PACKAGES).chain([LIFTED]).map(str::to_string).collect(),
    };
    let output = host.run(Command::read(argv).as_root()).await?;
    if output.ok() {
        return Ok(dnf_offer(&output.stdout));
    }
    // dnf ends with 1 when nothing matches, as when a repository does not answer.
    if output.stderr.contains("No matching Packages") {
        return Ok(Offer::default());
    }
    Err(failure::classify("dnf list", &output))
}

/// Reads apt's source of Kubernetes, if there is one.
async fn apt_source(host: &Host) -> Result<Option<String>, Failure> {
    for path in APT_FILES {
        if let Some(source) = host.read(path).await? {
            return Ok(Some(source));
        }
    }
    Ok(None)
}

/// Returns the address and the minor of the Kubernetes repository in an apt source.
fn apt_repository(text: &str) -> Option<(String, Minor)> {
    text.lines().find_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("deb ").or_else(|| line.strip_prefix("URIs:"))?;
        let words = match line.trim().strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => line,
        };
        let url = words.split_whitespace().next()?.trim_end_matches('/');
        Some((url.to_string(), minor_of(url)?))
    })
}

/// Likewise in a dnf repository file.
fn dnf_repository(text: &str) -> Option<(String, Minor)> {
    text.lines().find_map(|line| {
        let (key, url) = line.split_once('=')?;
        let url = url.trim();
        (key.trim() == "baseurl").then(|| Some((url.to_string(), minor_of(url)?)))?
    })
}

/// Finds `/v1.33/` in an address.
fn minor_of(url: &str) -> Option<Minor> {
    url.split('/').find_map(|part| part.strip_prefix('v')?.parse().ok())
}

/// Returns the same address for another minor.
fn moved(url: &str, from: Minor, to: Minor) -> String {
    url.replacen(&format!("/{from}/"), &format!("/{to}/"), 1)
}

/// Reads lines such as ` kubeadm | 1.34.4-1.1 | http://host/v1.34/deb  Packages`.
fn madison_offer(text: &str) -> Offer {
    let mut offer = Offer::default();
    for line in text.lines() {
        let mut columns = line.split('|').map(str::trim);
        if let (Some(name), Some(version)) = (columns.next(), columns.next()) {
            offer.add(name, version);
        }
    }
    offer
}

/// Reads the stanzas of a `Packages` file.
fn index_offer(text: &str) -> Offer {
    let mut offer = Offer::default();
    let mut name = "";
    for line in text.lines() {
        match line.split_once(':') {
            Some(("Package", package)) => name = package.trim(),
            Some(("Version", version)) => offer.add(name, version.trim()),
            _ => {}
        }
    }
    offer
}

/// Reads what `dnf list` says.
fn dnf_offer(text: &str) -> Offer {
    let mut offer = Offer::default();
    for (name, version) in offered(text) {
        // An epoch stands before the version where there is one.
        offer.add(name, version.rsplit(':').next().unwrap_or_default());
    }
    offer
}

#[cfg(test)]
mod tests {
    use super::super::signing_key::tests::{OTHER, OVER};
    use super::*;
    use crate::testing::{Scripted, ports, with};
    use dsl::value::Value;
    use engine::inventory::Inventory;

    const LIST: &str = "deb [signed-by=/etc/apt/keyrings/kubernetes-apt-keyring.gpg] http://pkgs.example/core:/stable:/v1.33/deb/ /\n";
    const MADISON: &str = "apt-cache madison kubeadm kubelet kubectl";
    const HELPER: &str = "/usr/lib/apt/apt-helper download-file http://pkgs.example/core:/stable:/v1.34/deb/Packages /tmp/kup-packages-v1.34";

    fn index() -> String {
        let stanza =
            |(package, version)| format!("Package: {package}\nVersion: {version}\nArchitecture: amd64\n\n");
        let versions = ["1.34.4-1.1", "1.34.3-1.1"];
        PACKAGES.iter().flat_map(|p| versions.map(|v| (*p, v))).map(stanza).collect()
    }

    async fn check(shells: &Scripted, packages: PackageManager, version: &str) -> String {
        check_with(shells, packages, version, &[]).await
    }

    async fn check_with(
        shells: &Scripted,
        packages: PackageManager,
        version: &str,
        more: &[(&str, Value)],
    ) -> String {
        let node = |name: &str, kubelet: &str| Node {
            name: name.into(),
            ssh: name.into(),
            kubelet: kubelet.parse().ok(),
            packages: Some(packages),
            ..Node::default()
        };
        let mut inventory = Inventory::default();
        inventory.nodes.insert("n1".into(), node("n1", "v1.33.4"));
        inventory.nodes.insert("n2".into(), node("n2", "v1.34.4"));
        let version = Value::Version(version.parse().unwrap());
        let args = [&[("version", version)][..], more].concat();
        let cx = with(ports(None, shells, &Default::default()), inventory, "", &args);
        match CheckPackages.judge(&cx).await {
            Ok(text) => text,
            Err(failure) => format!("no: {}", failure.message),
        }
    }

    fn apt(madison: &str) -> Scripted {
        Scripted::default()
            .file("n1", APT_FILES[0], LIST)
            .file("n1", "/tmp/kup-packages-v1.34", &index())
            .says("n1", MADISON, madison)
            .says("n1", HELPER, "")
            .says("n1", "rm -f /tmp/kup-packages-v1.34", "")
    }

    #[tokio::test]
    async fn the_index_of_the_next_minor_is_read_without_switching() {
        let shells = apt("");
        assert_eq!(
            check(&shells, PackageManager::Apt, "v1.34.4").await,
            "v1.34.4 is in the repository of 1 node"
        );
        assert_eq!(shells.sent(), [format!("n1: {HELPER}"), "n1: rm -f /tmp/kup-packages-v1.34".to_string()]);
    }

    #[tokio::test]
    async fn a_source_may_be_a_stanza() {
        let stanza = "Types: deb\nURIs: http://pkgs.example/core:/stable:/v1.33/deb/\nSuites: /\n";
        let shells = Scripted::default().file("n1", APT_FILES[1], stanza);
        let shells = shells.file("n1", "/tmp/kup-packages-v1.34", &index()).says("n1", HELPER, "");
        let shells = shells.says("n1", "rm -f /tmp/kup-packages-v1.34", "");
        let text = check(&shells, PackageManager::Apt, "v1.34.4").await;
        assert_eq!(text, "v1.34.4 is in the repository of 1 node");
    }

    #[tokio::test]
    async fn a_version_that_is_not_there_is_told_with_the_newest_that_is() {
        let shells = apt("").says("n2", MADISON, " kubeadm | 1.34.4-1.1 | http://pkgs.example\n");
        let text = check(&shells, PackageManager::Apt, "v1.34.9").await;
        assert_eq!(text, "no: n1, n2: no packages of v1.34.9; the newest are of v1.34.4");
    }

    #[tokio::test]
    async fn within_the_minor_apt_is_asked() {
        let line = |(p, v): (&str, &str)| {
            format!("   {p} | {v}-1.1 | http://pkgs.example/core:/stable:/v1.33/deb  Packages\n")
        };
        let madison: String =
            PACKAGES.iter().flat_map(|p| [(*p, "1.33.9"), (*p, "1.33.4")]).map(line).collect();
        let shells = apt(&madison).says("n2", MADISON, &madison);
        let text = check(&shells, PackageManager::Apt, "v1.33.9").await;
        assert_eq!(text, "v1.33.9 is in the repositories of 2 nodes");
    }

    #[tokio::test]
    async fn the_index_of_a_mirror_is_read_where_one_is_named() {
        let base = ("base", Value::Text("http://10.0.0.5/core:/stable:/".into()));
        let helper = HELPER.replace("http://pkgs.example/", "http://10.0.0.5/");
        let shells = apt("").says("n1", &helper, "");
        let text = check_with(&shells, PackageManager::Apt, "v1.34.4", std::slice::from_ref(&base)).await;
        assert_eq!(text, "v1.34.4 is in the repository of 1 node");
        assert_eq!(shells.sent()[0], format!("n1: {helper}"));
        let line = "dnf -q list --showduplicates kubeadm --setopt=disable_excludes=main --disablerepo=* --repofrompath=kup,http://10.0.0.5/core:/stable:/v1.34/rpm/ --enablerepo=kup --setopt=kup.skip_if_unavailable=False";
        let listed = "Available Packages\nkubeadm.x86_64  1.34.4-150500.1.1  kup\n";
        let shells = Scripted::default().says("n1", line, listed);
        let text = check_with(&shells, PackageManager::Dnf, "v1.34.4", &[base]).await;
        assert_eq!(text, "v1.34.4 is in the repository of 1 node");
    }

    #[tokio::test]
    async fn a_key_that_has_ended_is_refused_unless_it_is_to_be_fetched_anew() {
        let keyring = "/etc/apt/keyrings/kubernetes-apt-keyring.gpg";
        let shells = apt("").file("n1", keyring, OVER);
        let text = check(&shells, PackageManager::Apt, "v1.34.4").await;
        assert_eq!(text, format!("no: n1: the signing key in {keyring} ended on 2024-11-02"));
        let fetch = ("key", Value::Word("fetch".into()));
        let text = check_with(&shells, PackageManager::Apt, "v1.34.4", &[fetch]).await;
        assert_eq!(text, "v1.34.4 is in the repository of 1 node");
        let shells = apt("").file("n1", keyring, OTHER);
        let text = check(&shells, PackageManager::Apt, "v1.34.4").await;
        assert_eq!(text, "v1.34.4 is in the repository of 1 node");
    }

    #[tokio::test]
    async fn dnf_lists_the_repository_of_the_next_minor() {
        let repository = "[kubernetes]\nbaseurl=https://pkgs.example/core:/stable:/v1.33/rpm/\n";
        let line = "dnf -q list --showduplicates kubeadm --setopt=disable_excludes=main --disablerepo=* --repofrompath=kup,https://pkgs.example/core:/stable:/v1.34/rpm/ --enablerepo=kup --setopt=kup.skip_if_unavailable=False";
        let listed = "Installed Packages\nkubeadm.x86_64  1.34.9-150500.1.1  @kubernetes\nAvailable Packages\nkubeadm.x86_64  1.34.3-150500.1.1  kup\nkubeadm.x86_64  1.34.4-150500.1.1  kup\n";
        let shells = Scripted::default().file("n1", DNF_FILE, repository).says("n1", line, listed);
        assert_eq!(
            check(&shells, PackageManager::Dnf, "v1.34.4").await,
            "v1.34.4 is in the repository of 1 node"
        );
        let text = check(&shells, PackageManager::Dnf, "v1.34.5").await;
        assert!(text.contains("the newest are of v1.34.4"), "{text}");
    }

    #[tokio::test]
    async fn a_node_that_does_not_answer_is_named() {
        let text = check(&Scripted::default(), PackageManager::Apt, "v1.34.4").await;
        assert!(text.starts_with("no: n1: "), "{text}");
    }

    #[test]
    fn package_versions_are_versions() {
        let read = |text: &str| package(text).unwrap().to_string();
        assert_eq!(read("1.34.4-1.1"), "v1.34.4");
        assert_eq!(read("1.34.4-150500.1.1"), "v1.34.4");
        assert_eq!(read("1.35.0~rc.1-1.1"), "v1.35.0-rc.1");
    }
}
