//! The commands of a node, one program or family a file. They print what the real tools print, and take
//! as long; what is not known ends with 127, as in a shell.

mod apt;
mod binary;
mod crictl;
mod ctr;
mod dnf;
mod dns;
mod dpkg;
mod etcd;
pub(super) mod file;
mod kubeadm;
mod kubectl;
mod rancher;
pub(super) mod sh;
mod system_upgrade;
mod systemctl;
mod systemd_run;
mod windows;

use engine::port::{Command, Output};
use futures::future::{BoxFuture, FutureExt};

use super::kubelet;
use super::process::{Ended, Process, failed, said};
use crate::faults::{clock_skew, disk_full};
use crate::shape::Packages;

/// Runs a command to its end.
pub(super) fn execute<'a>(process: &'a Process, command: &'a Command) -> BoxFuture<'a, Ended> {
    async move {
        let mut argv: Vec<&str> = command.argv.iter().map(String::as_str).collect();
        if process.on(|n| n.windows) {
            return windows::windows(process, &argv).await;
        }
        if argv.first() == Some(&"env") {
            argv.remove(0);
            while argv.first().is_some_and(|a| a.contains('=')) {
                argv.remove(0);
            }
        }
        if !command.root
            && let Some(refused) = needs_root(&argv)
        {
            return Ok(refused);
        }
        if let ["df", args @ ..] = argv.as_slice()
            && process.on(disk_full::strikes)
        {
            return Ok(file::df(args, 3_000_000_000));
        }
        if let Some(output) = process.on(|n| file::run(&mut n.files, &argv)) {
            kubelet::manifests_moved(process, &argv);
            return Ok(output);
        }
        if let [program, args @ ..] = argv.as_slice()
            && let Some(ended) = rancher::binary(process, program, args).await
        {
            return ended;
        }
        if let Some(ended) = binary::run(process, &argv).await {
            return ended;
        }
        match argv.as_slice() {
            ["apt-get", args @ ..] => apt::get(process, args).await,
            ["apt-cache", args @ ..] => apt::cache(process, args).await,
            ["apt-mark", args @ ..] => apt::mark(process, args).await,
            ["/usr/lib/apt/apt-helper", args @ ..] => apt::helper(process, args).await,
            ["dpkg-query", args @ ..] => Ok(process.on(|n| dpkg::query(&n.packages, args))),
            ["dpkg", args @ ..] => dpkg::dpkg(process, args).await,
            ["rpm", args @ ..] => Ok(process.on(|n| dnf::rpm(&n.packages, args))),
            ["dnf", args @ ..] => dnf::dnf(process, args).await,
            ["systemctl", args @ ..] => systemctl::systemctl(process, args).await,
            ["systemd-run", args @ ..] => Ok(systemd_run::systemd_run(process, args)),
            ["journalctl", args @ ..] => Ok(process.on(|n| systemctl::journalctl(n, args))),
            ["date", "+%s.%N"] => {
                let now = process.world(|w| w.clock.wall());
                let now = process.on(|n| clock_skew::shifted(n, now));
                Ok(said(format!("{}.{:09}\n", now.as_secs(), now.subsec_nanos())))
            }
            ["kubectl", args @ ..] => Ok(kubectl::kubectl(process, args)),
            ["kubelet", "--version"] => Ok(process.on(|n| match n.packages.version("kubelet") {
                Some(release) => said(format!("Kubernetes v{release}\n")),
                None => not_found(&["kubelet"]),
            })),
            ["needs-restarting", args @ ..] => Ok(process.on(|n| dnf::needs_restarting(n, args))),
            ["kubeadm", args @ ..] => kubeadm::kubeadm(process, args).await,
            ["ctr", args @ ..] => ctr::ctr(process, args).await,
            ["crictl", ..] if process.on(|n| n.beside) => Ok(not_found(&["crictl"])),
            ["crictl", args @ ..] => crictl::crictl(process, args).await,
            [tool @ ("etcdctl" | "etcdutl"), args @ ..] if process.on(|n| n.serves_etcd()) => {
                process.busy(20, 60).await?;
                etcd::tool(process, tool, args).await
            }
            ["bash", "-c", script, _, server, query] if dns::is_asked(script) => {
                dns::ask(process, server, query).await
            }
            [shell, args @ ..] if sh::is_shell(shell) => sh::shell(process, args, command).await,
            ["curl", args @ ..] => rancher::curl(process, args).await,
            ["restorecon", ..] if process.on(|n| n.package_manager == Packages::Dnf) => Ok(said("")),
            [path, args @ ..] if path.ends_with("/rke2/bin/kubectl") => rancher::kubectl(process, args).await,
            [path, args @ ..] if path.starts_with('/') => sh::script(process, path, args, command).await,
            other => Ok(not_found(other)),
        }
    }
    .boxed()
}

/// Says that there is no such program.
pub(super) fn not_found(argv: &[&str]) -> Output {
    failed(127, format!("sh: 1: {}: not found\n", argv.first().unwrap_or(&"")))
}

/// Says that the arguments are none that the box knows: better loud than a fake answer.
fn not_known(program: &str, args: &[&str]) -> Output {
    failed(64, format!("{program}: the simulation does not know `{}`\n", args.join(" ")))
}

/// Nobody logs in as root here, so what needs root fails without it as it does on a real node.
fn needs_root(argv: &[&str]) -> Option<Output> {
    match argv {
        // A simulation locks nothing.
        ["apt-get", args @ ..] if args.contains(&"-s") => None,
        ["apt-get", ..] | ["dpkg", "--configure", ..] | ["apt-mark", "hold" | "unhold", ..] => Some(failed(
            100,
            "E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)\n\
             E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), are you root?\n",
        )),
        ["dnf", args @ ..]
            if args.iter().any(|a| {
                matches!(*a, "install" | "downgrade" | "upgrade" | "makecache" | "add" | "delete")
            }) =>
        {
            Some(failed(
                1,
                "Error: This command has to be run with superuser privileges (under the root user on most systems).\n",
            ))
        }
        ["systemctl", "restart" | "stop" | "start" | "daemon-reload" | "reset-failed" | "reboot", ..]
        | ["systemd-run", ..] => {
            Some(failed(1, "Failed to connect to bus: Interactive authentication required.\n"))
        }
        ["kubeadm", "certs" | "init" | "token" | "reset" | "join", ..] => {
            Some(failed(1, "error: open /etc/kubernetes/admin.conf: permission denied\n"))
        }
        ["kubeadm", "upgrade", ..] => Some(failed(
            2,
            "error: [preflight] Some fatal errors occurred:\n\t[ERROR IsPrivilegedUser]: user is not running as root\n\
             [preflight] If you know what you are doing, you can make a check non-fatal with `--ignore-preflight-errors=...`\n",
        )),
        ["ctr", ..] => Some(failed(
            1,
            "ctr: failed to dial \"/run/containerd/containerd.sock\": connection error: permission denied\n",
        )),
        ["crictl", ..] => Some(failed(
            1,
            "FATA[0000] validate service connection: validate CRI v1 runtime API for endpoint \
             \"unix:///run/containerd/containerd.sock\": permission denied\n",
        )),
        _ => None,
    }
}
