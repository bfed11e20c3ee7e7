//! The contract: every command and request that stdlib sends is put to the simulated cluster and to
//! the real one, in one order, from before an upgrade to after it, and the answers are compared:
//! exit codes, the shape of JSON, and the words that are not times, numbers or addresses.
//!
//! The lab (`tests/lab`) asks a real cluster each time. `answers.json` is what it said the last time
//! somebody recorded it (`KUP_RECORD=1`), so that the simulator is held to it in every test run.

mod coverage;
mod perform;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dsl::value::Value as Given;
use engine::port::{Command, Output, Ports, Shell};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How two answers must be alike, beside their exit codes.
#[derive(Clone, Copy)]
pub(crate) enum Alike {
    /// Exit code only.
    Code,
    /// The same lines once numbers, hashes, addresses and times are masked, in any order.
    Lines,
    /// JSON with the same fields of the same types.
    Json,
    /// Each of these words stands in both answers (stdout or stderr).
    Words(&'static [&'static str]),
}

/// One command on one node.
pub(crate) struct Case {
    node: &'static str,
    argv: Vec<String>,
    root: bool,
    alike: Alike,
}

fn case(node: &'static str, line: &str, alike: Alike) -> Case {
    let argv = line.split_whitespace().map(|w| w.replace('~', " ").replace("\\n", "\n")).collect();
    Case { node, argv, root: true, alike }
}

const UPDATE: &str = "apt-get update -q -o APT::Update::Error-Mode=any -o APT::Color=0";
const INSTALL: &str = "env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o APT::Color=0";
const WOULD: &str = "apt-get -s -q --with-new-pkgs upgrade -o APT::Color=0";
const UPGRADE: &str = "env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get upgrade -y -q --with-new-pkgs -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o APT::Color=0";
/// The lab's mirror of the community repositories; the simulated nodes have the same.
const HELPER: &str = "/usr/lib/apt/apt-helper download-file REPOSITORY";
const LIST: &str = "/etc/apt/sources.list.d/kubernetes.list";
const UNIT: &str = "LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus";

