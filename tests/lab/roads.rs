//! The other roads on the real cluster, one after the other on one lab:
//! `KUP_ROADS=1 cargo test --test lab roads:: -- --nocapture`. With `KUP_RECORD=1` what kup printed becomes
//! `docs/lab.md`.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use crate::support::Lab;

/// What is brought to the target before the workers are.
const PLANES: &str = r#"use std/preflight, std/kubeadm
playbook "The control planes alone"
param target: version
stage preflight { check upgrade to=target }
stage control_plane { upgrade control planes to=target }
"#;

/// Another setting of the kubelets, and a flag of the scheduler.
const SETTINGS: &str = "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
maxPods: 100
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
scheduler:
  extraArgs:
    - name: v
      value: \"3\"
";

struct Roads {
    lab: Lab,
    told: String,
}

impl Roads {
    /// Performs a playbook, and notes what it printed; returns that.
    fn run(&mut self, line: &str, code: i32) -> String {
        let here = self.lab.folder.path().display().to_string();
        let words: Vec<String> = line.split_whitespace().map(|word| word.replace("HERE", &here)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        eprintln!("kup {line}");
        let ran = self.lab.kup(&words).output().expect("kup starts");
        let said = [&ran.stdout, &ran.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        eprintln!("{}{}", said[0], said[1]);
        assert_eq!(ran.status.code(), Some(code), "kup {line}");
        let text = said[0].replace(&here, ".").replace(env!("CARGO_MANIFEST_DIR"), ".");
        write!(self.told, "$ kup {}\n{text}", line.replace("HERE", ".")).expect("text");
        said.concat()
    }

    fn tell(&mut self, title: &str) {
        if !self.told.is_empty() {
            self.told.push_str("```\n");
        }
        write!(self.told, "\n## {title}\n\n```text\n").expect("text");
    }

    /// Returns the only file of a folder with this ending.
    fn file(&self, folder: &str, ending: &str) -> PathBuf {
        let all = fs::read_dir(self.lab.folder.path().join(folder)).expect("a folder");
        let mut found = all.map(|entry| entry.expect("an entry").path());
        found.find(|path| path.extension().is_some_and(|e| e == ending)).expect("a file")
    }

    /// Returns the name of the last run: it begins with its time.
    fn last(&self) -> String {
        let runs = fs::read_dir(self.lab.folder.path().join("state/runs")).expect("runs");
        let names = runs.map(|run| run.expect("an entry").file_name().into_string().expect("a name"));
        names.max().expect("a run")
    }

    fn record(&self) {
        if std::env::var_os("KUP_RECORD").is_none() {
            return;
        }
        let head = "# Runs on a real cluster\n\nWhat kup printed on five machines with systemd, sshd, apt, containerd, kubelet and kubeadm (`tests/lab`), three of them control \
                    planes. Written by `KUP_RECORD=1 KUP_ROADS=1 cargo test --test lab roads::`, which also looks at what came of each. [The main job](lab-minor.md) has a page\nof \
                    its own. Playbooks that are not here have run on simulated clusters only.\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/lab.md");
        fs::write(path, format!("{head}{}```\n", self.told)).expect("docs/lab.md is written");
    }
}

#[test]
fn every_other_road_comes_to_its_end_on_the_real_cluster() {
    if std::env::var_os("KUP_ROADS").is_none() {
        return eprintln!("skipped: KUP_ROADS is not set");
    }
    let mut roads = Roads { lab: Lab::up("cp1 cp2 cp3", "w1 w2"), told: String::new() };
    fs::write(roads.lab.folder.path().join("planes.kup"), PLANES).expect("a playbook");

    roads.tell("preflight");
    roads.run("run std/preflight --yes --set target=v1.34.4", 0);

    roads.tell("etcd-backup");
    roads.run("run std/etcd-backup --yes --set into=HERE/snapshots", 0);

    roads.tell("etcd-restore");
    roads.lab.kubectl(&["create", "configmap", "after-the-snapshot"]);
    let db = roads.file("snapshots", "db").display().to_string();
    let db = db.replace(&roads.lab.folder.path().display().to_string(), "HERE");
    roads.run(&format!("run std/etcd-restore --yes --set from={db}"), 3);
    for code in [3, 3, 0] {
        roads.run(&format!("approve {}", roads.last()), code);
    }
    let found =
        roads.lab.kubectl(&["get", "configmap", "after-the-snapshot", "--ignore-not-found", "-o", "name"]);
    assert_eq!(found, "", "what came after the snapshot is gone");

    roads.tell("etcd-move-leader");
    roads.run("run std/etcd-move-leader --yes --set off=cp1", 0);
    roads.tell("etcd-defrag");
    roads.run("run std/etcd-defrag --yes --set waste=1%", 0);

    roads.tell("kubeadm-config");
    fs::write(roads.lab.folder.path().join("kubeadm.yaml"), SETTINGS).expect("a configuration");
    roads.run("run std/kubeadm-config --yes --set from=HERE/kubeadm.yaml", 0);
    let pods = roads.lab.kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].status.capacity.pods}"]);
    assert_eq!(pods, ["100"; 5].join(" "));
    for node in ["cp1", "cp2", "cp3"] {
        roads.lab.on(node, "grep -e --v=3 /etc/kubernetes/manifests/kube-scheduler.yaml");
    }

    roads.tell("certs-renew");
    let until = "openssl x509 -noout -enddate -in /etc/kubernetes/pki/apiserver.crt";
    let before = roads.lab.on("cp2", until);
    roads.run("run std/certs-renew --yes --set left=400d", 0);
    assert_ne!(roads.lab.on("cp2", until), before, "the certificate is another one");

    roads.tell("os-patch");
    let boot = "cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1";
    roads.lab.on("w1", "touch /var/run/reboot-required");
    let before = [roads.lab.on("w1", boot), roads.lab.on("w2", boot)];
    roads.run("run std/os-patch --yes", 0);
    assert_ne!(roads.lab.on("w1", boot), before[0], "w1 asked for a reboot");
    assert_eq!(roads.lab.on("w2", boot), before[1], "w2 did not");

    roads.tell("workers-only, and back");
    roads.run("run HERE/planes.kup --yes --set target=v1.34.4", 0);
    roads.run("run std/workers-only --yes", 0);
    let versions = ["get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}"];
    assert_eq!(roads.lab.kubectl(&versions), ["v1.34.4"; 5].join(" "));
    roads.run("rollback --yes", 0);
    assert_eq!(roads.lab.kubectl(&versions), "v1.34.4 v1.34.4 v1.34.4 v1.33.13 v1.33.13");

    roads.tell("validate");
    roads.run("run std/validate --yes", 3);
    roads.run("run std/workers-only --yes", 0);
    roads.run("run std/validate --yes", 0);

    roads.tell("rollback-worker");
    roads.run("run std/rollback-worker --yes --set to=v1.33.13", 0);
    assert_eq!(roads.lab.kubectl(&versions), "v1.34.4 v1.34.4 v1.34.4 v1.33.13 v1.33.13");
    roads.record();
}
