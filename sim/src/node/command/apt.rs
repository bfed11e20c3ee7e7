//! apt: `apt-get`, `apt-cache`, `apt-mark` and its download helper.

use std::time::Duration;

use engine::port::Output;

use super::system_upgrade;
use crate::faults::{dpkg_lock, old_mirror};
use crate::node::keyring;
use crate::node::packages::{NAMES, Repository, fits};
use crate::node::process::{Ended, Killed, Process, failed, said};
use crate::node::release::Release;
use crate::node::{Files, Packages};
use crate::shape::Packages as Manager;
use crate::world::World;

const HELD: &str = "E: Held packages were changed and -y was used without --allow-change-held-packages.\n";
const DOWNGRADED: &str = "E: Packages were downgraded and -y was used without --allow-downgrades.\n";
const INTERRUPTED: &str =
    "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem. \n";
const LISTS: &str = "Reading package lists...\nBuilding dependency tree...\nReading state information...\n";

/// Who has dpkg's lock, and for how long.
pub(super) struct Lock {
    pub(super) pid: u32,
    name: &'static str,
    left: Duration,
}

/// Returns who has the lock of dpkg now.
pub(super) fn lock_held(world: &mut World, name: &str) -> Option<Lock> {
    let now = world.now();
    let node = world.nodes.get_mut(name)?;
    let upgrades = dpkg_lock::held(node, now);
    if !upgrades.is_zero() {
        return Some(Lock { pid: 4242, name: "unattended-upgr", left: upgrades });
    }
    let left = node.packages.locked_until.saturating_sub(now);
    (!left.is_zero()).then_some(Lock { pid: 5151, name: "apt-get", left })
}

/// What an `apt-get` was told.
#[derive(Default)]
struct Options<'a> {
    words: Vec<&'a str>,
    yes: bool,
    downgrades: bool,
    held: bool,
    simulates: bool,
    lock_timeout: u64,
}

