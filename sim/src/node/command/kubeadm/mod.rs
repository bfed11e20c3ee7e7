//! `kubeadm version`, `kubeadm upgrade plan | apply | node` and phases of `kubeadm init`: real preconditions, real order, real
//! texts (those of 1.32 and later). What it changes on disk and in the cluster is what the real one does.

mod certs;
mod control_plane;
mod init;
mod join;
mod plan;
mod policy;
mod upgrade;

use std::time::Duration;

use engine::port::Output;
use serde_json::Value;

use crate::node::process::{Ended, Killed, Process, said};
use crate::node::release::Release;
use crate::world::World;

/// Runs `kubeadm`.
pub(super) async fn kubeadm(process: &Process, args: &[&str]) -> Ended {
    let Some(own) = process.on(|n| n.packages.version("kubeadm")) else {
        return Ok(super::not_found(&["kubeadm"]));
    };
    // A flag that is not obeyed would be a fake answer: `--dry-run` must not upgrade anything.
    const FLAGS: [&str; 7] = ["-o", "-o=json", "-y", "--yes", "-f", "--force", "--patches"];
    if args.first() == Some(&"upgrade") && args.iter().any(|a| a.starts_with('-') && !FLAGS.contains(a)) {
        return Ok(super::not_known("kubeadm", args));
    }
    match args {
        ["version", "-o", "short"] | ["version", "-o=short"] => Ok(said(format!("v{own}\n"))),
        ["certs", rest @ ..] => certs::certs(process, rest).await,
        ["token", "create", "--ttl", _, "--print-join-command"] => {
            let mut run = Run::new(process, own);
            let done = join::token(&mut run).await;
            run.end(done)
        }
        ["init", "phase", "upload-certs", "--upload-certs"] => {
            let mut run = Run::new(process, own);
            let done = join::upload_certs(&mut run).await;
            run.end(done)
        }
        ["reset", rest @ ..] => {
            let mut run = Run::new(process, own);
            let done = join::reset(&mut run, rest).await;
            run.end(done)
        }
        ["join", rest @ ..] => {
            let mut run = Run::new(process, own);
            let done = join::join(&mut run, rest).await;
            run.end(done)
        }
        ["init", "phase", rest @ ..] => {
            let mut run = Run::new(process, own);
            let done = init::phase(&mut run, rest).await;
            run.end(done)
        }
        ["upgrade", "node", "phase", "kubelet-config", ..] => {
            let mut run = Run::new(process, own);
            let done = upgrade::kubelet_config(&mut run).await;
            run.end(done)
        }
        ["upgrade", "plan", rest @ ..] => {
            let mut run = Run::new(process, own);
            let done = plan::plan(&mut run, rest).await;
            run.end(done)
        }
        ["upgrade", "apply", rest @ ..] => {
            let mut run = Run::new(process, own);
            let done = upgrade::apply(&mut run, rest).await;
            run.end(done)
        }
        ["upgrade", "node", ..] => {
            let mut run = Run::new(process, own);
            let done = upgrade::node(&mut run).await;
            run.end(done)
        }
        _ => Ok(super::not_known("kubeadm", args)),
    }
}

/// A kubeadm that runs.
struct Run<'a> {
    process: &'a Process,
    /// The version of the kubeadm package.
    own: Release,
    kept: String,
}

/// Why it does not go on.
enum Stop {
    /// The machine went away.
    Killed,
    /// It ends with this code and text.
    Failed(i32, String),
}

impl From<Killed> for Stop {
    fn from(_: Killed) -> Stop {
        Stop::Killed
    }
}

