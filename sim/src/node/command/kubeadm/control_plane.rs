//! The phase that replaces a control plane's static pods, one after the other, etcd first
//! (kubeadm's staticpods.go), with its own way back.

use std::time::Duration;

use super::upgrade::maybe_reboot;
use super::{Run, Stop, fail_in};
use crate::faults::{pod_hash, second_control_plane};
use crate::node::release::Release;
use crate::node::{image, kubelet, manifest, manifest_path};

/// How long kubeadm waits for a static pod (`upgradeManifests`).
const PATIENCE: Duration = Duration::from_secs(300);
const PHASE: &str = "control-plane";

/// How one component moves, in seconds after its manifest: its process ends, it serves again, and the
/// kubelet has told the API so. The last is long since the kubelet asks its own apiserver, which hangs.
struct Pace {
    stop: u64,
    back: u64,
    seen: u64,
}

fn pace(component: &str) -> Pace {
    match component {
        "etcd" => Pace { stop: 3, back: 11, seen: 48 },
        "kube-apiserver" => Pace { stop: 2, back: 22, seen: 42 },
        _ => Pace { stop: 2, back: 6, seen: 22 },
    }
}

fn certificates(component: &str) -> &'static [&'static str] {
    match component {
        "etcd" => &["etcd-server", "etcd-peer", "etcd-healthcheck-client"],
        "kube-apiserver" => {
            &["apiserver", "apiserver-kubelet-client", "front-proxy-client", "apiserver-etcd-client"]
        }
        "kube-controller-manager" => &["controller-manager.conf"],
        _ => &["scheduler.conf"],
    }
}

pub(super) async fn upgrade(run: &mut Run<'_>, to: Release) -> Result<(), Stop> {
    let stamp = run.process.world(|w| crate::clock::stamp(w.now())).replace(['T', ':'], "-");
    let number = run.process.on(|n| n.random.below(1 << 31));
    let tmp = "/etc/kubernetes/tmp";
    run.say(&format!("[upgrade/staticpods] Writing new Static Pod manifests to \"{tmp}/kubeadm-upgraded-manifests{number}\""));
    let mut phase = Phase {
        backup: format!("{tmp}/kubeadm-backup-manifests-{}", stamp.trim_end_matches('Z')),
        moved: Vec::new(),
    };
    // An external etcd is not kubeadm's to touch.
    let components: Vec<&'static str> = run.process.on(|n| n.components().collect());
    for component in components {
        if component == "etcd" {
            etcd_healthy(run)
                .map_err(|sick| fail_in(PHASE, &format!("etcd cluster is not healthy: {sick}")))?;
        }
        run.say(&format!("[upgrade/staticpods] Preparing for \"{component}\" upgrade"));
        let changed = phase.component(run, component, to).await?;
        if component == "etcd" && changed {
            phase.wait_for_etcd(run, &stamp).await?;
        }
        if changed {
            maybe_reboot(run)?;
        }
    }
    Ok(())
}

/// Names a member that does not answer.
fn etcd_healthy(run: &Run<'_>) -> Result<(), String> {
    let sick = run.process.world(|w| w.etcd.members.values().find(|m| !m.up).map(|m| m.address.clone()));
    match sick {
        Some(address) => Err(format!(
            "failed to dial endpoint https://{address}:2379 with maintenance client: context deadline exceeded"
        )),
        None => Ok(()),
    }
}

struct Phase {
    backup: String,
    moved: Vec<&'static str>,
}

