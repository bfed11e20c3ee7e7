//! `check machines`: each machine has what the target needs, by one command a machine: room on its disks, a clock that goes with the
//! others, no swap that its kubelet does not allow, and a runtime, a kernel and control groups that the target still takes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use async_trait::async_trait;
use dsl::value::Minor;
use engine::action::Context;
use engine::event::Failure;
use engine::inventory::Node;
use serde::Deserialize;
use serde_json::Value as Json;

use super::argument;
use super::configuration;
use super::facts::{self, Facts, Look, TIME};
use super::verdict::{Findings, Verdict};
use crate::release::{Dated, Weight, minor, numbers};

/// The verb.
pub(super) struct CheckMachines;

/// What is looked at. Of a folder that is not there `df` says nothing on its standard output.
const LOOKS: [Look; 10] = [
    TIME,
    ("space of the kubelet", "df -PB1 /var/lib/kubelet"),
    ("inodes of the kubelet", "df -Pi /var/lib/kubelet"),
    ("space of containerd", "df -PB1 /var/lib/containerd"),
    ("space of cri-o", "df -PB1 /var/lib/containers"),
    ("space of kubeadm", "df -PB1 /etc/kubernetes"),
    ("etcd", "du -sB1 /var/lib/etcd"),
    ("swaps", "cat /proc/swaps"),
    ("configuration", "cat /var/lib/kubelet/config.yaml"),
    ("flags", "cat /var/lib/kubelet/kubeadm-flags.env /etc/default/kubelet /etc/sysconfig/kubelet"),
];

/// Below which rest of a disk the kubelet evicts pods, unless it is told otherwise.
/// <https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#hard-eviction-thresholds>
const EVICTIONS: [(&str, &str); 3] =
    [("nodefs.available", "10%"), ("nodefs.inodesFree", "5%"), ("imagefs.available", "15%")];

/// What the images of a minor take, about.
const IMAGES: f64 = 2.0 * GIB;
const GIB: f64 = 1_073_741_824.0;

/// How far clocks may be apart: etcd complains from here on, and certificates and leases suffer later.
const APART: f64 = 1.0;

#[derive(Deserialize)]
struct Table {
    #[serde(flatten)]
    dated: Dated,
    runtime: Vec<Runtime>,
    cgroup: Since,
    kernel: Kernel,
}

#[derive(Deserialize)]
struct Runtime {
    name: String,
    /// Only what is older; without it every release.
    below: Option<String>,
    #[serde(deserialize_with = "minor")]
    from: Minor,
    weight: Weight,
    what: String,
}

#[derive(Deserialize)]
struct Since {
    #[serde(deserialize_with = "minor")]
    from: Minor,
}

#[derive(Deserialize)]
struct Kernel {
    least: String,
    #[serde(deserialize_with = "minor")]
    from: Minor,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    // The file is compiled in, and a test reads it.
    toml::from_str(include_str!("../../data/hosts.toml")).expect("data/hosts.toml is well formed")
});

#[async_trait]
impl Verdict for CheckMachines {
    fn name(&self) -> &'static str {
        "check machines"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let to = argument::minor(cx, "to")?;
        let nodes = cx.inventory.nodes.values().filter(|node| !node.beside);
        let all = facts::gather(cx, nodes, &LOOKS).await?;
        let mut found: BTreeMap<(bool, String), Vec<String>> = BTreeMap::new();
        for facts in &all {
            let mut of_one = Findings::default();
            let kubelet = configuration_of(facts);
            disks(facts, &kubelet, &mut of_one);
            swap(facts, &kubelet, &mut of_one);
            software(&facts.node, &kubelet, to, &mut of_one);
            let (against, notes) = (of_one.against.into_iter(), of_one.notes.into_iter());
            for finding in against.map(|text| (true, text)).chain(notes.map(|text| (false, text))) {
                found.entry(finding).or_default().push(facts.node.name.clone());
            }
        }
        let mut findings = Findings::default();
        // What many have is told once.
        for ((forbids, text), nodes) in found {
            findings.add(forbids, format!("{}: {text}", nodes.join(", ")));
        }
        clocks(&all, &mut findings);
        twins(&all, &mut findings);
        findings.notes.extend(TABLE.dated.note("what machines must have", to));
        let well = match all.len() {
            1 => "1 machine has what it needs".to_string(),
            many => format!("{many} machines have what they need"),
        };
        findings.conclude(
            well,
            "mend these machines first; an upgrade would stop half way or leave them NotReady",
        )
    }
}

