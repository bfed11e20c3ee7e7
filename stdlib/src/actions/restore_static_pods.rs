//! `restore static pods`: puts the manifests back that kubeadm put aside when it upgraded the node. The controller manager and the
//! scheduler go first, for they may not be newer than the apiserver they reach; etcd's stays: its data cannot be read by an
//! older minor. https://kubernetes.io/releases/version-skew-policy/

use std::time::Duration;

use async_trait::async_trait;
use dsl::value::{Value, Version};
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::port::Command;
use indexmap::IndexMap;

use super::host::Host;
use super::{argument, failure, kubeadm};
use crate::api;

const MANIFESTS: &str = "/etc/kubernetes/manifests";
/// Where kubeadm keeps what it replaced, a folder an upgrade: kubeadm-backup-manifests-TIME.
const BACKUPS: &str = "/etc/kubernetes/tmp";
const BACKUP: &str = "kubeadm-backup-manifests-";
/// On the disk of the manifests, and not among them, where the kubelet would run it.
const ASIDE: &str = "/etc/kubernetes/kup-manifest.yaml";

/// In the order of the way down, which is the way up turned round.
const COMPONENTS: [&str; 3] = ["kube-scheduler", "kube-controller-manager", "kube-apiserver"];

const AGAIN: Duration = Duration::from_secs(2);
/// How long a static pod may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Restores the manifests of a node.
pub(super) struct RestoreStaticPods;

#[async_trait]
impl Action for RestoreStaticPods {
    fn name(&self) -> &'static str {
        "restore static pods"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let to = argument::version(cx, "to")?.release();
        let host = Host::of(cx)?;
        let now = manifests(&host).await?;
        let newer: Vec<&(&str, String)> =
            now.iter().filter(|(_, text)| image(text).as_ref() != Some(&to)).collect();
        let Some((_, first)) = newer.last() else {
            return Ok(match lacks(cx, &host, &to).await? {
                None => Check::Done(format!("the control plane of {} is at {to}", host.name)),
                Some(now) => Check::Needs { now, then: to.to_string(), before: Value::None },
            });
        };
        let from = image(first).map(|version| version.to_string()).unwrap_or_default();
        backup(&host, &to).await?;
        let before = newer.iter().map(|(name, text)| (name.to_string(), Value::Text(text.clone())));
        Ok(Check::Needs { now: from, then: to.to_string(), before: Value::Record(before.collect()) })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        next(cx, cx.ports.clock.wall()).await
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let since = match handle.get("since") {
            Some(Value::Number(n)) => Duration::from_secs(u64::try_from(*n).unwrap_or_default()),
            _ => cx.ports.clock.wall(),
        };
        next(cx, since).await
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        let Value::Record(before) = before else { return Ok(()) };
        let host = Host::of(cx)?;
        // The apiserver comes first on the way up.
        for name in COMPONENTS.into_iter().rev() {
            let Some(text) = before.get(name).and_then(Value::as_text) else { continue };
            put(&host, name, text).await?;
            let Some(version) = image(text) else { continue };
            let since = cx.ports.clock.now();
            while let Some(reason) = waits_for(cx, &host, name, &version).await {
                if cx.ports.clock.now().saturating_sub(since) > PATIENCE {
                    return Err(Failure::transient(reason)
                        .with_hint(format!("see `journalctl -u kubelet` on {}", host.name)));
                }
                cx.ports.clock.sleep(AGAIN).await;
            }
        }
        Ok(())
    }
}