/// What stdlib asks of a node before anything is changed, and what fails without changing anything.
fn before() -> Vec<Case> {
    use Alike::{Code, Json, Lines, Words};
    let cp = |line: &str, alike| case("cp1", line, alike);
    vec![
        cp(
            "cat /etc/machine-id /proc/sys/kernel/osrelease /proc/self/cgroup /etc/os-release",
            Words(&["ID=debian", "VERSION_ID=\"12\""]),
        ),
        cp("cat /proc/sys/kernel/random/boot_id", Lines),
        cp("kubelet --version", Lines),
        cp("kubeadm version -o short", Lines),
        cp("dpkg-query -W -f=${Package}~${Version}~${db:Status-Status}\\n kubeadm kubelet kubectl", Lines),
        cp("dpkg-query -W -f=${Package}~${Version}~${db:Status-Status}\\n kubeadm nope", Lines),
        cp("apt-mark showhold", Lines),
        cp("apt-mark unhold kubeadm", Lines),
        cp("apt-mark unhold kubeadm", Lines),
        cp("apt-mark hold kubeadm", Lines),
        cp("apt-mark hold kubeadm", Lines),
        cp("apt-mark hold nope", Words(&["E: Unable to locate package nope"])),
        cp(UPDATE, Words(&["Reading package lists..."])),
        cp(
            "apt-cache madison kubeadm kubelet nope",
            Words(&["kubeadm | 1.33.13-1.1 | ", "kubelet | 1.33.13-1.1 | "]),
        ),
        cp(
            &format!("{INSTALL} kubeadm=1.34.4-1.1"),
            Words(&["E: Version '1.34.4-1.1' for 'kubeadm' was not found"]),
        ),
        cp(
            &format!("{INSTALL} kubeadm=1.33.13-1.1"),
            Words(&["kubeadm is already the newest version (1.33.13-1.1)."]),
        ),
        cp(&format!("{HELPER}/v1.34/deb/Packages /tmp/kup-packages"), Code),
        cp("cat /tmp/kup-packages", Words(&["Package: kubeadm", "Version: 1.34.4-1.1"])),
        cp("rm -f /tmp/kup-packages", Lines),
        cp(
            &format!("{HELPER}/v1.39/deb/Packages /tmp/kup-packages"),
            Words(&["404  Not Found", "E: Failed to fetch"]),
        ),
        cp("crictl ps --name ^etcd$ -q", Lines),
        cp("crictl ps --name ^nope$ -q", Lines),
        cp("systemctl is-active kubelet", Lines),
        cp("systemctl is-active nope", Lines),
        cp("systemctl show kubelet -p ActiveState,SubState,NRestarts,ExecMainStatus", Lines),
        cp("mkdir -p -m 0700 /run/kup", Code),
        cp(
            "systemd-run --unit=kup-good -p RemainAfterExit=yes -p StandardOutput=file:/run/kup/good.out -p StandardError=file:/run/kup/good.err -q -- true",
            Lines,
        ),
        cp("sleep 1", Code),
        cp(&format!("systemctl show kup-good.service -p {UNIT}"), Lines),
        cp(
            "systemd-run --unit=kup-good -q -- true",
            Words(&["Failed to start transient service unit", "kup-good.service was already loaded"]),
        ),
        cp("systemctl stop kup-good.service", Lines),
        cp(&format!("systemctl show kup-good.service -p {UNIT}"), Lines),
        cp(
            "systemd-run --unit=kup-bad -p RemainAfterExit=yes -p StandardOutput=file:/run/kup/bad.out -p StandardError=file:/run/kup/bad.err -q -- false",
            Lines,
        ),
        cp("sleep 1", Code),
        cp(&format!("systemctl show kup-bad.service -p {UNIT}"), Lines),
        cp("tail -c 100 /run/kup/bad.err", Lines),
        cp("systemctl reset-failed kup-bad.service", Lines),
        cp(&format!("systemctl show kup-bad.service -p {UNIT}"), Lines),
        cp("systemctl stop kup-none.service", Lines),
        cp("systemctl reset-failed kup-none.service", Lines),
        cp("rm -f /run/kup/good.out /run/kup/good.err /run/kup/bad.out /run/kup/bad.err", Code),
        cp("kubeadm upgrade plan v1.33.13 -o json", Code),
        cp("kubeadm upgrade plan v1.34.4 -o json", Json),
        cp(
            "kubeadm upgrade apply v1.34.4 --yes",
            Words(&["is at least one minor release higher than the kubeadm minor release (34 > 33)"]),
        ),
        cp(
            "kubeadm upgrade apply v1.35.0 --yes",
            Words(&["is too high; kubeadm can upgrade only 1 minor version at a time"]),
        ),
        cp(WOULD, Words(&["Calculating upgrade...", " upgraded, ", " not upgraded."])),
        cp(UPGRADE, Words(&["Calculating upgrade...", " upgraded, ", " not upgraded."])),
        cp(WOULD, Words(&["0 upgraded, 0 newly installed, 0 to remove and "])),
        cp("apt-mark showhold", Lines),
        cp("kubelet --version", Lines),
        cp("test -e /var/run/reboot-required", Code),
        cp("ls -A /boot", Code),
        cp("sha256sum /nope", Lines),
        cp("stat -c %s /nope", Code),
        cp("nope", Code),
    ]
}

