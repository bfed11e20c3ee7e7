//! Binaries in the place of older ones: fetched beside them, held against the hashes of their release, tried, and swapped
//! in by one move. What was there keeps its bytes under another name.
//!
//! ```text
//! curl PATH.kup, sha256sum = what the release says, PATH.kup --version, ln PATH PATH.previous, mv PATH.kup PATH
//! ```
//!
//! A binary that runs cannot be written over, but another one may take its name.

use dsl::value::{Value, Version};
use engine::action::{Context, Progress};
use engine::event::Failure;
use engine::inventory::PackageManager;
use engine::port::Command;

use super::detached::{self, Unit};
use super::failure;
use super::host::Host;

const WHAT: &str = "the download";

/// A binary that is to be in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binary {
    /// Its place.
    pub(super) path: String,
    /// What it shall be.
    pub(super) version: Version,
    /// Where it is fetched from.
    pub(super) address: String,
    /// Where its hash is: alone, or in a list of files.
    pub(super) hashes: String,
    /// Its name in such a list.
    pub(super) asset: String,
    /// The tool that hashes as the release does.
    pub(super) hasher: &'static str,
}

impl Binary {
    /// Where a download is until it is known to be good: on the same disk, so that it can be given the name at once.
    fn part(&self) -> String {
        part(&self.path)
    }
}

fn part(path: &str) -> String {
    format!("{path}.kup")
}

/// Where the one before is kept.
pub(super) fn previous(path: &str) -> String {
    format!("{path}.previous")
}

/// Returns the version that a binary says of itself: `Kubernetes v1.34.2`, `k3s version v1.34.2+k3s1 (hash)`.
pub(super) async fn version_of(host: &Host, path: &str) -> Result<Version, Failure> {
    let name = path.trim_end_matches(".kup").trim_end_matches(".previous");
    let argv: &[&str] =
        if name.ends_with("/kubectl") { &[path, "version", "--client"] } else { &[path, "--version"] };
    let said = host.ask(Command::read(argv.iter().copied())).await?;
    let version =
        said.split_whitespace().filter(|word| word.starts_with('v')).find_map(|word| word.parse().ok());
    version.ok_or_else(|| {
        Failure::last(format!("`{}` names no version", argv.join(" "))).with_output(failure::tail(&said))
    })
}

/// Returns the path of the program in what systemd says of `ExecStart`.
pub(super) fn exec_path(said: &str) -> Option<&str> {
    said.split("path=").nth(1).and_then(|rest| rest.split([' ', ';']).next())
}

/// Returns where the binary of a unit lies; `name` is what its file is called.
pub(super) async fn of_unit(host: &Host, unit: &str, name: &str) -> Result<String, Failure> {
    let said = host.ask(Command::read(["systemctl", "show", unit, "-p", "ExecStart"])).await?;
    match exec_path(&said).filter(|path| path.starts_with('/') && path.ends_with(name)) {
        Some(path) => Ok(path.to_string()),
        None => Err(Failure::last(format!("{} has no unit {unit} that runs {name}", host.name)).with_hint(
            format!(
                "see `systemctl cat {unit}` there; a node that runs it otherwise is not kup's to upgrade"
            ),
        )),
    }
}

/// Returns the kind of processor of a host, as releases call it.
pub(super) fn arch(host: &Host) -> &str {
    match host.node.as_ref().map(|node| node.arch.as_str()) {
        None | Some("") => "amd64",
        Some(arch) => arch,
    }
}

/// Holds that a host reaches what is to be fetched; `mirror` is what a folder of its own could be called.
pub(super) async fn reaches(host: &Host, address: &str, mirror: &str) -> Result<(), Failure> {
    let look = Command::read(["curl", "-fsSL", "--retry", "3", "--head", address]);
    let output = host.run(look).await?;
    if output.ok() {
        return Ok(());
    }
    let failure = failure::classify("curl", &output);
    let message = format!("{} does not find {address}", host.name);
    let hint = format!("name a mirror with `from`; it may be a folder on each node: file:///srv/{mirror}");
    Err(Failure { message, ..failure }.with_hint(hint))
}