impl Phase {
    /// Replaces one component. Returns whether there was anything to do.
    async fn component(
        &mut self,
        run: &mut Run<'_>,
        component: &'static str,
        to: Release,
    ) -> Result<bool, Stop> {
        run.busy(500, 1200).await?;
        let path = manifest_path(component);
        let extra = run.process.world(|w| super::init::flags(w, component));
        let new = manifest(&run.process.node, component, &image(component, to), &extra);
        let old = run.process.on(|n| n.files.text(&path)).unwrap_or_default();
        if old == new {
            run.say(&format!(
                "[upgrade/staticpods] Current and new manifests of {component} are equal, skipping upgrade"
            ));
            return Ok(false);
        }
        for certificate in certificates(component) {
            run.say(&format!("[upgrade/staticpods] Renewing {certificate} certificate"));
        }
        run.process.world(|w| {
            let ends = w.now() + kubelet::CERTIFICATES;
            if let Some(node) = w.nodes.get_mut(&run.process.node) {
                node.certificates = ends;
            }
        });
        let backup = format!("{}/{component}.yaml", self.backup);
        run.process.on(|n| {
            n.files.write(&backup, old, 0o600);
            n.files.write(&path, new, 0o600);
        });
        self.moved.push(component);
        run.say(&format!("[upgrade/staticpods] Moving new manifest to \"{path}\" and backing up old manifest to \"{backup}\""));
        run.say("[upgrade/staticpods] Waiting for the kubelet to restart the component");
        run.say("[upgrade/staticpods] This can take up to 5m0s");
        if run.process.on(|n| pod_hash::strikes(n, component)) {
            run.process.sleep(PATIENCE).await?;
            return Err(self.give_up(run, component).await?);
        }
        let pace = pace(component);
        let seconds = Duration::from_secs;
        kubelet::restart_static_pod(run.process, component, seconds(pace.stop), seconds(pace.back));
        run.process.sleep(seconds(pace.stop)).await?;
        run.process.world(|w| second_control_plane::strikes(w, &run.process.node));
        run.process.sleep(seconds(pace.seen - pace.stop)).await?;
        run.busy(0, 4000).await?;
        let mut waited = seconds(pace.seen);
        while !run.process.world(|w| w.api_up() && w.component_up(&run.process.node, component)) {
            if waited > PATIENCE {
                return Err(self.give_up(run, component).await?);
            }
            run.process.sleep(seconds(5)).await?;
            waited += seconds(5);
        }
        run.say(&format!("[apiclient] Found 1 Pods for label selector component={component}"));
        run.say(&format!("[upgrade/staticpods] Component \"{component}\" upgraded successfully!"));
        Ok(true)
    }

    /// Puts the manifests back, etcd's only where etcd itself failed, and says so.
    async fn give_up(&self, run: &mut Run<'_>, component: &str) -> Result<Stop, Stop> {
        for moved in self.moved.iter().filter(|m| **m != "etcd" || component == "etcd") {
            self.restore(run, moved);
        }
        run.busy(1000, 2000).await?;
        let node = &run.process.node;
        Ok(fail_in(
            PHASE,
            &format!(
                "couldn't upgrade control plane. kubeadm has tried to recover everything into the earlier state. \
                 Errors faced: static Pod hash for component {component} on Node {node} did not change after 5m0s"
            ),
        ))
    }

    /// Puts one manifest back; a pod that already ran the new one restarts.
    fn restore(&self, run: &Run<'_>, component: &'static str) {
        let node = run.process.node.clone();
        let differs = run.process.world(|w| {
            let machine = w.nodes.get_mut(&node)?;
            let old = machine.files.text(&format!("{}/{component}.yaml", self.backup))?;
            let hash = kubelet::hash(&old);
            machine.files.write(&manifest_path(component), old, 0o600);
            Some(w.static_pods.get(&(node, component.to_string())).is_none_or(|p| p.hash != hash))
        });
        if differs == Some(true) {
            let pace = pace(component);
            let seconds = Duration::from_secs;
            kubelet::restart_static_pod(run.process, component, seconds(pace.stop), seconds(pace.back));
        }
    }

    /// etcd must be healthy on all members after its turn, else its manifest and data go back.
    async fn wait_for_etcd(&mut self, run: &mut Run<'_>, stamp: &str) -> Result<(), Stop> {
        run.say("[upgrade/etcd] Waiting for etcd to become available");
        let Err(sick) = self.available(run).await? else { return Ok(()) };
        run.say(&format!("[upgrade/etcd] Failed to healthcheck etcd: {sick}"));
        run.say("[upgrade/etcd] Rolling back etcd data");
        run.busy(1000, 3000).await?;
        run.say("[upgrade/etcd] Etcd data rollback successful");
        run.say("[upgrade/etcd] Rolling back etcd manifest");
        self.restore(run, "etcd");
        run.busy(12_000, 15_000).await?;
        run.say("[upgrade/etcd] Waiting for previous etcd to become available");
        let why = match self.available(run).await? {
            Err(still) => {
                run.say(&format!("[upgrade/etcd] Failed to healthcheck previous etcd: {still}"));
                format!(
                    "fatal error rolling back local etcd cluster manifest, the backup of etcd database is stored here:(/etc/kubernetes/tmp/kubeadm-backup-etcd-{}): {still}",
                    stamp.trim_end_matches('Z')
                )
            }
            Ok(()) => {
                run.say("[upgrade/etcd] Etcd was rolled back and is now available");
                format!(
                    "fatal error upgrading local etcd cluster, rolled the state back to pre-upgrade state: {sick}"
                )
            }
        };
        Err(fail_in(PHASE, &why))
    }

    async fn available(&self, run: &mut Run<'_>) -> Result<Result<(), String>, Stop> {
        for _ in 0..10 {
            if etcd_healthy(run).is_ok() {
                return Ok(Ok(()));
            }
            run.say("[util/etcd] Waiting 15s until next retry");
            run.process.sleep(Duration::from_secs(15)).await?;
        }
        Ok(Err("timeout waiting for etcd cluster to be available".to_string()))
    }
}