/// The upgrade of one control plane and one worker, in the words that stdlib uses.
fn upgrade(node: &'static str, first: bool) -> Vec<Ask> {
    use Alike::{Lines, Words};
    let on = |line: &str, alike| Ask::Command(case(node, line, alike));
    let mut asks = vec![
        Ask::Switch(node),
        on(UPDATE, Words(&["Reading package lists..."])),
        on(
            &format!("{INSTALL} kubeadm=1.34.4-1.1"),
            Words(&["E: Held packages were changed and -y was used without --allow-change-held-packages."]),
        ),
        on("apt-mark unhold kubeadm", Lines),
        on(&format!("{INSTALL} kubeadm=1.34.4-1.1"), Words(&["Setting up kubeadm (1.34.4-1.1) ..."])),
        on("apt-mark hold kubeadm", Lines),
        on("kubeadm version -o short", Lines),
    ];
    if first {
        asks.push(on("kubeadm upgrade plan v1.34.4 -o json", Alike::Json));
        asks.push(on(
            "kubeadm upgrade apply v1.34.4 --yes",
            Words(&["[upgrade] SUCCESS! A control plane node of your cluster was upgraded to \"v1.34.4\"."]),
        ));
        // Its first job has 15 s, and whoever would run it has just been started.
        asks.push(Ask::Settle);
        asks.push(on(
            "kubeadm upgrade apply v1.34.4 --yes",
            Words(&["Current and new manifests of kube-apiserver are equal, skipping upgrade"]),
        ));
    } else {
        asks.push(on(
            "kubeadm upgrade node",
            Words(&["The kubelet configuration for this node was successfully upgraded!"]),
        ));
    }
    asks.extend([
        on("apt-mark unhold kubelet kubectl", Lines),
        on(
            &format!("{INSTALL} kubelet=1.34.4-1.1 kubectl=1.34.4-1.1"),
            Words(&["Setting up kubelet (1.34.4-1.1) ...", "Setting up kubectl (1.34.4-1.1) ..."]),
        ),
        on("apt-mark hold kubelet kubectl", Lines),
        on(
            &format!("{INSTALL} kubelet=1.33.13-1.1"),
            Words(&["E: Version '1.33.13-1.1' for 'kubelet' was not found"]),
        ),
        on("systemctl daemon-reload", Lines),
        on("systemctl restart kubelet", Lines),
        on("kubelet --version", Lines),
        on("systemctl is-active kubelet", Lines),
    ]);
    asks
}

/// What looks at a cluster before an upgrade: the scripts on its nodes, and the lists of its API.
const LOOKS: &str = include_str!("looks.kup");

/// What looks at it behind one.
const VALIDATE: &str = include_str!("validate.kup");

/// Workloads on the only worker: one free to go, one that its budget keeps, one that two budgets speak of.
const WORKLOADS: &str = include_str!("workloads.kup");

/// What is made anew on a control plane, and for it.
const ANEW: &str = include_str!("anew.kup");

/// A worker is started again, leaves, and comes back.
const AWAY: &str = include_str!("away.kup");

/// What those playbooks read.
const FILES: [(&str, &str); 3] = [
    ("kubeadm.yaml", include_str!("kubeadm.yaml")),
    ("workloads.yaml", include_str!("workloads.yaml")),
    ("patch.sh", "#!/bin/sh\ntouch /run/kup-contract\n"),
];

/// Returns a folder with them.
fn files() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in FILES {
        std::fs::write(folder.path().join(name), content).expect("a file");
    }
    folder
}

/// Returns all questions, in their order.
pub(crate) fn story() -> Vec<Ask> {
    let mut story = Vec::new();
    story.extend(before().into_iter().map(Ask::Command));
    story.push(Ask::Perform(LOOKS));
    story.push(Ask::Perform(VALIDATE));
    story.extend(etcd().into_iter().map(Ask::Etcd));
    story.extend(restore().into_iter().map(Ask::Command));
    story.extend(requests().into_iter().map(Ask::Request));
    story.push(Ask::Perform(WORKLOADS));
    story.push(Ask::Settle);
    story.extend(evictions().into_iter().map(Ask::Request));
    story.push(Ask::Perform(ANEW));
    story.push(Ask::Settle);
    story.push(Ask::Perform(AWAY));
    story.push(Ask::Settle);
    story.extend(upgrade("cp1", true));
    story.push(Ask::Settle);
    story.extend(upgrade("w1", false));
    story.push(Ask::Settle);
    story.extend(requests().into_iter().map(Ask::Request));
    story
}

/// Asks the simulated cluster.
pub(crate) fn simulated(story: &[Ask]) -> Vec<Answer> {
    sim::runtime().block_on(async {
        let shape = sim::Shape::parse("1+1@v1.33.13").expect("a shape");
        answers(&sim::Cluster::start(shape, 1, Vec::new()).ports(), story).await
    })
}

