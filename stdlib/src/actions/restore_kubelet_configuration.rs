//! `restore kubelet configuration`: the file that `kubeadm upgrade node` put aside, back in its place, for an older kubelet
//! that may not know what the newer one's says.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::port::Command;

use super::host::{FOLDER, Host};
use super::restart_kubelet::running_version;
use super::{argument, failure};
use crate::api;

const CONFIG: &str = "/var/lib/kubelet/config.yaml";
/// Where kubeadm keeps what it replaced, a folder an upgrade: kubeadm-kubelet-configNUMBER.
const BACKUPS: &str = "/etc/kubernetes/tmp";
const BACKUP: &str = "kubeadm-kubelet-config";
/// Restores the configuration.
pub(super) struct RestoreKubeletConfiguration;

#[async_trait]
impl Action for RestoreKubeletConfiguration {
    fn name(&self) -> &'static str {
        "restore kubelet configuration"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let to = argument::version(cx, "to")?.release();
        let host = Host::of(cx)?;
        let replaced = host.read(&aside(cx)).await?;
        let now = current(&host).await?;
        if replaced.as_ref().is_some_and(|replaced| *replaced != now) {
            return Ok(Check::Done("it is back".to_string()));
        }
        let node = api::node(&api::client(&cx.ports)?, &host.name).await?;
        if running_version(&node).is_some_and(|version| version.release() <= to) {
            return Ok(Check::Done(format!("the kubelet is no newer than {to}")));
        }
        Ok(match backup(&host, &now).await? {
            None => Check::Done("kubeadm has put no other configuration aside".to_string()),
            Some(_) => Check::Needs {
                now: String::new(),
                then: "as before the upgrade".to_string(),
                before: Value::Text(now),
            },
        })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let now = current(&host).await?;
        let Some(old) = backup(&host, &now).await? else { return Ok(Progress::Done(Value::None)) };
        // Written first: whoever is asked after a crash sees by it whether the other one is in its place, and does not take the
        // one before that.
        host.ask(Command::change(["mkdir", "-p", "-m", "0700", FOLDER])).await?;
        host.write(&aside(cx), &now, 0o600).await?;
        host.write(CONFIG, &old, 0o644).await?;
        Ok(Progress::Done(Value::None))
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        let Some(text) = before.as_text() else { return Ok(()) };
        let host = Host::of(cx)?;
        if current(&host).await? != text {
            host.write(CONFIG, text, 0o644).await?;
        }
        host.ask(Command::change(["rm", "-f", &aside(cx)])).await.map(drop)
    }
}

/// Returns where a run keeps what it replaced.
fn aside(cx: &Context) -> String {
    let node = cx.node.as_ref().map(|node| node.name.as_str()).unwrap_or_default();
    format!("{FOLDER}/{}-{node}-kubelet-config.yaml", cx.run)
}

async fn current(host: &Host) -> Result<String, Failure> {
    let text = host.read(CONFIG).await?;
    text.ok_or_else(|| {
        Failure::last(format!("{} has no {CONFIG}", host.name))
            .with_hint("its kubelet was not set up by kubeadm; keep the node out of this step")
    })
}

/// Returns the newest configuration that kubeadm has put aside and that is another one than the current: an upgrade that was run twice
/// has put the newer one aside too.
async fn backup(host: &Host, now: &str) -> Result<Option<String>, Failure> {
    let output = host.run(Command::read(["ls", "-At", BACKUPS]).as_root()).await?;
    if !output.ok() {
        let none = output.stderr.contains("No such file or directory");
        return if none { Ok(None) } else { Err(failure::classify("ls", &output)) };
    }
    for name in output.stdout.lines().filter(|name| name.starts_with(BACKUP)) {
        match host.read(&format!("{BACKUPS}/{name}/config.yaml")).await? {
            Some(text) if text != now => return Ok(Some(text)),
            Some(_) | None => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, perform};
    use super::*;

    fn node(running: &str, listing: &str) -> Bench {
        let bench = Bench::default()
            .file(CONFIG, "new\n")
            .file("/etc/kubernetes/tmp/kubeadm-kubelet-config9/config.yaml", "old\n")
            .file("/etc/kubernetes/tmp/kubeadm-kubelet-config1/config.yaml", "new\n")
            .file("/etc/kubernetes/tmp/kubeadm-kubelet-config5/config.yaml", "older\n")
            .says("ls -At /etc/kubernetes/tmp", listing);
        bench.cluster.node("n1", running, false);
        bench
    }

    const ALL: &str = "kubeadm-kubelet-config1\nkubeadm-backup-manifests-x\nkubeadm-kubelet-config9\nkubeadm-kubelet-config5\n";

    fn to() -> [(&'static str, Value); 1] {
        [("to", Value::Version("v1.33.4".parse().unwrap()))]
    }

    #[tokio::test]
    async fn the_newest_other_configuration_is_put_back_once_and_taken_back() {
        let bench = node("v1.34.2", ALL);
        let cx = bench.step(&to());
        let Ok(Check::Needs { before, .. }) = RestoreKubeletConfiguration.check(&cx).await else { panic!() };
        perform(&RestoreKubeletConfiguration, &cx).await.unwrap();
        assert_eq!(bench.content(CONFIG).as_deref(), Some("old\n"));
        let Ok(Check::Done(why)) = RestoreKubeletConfiguration.check(&cx).await else {
            panic!("it goes on to the one before")
        };
        assert_eq!(why, "it is back");
        RestoreKubeletConfiguration.undo(&cx, &before).await.unwrap();
        assert_eq!(bench.content(CONFIG).as_deref(), Some("new\n"));
    }

    #[tokio::test]
    async fn a_kup_that_dies_between_its_two_writes_goes_on_with_the_same_configuration() {
        let bench = node("v1.34.2", ALL);
        let cx = bench.step(&to());
        // The first write is there, the second one is not.
        let bench = bench.file(&aside(&cx), "new\n");
        let cx = bench.step(&to());
        assert!(matches!(RestoreKubeletConfiguration.check(&cx).await, Ok(Check::Needs { .. })));
        perform(&RestoreKubeletConfiguration, &cx).await.unwrap();
        assert_eq!(bench.content(CONFIG).as_deref(), Some("old\n"));
        assert!(matches!(RestoreKubeletConfiguration.check(&cx).await, Ok(Check::Done(_))));
    }

    #[tokio::test]
    async fn a_kubelet_that_is_old_already_keeps_what_it_has_and_so_does_one_without_another() {
        for (running, listing, why) in [
            ("v1.33.4", ALL, "the kubelet is no newer than v1.33.4"),
            ("v1.34.2", "kubeadm-kubelet-config1\n", "kubeadm has put no other configuration aside"),
        ] {
            let said =
                perform(&RestoreKubeletConfiguration, &node(running, listing).step(&to())).await.unwrap();
            assert_eq!(said.as_text(), Some(why));
        }
    }
}
