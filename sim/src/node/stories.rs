//! Stories of commands on nodes: what is typed, what comes back, and what it left behind.

use std::time::Duration;

use engine::port::{Command, Output, Shell, ShellError, Shells};
use serde_json::{Value, json};

use super::{Machines, Node};
use crate::cluster::Cluster;
use crate::faults::Fault;
use crate::shape::Shape;
use crate::world::{World, lock};

/// A cluster and the one who types.
pub(crate) struct Story {
    pub(crate) cluster: Cluster,
    pub(crate) machines: Machines,
}

/// Tells a story of three control planes and two workers, of which the last uses dnf.
pub(crate) fn tell<F: Future<Output = ()>>(faults: &[&str], act: impl FnOnce(Story) -> F) {
    crate::runtime().block_on(async {
        let shape = Shape::from_toml(
            "version = \"v1.33.13\"\ncontrol_plane = 3\n[[pool]]\nname = \"w\"\ncount = 1\n[[pool]]\nname = \"d\"\ncount = 1\npackages = \"dnf\"\n",
        );
        let faults = faults.iter().map(|f| Fault::parse(f).unwrap()).collect();
        let cluster = Cluster::start(shape.unwrap(), 7, faults);
        let machines = Machines::new(&cluster.world);
        act(Story { cluster, machines }).await;
    });
}

impl Story {
    pub(crate) fn on(&self, node: &str) -> std::sync::Arc<dyn Shell> {
        self.machines.on(node)
    }

    /// Types a line as root.
    pub(crate) async fn root(&self, node: &str, line: &str) -> Result<Output, ShellError> {
        self.on(node).run(&Command::change(shlex::split(line).unwrap())).await
    }

    /// Types a line that must end well, and returns what it said.
    pub(crate) async fn does(&self, node: &str, line: &str) -> String {
        let output = self.root(node, line).await.unwrap();
        assert_eq!(output.code, 0, "{line}: {}{}", output.stdout, output.stderr);
        output.stdout
    }

    /// Types a line that must end with a code and a text on standard error.
    pub(crate) async fn fails(&self, node: &str, line: &str, code: i32, stderr: &str) {
        let output = self.root(node, line).await.unwrap();
        assert_eq!(output.code, code, "{line}: {output:?}");
        assert!(output.stderr.contains(stderr), "{line}: {}", output.stderr);
    }

    pub(crate) fn world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut lock(&self.cluster.world))
    }

    pub(crate) fn node<T>(&self, name: &str, look: impl FnOnce(&mut Node) -> T) -> T {
        self.world(|w| look(w.nodes.get_mut(name).unwrap()))
    }

    /// Points a node's repository at 1.34 and installs kubeadm 1.34.4.
    pub(crate) async fn new_kubeadm(&self, node: &str) {
        self.switch(node, 34).await;
        if self.node(node, |n| n.package_manager == crate::shape::Packages::Dnf) {
            self.does(node, "dnf -y install 'kubeadm-1.34.4-*' --disableexcludes=kubernetes").await;
        } else {
            self.does(node, &format!("{INSTALL} --allow-change-held-packages kubeadm=1.34.4-1.1")).await;
        }
    }

    pub(crate) async fn switch(&self, node: &str, minor: u16) {
        let manager = self.node(node, |n| n.package_manager);
        let (path, text) = super::Repository::file(manager, minor);
        self.on(node).write(path, text.as_bytes(), 0o644).await.unwrap();
        match manager {
            crate::shape::Packages::Apt => self.does(node, UPDATE).await,
            crate::shape::Packages::Dnf => self.does(node, MAKECACHE).await,
        };
    }

    /// Gives the cluster its kubeadm-config, where the start of the cluster has not.
    pub(crate) fn configure(&self) {
        let text =
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.33.13\n";
        let map = json!({"metadata": {"name": "kubeadm-config", "namespace": "kube-system"}, "data": {"ClusterConfiguration": text}});
        self.world(|w| w.store.insert("configmaps", map));
    }

    pub(crate) fn now(&self) -> Duration {
        self.world(|w| w.now())
    }
}