/// Holds the simulator's answers to the real ones.
pub(crate) fn compare(story: &[Ask], real: &[Answer], simulated: &[Answer]) {
    assert_eq!(
        real.len(),
        story.len(),
        "the recorded answers are older than the questions: record them again"
    );
    let mut differences = Vec::new();
    for ((ask, real), simulated) in story.iter().zip(real).zip(simulated) {
        if let Err(why) = ask.compare(real, simulated) {
            differences.push(format!("{}\n  {why}", ask.name()));
        }
    }
    eprintln!("{} questions, {} answers differ", story.len(), differences.len());
    assert!(differences.is_empty(), "the simulator is not the real thing:\n{}", differences.join("\n"));
}

/// One question.
pub(crate) enum Ask {
    Command(Case),
    /// Arguments of etcdctl or etcdutl in the etcd container of cp1.
    Etcd(Case),
    /// The node's package repository is read, pointed at the next minor, and written back.
    Switch(&'static str),
    /// Waits until all nodes and the cluster's own pods have been Ready for 20 s without a break: a
    /// kubelet that has just restarted may end and start its static pods (the only apiserver among them).
    Settle,
    Request(Request),
    /// A playbook whose steps are performed one after the other; what came of each is the answer.
    Perform(&'static str),
}

/// One request to the API.
pub(crate) struct Request {
    method: &'static str,
    path: &'static str,
    body: Value,
    /// Fields that must be alike: a list's are those of its first item.
    alike: Alike,
}

/// One answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    code: i32,
    text: String,
}

impl Ask {
    fn name(&self) -> String {
        match self {
            Ask::Command(c) => format!("{}$ {}", c.node, c.argv.join(" ")),
            Ask::Etcd(c) => format!("etcd$ {}", c.argv.join(" ")),
            Ask::Switch(node) => format!("{node}: {LIST}"),
            Ask::Settle => "the cluster settles".to_string(),
            Ask::Perform(text) => {
                text.lines().find(|line| line.starts_with("playbook")).unwrap_or_default().to_string()
            }
            Ask::Request(r) => format!("{} {} {}", r.method, r.path, r.body),
        }
    }