/// A row of `df`: all of it and what is left.
fn room(text: &str) -> Option<(f64, f64)> {
    let row = text.lines().nth(1)?;
    let columns: Vec<&str> = row.split_whitespace().collect();
    let all: f64 = columns.get(1)?.parse().ok()?;
    // Some file systems count no inodes.
    (all > 0.0).then(|| Some((all, columns.get(3)?.parse().ok()?)))?
}

fn disks(facts: &Facts, kubelet: &Json, findings: &mut Findings) {
    let of = |look: &str| room(facts.of(look));
    let is_short = |signal: &str, (all, left): (f64, f64)| left < eviction(kubelet, signal, all);
    let part = |(all, left): (f64, f64)| format!("{:.0} % are left", 100.0 * left / all);
    if let Some(room) = of("space of the kubelet").filter(|room| is_short("nodefs.available", *room)) {
        findings.add(true, format!("the disk of /var/lib/kubelet is nearly full, {}", part(room)));
    }
    if let Some(room) = of("inodes of the kubelet").filter(|room| is_short("nodefs.inodesFree", *room)) {
        findings.add(true, format!("the disk of /var/lib/kubelet has nearly no inodes, {}", part(room)));
    }
    if let Some(room) = of("space of containerd").or_else(|| of("space of cri-o")) {
        if is_short("imagefs.available", room) {
            findings.add(true, format!("the disk of the images is nearly full, {}", part(room)));
        } else if room.1 < IMAGES {
            let left = room.1 / GIB;
            findings
                .add(true, format!("the images of a new minor need about 2 GiB, and {left:.1} GiB are left"));
        }
    }
    // kubeadm copies the whole folder of a stacked etcd beside its manifests before it changes it.
    let etcd = facts.of("etcd").split_whitespace().next().and_then(|size| size.parse::<f64>().ok());
    if let (Some(size), Some((_, left))) = (etcd.filter(|_| facts.node.etcd), of("space of kubeadm"))
        && left < 1.2 * size
    {
        let text = format!(
            "kubeadm will copy etcd's {:.1} GiB to /etc/kubernetes/tmp, where {:.1} GiB are left",
            size / GIB,
            left / GIB
        );
        findings.add(true, text);
    }
}

/// Returns how much of a disk must be left before the kubelet evicts: a share, or a quantity. Who sets one threshold has set all others
/// to nothing.
fn eviction(kubelet: &Json, signal: &str, all: f64) -> f64 {
    let set = kubelet["evictionHard"].as_object();
    let text = match set {
        Some(set) => set.get(signal).and_then(Json::as_str).unwrap_or("0%"),
        None => EVICTIONS.iter().find(|(known, _)| *known == signal).map_or("0%", |(_, share)| share),
    };
    if let Some(share) = text.strip_suffix('%') {
        return share.parse::<f64>().unwrap_or(0.0) / 100.0 * all;
    }
    const UNITS: [(&str, f64); 7] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", GIB),
        ("Ti", 1024.0 * GIB),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
    ];
    let unit = UNITS.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
    let (number, size) = unit.unwrap_or((text, 1.0));
    number.parse::<f64>().unwrap_or(0.0) * size
}

/// Returns the kubelet's configuration; nothing where it is not to be read.
fn configuration_of(facts: &Facts) -> Json {
    let documents = configuration::documents(facts.of("configuration")).unwrap_or_default();
    documents.into_iter().next().unwrap_or(Json::Null)
}

/// A kubelet does not start with swap unless it is told to: it would not come back from its restart.
fn swap(facts: &Facts, kubelet: &Json, findings: &mut Findings) {
    let on = facts.of("swaps").lines().skip(1).any(|line| !line.trim().is_empty());
    let allowed = kubelet["failSwapOn"] == false || facts.of("flags").contains("--fail-swap-on=false");
    if on && !allowed {
        findings.add(true, "swap is on, and the kubelet does not start with it (failSwapOn)".to_string());
    }
}