pub(crate) const MAKECACHE: &str = "dnf -q makecache --refresh --disablerepo=* --enablerepo=kubernetes --setopt=kubernetes.skip_if_unavailable=False";
pub(crate) const UPDATE: &str = "apt-get update -q -o APT::Update::Error-Mode=any -o APT::Color=0";
pub(crate) const INSTALL: &str = "apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o APT::Color=0";

#[test]
fn a_node_says_who_it_is() {
    tell(&[], |s| async move {
        let said = s.does("w1", "cat /etc/machine-id /etc/os-release").await;
        assert!(
            said.starts_with(&s.node("w1", |n| n.machine_id.clone())) && said.contains("\nID=debian\n"),
            "{said}"
        );
        assert!(s.does("d1", "cat /etc/os-release").await.contains("ID_LIKE=\"rhel centos fedora\""));
        let boot = s.does("w1", "cat /proc/sys/kernel/random/boot_id").await;
        assert_eq!(boot.trim(), s.node("w1", |n| n.boot_id.clone()));
        assert_eq!(s.does("w1", "kubelet --version").await, "Kubernetes v1.33.13\n");
        assert_eq!(s.does("w1", "kubeadm version -o short").await, "v1.33.13\n");
        s.fails("w1", "frobnicate --now", 127, "sh: 1: frobnicate: not found").await;
        let gone = s.on("w9").run(&Command::read(["true"])).await.unwrap_err();
        assert!(gone.to_string().contains("Could not resolve hostname w9"), "{gone}");
    });
}

#[test]
fn apt_holds_refuses_and_installs() {
    tell(&[], |s| async move {
        let query = "dpkg-query -W '-f=${Package} ${Version} ${db:Status-Status}\\n' kubeadm kubelet kubectl";
        assert_eq!(
            s.does("w1", query).await,
            "kubeadm 1.33.13-1.1 installed\nkubelet 1.33.13-1.1 installed\nkubectl 1.33.13-1.1 installed\n"
        );
        s.fails("w1", "dpkg-query -W -f=x nginx", 1, "dpkg-query: no packages found matching nginx").await;
        s.fails(
            "w1",
            &format!("{INSTALL} kubeadm=1.34.4-1.1"),
            100,
            "E: Version '1.34.4-1.1' for 'kubeadm' was not found\n",
        )
        .await;
        s.switch("w1", 34).await;
        let lines = s.does("w1", "apt-cache madison kubeadm").await;
        assert_eq!(
            lines.lines().next(),
            Some("   kubeadm | 1.34.4-1.1 | http://pkgs.k8s.io/core:/stable:/v1.34/deb  Packages")
        );
        let held = "E: Held packages were changed and -y was used without --allow-change-held-packages.\n";
        s.fails("w1", &format!("{INSTALL} kubeadm=1.34.4-1.1"), 100, held).await;
        s.does("w1", &format!("{INSTALL} --allow-change-held-packages kubeadm=1.34.4-1.1")).await;
        assert_eq!(s.does("w1", "apt-mark showhold").await, "kubectl\nkubelet\n");
        assert_eq!(s.does("w1", "apt-mark hold kubeadm").await, "kubeadm set on hold.\n");
        assert_eq!(
            s.does("w1", "apt-mark unhold kubeadm kubelet").await,
            "Canceled hold on kubeadm.\nCanceled hold on kubelet.\n"
        );
        let again = s.does("w1", &format!("{INSTALL} kubeadm=1.34.4-1.1")).await;
        assert!(again.contains("kubeadm is already the newest version (1.34.4-1.1)."), "{again}");
        let down = "E: Packages were downgraded and -y was used without --allow-downgrades.\n";
        s.fails("w1", &format!("{INSTALL} kubeadm=1.34.3-1.1"), 100, down).await;
        s.does("w1", &format!("{INSTALL} --allow-downgrades kubeadm=1.34.3-1.1")).await;
        assert_eq!(s.does("w1", "kubeadm version -o short").await, "v1.34.3\n");
    });
}

