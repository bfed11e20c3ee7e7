//! `reboot`: until the machine has another boot id and its kubelet reports it.
//!
//! The boot id from before stands in a file on the node, written before the reboot is asked for: so
//! whoever looks again, also another process after a crash, knows whether it has happened, and no
//! node is rebooted twice.

use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::inventory::PackageManager;
use engine::port::{Command, ShellError};
use indexmap::IndexMap;

use super::host::{FOLDER, Host, is_away};
use super::packages::numbers;
use super::{detached, failure};
use crate::{api, health};

/// The kernel's own name for this boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The kernel that runs.
const RELEASE: &str = "/proc/sys/kernel/osrelease";

/// What Debian's packages leave when they want a reboot.
const WANTED: &str = "/var/run/reboot-required";

/// How often to look.
const AGAIN: Duration = Duration::from_secs(5);

/// Reboots a node.
pub(super) struct Reboot;

#[async_trait]
impl Action for Reboot {
    fn name(&self) -> &'static str {
        "reboot"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let host = Host::of(cx)?;
        let boot = boot_id(&host).await?;
        let asked = host.read(&marker(cx)).await?;
        if asked.as_deref().is_some_and(|before| before.trim() != boot) {
            return Ok(Check::Done(format!("{} was rebooted", host.name)));
        }
        let always = cx.args.get("always") == Some(&Value::Bool(true));
        if asked.is_none() && !always && !is_wanted(&host).await? {
            return Ok(Check::Done(format!("nothing on {} asks for a reboot", host.name)));
        }
        let now = format!("boot {}", boot.split('-').next().unwrap_or_default());
        Ok(Check::Needs { now, then: "a new boot".to_string(), before: Value::Text(boot) })
    }

    async fn start(&self, cx: &Context, before: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let boot = before.as_text().unwrap_or_default();
        host.ask(Command::change(["mkdir", "-p", "-m", "0700", FOLDER])).await?;
        host.write(&marker(cx), &format!("{boot}\n"), 0o600).await?;
        match host.shell.run(&Command::change(["systemctl", "reboot"])).await {
            Ok(output) if !output.ok() => return Err(failure::classify("systemctl reboot", &output)),
            // The machine may take the connection with it: the boot id will tell.
            Ok(_) | Err(ShellError::Lost { .. }) => {}
            Err(error @ (ShellError::Unreachable { .. } | ShellError::Refused(_))) => {
                return Err(failure::shell(&error));
            }
        }
        let handle = IndexMap::from([("boot".to_string(), Value::Text(boot.to_string()))]);
        Ok(pending(&Value::Record(handle), format!("{} goes down", host.name)))
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let before = handle.get("boot").and_then(Value::as_text).unwrap_or_default();
        let boot = match host.shell.read(BOOT_ID).await {
            Ok(Some(bytes)) => String::from_utf8_lossy(&bytes).trim().to_string(),
            Ok(None) => return Err(Failure::last(format!("{} has no {BOOT_ID}", host.name))),
            Err(error) if is_away(&error) => {
                return Ok(pending(handle, format!("waiting for {} to answer", host.name)));
            }
            Err(error) => return Err(failure::shell(&error)),
        };
        if boot == before {
            return Ok(pending(handle, format!("{} has not gone down yet", host.name)));
        }
        if let Some(kube) = &cx.ports.kube {
            // The apiserver of this very node may be on its way too: no answer is a verdict.
            let reason = match api::node(kube, &host.name).await {
                Ok(node) => {
                    let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
                    match info.is_some_and(|info| info.boot_id == boot) {
                        true => health::node::unfit(&node),
                        false => Some(format!("the kubelet of {} has not reported the new boot", host.name)),
                    }
                }
                Err(failure) => Some(failure.message),
            };
            if let Some(reason) = reason {
                return Ok(pending(handle, reason));
            }
        }
        Ok(Progress::Done(Value::Text(format!("boot {}", boot.split('-').next().unwrap_or_default()))))
    }
}

/// Returns whether what is installed asks for a reboot.
pub(super) async fn is_wanted(host: &Host) -> Result<bool, Failure> {
    let dnf = host.node.as_ref().and_then(|node| node.packages) == Some(PackageManager::Dnf);
    if !dnf {
        let asks = host.run(Command::read(["test", "-e", WANTED])).await?.ok();
        return Ok(asks || has_newer_kernel(host).await?);
    }
    let output = host.run(Command::read(["needs-restarting", "-r"]).as_root()).await?;
    match output.code {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(failure::classify("needs-restarting -r", &output)
            .with_hint("install dnf-utils on the node, or say `always=true`")),
    }
}

/// Returns whether /boot has a newer kernel than the one that runs. Debian's own packages leave no word:
/// that is the work of unattended-upgrades, and of Ubuntu's notifier.
async fn has_newer_kernel(host: &Host) -> Result<bool, Failure> {
    let running = host.read(RELEASE).await?.unwrap_or_default();
    let boot = host.run(Command::read(["ls", "-A", "/boot"])).await?.stdout;
    let mut kernels = boot.lines().filter_map(|file| file.strip_prefix("vmlinuz-"));
    // A container runs the kernel of its host, whatever is installed in it.
    let is_its_own = kernels.clone().any(|kernel| kernel == running.trim());
    Ok(is_its_own && kernels.any(|kernel| numbers(kernel) > numbers(running.trim())))
}