/// Begins to fetch binaries; where that is not detached, they are in their places in the end.
pub(super) async fn fetch(cx: &Context, host: &Host, binaries: &[Binary]) -> Result<Progress, Failure> {
    let mut argv: Vec<String> = ["curl", "-fsSL", "--retry", "3"].map(String::from).to_vec();
    for binary in binaries {
        argv.extend(["--output".to_string(), binary.part(), binary.address.clone()]);
    }
    let command = Command::change(argv);
    if cx.long {
        let unit = detached::begin(cx, host, &command).await?;
        return Ok(detached::pending(&unit, host, WHAT, &Unit::Runs(String::new())));
    }
    let output = host.run(command).await?;
    if !output.ok() {
        return Err(failure::classify("curl", &output));
    }
    place_all(host, binaries).await
}

/// Looks how far the download is, and puts what has come in its place.
pub(super) async fn follow(
    cx: &Context,
    host: &Host,
    handle: &Value,
    binaries: &[Binary],
) -> Result<Progress, Failure> {
    match detached::look(cx, host, handle, WHAT).await? {
        Unit::Ended(output) if output.ok() => place_all(host, binaries).await,
        Unit::Ended(output) => Err(failure::classify("curl", &output)),
        unit => Ok(detached::pending(handle, host, WHAT, &unit)),
    }
}

/// All are held against their hashes before the first one is swapped in.
async fn place_all(host: &Host, binaries: &[Binary]) -> Result<Progress, Failure> {
    let mut ready = Vec::new();
    for binary in binaries {
        // An earlier attempt may have come so far, and nobody has heard of it.
        if version_of(host, &binary.path).await? != binary.version {
            verify(host, binary).await?;
            ready.push(binary);
        }
    }
    for binary in ready {
        let (path, part) = (binary.path.as_str(), binary.part());
        host.ask(Command::change(["ln", "-f", path, &previous(path)])).await?;
        host.ask(Command::change(["mv", "-f", &part, path])).await?;
        if host.node.as_ref().and_then(|node| node.packages) == Some(PackageManager::Dnf) {
            // Where SELinux is, systemd may only start what has the label of its place.
            host.ask(Command::change(["restorecon", "-F", path])).await?;
        }
    }
    let version = binaries.first().map(|binary| Value::Version(binary.version.clone()));
    Ok(Progress::Done(version.unwrap_or(Value::None)))
}

/// Holds that what was fetched is what its release says.
async fn verify(host: &Host, binary: &Binary) -> Result<(), Failure> {
    let part = binary.part();
    let hashes = host.ask(Command::read(["curl", "-fsSL", "--retry", "3", &binary.hashes])).await?;
    let told = hashes.lines().find_map(|line| match line.split_once(char::is_whitespace) {
        Some((hash, file)) => (file.trim().trim_start_matches('*') == binary.asset).then_some(hash),
        // The hash of one file stands alone.
        None => Some(line).filter(|line| !line.is_empty() && hashes.lines().count() == 1),
    });
    let found = host.ask(Command::read([binary.hasher, &part]).as_root()).await?;
    let found = found.split_whitespace().next().unwrap_or_default();
    if told != Some(found) {
        let told = told.unwrap_or("nothing");
        return Err(Failure::transient(format!(
            "{} is not what its release says: its hash is {found}, and the list says {told}",
            binary.address
        )));
    }
    host.ask(Command::change(["chmod", "0755", &part])).await?;
    let says = version_of(host, &part).await?;
    if says != binary.version {
        return Err(Failure::last(format!("{} says that it is {says}", binary.address)));
    }
    Ok(())
}

/// Gives the binary that was kept its name back, unless it has it.
pub(super) async fn swap_back(host: &Host, path: &str, old: &Version) -> Result<(), Failure> {
    if version_of(host, path).await? == *old {
        return Ok(());
    }
    let kept = previous(path);
    if version_of(host, &kept).await? != *old {
        return Err(Failure::last(format!("{kept} is not {old}"))
            .with_hint(format!("put {old} into {path} on {} by hand", host.name)));
    }
    host.ask(Command::change(["ln", "-f", &kept, &part(path)])).await?;
    host.ask(Command::change(["mv", "-f", &part(path), path])).await.map(drop)
}