    fn compare(&self, real: &Answer, simulated: &Answer) -> Result<(), String> {
        if real.code == UNRECORDED {
            return self.expected(simulated);
        }
        if real.code != simulated.code {
            let end = |t: &str| t.lines().rev().take(3).collect::<Vec<_>>().join(" / ");
            return Err(format!(
                "real {} ({}), simulated {} ({})",
                real.code,
                end(&real.text),
                simulated.code,
                end(&simulated.text)
            ));
        }
        let alike = match self {
            Ask::Command(c) | Ask::Etcd(c) => c.alike,
            Ask::Switch(_) => Alike::Words(&["/core:/stable:/v1.33/deb/ /"]),
            Ask::Settle => Alike::Code,
            Ask::Request(r) => r.alike,
            Ask::Perform(_) => Alike::Lines,
        };
        match alike {
            Alike::Code => Ok(()),
            Alike::Lines => same("lines", lines(&real.text), lines(&simulated.text)),
            Alike::Words(words) => {
                for word in words {
                    for (who, answer) in [("real", real), ("simulated", simulated)] {
                        if !answer.text.contains(word) {
                            return Err(format!("`{word}` is not in the {who} answer:\n{}", answer.text));
                        }
                    }
                }
                Ok(())
            }
            Alike::Json => {
                let shape = |t: &str| serde_json::from_str(t).map(|v| fields(&v)).unwrap_or_default();
                let (real, simulated): (BTreeSet<String>, BTreeSet<String>) =
                    (shape(&real.text), shape(&simulated.text));
                // The simulator may leave out what nobody reads; it may not invent.
                let invented: Vec<&String> = simulated.difference(&real).collect();
                if real.is_empty() || !invented.is_empty() || simulated.is_empty() {
                    return Err(format!("fields that the real answer does not have: {invented:?}"));
                }
                Ok(())
            }
        }
    }
}

/// The exit code of an answer that nobody has recorded yet: the simulator is held to the words alone.
const UNRECORDED: i32 = -2;

impl Ask {
    fn expected(&self, simulated: &Answer) -> Result<(), String> {
        let words = match self {
            Ask::Command(Case { alike: Alike::Words(words), .. })
            | Ask::Etcd(Case { alike: Alike::Words(words), .. }) => *words,
            _ => &[],
        };
        match words.iter().find(|word| !simulated.text.contains(**word)) {
            Some(word) => Err(format!("`{word}` is not in the simulated answer:\n{}", simulated.text)),
            None => Ok(()),
        }
    }
}

fn same(what: &str, real: BTreeSet<String>, simulated: BTreeSet<String>) -> Result<(), String> {
    if real == simulated {
        return Ok(());
    }
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
    Err(format!(
        "{what} only real {:?}, only simulated {:?}",
        only(&real, &simulated),
        only(&simulated, &real)
    ))
}

/// Returns the lines with everything masked that differs from one moment to the next.
fn lines(text: &str) -> BTreeSet<String> {
    let mask = |word: &str| {
        let hex = word.len() >= 8 && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        if hex { "HEX".to_string() } else { word.to_string() }
    };
    text.lines()
        .map(|l| l.split_whitespace().map(mask).collect::<Vec<_>>().join(" "))
        .filter(|l| !l.is_empty())
        .collect()
}

/// Returns the paths of all fields with their types; the elements of a list count as one.
fn fields(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: String, out: &mut BTreeSet<String>) {
        match value {
            // Labels and annotations are the workload's own.
            Value::Object(map)
                if path.to_lowercase().ends_with("labels") || path.ends_with("annotations") =>
            {
                map.values().for_each(|v| walk(v, format!("{path}.*"), out));
            }
            Value::Object(map) => map.iter().for_each(|(k, v)| walk(v, format!("{path}.{k}"), out)),
            Value::Array(items) => items.iter().for_each(|v| walk(v, format!("{path}[]"), out)),
            Value::Null => {}
            Value::Bool(_) => drop(out.insert(format!("{path}: bool"))),
            Value::Number(_) => drop(out.insert(format!("{path}: number"))),
            Value::String(_) => drop(out.insert(format!("{path}: string"))),
        }
    }
    let mut out = BTreeSet::new();
    walk(value, String::new(), &mut out);
    out
}

fn etcd() -> Vec<Case> {
    use Alike::{Json, Words};
    const CTL: &str = "etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key";
    let ctl = |args: &str, alike| case("cp1", &format!("{CTL} {args}"), alike);
    vec![
        ctl("endpoint health --cluster -w json", Json),
        ctl("endpoint health -w json", Json),
        ctl("endpoint status --cluster -w json", Json),
        ctl("member list -w json", Json),
        ctl("alarm list -w json", Json),
        ctl(
            "snapshot save /var/lib/etcd/kup-contract.db",
            Words(&["Snapshot saved at /var/lib/etcd/kup-contract.db"]),
        ),
        case("cp1", "etcdutl snapshot status /var/lib/etcd/kup-contract.db -w json", Json),
        case("cp1", "etcdutl snapshot status /nope -w json", Words(&["no such file or directory"])),
        ctl("endpoint status -w json", Json),
        ctl(
            "--command-timeout=14m defrag",
            Words(&["Finished defragmenting etcd member[https://127.0.0.1:2379]"]),
        ),
        ctl("move-leader 1", Words(&["Error: etcdserver: bad leader transferee"])),
        ctl("member remove 1", Words(&["etcdserver: member not found"])),
        case(
            "cp1",
            "etcdutl snapshot restore /var/lib/etcd/kup-contract.db --data-dir /var/lib/etcd/kup-contract-tested",
            Words(&["restored snapshot"]),
        ),
        case("cp1", "etcdutl snapshot status /var/lib/etcd/kup-contract-tested/member/snap/db -w json", Json),
    ]
}