#[test]
fn a_minor_that_does_not_exist_is_404() {
    tell(&[], |s| async move {
        let (path, text) = super::Repository::file(crate::shape::Packages::Apt, 39);
        s.on("w1").write(path, text.as_bytes(), 0o644).await.unwrap();
        s.fails("w1", UPDATE, 100, "E: The repository 'http://pkgs.k8s.io/core:/stable:/v1.39/deb  Release' does not have a Release file.").await;
        let helper = "/usr/lib/apt/apt-helper download-file http://pkgs.k8s.io/core:/stable:/v1.39/deb/Packages /tmp/x";
        s.fails("w1", helper, 100, "404  Not Found").await;
        s.does("w1", &helper.replace("v1.39", "v1.34")).await;
        let index = s.on("w1").read("/tmp/x").await.unwrap().unwrap();
        assert!(String::from_utf8(index).unwrap().contains("Package: kubelet\nVersion: 1.34.4-1.1\n"));
    });
}

#[test]
fn dnf_excludes_lists_and_goes_both_ways() {
    tell(&[], |s| async move {
        assert_eq!(
            s.does("d1", "rpm -q --qf '%{NAME} %{VERSION}-%{RELEASE}\\n' kubeadm kubelet").await,
            "kubeadm 1.33.13-150500.1.1\nkubelet 1.33.13-150500.1.1\n"
        );
        let list = s.does("d1", "dnf -q list --showduplicates kubeadm --disableexcludes=all '--disablerepo=*' --repofrompath=kup,http://pkgs.k8s.io/core:/stable:/v1.34/rpm/ --enablerepo=kup").await;
        assert!(
            list.contains("Available Packages\nkubeadm.x86_64") && list.contains("1.34.4-150500.1.1"),
            "{list}"
        );
        s.fails(
            "d1",
            "dnf -y install 'kubeadm-1.34.4-*' --disableexcludes=kubernetes",
            1,
            "Error: Unable to find a match: kubeadm-1.34.4-*",
        )
        .await;
        s.switch("d1", 34).await;
        s.fails("d1", "dnf -y install 'kubeadm-1.34.4-*'", 1, "filtered out by exclude filtering").await;
        s.does("d1", "dnf -y install 'kubeadm-1.34.4-*' --disableexcludes=kubernetes").await;
        s.does("d1", "dnf -y downgrade 'kubeadm-1.34.3-*' --disableexcludes=kubernetes").await;
        assert_eq!(s.does("d1", "kubeadm version -o short").await, "v1.34.3\n");
        s.does("d1", "dnf -q versionlock add kubeadm '--disablerepo=*'").await;
        let up = "dnf -y install 'kubeadm-1.34.4-*' --disableexcludes=kubernetes";
        s.fails("d1", up, 1, "filtered out by exclude filtering").await;
        let entry = "kubeadm-0:1.34.3-150500.1.1.*";
        assert_eq!(s.does("d1", "dnf -q versionlock list '--disablerepo=*'").await, format!("{entry}\n"));
        s.does("d1", &format!("dnf -q versionlock delete '{entry}' '--disablerepo=*'")).await;
        s.does("d1", up).await;
    });
}

