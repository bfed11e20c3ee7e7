//! `dnf` and `rpm`.

use std::time::Duration;

use engine::port::Output;

use super::system_upgrade;
use crate::faults::{dpkg_lock, old_mirror};
use crate::node::packages::{NAMES, Repository, fits};
use crate::node::process::{Ended, Killed, Process, failed, said};
use crate::node::release::Release;
use crate::node::{Node, Packages};
use crate::shape::Packages as Manager;

/// Runs `rpm -q --qf FORMAT NAMES`.
pub(super) fn rpm(packages: &Packages, args: &[&str]) -> Output {
    if packages.manager != Manager::Dnf {
        return super::not_found(&["rpm"]);
    }
    let (mut output, mut format) = (Output::default(), "%{NAME}-%{VERSION}-%{RELEASE}.x86_64\n");
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match *arg {
            "--qf" | "--queryformat" => format = args.next().copied().unwrap_or(format),
            flag if flag.starts_with('-') => {}
            name => match packages.version(name) {
                Some(release) => output.stdout.push_str(
                    &format
                        .replace("\\n", "\n")
                        .replace("%{NAME}", name)
                        .replace("%{VERSION}", &release.to_string())
                        .replace("%{RELEASE}", "150500.1.1"),
                ),
                None => {
                    output.code += 1;
                    output.stdout.push_str(&format!("package {name} is not installed\n"));
                }
            },
        }
    }
    output
}

/// Runs `needs-restarting -r`, of dnf-utils.
pub(super) fn needs_restarting(node: &Node, args: &[&str]) -> Output {
    if node.package_manager != Manager::Dnf {
        return super::not_found(&["needs-restarting"]);
    }
    match (args, node.reboot_wanted) {
        (["-r"], true) => Output {
            code: 1,
            stdout: "Core libraries or services have been updated since boot-up:\n  * kernel\n\n\
                     Reboot is required to fully utilize these updates.\n\
                     More information: https://access.redhat.com/solutions/27943\n"
                .to_string(),
            stderr: String::new(),
        },
        (["-r"], false) => said(
            "No core libraries or services have been updated since boot-up.\nReboot should not be necessary.\n",
        ),
        _ => super::not_known("needs-restarting", args),
    }
}

/// What a `dnf` was told.
#[derive(Default)]
struct Options<'a> {
    words: Vec<&'a str>,
    /// The exclusions of the repository file are lifted.
    lifted: bool,
    /// A repository that counts for this call only.
    other: Option<&'a str>,
}