impl<'a> Options<'a> {
    fn read(args: &[&'a str]) -> Options<'a> {
        let mut options = Options::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match *arg {
                "-y" | "--yes" | "--assume-yes" => options.yes = true,
                "--allow-downgrades" => options.downgrades = true,
                "-s" => options.simulates = true,
                "--allow-change-held-packages" => options.held = true,
                "-o" => {
                    if let Some(seconds) = args.next().and_then(|o| o.strip_prefix("DPkg::Lock::Timeout=")) {
                        options.lock_timeout = seconds.parse().unwrap_or(0);
                    }
                }
                flag if flag.starts_with('-') => {}
                word => options.words.push(word),
            }
        }
        options
    }
}

/// Runs `apt-get`.
pub(super) async fn get(process: &Process, args: &[&str]) -> Ended {
    if process.on(|n| n.packages.manager != Manager::Apt) {
        return Ok(super::not_found(&["apt-get"]));
    }
    let options = Options::read(args);
    match options.words.as_slice() {
        ["update"] => update(process).await,
        ["install", wanted @ ..] => install(process, wanted, &options).await,
        ["upgrade"] if options.simulates => {
            process.busy(600, 1500).await?;
            Ok(process.on(|node| said(system_upgrade::apt_would(node))))
        }
        ["upgrade"] => upgrade(process, &options).await,
        _ => Ok(super::not_known("apt-get", args)),
    }
}

async fn update(process: &Process) -> Ended {
    process.busy(900, 2500).await?;
    process.on(|node| {
        let Some(repository) = Repository::of(Manager::Apt, &node.files) else {
            return Ok(said("Reading package lists...\n"));
        };
        let url = &repository.url;
        if !old_mirror::has(node, repository.minor) {
            return Ok(Output {
                code: 100,
                stdout: format!("Ign:1 {url}  InRelease\nErr:2 {url}  Release\n  404  Not Found [IP: 10.77.0.4 80]\nReading package lists...\n"),
                stderr: format!("E: The repository '{url}  Release' does not have a Release file.\n"),
            });
        }
        if let Some(complaint) = keyring::complaint(&node.files) {
            let text = format!("Get:1 {url}  InRelease [1,186 B]\nErr:1 {url}  InRelease\n  {complaint}\nReading package lists...\n");
            let error = format!(
                "E: An error occurred during the signature verification. The repository is not updated and the previous index files \
                 will be used. GPG error: {url}  InRelease: {complaint}\n"
            );
            return Ok(Output { code: 100, stdout: text, stderr: error });
        }
        node.packages.index = Some(repository.minor);
        Ok(said(format!("Get:1 {url}  InRelease [1,186 B]\nGet:2 {url}  Packages [12.4 kB]\nFetched 13.6 kB in 0s (68.1 kB/s)\nReading package lists...\n")))
    })
}

/// A package that changes: its name, what is there, what will be.
type Move = (String, Option<Release>, Release);

/// Finds what was asked for, or says why not.
fn resolve(packages: &Packages, files: &Files, wanted: &[&str]) -> Result<Vec<Move>, String> {
    let mut moves = Vec::new();
    for word in wanted {
        let (name, version) = word.split_once('=').map_or((*word, "*"), |(n, v)| (n, v));
        if !NAMES.contains(&name) {
            return Err(format!("E: Unable to locate package {name}\n"));
        }
        let there = packages.version(name);
        let found = packages.find(files, version);
        // What is installed is known from dpkg's own status too.
        let found = found.or_else(|| there.filter(|r| fits(version, &r.deb())));
        match found {
            Some(release) => moves.push((name.to_string(), there, release)),
            None => return Err(format!("E: Version '{version}' for '{name}' was not found\n")),
        }
    }
    Ok(moves)
}

/// Waits for dpkg's lock as long as was asked for, and says so. Returns how it ends if nothing can be done.
async fn wait_for_lock(
    process: &Process,
    options: &Options<'_>,
    text: &mut String,
) -> Result<Option<Output>, Killed> {
    let mut patience = Duration::from_secs(options.lock_timeout);
    while let Some(lock) = process.world(|w| lock_held(w, &process.node)) {
        let held_by = format!(
            "Could not get lock /var/lib/dpkg/lock-frontend. It is held by process {} ({})",
            lock.pid, lock.name
        );
        let wait = lock.left.min(patience);
        process.sleep(wait).await?;
        if lock.left > patience {
            return Ok(Some(Output {
                code: 100,
                stdout: std::mem::take(text),
                stderr: format!(
                    "E: {held_by}\nN: Be aware that removing the lock file is not a solution and may break your system.\n\
                     E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?\n"
                ),
            }));
        }
        patience -= wait;
        text.push_str(&format!("Waiting for cache lock: {held_by}...\n"));
    }
    Ok(process.on(|n| n.packages.broken).then(|| failed(100, INTERRUPTED)))
}

async fn upgrade(process: &Process, options: &Options<'_>) -> Ended {
    let mut text = String::new();
    if let Some(refused) = wait_for_lock(process, options, &mut text).await? {
        return Ok(refused);
    }
    if !options.yes {
        return Ok(Output { code: 1, stdout: text, stderr: "Abort.\n".to_string() });
    }
    // A machine that goes away meanwhile leaves dpkg interrupted.
    process.on(|node| node.packages.broken = !node.packages.updates.is_empty());
    system_upgrade::take_time(process).await?;
    process.on(|node| {
        node.packages.broken = false;
        text.push_str(&system_upgrade::apt(node));
    });
    Ok(said(text))
}

async fn install(process: &Process, wanted: &[&str], options: &Options<'_>) -> Ended {
    let mut text = String::new();
    if let Some(refused) = wait_for_lock(process, options, &mut text).await? {
        return Ok(refused);
    }
    text.push_str(LISTS);
    let moves = match process.on(|n| resolve(&n.packages, &n.files, wanted)) {
        Ok(moves) => moves,
        Err(stderr) => return Ok(Output { code: 100, stdout: text, stderr }),
    };
    let (changed, same): (Vec<Move>, Vec<Move>) =
        moves.into_iter().partition(|(_, there, to)| *there != Some(*to));
    for (name, _, release) in same {
        text.push_str(&format!("{name} is already the newest version ({}).\n", release.deb()));
    }
    if changed.is_empty() {
        text.push_str("0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n");
        return Ok(said(text));
    }
    let (held, down) = process.on(|n| {
        let held: Vec<String> =
            changed.iter().map(|c| c.0.clone()).filter(|name| n.packages.held.contains(name)).collect();
        (held, changed.iter().filter(|c| c.1.is_some_and(|there| there > c.2)).count())
    });
    let names = |names: &[String]| names.iter().map(|n| format!("  {n}\n")).collect::<String>();
    let all: Vec<String> = changed.iter().map(|c| c.0.clone()).collect();
    if !held.is_empty() {
        text.push_str(&format!("The following held packages will be changed:\n{}", names(&held)));
    }
    let verb = if down > 0 { "DOWNGRADED" } else { "upgraded" };
    text.push_str(&format!("The following packages will be {verb}:\n{}", names(&all)));
    text.push_str(&match down {
        0 => format!("{} upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n", all.len()),
        _ => format!(
            "0 upgraded, 0 newly installed, {} downgraded, 0 to remove and 0 not upgraded.\n",
            all.len()
        ),
    });
    let refused = match (held.is_empty(), down > 0) {
        _ if !options.yes => Some("Abort.\n"),
        (false, _) if !options.held => Some(HELD),
        (_, true) if !options.downgrades => Some(DOWNGRADED),
        (_, _) => None,
    };
    if let Some(stderr) = refused {
        return Ok(Output {
            code: if options.yes { 100 } else { 1 },
            stdout: text,
            stderr: stderr.to_string(),
        });
    }
    // The lock is held as long as the work lasts, and a machine that goes away meanwhile leaves dpkg interrupted.
    let time = process.world(|w| {
        let now = w.now();
        let node = w.nodes.get_mut(&process.node)?;
        let time = node.random.between(Duration::from_secs(3), Duration::from_secs(6));
        node.packages.locked_until = now + time;
        node.packages.broken = true;
        Some(time)
    });
    process.sleep(time.unwrap_or_default()).await?;
    process.on(|node| {
        node.packages.broken = false;
        let url = Repository::of(Manager::Apt, &node.files).map(|r| r.url).unwrap_or_default();
        for (at, (name, there, to)) in changed.iter().enumerate() {
            text.push_str(&format!("Get:{} {url}  {name} {} [11.6 MB]\n", at + 1, to.deb()));
            let over = there.map(|r| format!(" over ({})", r.deb())).unwrap_or_default();
            text.push_str(&format!("Unpacking {name} ({}){over} ...\n", to.deb()));
        }
        for (name, _, to) in &changed {
            text.push_str(&format!("Setting up {name} ({}) ...\n", to.deb()));
            node.packages.installed.insert(name.clone(), *to);
            // apt clears the hold of what it was allowed to change.
            node.packages.held.remove(name);
        }
    });
    Ok(said(text))
}

/// Runs `apt-cache madison NAMES`.
pub(super) async fn cache(process: &Process, args: &[&str]) -> Ended {
    let ["madison", names @ ..] = args else { return Ok(super::not_known("apt-cache", args)) };
    if process.on(|n| n.packages.manager != Manager::Apt) {
        return Ok(super::not_found(&["apt-cache"]));
    }
    process.busy(150, 400).await?;
    Ok(process.on(|node| {
        let url = Repository::of(Manager::Apt, &node.files).map(|r| r.url).unwrap_or_default();
        let offered = node.packages.offered(&node.files);
        let mut output = Output::default();
        for name in names {
            if offered.is_empty() || !NAMES.contains(name) {
                if !NAMES.contains(name) {
                    output.stderr.push_str(&format!("N: Unable to locate package {name}\n"));
                }
                continue;
            }
            for release in &offered {
                output.stdout.push_str(&format!("{name:>10} | {:>10} | {url}  Packages\n", release.deb()));
            }
        }
        output
    }))
}

/// Runs `apt-mark showhold|hold|unhold`.
pub(super) async fn mark(process: &Process, args: &[&str]) -> Ended {
    if process.on(|n| n.packages.manager != Manager::Apt) {
        return Ok(super::not_found(&["apt-mark"]));
    }
    process.busy(100, 300).await?;
    let unknown = |names: &[&str]| names.iter().find(|n| !NAMES.contains(n)).map(|n| n.to_string());
    Ok(process.on(|node| {
        let held = &mut node.packages.held;
        match args {
            ["showhold", only @ ..] => said(
                held.iter()
                    .filter(|n| only.is_empty() || only.contains(&n.as_str()))
                    .map(|n| format!("{n}\n"))
                    .collect::<String>(),
            ),
            ["hold" | "unhold", names @ ..] if unknown(names).is_some() => {
                let name = unknown(names).unwrap_or_default();
                failed(100, format!("E: Unable to locate package {name}\nE: No packages found\n"))
            }
            ["hold", names @ ..] => said(
                names
                    .iter()
                    .map(|name| match held.insert(name.to_string()) {
                        true => format!("{name} set on hold.\n"),
                        false => format!("{name} was already set on hold.\n"),
                    })
                    .collect::<String>(),
            ),
            ["unhold", names @ ..] => said(
                names
                    .iter()
                    .map(|name| match held.remove(*name) {
                        true => format!("Canceled hold on {name}.\n"),
                        false => format!("{name} was already not on hold.\n"),
                    })
                    .collect::<String>(),
            ),
            _ => super::not_known("apt-mark", args),
        }
    }))
}

/// Runs `apt-helper download-file URL FILE`: the index of any minor, without switching to it.
pub(super) async fn helper(process: &Process, args: &[&str]) -> Ended {
    let ["download-file", url, file, ..] = args else { return Ok(super::not_known("apt-helper", args)) };
    process.busy(200, 700).await?;
    Ok(process.on(|node| {
        let known = |url: &str| url.ends_with("/Packages") || url.ends_with("/Release.key");
        let minor = Repository::at(url).map(|r| r.minor).filter(|_| known(url));
        let Some(minor) = minor.filter(|m| old_mirror::has(node, *m)) else {
            return Output {
                code: 100,
                stdout: format!("Err:1 {url}\n  404  Not Found [IP: 10.77.0.4 80]\n"),
                stderr: format!("E: Failed to fetch {url}  404  Not Found [IP: 10.77.0.4 80]\nE: Download Failed\n"),
            };
        };
        let stanza = |name: &str, release: &Release| {
            let version = release.deb();
            format!("Package: {name}\nVersion: {version}\nArchitecture: amd64\nSection: admin\nFilename: amd64/{name}_{version}_amd64.deb\n\n")
        };
        let releases = Release::all_of(minor);
        let index: String = NAMES.iter().flat_map(|n| releases.iter().map(move |r| stanza(n, r))).collect();
        let index = if url.ends_with("/Release.key") { keyring::release_key() } else { index };
        let size = index.len();
        node.files.write(file, index, 0o644);
        said(format!("Get:1 {url} [{size} B]\nFetched {size} B in 0s (0 B/s)\n"))
    }))
}