/// What a restore asks of a node, into a folder of its own beside the data.
fn restore() -> Vec<Case> {
    use Alike::{Code, Lines, Words};
    const IMAGE: &str = "registry.k8s.io/etcd:3.5.24-0";
    const FOLDER: &str = "/var/lib/etcd/kup-contract";
    let cp = |line: &str, alike| case("cp1", line, alike);
    let run = format!(
        "ctr -n k8s.io run --rm --mount type=bind,src=/var/lib/etcd,dst=/var/lib/etcd,options=rbind:rw {IMAGE} kup-contract \
         etcdutl snapshot restore /var/lib/etcd/kup-contract.db --data-dir {FOLDER} --name cp1 \
         --initial-advertise-peer-urls https://10.0.0.1:2380 --initial-cluster cp1=https://10.0.0.1:2380 \
         --initial-cluster-token kup --bump-revision 1000000000 --mark-compacted"
    );
    vec![
        cp("df --output=avail -B1 /var/lib/etcd", Words(&["Avail"])),
        cp("rm -rf /var/lib/etcd/kup-contract-tested", Code),
        cp("ls -A /etc/kubernetes/manifests", Words(&["etcd.yaml", "kube-apiserver.yaml"])),
        cp("ls -A /etc/kubernetes/kup-stopped", Code),
        cp("systemctl show etcd.service -p MainPID", Lines),
        cp(&format!("ctr -n k8s.io images ls -q name=={IMAGE}"), Lines),
        cp(&run, Words(&["restored snapshot"])),
        cp(&format!("test -e {FOLDER}/member/snap/db"), Code),
        cp(&run, Words(&["not empty or could not be read"])),
        cp(&format!("mv -T {FOLDER}/member {FOLDER}-aside"), Lines),
        cp(&format!("mv -T {FOLDER}/member {FOLDER}-aside"), Code),
        cp(&format!("rm -rf {FOLDER} {FOLDER}-aside /var/lib/etcd/kup-contract.db"), Code),
    ]
}

fn requests() -> Vec<Request> {
    use Alike::{Code, Json};
    let get = |path, alike| Request { method: "GET", path, body: Value::Null, alike };
    let cordon = |on: bool| Request {
        method: "PATCH",
        path: "/api/v1/nodes/w1",
        body: json!({"spec": {"unschedulable": on}, "metadata": {"annotations": {"kup.dev/contract": if on { json!("x") } else { Value::Null }}}}),
        alike: Code,
    };
    let mark = |text: &str| Request {
        method: "PATCH",
        path: "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy",
        body: json!({"metadata": {"annotations": {"kup.dev/contract": if text.is_empty() { Value::Null } else { json!(text) }}}}),
        alike: Code,
    };
    vec![
        get("/version", Json),
        get("/readyz", Alike::Lines),
        get("/api/v1/namespaces/kube-system", Json),
        get("/api/v1/nodes/cp1", Json),
        get("/api/v1/nodes?limit=1", Json),
        get("/api/v1/nodes/nope", Alike::Json),
        get("/api/v1/pods?fieldSelector=spec.nodeName%3Dw1", Json),
        get("/api/v1/namespaces/kube-system/pods/kube-apiserver-cp1", Json),
        get("/api/v1/namespaces/kube-system/pods/https:kube-apiserver-cp1:6443/proxy/readyz", Alike::Lines),
        get("/api/v1/namespaces/kube-system/pods/https:kube-apiserver-nope:6443/proxy/readyz", Json),
        get("/api/v1/namespaces/kube-system/configmaps/kubeadm-config", Json),
        get("/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy", Json),
        get("/apis/apps/v1/namespaces/kube-system/deployments/coredns", Json),
        get("/apis/apps/v1/daemonsets", Code),
        get("/apis/coordination.k8s.io/v1/leases", Code),
        get("/apis/policy/v1/poddisruptionbudgets", Code),
        get("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/w1", Json),
        get("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/nope", Alike::Json),
        get("/apis/apiregistration.k8s.io/v1/apiservices", Json),
        get("/apis/storage.k8s.io/v1/volumeattachments", Code),
        cordon(true),
        cordon(false),
        mark("x"),
        mark(""),
        Request {
            method: "POST",
            path: "/api/v1/namespaces/default/pods/nope/eviction",
            body: json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "nope", "namespace": "default"}}),
            alike: Json,
        },
    ]
}