impl<'a> Options<'a> {
    fn read(args: &[&'a str]) -> Options<'a> {
        let mut options = Options::default();
        for arg in args {
            match *arg {
                "--disableexcludes=kubernetes"
                | "--disableexcludes=all"
                | "--setopt=disable_excludes=kubernetes" => {
                    options.lifted = true;
                }
                flag if flag.starts_with('-') => {
                    if let Some((_, url)) =
                        flag.strip_prefix("--repofrompath=").and_then(|r| r.split_once(','))
                    {
                        options.other = Some(url);
                    }
                }
                word => options.words.push(word),
            }
        }
        options
    }
}

/// Runs `dnf`.
pub(super) async fn dnf(process: &Process, args: &[&str]) -> Ended {
    if process.on(|n| n.packages.manager != Manager::Dnf) {
        return Ok(super::not_found(&["dnf"]));
    }
    let options = Options::read(args);
    match options.words.as_slice() {
        ["makecache"] => {
            process.busy(900, 2500).await?;
            Ok(process.on(|n| refresh(n, None).map_or_else(|e| failed(1, e), |_| said(""))))
        }
        ["list", names @ ..] => {
            process.busy(600, 1500).await?;
            Ok(process.on(|n| list(n, names, &options)))
        }
        ["repoquery", ..] if args.contains(&"--upgrades") => {
            process.busy(600, 1500).await?;
            Ok(process.on(|n| said(system_upgrade::dnf_would(n))))
        }
        ["upgrade"] => upgrade(process).await,
        ["versionlock", verb, specs @ ..] => {
            process.busy(400, 1200).await?;
            Ok(process.on(|n| versionlock(&mut n.packages, verb, specs, args)))
        }
        ["install" | "downgrade", wanted @ ..] => install(process, wanted, &options).await,
        _ => Ok(super::not_known("dnf", args)),
    }
}

/// Runs `dnf versionlock list|add|delete`, of dnf-plugins-core.
fn versionlock(packages: &mut Packages, verb: &str, specs: &[&str], args: &[&str]) -> Output {
    let entry = |name: &str, release: &Release| format!("{name}-0:{}.*", release.rpm());
    let (mut text, locked) = (String::new(), packages.locked.clone());
    match verb {
        "list" => text.extend(locked.iter().map(|(name, release)| entry(name, release) + "\n")),
        "add" => {
            for spec in specs {
                let found = NAMES.iter().find_map(|name| {
                    let release = packages.version(name)?;
                    let fits = spec == name || *spec == format!("{name}-{}", release.rpm());
                    fits.then_some((*name, release))
                });
                let Some((name, release)) = found else {
                    text.push_str(&format!("No package found for: {spec}\n"));
                    continue;
                };
                match locked.get(name) {
                    // A name alone is locked already, at whatever version.
                    Some(at) if *spec == name || *at == release => text.push_str(&format!(
                        "Package already locked in equivalent form: {}\n",
                        entry(name, at)
                    )),
                    _ => {
                        text.push_str(&format!("Adding versionlock on: {}\n", entry(name, &release)));
                        packages.locked.insert(name.to_string(), release);
                    }
                }
            }
        }
        "delete" => {
            for (name, release) in &locked {
                let entry = entry(name, release);
                if specs.iter().any(|spec| *spec == name.as_str() || *spec == entry) {
                    text.push_str(&format!("Deleting versionlock for: {entry}\n"));
                    packages.locked.remove(name);
                }
            }
        }
        _ => return super::not_known("dnf", args),
    }
    said(text)
}

/// Reads the index of the repository in the file, or of another one for this call only.
fn refresh(node: &mut Node, other: Option<&str>) -> Result<Vec<Release>, String> {
    let (id, repository) = match other {
        Some(url) => ("kup", Repository::at(url)),
        None => ("kubernetes", Repository::of(Manager::Dnf, &node.files)),
    };
    let Some(repository) = repository else { return Ok(Vec::new()) };
    if !old_mirror::has(node, repository.minor) {
        return Err(format!(
            "Errors during downloading metadata for repository '{id}':\n  - Status code: 404 for {}/repodata/repomd.xml (IP: 10.77.0.4)\n\
             Error: Failed to download metadata for repo '{id}': Cannot download repomd.xml: Cannot download repodata/repomd.xml: All mirrors were tried\n",
            repository.url
        ));
    }
    if other.is_none() {
        node.packages.index = Some(repository.minor);
    }
    Ok(Release::all_of(repository.minor))
}

fn list(node: &mut Node, names: &[&str], options: &Options<'_>) -> Output {
    let offered = match refresh(node, options.other) {
        Ok(offered) => offered,
        Err(stderr) => return failed(1, stderr),
    };
    let repository = if options.other.is_some() { "kup" } else { "kubernetes" };
    let line = |name: &str, release: Release, from: &str| {
        format!("{:<24} {:<24} {from}\n", format!("{name}.x86_64"), release.rpm())
    };
    let (mut installed, mut available) = (String::new(), String::new());
    for name in names {
        if let Some(release) = node.packages.version(name) {
            installed.push_str(&line(name, release, "@kubernetes"));
        }
        if (options.lifted || options.other.is_some()) && NAMES.contains(name) {
            available.extend(offered.iter().rev().map(|r| line(name, *r, repository)));
        }
    }
    if installed.is_empty() && available.is_empty() {
        return failed(1, "Error: No matching Packages to list\n");
    }
    let part =
        |title: &str, lines: String| if lines.is_empty() { lines } else { format!("{title}\n{lines}") };
    said(part("Installed Packages", installed) + &part("Available Packages", available))
}

/// Waits until nobody else installs anything, and says so.
async fn wait_for_lock(process: &Process, text: &mut String) -> Result<(), Killed> {
    loop {
        let (held, working) = process.world(|w| {
            let now = w.now();
            let Some(node) = w.nodes.get_mut(&process.node) else { return Default::default() };
            (dpkg_lock::held(node, now), node.packages.locked_until.saturating_sub(now))
        });
        let wait: Duration = held.max(working);
        if wait.is_zero() {
            return Ok(());
        }
        text.push_str("Waiting for process with pid 4242 to finish.\n");
        process.sleep(wait).await?;
    }
}

async fn upgrade(process: &Process) -> Ended {
    let mut text = String::new();
    wait_for_lock(process, &mut text).await?;
    system_upgrade::take_time(process).await?;
    process.on(|n| text.push_str(&system_upgrade::dnf(n)));
    Ok(said(text))
}

async fn install(process: &Process, wanted: &[&str], options: &Options<'_>) -> Ended {
    let mut text = String::new();
    wait_for_lock(process, &mut text).await?;
    let resolved = process.on(|node| {
        refresh(node, None)?;
        let mut moves = Vec::new();
        for word in wanted {
            let name = NAMES.into_iter().find(|n| word == n || word.starts_with(&format!("{n}-")));
            let pattern = name.and_then(|n| word.strip_prefix(n)).map_or("", |p| p.trim_start_matches('-'));
            let pattern = if pattern.is_empty() { "*" } else { pattern };
            let unable = |why: String| Err(format!("{why}Error: Unable to find a match: {word}\n"));
            let Some(name) = name else { return unable(format!("No match for argument: {word}\n")) };
            if !options.lifted {
                return unable(format!(
                    "All matches were filtered out by exclude filtering for argument: {word}\n"
                ));
            }
            // `1.34.4-*`, `1.34.4-150500.1.1` and plain `1.34.4` all name a version.
            let lock = node.packages.locked.get(name).copied();
            let found = node.packages.offered(&node.files).into_iter();
            let found = found.filter(|r| lock.is_none_or(|lock| lock == *r));
            let found = found.filter(|r| fits(pattern, &r.rpm()) || fits(pattern, &r.to_string())).max();
            match found {
                Some(release) => moves.push((name, release)),
                None if lock.is_some() => {
                    return unable(format!(
                        "All matches were filtered out by exclude filtering for argument: {word}\n"
                    ));
                }
                None => return unable(format!("No match for argument: {word}\n")),
            }
        }
        moves.retain(|(name, to)| node.packages.version(name) != Some(*to));
        Ok(moves)
    });
    let moves = match resolved {
        Ok(moves) => moves,
        Err(stderr) => return Ok(Output { code: 1, stdout: text, stderr }),
    };
    if moves.is_empty() {
        text.push_str("Dependencies resolved.\nNothing to do.\nComplete!\n");
        return Ok(said(text));
    }
    let time = process.world(|w| {
        let now = w.now();
        let node = w.nodes.get_mut(&process.node)?;
        let time = node.random.between(Duration::from_secs(4), Duration::from_secs(8));
        node.packages.locked_until = now + time;
        Some(time)
    });
    process.sleep(time.unwrap_or_default()).await?;
    process.on(|node| {
        text.push_str("Dependencies resolved.\nRunning transaction\n");
        for (name, to) in &moves {
            let there = node.packages.version(name);
            let verb = if there.is_some_and(|there| there > *to) { "Downgraded" } else { "Upgraded" };
            text.push_str(&format!("{verb}:\n  {name}-{}.x86_64\n", to.rpm()));
            node.packages.installed.insert(name.to_string(), *to);
        }
    });
    text.push_str("\nComplete!\n");
    Ok(said(text))
}