/// Puts the next manifest back, once the pod of the one before it is well.
async fn next(cx: &Context, since: Duration) -> Result<Progress, Failure> {
    let to = argument::version(cx, "to")?.release();
    let host = Host::of(cx)?;
    let now = cx.ports.clock.wall();
    let pending = |since: Duration, reason: String| {
        let since = Value::Number(i64::try_from(since.as_secs()).unwrap_or_default());
        Progress::Pending {
            handle: Value::Record(IndexMap::from([("since".to_string(), since)])),
            reason,
            again: AGAIN,
        }
    };
    for (name, text) in manifests(&host).await? {
        if image(&text).as_ref() != Some(&to) {
            let folder = backup(&host, &to).await?;
            let Some(old) = host.read(&format!("{folder}/{name}.yaml")).await? else {
                return Err(Failure::last(format!("{folder} on {} has no {name}.yaml", host.name)));
            };
            put(&host, name, &old).await?;
            return Ok(pending(now, format!("waiting for {name} of {}", host.name)));
        }
        if let Some(reason) = waits_for(cx, &host, name, &to).await {
            if now.saturating_sub(since) > PATIENCE {
                return Err(Failure::last(format!("{name} {to} of {} does not come up: {reason}", host.name))
                    .with_hint(format!("see `crictl ps -a --name {name}` and `crictl logs` there; `kup rollback` puts the newer one back")));
            }
            return Ok(pending(since, reason));
        }
    }
    Ok(Progress::Done(Value::Text(format!("etcd of {} stays as it is", host.name))))
}

/// Returns the folder of kubeadm's that has the manifests of a version, the newest of them.
pub(super) async fn backup(host: &Host, to: &Version) -> Result<String, Failure> {
    let output = host.run(Command::read(["ls", "-A", BACKUPS]).as_root()).await?;
    if !output.ok() && !output.stderr.contains("No such file or directory") {
        return Err(failure::classify("ls", &output));
    }
    // Their names end with the time, so the newest is the last one.
    let mut names: Vec<&str> = output.stdout.lines().filter(|name| name.starts_with(BACKUP)).collect();
    names.sort_unstable();
    for name in names.iter().rev() {
        let folder = format!("{BACKUPS}/{name}");
        let mut all = true;
        for component in COMPONENTS {
            let text = host.read(&format!("{folder}/{component}.yaml")).await?;
            all &= text.as_deref().and_then(image).as_ref() == Some(to);
        }
        if all {
            return Ok(folder);
        }
    }
    Err(Failure::last(format!("{} has no manifests of {to} in {BACKUPS}/{BACKUP}*", host.name)).with_hint(
        "kubeadm puts aside what it replaces in an upgrade; without that there is no way back for this node",
    ))
}

/// Reads the manifests that are in use, in the order of the way down.
async fn manifests(host: &Host) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut all = Vec::new();
    for name in COMPONENTS {
        let Some(text) = host.read(&path(name)).await? else {
            return Err(Failure::last(format!("{} has no manifest of {name}", host.name))
                .with_hint(format!("look into {MANIFESTS} there")));
        };
        all.push((name, text));
    }
    Ok(all)
}

async fn put(host: &Host, name: &str, text: &str) -> Result<(), Failure> {
    if host.read(&path(name)).await?.as_deref() == Some(text) {
        return Ok(());
    }
    host.write(ASIDE, text, 0o600).await?;
    host.ask(Command::change(["mv", "-f", "-T", ASIDE, &path(name)])).await.map(drop)
}

/// Returns what is still missing until the API shows a component Ready at a version.
async fn waits_for(cx: &Context, host: &Host, name: &str, to: &Version) -> Option<String> {
    let pods = async { kubeadm::components(&api::client(&cx.ports)?, &host.name).await };
    match pods.await {
        // The apiserver itself may be what restarts.
        Err(failure) => Some(failure.message),
        Ok(pods) => match pods.iter().find(|pod| pod.name == name) {
            None => Some(format!("{} shows no {name}", host.name)),
            Some(pod) if pod.version.as_ref().map(Version::release).as_ref() != Some(to) => {
                Some(format!("waiting for the kubelet to start {name} {to}"))
            }
            Some(pod) if !pod.ready => Some(format!("{name} is not Ready")),
            Some(_) => None,
        },
    }
}