fn software(node: &Node, kubelet: &Json, to: Minor, findings: &mut Findings) {
    let (name, version) = node.runtime.split_once("://").unwrap_or((&node.runtime, ""));
    let old = |rule: &&Runtime| {
        rule.name == name && to >= rule.from && rule.below.as_ref().is_none_or(|below| older(version, below))
    };
    // The gravest rule stands last.
    if let Some(rule) = TABLE.runtime.iter().rfind(old) {
        findings.add(rule.weight == Weight::Refuse, format!("{name} {version}: {}", rule.what));
    }
    if node.cgroup == "v1" && to >= TABLE.cgroup.from && kubelet["failCgroupV1"] != false {
        let text = format!(
            "control groups v1, with which a kubelet of {} and later does not start (failCgroupV1)",
            TABLE.cgroup.from
        );
        findings.add(true, text);
    }
    if to >= TABLE.kernel.from && older(&node.kernel, &TABLE.kernel.least) {
        findings.add(
            false,
            format!("kernel {}; control groups v2 want {} or later", node.kernel, TABLE.kernel.least),
        );
    }
}

/// Compares the numbers of two versions; what is no version is not older.
fn older(version: &str, than: &str) -> bool {
    let version = numbers(version);
    !version.is_empty() && version < numbers(than)
}

/// Holds the clocks against each other and kup's own: the one in the middle is right, of two the one that is nearer to kup's.
fn clocks(all: &[Facts], findings: &mut Findings) {
    let mut ahead: Vec<f64> =
        all.iter().filter_map(|facts| facts.ahead).map(|(ahead, _)| ahead).chain([0.0]).collect();
    ahead.sort_by(f64::total_cmp);
    let (low, high) = (ahead[(ahead.len() - 1) / 2], ahead[ahead.len() / 2]);
    let middle = if low.abs() < high.abs() { low } else { high };
    for facts in all {
        let Some((ahead, doubt)) = facts.ahead else { continue };
        let off = ahead - middle;
        if off.abs() > APART + doubt {
            let way = if off > 0.0 { "ahead of" } else { "behind" };
            let text = format!("{}: its clock is {:.1} s {way} the others", facts.node.name, off.abs());
            findings.add(true, text);
        }
    }
}