impl<'a> Run<'a> {
    fn new(process: &'a Process, own: Release) -> Run<'a> {
        Run { process, own, kept: String::new() }
    }

    fn say(&mut self, line: &str) {
        self.process.print(&mut self.kept, line);
    }

    async fn busy(&self, least: u64, most: u64) -> Result<(), Stop> {
        Ok(self.process.busy(least, most).await?)
    }

    fn end(self, done: Result<(), Stop>) -> Ended {
        match done {
            Ok(()) => Ok(said(self.kept)),
            Err(Stop::Failed(code, stderr)) => Ok(Output { code, stdout: self.kept, stderr }),
            Err(Stop::Killed) => Err(Killed),
        }
    }

    /// Reads the version of the ClusterConfiguration, as every command does first.
    async fn configured(&mut self) -> Result<Release, Stop> {
        self.say("[upgrade] Reading configuration from the \"kubeadm-config\" ConfigMap in namespace \"kube-system\"...");
        self.say("[upgrade] Use 'kubeadm init phase upload-config kubeadm --config your-config-file' to re-upload it.");
        self.busy(200, 600).await?;
        self.api("unable to fetch the kubeadm-config ConfigMap: failed to get config map").await?;
        let version = self.process.world(|w| configuration(w).and_then(|text| version_of(&text)));
        version.ok_or_else(|| {
            fail("unable to fetch the kubeadm-config ConfigMap: failed to get config map: configmaps \"kubeadm-config\" not found")
        })
    }

    /// Waits for an API that is away, a minute as kubeadm does, then ends.
    async fn api(&mut self, what: &str) -> Result<(), Stop> {
        for _ in 0..12 {
            if self.process.world(|w| w.api_up()) {
                return Ok(());
            }
            self.process.sleep(Duration::from_secs(5)).await?;
        }
        let quorum = self.process.world(|w| w.etcd.quorum());
        let why = if quorum { "connection refused" } else { "etcdserver: request timed out" };
        Err(fail(&format!("{what}: {why}")))
    }
}

/// Ends with code 1.
fn fail(why: &str) -> Stop {
    Stop::Failed(
        1,
        format!("error: {why}\nTo see the stack trace of this error execute with --v=5 or higher\n"),
    )
}

/// Ends in a phase, with code 1.
fn fail_in(phase: &str, why: &str) -> Stop {
    fail(&format!("error execution phase {phase}: {why}"))
}

/// Ends in preflight, with code 2.
fn preflight(checks: &[(&str, String)]) -> Stop {
    let lines: String = checks.iter().map(|(name, why)| format!("\t[ERROR {name}]: {why}\n")).collect();
    Stop::Failed(
        2,
        format!(
            "error: error execution phase preflight: [preflight] Some fatal errors occurred:\n{lines}\
             [preflight] If you know what you are doing, you can make a check non-fatal with `--ignore-preflight-errors=...`\n\
             To see the stack trace of this error execute with --v=5 or higher\n"
        ),
    )
}

/// Returns the text of the ClusterConfiguration.
fn configuration(world: &World) -> Option<String> {
    let map = world.store.get("configmaps", "kube-system", "kubeadm-config")?;
    map["data"]["ClusterConfiguration"].as_str().map(ToString::to_string)
}

fn version_of(configuration: &str) -> Option<Release> {
    let line = configuration.lines().find_map(|l| l.trim().strip_prefix("kubernetesVersion:"))?;
    Release::parse(line.trim().trim_matches('"'))
}

/// Writes the version of the ClusterConfiguration.
fn configure(world: &mut World, release: Release) {
    world.store.update("configmaps", "kube-system", "kubeadm-config", |map| {
        let Some(text) = map["data"]["ClusterConfiguration"].as_str() else { return };
        let line = |l: &str| match l.trim().starts_with("kubernetesVersion:") {
            true => format!("kubernetesVersion: v{release}\n"),
            false => format!("{l}\n"),
        };
        map["data"]["ClusterConfiguration"] = Value::String(text.lines().map(line).collect());
    });
}

/// Returns the release of a control plane's static pod; `None` where it is not a release of Kubernetes.
fn running(world: &World, node: &str, component: &str) -> Option<Release> {
    let pod = world.static_pods.get(&(node.to_string(), component.to_string()))?;
    Release::parse(pod.image.rsplit(':').next()?)
}

/// Returns the names of the control planes.
fn control_planes(world: &World) -> Vec<String> {
    world.nodes.values().filter(|n| n.control_plane).map(|n| n.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use crate::node::image;
    use crate::node::release::Release;
    use crate::node::stories::tell;

    const NEW: Release = Release::new(34, 4);

    #[test]
    fn apply_goes_component_by_component_and_leaves_addons_to_the_last_control_plane() {
        tell(&[], |s| async move {
            s.configure();
            s.new_kubeadm("cp1").await;
            let began = s.now();
            let said = s.does("cp1", "kubeadm upgrade apply v1.34.4 --yes").await;
            let took = (s.now() - began).as_secs();
            assert!((140..200).contains(&took), "{took} s");
            let mut rest = said.as_str();
            for line in [
                "[upgrade] Reading configuration from the \"kubeadm-config\" ConfigMap",
                "[upgrade/preflight] You have chosen to upgrade the cluster version to \"v1.34.4\"",
                "[upgrade/staticpods] Renewing etcd-server certificate",
                "[upgrade/staticpods] Component \"etcd\" upgraded successfully!",
                "[upgrade/staticpods] Component \"kube-apiserver\" upgraded successfully!",
                "[upgrade/staticpods] Component \"kube-scheduler\" upgraded successfully!",
                "[upgrade/addon] Skipping upgrade of addons because control plane instances [cp2 cp3] have not been upgraded",
                "[upgrade] SUCCESS! A control plane node of your cluster was upgraded to \"v1.34.4\".",
            ] {
                rest = rest.split_once(line).unwrap_or_else(|| panic!("{line} after: {said}")).1;
            }
            s.world(|w| {
                assert_eq!(w.etcd.members["cp1"].version, "3.6.5");
                assert_eq!(w.etcd.members["cp2"].version, "3.5.24");
                let key = ("cp1".to_string(), "kube-apiserver".to_string());
                assert_eq!(w.static_pods[&key].image, image("kube-apiserver", NEW));
                assert_eq!(super::configuration(w).and_then(|c| super::version_of(&c)), Some(NEW));
                assert_eq!(w.nodes["cp1"].kubelet_running, "v1.33.13");
            });
            let again = s.does("cp1", "kubeadm upgrade apply v1.34.4 --yes").await;
            assert!(
                again.contains("Current and new manifests of kube-apiserver are equal, skipping upgrade"),
                "{again}"
            );
            for node in ["cp2", "cp3"] {
                s.new_kubeadm(node).await;
                let said = s.does(node, "kubeadm upgrade node").await;
                assert!(
                    said.contains("[upgrade] The configuration for this node was successfully upgraded!"),
                    "{said}"
                );
                assert_eq!(
                    said.contains("[addons] Applied essential addon: kube-proxy"),
                    node == "cp3",
                    "{said}"
                );
            }
        });
    }

    #[test]
    fn a_worker_takes_a_second_and_its_kubelet_says_the_new_version_after_a_restart() {
        tell(&[], |s| async move {
            s.configure();
            s.world(|w| super::configure(w, NEW));
            s.fails(
                "d1",
                "kubeadm upgrade node",
                1,
                "at least one minor release higher than the kubeadm minor release (34 > 33)",
            )
            .await;
            s.new_kubeadm("d1").await;
            let began = s.now();
            let said = s.does("d1", "kubeadm upgrade node").await;
            assert!((s.now() - began).as_secs() < 4);
            assert!(
                said.contains("[upgrade/preflight] Skipping prepull. Not a control plane node."),
                "{said}"
            );
            s.does("d1", "dnf -y install 'kubelet-1.34.4-*' 'kubectl-1.34.4-*' --disableexcludes=kubernetes")
                .await;
            assert_eq!(s.node("d1", |n| n.kubelet_running.clone()), "v1.33.13");
            s.does("d1", "systemctl daemon-reload").await;
            s.does("d1", "systemctl restart kubelet").await;
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
            assert_eq!(s.does("d1", "systemctl is-active kubelet").await, "active\n");
            assert_eq!(s.node("d1", |n| n.kubelet_running.clone()), "v1.34.4");
        });
    }

    #[test]
    fn a_new_kubelet_minor_restarts_all_static_pods_once() {
        tell(&[], |s| async move {
            s.switch("cp1", 34).await;
            let install = crate::node::stories::INSTALL;
            s.does(
                "cp1",
                &format!("{install} --allow-change-held-packages kubelet=1.34.4-1.1 kubectl=1.34.4-1.1"),
            )
            .await;
            s.does("cp1", "systemctl restart kubelet").await;
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            assert!(s.world(|w| !w.component_up("cp1", "etcd") && !w.component_up("cp1", "kube-apiserver")));
            tokio::time::sleep(std::time::Duration::from_secs(20)).await;
            s.world(|w| {
                for component in crate::node::COMPONENTS {
                    assert!(w.component_up("cp1", component));
                    assert_eq!(w.static_pods[&("cp1".to_string(), component.to_string())].restarts, 1);
                }
            });
            s.does("cp1", "systemctl restart kubelet").await;
            tokio::time::sleep(std::time::Duration::from_secs(30)).await;
            assert_eq!(s.world(|w| w.static_pods[&("cp1".to_string(), "etcd".to_string())].restarts), 1);
        });
    }

    #[test]
    fn versions_that_are_too_high_are_refused() {
        tell(&[], |s| async move {
            s.configure();
            s.new_kubeadm("cp1").await;
            s.fails(
                "cp1",
                "kubeadm upgrade apply v1.35.0 --yes",
                1,
                "is too high; kubeadm can upgrade only 1 minor version at a time",
            )
            .await;
            s.fails("cp2", "kubeadm upgrade apply v1.34.4 --yes", 1, "Such an upgrade is not supported")
                .await;
            s.fails("cp1", "kubeadm upgrade apply v1.34.4", 1, "won't proceed").await;
            s.fails("cp1", "kubeadm upgrade node --dry-run", 64, "the simulation does not know").await;
        });
    }

    #[test]
    fn the_plan_is_json_with_every_component() {
        tell(&[], |s| async move {
            s.configure();
            s.new_kubeadm("cp1").await;
            let said = s.does("cp1", "kubeadm upgrade plan v1.34.4 -o json").await;
            let plan: serde_json::Value = serde_json::from_str(&said).unwrap();
            assert_eq!(plan["kind"], "UpgradePlan");
            assert_eq!(plan["apiVersion"], "output.kubeadm.k8s.io/v1alpha3");
            let components = plan["availableUpgrades"][0]["components"].as_array().unwrap();
            let etcd = components.iter().find(|c| c["name"] == "etcd").unwrap();
            assert_eq!(
                (&etcd["currentVersion"], &etcd["newVersion"]),
                (&"3.5.24-0".into(), &"3.6.5-0".into())
            );
            assert!(
                plan["configVersions"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|c| c["manualUpgradeRequired"] == false)
            );
        });
    }
}
