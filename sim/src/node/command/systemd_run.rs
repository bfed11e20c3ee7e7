//! `systemd-run`: a command that belongs to the node, not to the connection.

use engine::port::{Command, Output};

use crate::node::process::{Process, failed, said};
use crate::node::unit::Unit;

/// Runs `systemd-run --unit=NAME -p K=V --setenv=K=V -q -- ARGV`.
pub(super) fn systemd_run(process: &Process, args: &[&str]) -> Output {
    let (mut name, mut remain, mut out, mut err) = (String::new(), false, None, None);
    let mut env = Vec::new();
    let mut args = args.iter();
    let mut first = None;
    while let Some(arg) = args.next() {
        let property = match *arg {
            "--" => break,
            "-p" | "--property" => args.next().copied(),
            "-q" | "--quiet" => None,
            flag if flag.starts_with("--unit=") => {
                name = flag["--unit=".len()..].trim_end_matches(".service").to_string();
                None
            }
            flag if flag.starts_with("--setenv=") => {
                env.extend(
                    flag["--setenv=".len()..].split_once('=').map(|(k, v)| (k.to_string(), v.to_string())),
                );
                None
            }
            flag if flag.starts_with('-') => flag.strip_prefix("--property="),
            program => {
                first = Some(program.to_string());
                break;
            }
        };
        match property.and_then(|p| p.split_once('=')) {
            Some(("RemainAfterExit", value)) => remain = value == "yes",
            Some(("StandardOutput", to)) => out = to.split_once(':').map(|(_, path)| path.to_string()),
            Some(("StandardError", to)) => err = to.split_once(':').map(|(_, path)| path.to_string()),
            Some(_) | None => {}
        }
    }
    let argv: Vec<String> = first.into_iter().chain(args.map(ToString::to_string)).collect();
    let Some(program) = argv.first().cloned() else {
        return failed(1, "Command line to execute required.\n");
    };
    if process.on(|n| n.units.contains_key(&name)) {
        let text = format!(
            "Failed to start transient service unit: Unit {name}.service was already loaded or has a fragment file.\n"
        );
        return failed(1, text);
    }
    const KNOWN: [&str; 12] = [
        "kubeadm",
        "apt-get",
        "curl",
        "dnf",
        "sh",
        "systemctl",
        "crictl",
        "ctr",
        "true",
        "false",
        "dpkg",
        "env",
    ];
    if !program.starts_with('/') && !KNOWN.contains(&program.as_str()) {
        return failed(1, format!("Failed to find executable {program}: No such file or directory\n"));
    }
    process.on(|n| {
        for path in [&out, &err].into_iter().flatten() {
            n.files.write(path, "", 0o644);
        }
    });
    let own = process.detached(out.clone());
    let command = Command { argv, env, root: true, changes: true, stdin: Vec::new() };
    let unit_name = name.clone();
    let task = tokio::spawn(async move {
        let Ok(output) = super::execute(&own, &command).await else { return };
        own.on(|n| {
            if let Some(path) = &out {
                n.files.append(path, output.stdout.as_bytes());
            }
            if let Some(path) = &err {
                n.files.append(path, output.stderr.as_bytes());
            }
            if let Some(unit) = n.units.shift_remove(&unit_name).and_then(|u| u.ended(&output)) {
                n.units.insert(unit_name, unit);
            }
        });
    });
    process.on(|n| n.units.insert(name, Unit::new(remain, task.abort_handle())));
    said("")
}