/// Machines that were cloned with their id: kubeadm wants them unique, and network plugins and journals mix them up.
fn twins(all: &[Facts], findings: &mut Findings) {
    let mut by_id: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for facts in all.iter().filter(|facts| !facts.node.machine_id.is_empty()) {
        by_id.entry(&facts.node.machine_id).or_default().push(&facts.node.name);
    }
    for names in by_id.values().filter(|names| names.len() > 1) {
        findings.add(false, format!("{} have the same /etc/machine-id", names.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;
    use dsl::value::Value;

    const DF: &str =
        "Filesystem 1B-blocks Used Available Capacity Mounted on\n/dev/sda1 100000000000 0 LEFT 0% /\n";

    struct Machine {
        left: u64,
        etcd: u64,
        swap: &'static str,
        config: &'static str,
        runtime: &'static str,
        cgroup: &'static str,
        clock: f64,
    }

    const WELL: Machine = Machine {
        left: 80_000_000_000,
        etcd: 50_000_000,
        swap: "",
        config: "kind: KubeletConfiguration\n",
        runtime: "containerd://1.7.27",
        cgroup: "v2",
        clock: 0.0,
    };

    async fn check(machine: &Machine, to: &str) -> Result<String, String> {
        let looks: Vec<String> =
            LOOKS.iter().map(|(name, line)| format!("echo '== {name}'; {line}")).collect();
        let df = DF.replace("LEFT", &machine.left.to_string());
        let said = format!(
            "== time\n{}\n== space of the kubelet\n{df}== inodes of the kubelet\n{df}== space of containerd\n{df}== space of kubeadm\n{df}\
             == etcd\n{}\t/var/lib/etcd\n== swaps\nFilename Type Size Used Priority\n{}== configuration\n{}== flags\n",
            1_800_000_000.0 + machine.clock,
            machine.etcd,
            machine.swap,
            machine.config
        );
        let bench = Bench::default().says(&format!("sh -c {}; true", looks.join("; ")), &said);
        let mut cx = bench.step(&[("to", Value::Minor(to.parse().unwrap()))]);
        let mut inventory = (*cx.inventory).clone();
        let node = &mut inventory.nodes[0];
        node.etcd = true;
        (node.runtime, node.cgroup, node.kernel) =
            (machine.runtime.into(), machine.cgroup.into(), "6.1.0-37".into());
        cx.inventory = inventory.into();
        let judged = CheckMachines.judge(&cx).await;
        assert_eq!(bench.sent().lines().count(), 1, "one command a machine");
        judged.map_err(|failure| failure.message)
    }

    #[tokio::test]
    async fn a_machine_that_has_all_passes_by_one_command() {
        assert_eq!(check(&WELL, "v1.34").await.unwrap(), "1 machine has what it needs");
    }

    #[tokio::test]
    async fn disks_that_are_nearly_full_are_told() {
        let full = check(&Machine { left: 4_000_000_000, ..WELL }, "v1.34").await.unwrap_err();
        assert_eq!(
            full,
            "n1: the disk of /var/lib/kubelet has nearly no inodes, 4 % are left; n1: the disk of /var/lib/kubelet is nearly full, 4 % are \
             left; n1: the disk of the images is nearly full, 4 % are left"
        );
        let etcd = check(&Machine { etcd: 79_000_000_000, ..WELL }, "v1.34").await.unwrap_err();
        assert_eq!(
            etcd,
            "n1: kubeadm will copy etcd's 73.6 GiB to /etc/kubernetes/tmp, where 74.5 GiB are left"
        );
    }

    #[tokio::test]
    async fn a_kubelet_may_be_told_to_evict_at_other_thresholds() {
        const OWN: &str = "evictionHard: { nodefs.available: \"2%\", imagefs.available: 3Gi }\n";
        let machine = Machine { left: 4_000_000_000, config: OWN, ..WELL };
        assert_eq!(check(&machine, "v1.34").await.unwrap(), "1 machine has what it needs");
        let text = check(&Machine { left: 3_000_000_000, ..machine }, "v1.34").await.unwrap_err();
        assert_eq!(text, "n1: the disk of the images is nearly full, 3 % are left");
    }

    #[tokio::test]
    async fn swap_is_told_unless_the_kubelet_allows_it() {
        const SWAP: &str = "/dev/sda2 partition 1000 0 -2\n";
        assert!(check(&Machine { swap: SWAP, ..WELL }, "v1.34").await.unwrap_err().contains("swap is on"));
        let allowed = Machine { swap: SWAP, config: "failSwapOn: false\n", ..WELL };
        assert!(check(&allowed, "v1.34").await.is_ok());
    }

    #[tokio::test]
    async fn a_runtime_and_control_groups_are_judged_by_the_target() {
        let old = Machine { runtime: "containerd://1.5.9", ..WELL };
        assert!(check(&old, "v1.25").await.is_ok());
        assert!(check(&old, "v1.26").await.unwrap_err().contains("CRI v1 only"));
        assert!(
            check(&WELL, "v1.36").await.unwrap().contains("note: n1: containerd 1.7.27: v1.35 is the last")
        );
        assert!(check(&WELL, "v1.38").await.unwrap_err().contains("cannot tell its cgroup driver"));
        assert!(
            check(&Machine { runtime: "docker://20.10", ..WELL }, "v1.24")
                .await
                .unwrap_err()
                .contains("dockershim")
        );
        let first = Machine { cgroup: "v1", ..WELL };
        assert!(check(&first, "v1.34").await.is_ok());
        assert!(check(&first, "v1.35").await.unwrap_err().contains("control groups v1"));
        assert!(check(&Machine { config: "failCgroupV1: false\n", ..first }, "v1.35").await.is_ok());
    }

    #[tokio::test]
    async fn a_clock_that_goes_wrong_is_told() {
        let text = check(&Machine { clock: -300.0, ..WELL }, "v1.34").await.unwrap_err();
        assert_eq!(text, "n1: its clock is 300.0 s behind the others");
        let text = check(&Machine { clock: 300.0, ..WELL }, "v1.34").await.unwrap_err();
        assert_eq!(text, "n1: its clock is 300.0 s ahead of the others");
        assert!(check(&Machine { clock: 0.9, ..WELL }, "v1.34").await.is_ok());
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(older("1.5.9", "1.6") && !older("1.7.27-k3s1", "1.6") && !older("2.0.0-rc.1", "2.0"));
        assert!(older("5.4.0-26-generic", "5.8") && !older("6.1.0-37-amd64", "5.8") && !older("", "5.8"));
    }
}