/// What the API says of an eviction, in all the ways that a drain may hear. `POD(x)` is a pod of that workload.
fn evictions() -> Vec<Request> {
    let get = |path| Request { method: "GET", path, body: Value::Null, alike: Alike::Json };
    let delete = |path| Request { method: "DELETE", path, body: Value::Null, alike: Alike::Code };
    let evict = |path, with: Value| {
        let mut body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "POD", "namespace": "default"}});
        body["deleteOptions"] = with;
        Request { method: "POST", path, body, alike: Alike::Json }
    };
    const FREE: &str = "/api/v1/namespaces/default/pods/POD(free)/eviction";
    vec![
        get("/apis/policy/v1/poddisruptionbudgets"),
        get("/apis/apps/v1/daemonsets"),
        get("/api/v1/namespaces/default/pods/POD(free)"),
        evict(FREE, json!({"dryRun": ["All"]})),
        evict(FREE, json!({"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}})),
        evict("/api/v1/namespaces/default/pods/POD(kept)/eviction", json!({})),
        evict("/api/v1/namespaces/default/pods/POD(twice)/eviction", json!({})),
        evict(FREE, json!({"gracePeriodSeconds": 1})),
        // What comes next drains the only worker.
        delete("/apis/policy/v1/namespaces/default/poddisruptionbudgets/kept"),
        delete("/apis/policy/v1/namespaces/default/poddisruptionbudgets/twice"),
        delete("/apis/policy/v1/namespaces/default/poddisruptionbudgets/twice-more"),
    ]
}

pub(crate) async fn answers(ports: &Ports, story: &[Ask]) -> Vec<Answer> {
    let mut out = Vec::new();
    let (mut etcd, mut repository) = (String::new(), String::new());
    for ask in story {
        out.push(match ask {
            Ask::Command(case) if case.argv[0] == "sleep" => {
                ports.clock.sleep(Duration::from_secs(1)).await;
                Answer { code: 0, text: String::new() }
            }
            Ask::Command(case) => {
                let shell = ports.shells.on(case.node);
                if repository.is_empty() {
                    repository = base(&*shell).await;
                }
                let argv = case.argv.iter().map(|w| w.replace("REPOSITORY", &repository)).collect();
                run(shell, argv, case.root).await
            }
            Ask::Etcd(case) => {
                let shell = ports.shells.on(case.node);
                if etcd.is_empty() {
                    let ps = ["crictl", "ps", "--name", "^etcd$", "-q"].map(String::from).to_vec();
                    etcd = run(shell.clone(), ps, true).await.text.trim().to_string();
                }
                let argv = ["crictl", "exec", &etcd]
                    .map(String::from)
                    .into_iter()
                    .chain(case.argv.clone())
                    .collect();
                run(shell, argv, true).await
            }
            Ask::Switch(node) => switch(ports.shells.on(node)).await,
            Ask::Settle => settle(ports).await,
            Ask::Perform(text) => performed(ports, text).await,
            Ask::Request(request) => send(ports, request).await,
        });
    }
    out
}

/// Returns what came of each step: what it gave, by its fields, or how it failed.
async fn performed(ports: &Ports, text: &str) -> Answer {
    let steps = perform::perform(ports, files().path(), text, &[]).await;
    let line = |step: &perform::Performed| match &step.came {
        Ok(Some(Given::Record(fields))) => {
            format!("{} gave {}", step.key, fields.keys().cloned().collect::<Vec<_>>().join(", "))
        }
        Ok(Some(_)) => format!("{} done", step.key),
        Ok(None) => format!("{} needs nothing", step.key),
        Err(failure) => format!("{} failed: {:?}: {}", step.key, failure.class, failure.message),
    };
    let failed = steps.iter().any(|step| step.came.is_err());
    let lines: Vec<String> = steps.iter().map(line).collect();
    Answer { code: i32::from(failed), text: lines.join("\n") }
}

/// Returns code 0 once all is Ready and stays so, 1 if that does not come within 5 minutes.
async fn settle(ports: &Ports) -> Answer {
    let mut since = ports.clock.now();
    let began = since;
    loop {
        let mut ready = true;
        for path in ["/api/v1/nodes", "/api/v1/namespaces/kube-system/pods"] {
            let list =
                send(ports, &Request { method: "GET", path, body: Value::Null, alike: Alike::Code }).await;
            let list: Value = serde_json::from_str(&list.text).unwrap_or_default();
            let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
            let well = |item: &Value| {
                item["status"]["conditions"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
            };
            ready &= !items.is_empty() && items.iter().all(well);
        }
        let now = ports.clock.now();
        if !ready {
            since = now;
        }
        if now - since >= Duration::from_secs(20) {
            return Answer { code: 0, text: String::new() };
        }
        if now - began >= Duration::from_secs(300) {
            return Answer { code: 1, text: "not Ready within 5 minutes".to_string() };
        }
        ports.clock.sleep(Duration::from_secs(1)).await;
    }
}

async fn run(shell: Arc<dyn Shell>, argv: Vec<String>, root: bool) -> Answer {
    let command = Command { root, changes: true, ..Command::read(argv) };
    match shell.run(&command).await {
        Ok(Output { code, stdout, stderr }) => Answer { code, text: format!("{stdout}{stderr}") },
        Err(e) => Answer { code: -1, text: e.to_string() },
    }
}

/// Returns where the node's repositories are, as its own list says: `http://HOST/core:/stable:`.
async fn base(shell: &dyn Shell) -> String {
    let list = shell.read(LIST).await.ok().flatten().unwrap_or_default();
    let list = String::from_utf8_lossy(&list).into_owned();
    let url = list.split_whitespace().find(|w| w.starts_with("http")).unwrap_or("");
    url.split("/v1.").next().unwrap_or("").to_string()
}

async fn switch(shell: Arc<dyn Shell>) -> Answer {
    let done = async {
        let old = shell.read(LIST).await.map_err(|e| e.to_string())?.ok_or("no such file")?;
        let old = String::from_utf8_lossy(&old).into_owned();
        let new = old.replace("/v1.33/", "/v1.34/");
        shell.write(LIST, new.as_bytes(), 0o644).await.map_err(|e| e.to_string())?;
        Ok::<String, String>(old)
    };
    match done.await {
        Ok(text) => Answer { code: 0, text },
        Err(text) => Answer { code: -1, text },
    }
}

/// Sends a request and waits, as kup does, while an apiserver restarts.
async fn send(ports: &Ports, request: &Request) -> Answer {
    let client = ports.kube.clone().expect("a cluster");
    let (mut path, mut body) = (request.path.to_string(), request.body.to_string());
    if let Some(workload) = path.split_once("POD(").and_then(|(_, rest)| rest.split(')').next()) {
        let list = "/api/v1/namespaces/default/pods?labelSelector=app%3D".to_string() + workload;
        let asked = http::Request::get(list).body(Vec::new()).expect("a request");
        let pods: Value = client.request(asked).await.expect("pods");
        let pod = pods["items"][0]["metadata"]["name"].as_str().unwrap_or("nope").to_string();
        path = path.replace(&format!("POD({workload})"), &pod);
        body = body.replace("\"POD\"", &format!("\"{pod}\""));
    }
    let body = if request.body.is_null() { Vec::new() } else { body.into_bytes() };
    let kind =
        if request.method == "PATCH" { "application/strategic-merge-patch+json" } else { "application/json" };
    for _ in 0..120 {
        let http = http::Request::builder().method(request.method).uri(&path).header("content-type", kind);
        let sent = client.request_text(http.body(body.clone()).expect("a request")).await;
        match sent {
            Ok(text) => return Answer { code: 200, text },
            // To evict is to be told no; the others wait, as kup does.
            Err(kube::Error::Api(status))
                if (status.code < 500 && status.code != 429) || path.ends_with("/eviction") =>
            {
                let text = serde_json::to_string(&*status).unwrap_or_default();
                return Answer { code: i32::from(status.code), text };
            }
            Err(_) => ports.clock.sleep(std::time::Duration::from_secs(1)).await,
        }
    }
    Answer { code: -1, text: "no answer".into() }
}

#[test]
fn the_simulator_answers_as_the_real_cluster_did() {
    let real: Vec<Answer> = serde_json::from_str(include_str!("answers.json")).expect("recorded answers");
    let story = story();
    compare(&story, &real, &simulated(&story));
}