async fn lacks(cx: &Context, host: &Host, to: &Version) -> Result<Option<String>, Failure> {
    let kube = api::client(&cx.ports)?;
    let pods = kubeadm::components(&kube, &host.name).await?;
    Ok(pods
        .iter()
        .find(|pod| {
            COMPONENTS.contains(&pod.name.as_str()) && !(pod.ready && pod.version.as_ref() == Some(to))
        })
        .map(|pod| format!("{} is not there yet", pod.name)))
}

/// Returns the version that the image of a manifest names.
fn image(manifest: &str) -> Option<Version> {
    let image =
        manifest.lines().find_map(|line| line.trim().trim_start_matches("- ").strip_prefix("image:"))?;
    api::tag(image.trim().trim_matches('"'))?.parse().ok()
}

fn path(name: &str) -> String {
    format!("{MANIFESTS}/{name}.yaml")
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;

    fn manifest(name: &str, version: &str) -> String {
        format!(
            "spec:\n  containers:\n  - command:\n    - {name}\n    image: registry.k8s.io/{name}:{version}\n"
        )
    }

    fn node() -> Bench {
        let put = |bench: Bench, folder: &str, version: &str| {
            COMPONENTS.into_iter().fold(bench, |bench, name| {
                bench.file(&format!("{folder}/{name}.yaml"), &manifest(name, version))
            })
        };
        let bench = put(Bench::default(), MANIFESTS, "v1.34.2");
        let bench = put(bench, "/etc/kubernetes/tmp/kubeadm-backup-manifests-2026-01-01-10-00-00", "v1.32.9");
        put(bench, "/etc/kubernetes/tmp/kubeadm-backup-manifests-2026-02-01-10-00-00", "v1.33.4")
    }

    fn to(version: &str) -> [(&'static str, Value); 1] {
        [("to", Value::Version(version.parse().unwrap()))]
    }

    #[tokio::test]
    async fn the_scheduler_goes_back_first_and_the_apiserver_last() {
        let bench = node().says(
            "ls -A /etc/kubernetes/tmp",
            "kubeadm-backup-manifests-2026-01-01-10-00-00\nkubeadm-backup-manifests-2026-02-01-10-00-00\nkubeadm-upgraded-manifests1\n",
        );
        bench.cluster.node("n1", "v1.33.4", true);
        bench.cluster.control_plane("n1", "v1.34.2");
        let cx = bench.step(&to("v1.33.4"));
        let Ok(Check::Needs { now, before, .. }) = RestoreStaticPods.check(&cx).await else { panic!() };
        assert_eq!(now, "v1.34.2");
        let Value::Record(before) = before else { panic!() };
        assert_eq!(before.keys().collect::<Vec<_>>(), COMPONENTS);
        let failure = RestoreStaticPods.start(&cx, &Value::None).await.unwrap_err();
        assert!(failure.message.contains("mv"), "the bench moves nothing: {failure:?}");
        assert!(bench.sent().contains("/etc/kubernetes/manifests/kube-scheduler.yaml"));
        assert_eq!(bench.content(ASIDE).unwrap(), manifest("kube-scheduler", "v1.33.4"));
    }

    #[tokio::test]
    async fn without_what_kubeadm_put_aside_there_is_no_way_back() {
        let bench =
            node().says("ls -A /etc/kubernetes/tmp", "kubeadm-backup-manifests-2026-02-01-10-00-00\n");
        let failure = RestoreStaticPods.check(&bench.step(&to("v1.33.5"))).await.unwrap_err();
        assert!(failure.message.contains("no manifests of v1.33.5"), "{failure:?}");
        let none =
            node().ends("ls -A /etc/kubernetes/tmp", 2, "", "ls: cannot access: No such file or directory\n");
        let failure = RestoreStaticPods.check(&none.step(&to("v1.33.4"))).await.unwrap_err();
        assert!(failure.hint.contains("no way back"), "{failure:?}");
    }
}
