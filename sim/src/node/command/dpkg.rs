//! `dpkg-query` and `dpkg --configure -a`.

use engine::port::Output;

use crate::node::packages::Packages;
use crate::node::process::{Ended, Process, failed, said};
use crate::shape::Packages as Manager;

/// Runs `dpkg-query -W -f=FORMAT NAMES`.
pub(super) fn query(packages: &Packages, args: &[&str]) -> Output {
    if packages.manager != Manager::Apt {
        return super::not_found(&["dpkg-query"]);
    }
    let format = args.iter().find_map(|a| a.strip_prefix("-f=").or_else(|| a.strip_prefix("--showformat=")));
    let format = format.unwrap_or("${Package}\t${Version}\n");
    let mut output = Output::default();
    for name in args.iter().filter(|a| !a.starts_with('-')) {
        match packages.version(name) {
            Some(release) => output.stdout.push_str(
                &format
                    .replace("\\n", "\n")
                    .replace("${Package}", name)
                    .replace("${Version}", &release.deb())
                    .replace("${db:Status-Status}", "installed"),
            ),
            None => {
                output.code = 1;
                output.stderr.push_str(&format!("dpkg-query: no packages found matching {name}\n"));
            }
        }
    }
    output
}

/// Runs `dpkg --configure -a`.
pub(super) async fn dpkg(process: &Process, args: &[&str]) -> Ended {
    if process.on(|n| n.packages.manager != Manager::Apt) {
        return Ok(super::not_found(&["dpkg"]));
    }
    if args != ["--configure", "-a"] {
        return Ok(super::not_known("dpkg", args));
    }
    let locked = process.world(|w| super::apt::lock_held(w, &process.node));
    if let Some(lock) = locked {
        return Ok(failed(
            2,
            format!("dpkg: error: dpkg frontend lock was locked by another process with pid {}\n", lock.pid),
        ));
    }
    process.busy(300, 900).await?;
    process.on(|n| n.packages.broken = false);
    Ok(said(""))
}