#[test]
fn a_detached_unit_tells_how_it_ended() {
    tell(&[], |s| async move {
        let run = |unit: &str, what: &str| {
            format!(
                "systemd-run --unit={unit} -p RemainAfterExit=yes -p StandardOutput=file:/run/kup/{unit}.out -p StandardError=file:/run/kup/{unit}.err --setenv=K=V -q -- {what}"
            )
        };
        let show = |unit: &str| {
            format!(
                "systemctl show {unit}.service -p LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus"
            )
        };
        s.does("w1", &run("kup-a", UPDATE)).await;
        let state = s.does("w1", &show("kup-a")).await;
        assert_eq!(
            state,
            "LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\nExecMainCode=0\nExecMainStatus=0\n"
        );
        s.fails("w1", &run("kup-a", "true"), 1, "Unit kup-a.service was already loaded").await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let state = s.does("w1", &show("kup-a")).await;
        assert_eq!(
            state,
            "LoadState=loaded\nActiveState=active\nSubState=exited\nResult=success\nExecMainCode=1\nExecMainStatus=0\n"
        );
        assert!(s.does("w1", "tail -c 4096 /run/kup/kup-a.out").await.contains("Reading package lists"));
        s.does("w1", "systemctl stop kup-a.service").await;
        s.does("w1", &run("kup-b", "apt-get install -y nginx")).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let state = s.does("w1", &show("kup-b")).await;
        assert_eq!(
            state,
            "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nExecMainCode=1\nExecMainStatus=100\n"
        );
        assert_eq!(s.does("w1", "cat /run/kup/kup-b.err").await, "E: Unable to locate package nginx\n");
        s.does("w1", "systemctl reset-failed kup-b.service").await;
        assert!(s.does("w1", &show("kup-b")).await.starts_with("LoadState=not-found\n"));
        s.fails("w1", "systemctl stop kup-b.service", 5, "Unit kup-b.service not loaded.").await;
    });
}

#[test]
fn the_users_own_lines_are_assumed_to_work_and_probes_to_say_no() {
    tell(&[], |s| async move {
        s.fails("w1", "sh -c 'exit 3'", 3, "").await;
        s.does("w1", "sh -c 'sysctl -p | grep -q x'").await;
        let probe = Command::read(["sh", "-c", "sysctl -p | grep -q x"]);
        assert_eq!(s.on("w1").run(&probe).await.unwrap().code, 1);
        assert_eq!(s.machines.here().run(&probe).await.unwrap().code, 1);
        assert_eq!(s.machines.here().run(&Command::read(["sh", "-c", "true"])).await.unwrap().code, 0);
        s.on("w1")
            .write("/run/kup/script", b"#!/bin/sh\ntest -e /etc/os-release\nexit 4\n", 0o700)
            .await
            .unwrap();
        s.fails("w1", "/run/kup/script", 4, "").await;
        s.fails("w1", "/bin/sh -e /run/kup/script", 4, "").await;
        s.does("w1", "/usr/bin/env python3 /run/kup/script").await;
        s.fails("w1", "sh /run/kup/none", 2, "cannot open /run/kup/none").await;
        s.fails("w1", "/usr/local/bin/none", 127, "not found").await;
        let refused = s.on("w1").run(&Command::read(["apt-get", "update"])).await.unwrap();
        assert!(refused.code == 100 && refused.stderr.contains("Permission denied"));
    });
}