async fn boot_id(host: &Host) -> Result<String, Failure> {
    let text = host.read(BOOT_ID).await?;
    text.map(|text| text.trim().to_string())
        .ok_or_else(|| Failure::last(format!("{} has no {BOOT_ID}", host.name)))
}

fn marker(cx: &Context) -> String {
    format!("{FOLDER}/{}-{}.boot", cx.run, detached::step_hash(cx))
}

fn pending(handle: &Value, reason: String) -> Progress {
    Progress::Pending { handle: handle.clone(), reason, again: AGAIN }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Bench, perform};
    use super::*;

    const MARKER: &str = "/var/lib/kup/r1-a2906e1d50.boot";

    fn bench() -> Bench {
        let bench = Bench::default().file(BOOT_ID, "old-1\n").loses("systemctl reboot");
        bench.cluster.node("n1", "v1.34.4", false);
        bench
    }

    fn booted(bench: &Bench, id: &str) {
        let mut node = bench.cluster.get("/api/v1/nodes/n1");
        node["status"]["nodeInfo"]["bootID"] = serde_json::json!(id);
        bench.cluster.put("/api/v1/nodes/n1", node);
    }

    async fn poll(cx: &Context, handle: &Value) -> String {
        match Reboot.poll(cx, handle).await.unwrap() {
            Progress::Pending { reason, .. } => reason,
            Progress::Done(value) => format!("done: {value}"),
        }
    }

    #[tokio::test]
    async fn a_reboot_is_done_when_the_kubelet_reports_the_new_boot() {
        let bench = bench();
        let cx = bench.step(&[("always", Value::Bool(true))]);
        let Check::Needs { before, now, .. } = Reboot.check(&cx).await.unwrap() else { panic!() };
        assert_eq!(now, "boot old");
        let Progress::Pending { handle, .. } = Reboot.start(&cx, &before).await.unwrap() else { panic!() };
        assert_eq!(bench.content(MARKER).as_deref(), Some("old-1\n"));
        assert_eq!(poll(&cx, &handle).await, "n1 has not gone down yet");
        let bench = bench.file(BOOT_ID, "new-1\n");
        assert_eq!(poll(&cx, &handle).await, "the kubelet of n1 has not reported the new boot");
        booted(&bench, "new-1");
        assert_eq!(poll(&cx, &handle).await, "done: boot new");
    }

    #[tokio::test]
    async fn a_node_that_was_rebooted_in_this_run_is_not_rebooted_again() {
        let bench = bench().file(MARKER, "older\n");
        let cx = bench.step(&[("always", Value::Bool(true))]);
        assert_eq!(Reboot.check(&cx).await, Ok(Check::Done("n1 was rebooted".into())));
        // It was asked for, and nobody knows whether the node heard it: it has not happened.
        let bench = bench.file(MARKER, "old-1\n");
        let cx = bench.step(&[]);
        assert!(matches!(Reboot.check(&cx).await, Ok(Check::Needs { .. })));
    }

    #[tokio::test]
    async fn only_a_node_that_asks_for_it_is_rebooted_unless_told_otherwise() {
        let test = "test -e /var/run/reboot-required";
        let cx = bench().ends(test, 1, "", "").step(&[]);
        assert!(matches!(Reboot.check(&cx).await, Ok(Check::Done(_))));
        let cx = bench().says(test, "").step(&[]);
        assert!(matches!(Reboot.check(&cx).await, Ok(Check::Needs { .. })));
        for (code, wanted) in [(0, false), (1, true)] {
            let mut cx = bench().ends("needs-restarting -r", code, "", "").step(&[]);
            testing::node(&mut cx).packages = Some(PackageManager::Dnf);
            assert_eq!(matches!(Reboot.check(&cx).await, Ok(Check::Needs { .. })), wanted);
        }
        let mut cx = bench().step(&[]);
        testing::node(&mut cx).packages = Some(PackageManager::Dnf);
        assert!(Reboot.check(&cx).await.unwrap_err().hint.contains("always=true"));
    }

    #[tokio::test]
    async fn a_newer_kernel_in_boot_asks_for_a_reboot_where_no_package_says_so() {
        let all =
            "config-6.1.0-40-amd64\nvmlinuz-6.1.0-9-amd64\nvmlinuz-6.1.0-37-amd64\nvmlinuz-6.1.0-40-amd64\n";
        for (running, wanted) in
            [("6.1.0-37-amd64\n", true), ("6.1.0-40-amd64\n", false), ("5.10.0-1-cloud\n", false)]
        {
            let bench = bench().ends("test -e /var/run/reboot-required", 1, "", "").says("ls -A /boot", all);
            let cx = bench.file(RELEASE, running).step(&[]);
            assert_eq!(matches!(Reboot.check(&cx).await, Ok(Check::Needs { .. })), wanted, "{running}");
        }
    }

    #[tokio::test]
    async fn a_node_that_refuses_to_reboot_is_told() {
        let refuses =
            Bench::default().file(BOOT_ID, "old-1\n").ends("systemctl reboot", 1, "", "Access denied");
        let failure = perform(&Reboot, &refuses.step(&[("always", Value::Bool(true))])).await.unwrap_err();
        assert!(failure.message.contains("systemctl reboot"), "{}", failure.message);
    }
}