#[test]
fn a_snapshot_is_saved_verified_and_fetched() {
    tell(&[], |s| async move {
        let id = s.does("cp1", "crictl ps --name ^etcd$ -q").await;
        let exec = |what: &str| format!("crictl exec {} {what}", id.trim());
        let tls = "etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key";
        let health: Value = serde_json::from_str(
            &s.does("cp1", &exec(&format!("{tls} endpoint health --cluster -w json"))).await,
        )
        .unwrap();
        assert_eq!(health.as_array().map(Vec::len), Some(3));
        let status: Value = serde_json::from_str(
            &s.does("cp1", &exec(&format!("{tls} endpoint status --cluster -w json"))).await,
        )
        .unwrap();
        assert_eq!(status[0]["Status"]["version"], "3.5.24");
        let save = exec(&format!("{tls} snapshot save /var/lib/etcd/kup-1.db"));
        assert_eq!(s.does("cp1", &save).await, "Snapshot saved at /var/lib/etcd/kup-1.db\n");
        let facts: Value = serde_json::from_str(
            &s.does("cp1", &exec("etcdutl snapshot status /var/lib/etcd/kup-1.db -w json")).await,
        )
        .unwrap();
        assert!(
            facts["totalKey"].as_u64() > Some(0)
                && facts["revision"].as_u64() >= status[0]["Status"]["header"]["revision"].as_u64()
        );
        assert_eq!(facts.get("version"), None);
        let sum = s.does("cp1", "sha256sum /var/lib/etcd/kup-1.db").await;
        let size = s.does("cp1", "stat -c %s /var/lib/etcd/kup-1.db").await;
        let fetched =
            s.on("cp1").fetch("/var/lib/etcd/kup-1.db", std::path::Path::new("backup/a.db")).await.unwrap();
        assert_eq!(size.trim(), fetched.to_string());
        let here = s.machines.here().run(&Command::read(["sha256sum", "backup/a.db"])).await.unwrap();
        assert_eq!(here.stdout.split(' ').next(), sum.split(' ').next());
        s.world(|w| ["cp2", "cp3"].iter().for_each(|n| w.etcd.set_up(n, false)));
        s.fails("cp1", &save, 1, "Error: context deadline exceeded").await;
        s.fails(
            "cp1",
            &exec(&format!("{tls} endpoint health --cluster -w json")),
            1,
            "Error: unhealthy cluster",
        )
        .await;
    });
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let hear = || {
        let mut heard = String::new();
        tell(&["F02@w1", "F41@cp1"], |s| async move {
            s.configure();
            s.new_kubeadm("w1").await;
            s.new_kubeadm("cp1").await;
            s.root("cp1", "kubeadm upgrade apply v1.34.4 --yes").await.unwrap_err();
            tokio::time::sleep(Duration::from_secs(30)).await;
            s.does("cp1", "kubeadm upgrade apply v1.34.4 --yes").await;
            TOLD.with_borrow_mut(|t| {
                *t = s.node("cp1", |n| n.transcript()) + &s.node("w1", |n| n.transcript())
            });
        });
        TOLD.with_borrow(|t| heard.push_str(t));
        heard
    };
    let told = hear();
    assert_eq!(told, hear());
    assert!(told.contains("    -  kubeadm upgrade apply v1.34.4 --yes\n"), "{told}");
}

thread_local! {
    static TOLD: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

#[test]
fn an_update_takes_the_machine_s_time_but_not_ours() {
    tell(&[], |s| async move {
        let began = s.now();
        s.does("w1", UPDATE).await;
        assert!(s.now() - began > Duration::from_millis(900));
    });
}

#[test]
fn a_cluster_goes_to_the_next_minor_by_hand() {
    tell(&[], |s| async move {
        for node in s.cluster.node_names() {
            s.new_kubeadm(&node).await;
            let upgrade =
                if node == "cp1" { "kubeadm upgrade apply v1.34.4 --yes" } else { "kubeadm upgrade node" };
            s.does(&node, upgrade).await;
            if s.node(&node, |n| n.package_manager == crate::shape::Packages::Dnf) {
                s.does(
                    &node,
                    "dnf -y install 'kubelet-1.34.4-*' 'kubectl-1.34.4-*' --disableexcludes=kubernetes",
                )
                .await;
            } else {
                let packages = "--allow-change-held-packages kubelet=1.34.4-1.1 kubectl=1.34.4-1.1";
                s.does(&node, &format!("{INSTALL} {packages}")).await;
                s.does(&node, "apt-mark hold kubeadm kubelet kubectl").await;
            }
            s.does(&node, "systemctl daemon-reload").await;
            s.does(&node, "systemctl restart kubelet").await;
            tokio::time::sleep(Duration::from_secs(40)).await;
        }
        tokio::time::sleep(Duration::from_secs(120)).await;
        s.world(|w| {
            for node in w.store.list("nodes") {
                assert_eq!(
                    node["status"]["nodeInfo"]["kubeletVersion"], "v1.34.4",
                    "{}",
                    node["metadata"]["name"]
                );
                let ready =
                    node["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready");
                assert_eq!(ready.unwrap()["status"], "True");
            }
            let images: std::collections::BTreeSet<&str> = w
                .store
                .list_in("pods", "kube-system")
                .inspect(|p| assert_eq!(p["status"]["phase"], "Running", "{}", p["metadata"]["name"]))
                .filter_map(|p| p["spec"]["containers"][0]["image"].as_str())
                .collect();
            expect_test::expect![[r#"
                {
                    "registry.k8s.io/coredns/coredns:v1.12.1",
                    "registry.k8s.io/etcd:3.6.5-0",
                    "registry.k8s.io/kube-apiserver:v1.34.4",
                    "registry.k8s.io/kube-controller-manager:v1.34.4",
                    "registry.k8s.io/kube-proxy:v1.34.4",
                    "registry.k8s.io/kube-scheduler:v1.34.4",
                }
            "#]]
            .assert_debug_eq(&images);
        });
    });
}

#[test]
fn an_upgrade_of_the_system_leaves_what_is_held_and_a_new_kernel_waits_for_a_reboot() {
    tell(&[], |s| async move {
        let would = s.does("cp2", "apt-get -s -q --with-new-pkgs upgrade").await;
        assert!(would.contains("Inst openssl [") && !would.contains("Inst kubelet"), "{would}");
        let upgraded = s.does("cp2", "apt-get upgrade -y -q --with-new-pkgs").await;
        assert!(upgraded.contains("Setting up linux-image-6.1.0-40-amd64"), "{upgraded}");
        s.does("cp2", "test -e /var/run/reboot-required").await;
        let boot = "vmlinuz-6.1.0-37-amd64\nvmlinuz-6.1.0-40-amd64\n";
        assert_eq!(s.does("cp2", "ls -A /boot").await, boot);
        assert_eq!(s.does("cp2", "kubelet --version").await, "Kubernetes v1.33.13\n");
        assert!(s.does("cp2", "apt-get -s upgrade").await.contains("\n0 upgraded"));
        s.root("cp2", "systemctl reboot").await.ok();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(s.does("cp2", "cat /proc/sys/kernel/osrelease").await, "6.1.0-40-amd64\n");
        let names = "dnf -q repoquery --upgrades --qf '%{name}\\n'";
        assert_eq!(s.does("d1", names).await, "openssl-libs\n\nopenssl\n\n");
        assert!(s.does("d1", "dnf -y upgrade").await.contains("Upgraded:\n  openssl-libs-"));
        assert_eq!(s.does("d1", names).await, "");
    });
}

#[test]
fn an_upgrade_brings_along_what_nothing_holds() {
    tell(&[], |s| async move {
        s.switch("w1", 34).await;
        assert!(s.does("w1", "apt-get -s upgrade").await.contains("kept back:\n  kubeadm kubectl kubelet\n"));
        s.does("w1", "apt-mark unhold kubelet").await;
        assert!(s.does("w1", "apt-get -s upgrade").await.contains("Inst kubelet [1.33.13-1.1] (1.34.4-1.1 "));
        s.does("w1", "apt-get upgrade -y").await;
        assert_eq!(s.does("w1", "kubelet --version").await, "Kubernetes v1.34.4\n");
    });
}

#[test]
fn a_machine_that_goes_away_in_the_middle_of_an_upgrade_has_to_be_mended() {
    tell(&["F41@w1"], |s| async move {
        s.root("w1", "apt-get upgrade -y").await.unwrap_err();
        tokio::time::sleep(Duration::from_secs(60)).await;
        s.fails("w1", "apt-get upgrade -y", 100, "dpkg was interrupted").await;
        s.does("w1", "dpkg --configure -a").await;
        assert!(s.does("w1", "apt-get upgrade -y").await.contains("Setting up openssl"));
    });
}
