//! Reads the inventory: what the API says of its nodes, joined with a hosts file, and what each
//! machine says of itself.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use engine::event::Failure;
use engine::inventory::{Inventory, Node, PackageManager};
use engine::port::{Command, Ports};
use indexmap::IndexMap;
use k8s_openapi::api::core::v1::{self as core, Namespace};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{Api, ListParams};
use thiserror::Error;

use crate::api;
use crate::hosts::{self, Host, Role};
use crate::release::Table;

/// So long the API is asked who has joined.
const JOINED: Duration = Duration::from_secs(10);

/// The files in which a machine says who it is. The last one is the only one that people write, and may
/// lack the end of its last line.
const WHO: [&str; 4] =
    ["/etc/machine-id", "/proc/sys/kernel/osrelease", "/proc/self/cgroup", "/etc/os-release"];

/// How long a machine may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no inventory.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InventoryError {
    /// Neither a cluster nor hosts were given.
    #[error("there is neither a cluster nor a hosts file\nhint: give kup a kubeconfig, or `--hosts FILE`")]
    Nothing,
    /// The API could not be read.
    #[error("{}{}", .0.message, hint(&.0.hint))]
    Api(Failure),
    /// A node has a name that kup cannot use.
    #[error("{0}")]
    Name(String),
    /// Names that no node of the cluster has: what they were given for, and each with the node whose name is nearest.
    #[error("{}", strays(.0, .1))]
    NoNode(&'static str, Vec<(String, Option<String>)>),
    /// A node that no run can leave out: one of the control plane, or of etcd alone.
    #[error("{}", needed(.0, *.1))]
    Needed(String, bool),
    /// Machines that did not answer, each with the reason, and whether all of them are workers.
    #[error("{}", silent(.0, *.1))]
    Unreachable(Vec<(String, String)>, bool),
    /// ssh reaches another machine than the node: the ssh name and the node's.
    #[error("{}", wrong(.0))]
    WrongMachine(Vec<(String, String)>),
}

fn hint(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("\nhint: {text}") }
}

fn strays(what: &str, names: &[(String, Option<String>)]) -> String {
    let line = |(name, near): &(String, Option<String>)| match near {
        Some(node) => format!("{what} `{name}` is no node of the cluster\nhint: did you mean node `{node}`?"),
        None => format!("{what} `{name}` is no node of the cluster"),
    };
    names.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn needed(node: &str, is_control_plane: bool) -> String {
    let text = format!("node `{node}` cannot be left out: the others need it");
    let hint = "`--without` is for workers; mend it first";
    match is_control_plane {
        true => format!(
            "{text}\nhint: {hint}, or put a fresh one in its place: `kup run std/node-replace --set old={node} --set gone=true`"
        ),
        false => format!("{text}\nhint: {hint}"),
    }
}

fn silent(nodes: &[(String, String)], are_workers: bool) -> String {
    let line = |(node, why): &(String, String)| format!("cannot reach {node}: {why}");
    let text = nodes.iter().map(line).collect::<Vec<_>>().join("\n");
    let first = nodes.first().map_or("", |(node, _)| node);
    let without = match are_workers {
        true => format!("; `--without {first}` leaves a worker out"),
        false => String::new(),
    };
    format!(
        "{text}\nhint: try `ssh {first}` from here; `--hosts FILE` gives other ssh names, `--ssh-config FILE` ports and keys{without}"
    )
}

fn wrong(pairs: &[(String, String)]) -> String {
    let line = |(ssh, node): &(String, String)| format!("ssh {ssh} reaches another machine than node {node}");
    let text = pairs.iter().map(line).collect::<Vec<_>>().join("\n");
    text + "\nhint: name the right machine in a hosts file"
}

/// Reads the cluster, the hosts file and every machine but those that are left out. Changes nothing.
pub async fn read(
    ports: &Ports,
    hosts: Option<&[Host]>,
    without: &[String],
) -> Result<Inventory, InventoryError> {
    let mut inventory = match (&ports.kube, hosts) {
        (Some(kube), _) => cluster(kube).await.map_err(InventoryError::Api)?,
        (None, Some(hosts)) => bare(hosts),
        (None, None) => return Err(InventoryError::Nothing),
    };
    for name in inventory.nodes.keys() {
        hosts::check_name(name).map_err(InventoryError::Name)?;
    }
    if let Some(hosts) = hosts {
        join(&mut inventory, hosts)?;
    }
    leave_out(&mut inventory, without)?;
    inventory.nodes.sort_by(|_, a, _, b| order(a, b));
    // A control plane that shows no node is a provider's, and so are the machines: nobody logs in there unless a hosts file says how.
    let managed = ports.kube.is_some() && inventory.nodes.values().all(|node| !node.control_plane);
    if !managed || hosts.is_some_and(|hosts| !hosts.is_empty()) {
        ask_machines(ports, &mut inventory).await?;
    }
    for node in inventory.nodes.values_mut() {
        hold(node).map_err(InventoryError::Name)?;
    }
    Ok(inventory)
}

/// Returns the nodes that have joined since an inventory was read; none where nobody can be asked.
pub async fn joined(ports: &Ports, inventory: &Inventory) -> Vec<String> {
    let Some(kube) = ports.kube.as_ref().filter(|_| !inventory.cluster.is_empty()) else { return Vec::new() };
    let nodes = Api::<core::Node>::all(kube.clone());
    let asked = api::list("list the nodes", &nodes, ListParams::default());
    let Ok(Ok(found)) = tokio::time::timeout(JOINED, asked).await else { return Vec::new() };
    let names = found.into_iter().filter_map(|node| node.metadata.name);
    let is_known = |name: &String| inventory.nodes.contains_key(name) || inventory.left_out.contains(name);
    names.filter(|name| !is_known(name)).collect()
}

/// Holds what a node says of itself to what it can be: a playbook may put it into a line of shell. Labels
/// have a pattern of the API; the rest is any text that a kubelet likes to send.
fn hold(node: &mut Node) -> Result<(), String> {
    let is_label =
        |text: &str, more: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
    if let Some((key, value)) =
        node.labels.iter().find(|(key, value)| !is_label(key, "-_./") || !is_label(value, "-_."))
    {
        let (key, value) = (key.escape_debug(), value.escape_debug());
        return Err(format!("node {} has a label `{key}={value}`, which no API server accepts", node.name));
    }
    let known = |c: char| c.is_ascii_alphanumeric() || " ._:/+~()=,@-".contains(c);
    let texts = [&mut node.os, &mut node.arch, &mut node.kernel, &mut node.runtime];
    for text in texts.into_iter().chain(&mut node.taints) {
        if !text.chars().all(known) {
            *text = text.chars().map(|c| if known(c) { c } else { '?' }).collect();
        }
    }
    Ok(())
}

/// Control planes first, then hosts of etcd beside them, then by name, where a number counts as a number:
/// `w2` before `w10`.
fn order(a: &Node, b: &Node) -> Ordering {
    let rank = |node: &Node| (!node.control_plane, !node.beside);
    rank(a).cmp(&rank(b)).then_with(|| natural(&a.name).cmp(&natural(&b.name)))
}

/// Cuts a name into its words and numbers; the name itself comes last, so that no two are equal.
fn natural(name: &str) -> (Vec<(String, u128)>, &str) {
    let mut parts: Vec<(String, u128)> = Vec::new();
    let mut in_word = false;
    for c in name.chars() {
        match (c.to_digit(10), parts.last_mut()) {
            (Some(digit), Some((_, number))) => {
                *number = number.saturating_mul(10).saturating_add(u128::from(digit));
                in_word = false;
            }
            (Some(digit), None) => parts.push((String::new(), u128::from(digit))),
            (None, Some((word, _))) if in_word => word.push(c),
            (None, _) => {
                parts.push((c.to_string(), 0));
                in_word = true;
            }
        }
    }
    (parts, name)
}

/// Reads what the API knows of the cluster; no machine is asked.
pub(crate) async fn cluster(kube: &kube::Client) -> Result<Inventory, Failure> {
    let nodes = Api::<core::Node>::all(kube.clone());
    let namespaces = Api::<Namespace>::all(kube.clone());
    let (nodes, pods, system) = futures::try_join!(
        api::list("list the nodes", &nodes, ListParams::default()),
        api::static_pods(kube),
        api::call("read namespace kube-system", namespaces.get(api::SYSTEM)),
    )?;
    let mut inventory = Inventory {
        cluster: system.metadata.uid.unwrap_or_default(),
        roads: Table::get().roads(),
        ..Inventory::default()
    };
    for node in nodes {
        let node = from_api(node);
        inventory.nodes.insert(node.name.clone(), node);
    }
    for pod in &pods {
        let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) else { continue };
        let Some(node) = inventory.nodes.get_mut(node) else { continue };
        match api::label(&pod.metadata, "component") {
            Some("etcd") => node.etcd = true,
            Some("kube-apiserver") => node.apiserver = api::image_version(pod, "kube-apiserver"),
            _ => {}
        }
    }
    inventory.version = inventory.nodes.values().filter_map(|node| node.apiserver.clone()).min();
    if inventory.version.is_none() {
        // A managed control plane, or one that is not made of static pods.
        let version = api::call("read the API's version", kube.apiserver_version()).await?;
        inventory.version = version.git_version.parse().ok();
    }
    Ok(inventory)
}

fn from_api(node: core::Node) -> Node {
    let name = node.metadata.name.clone().unwrap_or_default();
    let labels: IndexMap<String, String> =
        node.metadata.labels.clone().unwrap_or_default().into_iter().collect();
    let spec = node.spec.unwrap_or_default();
    let status = node.status.unwrap_or_default();
    let gpu = gpus(&status);
    let info = status.node_info.unwrap_or_default();
    let taints = spec.taints.unwrap_or_default().into_iter().map(|taint| {
        let value = taint.value.unwrap_or_default();
        format!("{}={value}:{}", taint.key, taint.effect)
    });
    let ready = status.conditions.unwrap_or_default();
    Node {
        ssh: name.clone(),
        name,
        control_plane: ["control-plane", "master"]
            .iter()
            .any(|role| labels.contains_key(&format!("node-role.kubernetes.io/{role}"))),
        // k3s and RKE2 say it of servers with an embedded etcd; elsewhere the static pods do.
        etcd: labels.get("node-role.kubernetes.io/etcd").is_some_and(|has| has == "true"),
        beside: false,
        kubelet: info.kubelet_version.parse().ok(),
        apiserver: None,
        ready: ready.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        unschedulable: spec.unschedulable.unwrap_or_default(),
        labels,
        taints: taints.collect(),
        gpu,
        windows: info.operating_system == "windows",
        os: info.os_image,
        arch: info.architecture,
        kernel: info.kernel_version,
        runtime: info.container_runtime_version,
        cgroup: String::new(),
        packages: None,
        machine_id: info.machine_id,
    }
}

/// Returns how many GPUs a node offers, of all vendors.
pub(crate) fn gpus(status: &core::NodeStatus) -> u64 {
    gpus_of(status.allocatable.as_ref())
}

/// Returns how many GPUs a node has, whether they are well or not.
pub(crate) fn all_gpus(status: &core::NodeStatus) -> u64 {
    gpus_of(status.capacity.as_ref())
}

fn gpus_of(resources: Option<&BTreeMap<String, Quantity>>) -> u64 {
    let gpus = resources.into_iter().flatten().filter(|(resource, _)| is_gpu(resource));
    gpus.filter_map(|(_, count)| count.0.parse::<u64>().ok()).sum()
}

/// Returns whether an extended resource counts GPUs: `nvidia.com/gpu`, `amd.com/gpu`,
/// `gpu.intel.com/i915`, and NVIDIA's slices `nvidia.com/mig-1g.5gb`.
fn is_gpu(resource: &str) -> bool {
    resource.ends_with(".com/gpu")
        || resource.starts_with("nvidia.com/mig-")
        || matches!(resource, "gpu.intel.com/i915" | "gpu.intel.com/xe")
}

/// Makes nodes of a hosts file alone.
fn bare(hosts: &[Host]) -> Inventory {
    let nodes = hosts.iter().map(|host| {
        let node = Node { name: host.name.clone(), ssh: host.name.clone(), ..Node::default() };
        (host.name.clone(), node)
    });
    Inventory { nodes: nodes.collect(), ..Inventory::default() }
}

/// Tells the nodes what the hosts file knows of them. A host of etcd and of nothing else may be no node of
/// the cluster: then its etcd is external.
fn join(inventory: &mut Inventory, hosts: &[Host]) -> Result<(), InventoryError> {
    let (mut strays, mut beside) = (Vec::new(), Vec::new());
    for host in hosts {
        match inventory.nodes.get_mut(&host.name) {
            Some(node) => {
                node.ssh.clone_from(&host.ssh);
                node.control_plane |= host.roles.contains(&Role::ControlPlane);
                node.etcd |= host.roles.contains(&Role::Etcd);
            }
            None if host.roles == [Role::Etcd] => beside.push(host),
            None => strays.push((host.name.clone(), nearest(&host.name, &inventory.nodes))),
        }
    }
    if !strays.is_empty() {
        return Err(InventoryError::NoNode("host", strays));
    }
    for host in beside {
        let (name, ssh) = (host.name.clone(), host.ssh.clone());
        let node = Node { name: name.clone(), ssh, etcd: true, beside: true, ..Node::default() };
        inventory.nodes.insert(name, node);
    }
    Ok(())
}

/// Takes nodes out. Workers only: the others carry the cluster, and what is true of it is asked of each of them.
fn leave_out(inventory: &mut Inventory, without: &[String]) -> Result<(), InventoryError> {
    let is_there = |name: &&String| inventory.nodes.contains_key(*name);
    let (there, strays): (Vec<&String>, Vec<&String>) = without.iter().partition(is_there);
    if !strays.is_empty() {
        let near = |name: &String| (name.clone(), nearest(name, &inventory.nodes));
        return Err(InventoryError::NoNode("left out node", strays.into_iter().map(near).collect()));
    }
    for name in there {
        // It may be given twice.
        let Some(node) = inventory.nodes.shift_remove(name) else { continue };
        if node.role() != "worker" {
            return Err(InventoryError::Needed(node.name, node.control_plane));
        }
        inventory.left_out.push(node.name);
    }
    Ok(())
}

/// Returns the node that a host most likely means. A host by its full name means the node of its
/// first label, and the other way round.
fn nearest(host: &str, nodes: &IndexMap<String, Node>) -> Option<String> {
    let first = |name: &str| name.split('.').next().unwrap_or_default().to_string();
    let same = nodes.keys().find(|node| first(node) == first(host)).map(String::as_str);
    same.or_else(|| dsl::nearest(host, nodes.keys().map(String::as_str))).map(str::to_string)
}

/// What a machine says of itself.
struct Machine {
    id: String,
    kernel: String,
    cgroup: String,
    os: String,
    packages: Option<PackageManager>,
}

/// Asks every machine who it is, many at once, and reports all that are unfit together.
async fn ask_machines(ports: &Ports, inventory: &mut Inventory) -> Result<(), InventoryError> {
    let questions: Vec<_> = inventory
        .nodes
        .values()
        .map(|node| ask(ports, node.name.clone(), node.ssh.clone(), node.windows))
        .collect();
    let answers: Vec<_> = futures::future::join_all(questions).await;
    let mut silent = Vec::new();
    let mut wrong = Vec::new();
    for (name, answer) in answers {
        let machine = match answer {
            Ok(machine) => machine,
            Err(reason) => {
                silent.push((name, reason));
                continue;
            }
        };
        let Some(node) = inventory.nodes.get_mut(&name) else { continue };
        // On Windows it is the name of the host, in which case does not count.
        let same = |id: &str| match node.windows {
            true => id.eq_ignore_ascii_case(&machine.id),
            false => id == machine.id,
        };
        if !node.machine_id.is_empty() && !same(&node.machine_id) {
            wrong.push((node.ssh.clone(), name));
            continue;
        }
        node.machine_id = machine.id;
        node.packages = machine.packages;
        node.cgroup = machine.cgroup;
        // Where there is an API, it has said these.
        if node.os.is_empty() {
            node.os = machine.os;
        }
        if node.kernel.is_empty() {
            node.kernel = machine.kernel;
        }
    }
    // A wrong machine is the graver finding: every command would go there.
    match (wrong.is_empty(), silent.is_empty()) {
        (false, _) => Err(InventoryError::WrongMachine(wrong)),
        (true, false) => {
            let are_workers = silent.iter().all(|(name, _)| inventory.nodes[name].role() == "worker");
            Err(InventoryError::Unreachable(silent, are_workers))
        }
        (true, true) => Ok(()),
    }
}

async fn ask(ports: &Ports, name: String, ssh: String, windows: bool) -> (String, Result<Machine, String>) {
    let shell = ports.shells.on(&ssh);
    let command = match windows {
        // kubernetes:pkg/kubelet/winstats/perfcounter_nodestats_windows.go: MachineID is os.Hostname
        true => Command::read(["hostname.exe"]),
        false => Command::read(["cat"].into_iter().chain(WHO)),
    };
    let answer = match tokio::time::timeout(PATIENCE, shell.run(&command)).await {
        Ok(Ok(output)) if output.ok() => Ok(machine(&output.stdout)),
        Ok(Ok(output)) => Err(output.stderr.trim().to_string()),
        Ok(Err(engine::port::ShellError::Unreachable { reason, .. })) => Err(reason),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {}s", PATIENCE.as_secs())),
    };
    (name, answer)
}

fn machine(text: &str) -> Machine {
    let mut lines = text.lines().peekable();
    let id = lines.next().unwrap_or_default().trim().to_string();
    let kernel = lines.next().unwrap_or_default().trim().to_string();
    // One group `0::/...` and no other: the unified hierarchy. cgroups(7)
    let mut groups = Vec::new();
    while let Some(group) = lines.next_if(|line| line.starts_with(|c: char| c.is_ascii_digit())) {
        groups.push(group);
    }
    let cgroup = match groups.as_slice() {
        [] => "",
        [one] if one.starts_with("0::") => "v2",
        _ => "v1",
    };
    let fields: IndexMap<&str, &str> = lines
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim().trim_matches(['"', '\''])))
        .collect();
    let field = |key: &str| fields.get(key).copied().unwrap_or_default();
    let family = [field("ID"), field("ID_LIKE")].join(" ");
    let packages = family.split_whitespace().find_map(|id| match id {
        "debian" | "ubuntu" => Some(PackageManager::Apt),
        "fedora" | "rhel" | "centos" | "rocky" | "almalinux" | "amzn" | "ol" => Some(PackageManager::Dnf),
        _ => None,
    });
    Machine { id, kernel, cgroup: cgroup.to_string(), os: field("PRETTY_NAME").to_string(), packages }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cluster, Scripted, ports};

    const ASK: &str = "cat /etc/machine-id /proc/sys/kernel/osrelease /proc/self/cgroup /etc/os-release";

    fn machine_of(name: &str) -> String {
        let system = "NAME=Debian\nID=debian\nPRETTY_NAME=\"Debian 13\"\n";
        format!("id-{name}\n6.12.38\n0::/user.slice\n{system}")
    }

    fn cluster() -> (Cluster, Scripted) {
        let cluster = Cluster::new();
        let mut shells = Scripted::default();
        for name in ["w10", "w2", "cp1"] {
            cluster.node(name, "v1.33.4", name == "cp1");
            shells = shells.says(name, ASK, &machine_of(name));
        }
        cluster.control_plane("cp1", "v1.34.2");
        (cluster, shells)
    }

    async fn look(
        cluster: &Cluster,
        shells: &Scripted,
        hosts: Option<&str>,
    ) -> Result<Inventory, InventoryError> {
        let hosts = hosts.map(|text| hosts::parse(text).unwrap());
        read(&ports(Some(cluster), shells, &Default::default()), hosts.as_deref(), &[]).await
    }

    #[tokio::test]
    async fn a_node_that_joins_later_is_told_from_those_that_were_there() {
        let (cluster, shells) = cluster();
        let inventory = look(&cluster, &shells, None).await.unwrap();
        let ports = ports(Some(&cluster), &shells, &Default::default());
        assert!(joined(&ports, &inventory).await.is_empty());
        cluster.node("w11", "v1.33.4", false);
        assert_eq!(joined(&ports, &inventory).await, ["w11"]);
        // Hosts are no nodes.
        let hosts = Inventory { cluster: String::new(), ..inventory };
        assert!(joined(&ports, &hosts).await.is_empty());
    }

    #[tokio::test]
    async fn control_planes_come_first_and_numbers_count_as_numbers() {
        let (cluster, shells) = cluster();
        let inventory = look(&cluster, &shells, None).await.unwrap();
        assert_eq!(inventory.nodes.keys().collect::<Vec<_>>(), ["cp1", "w2", "w10"]);
        assert_eq!(inventory.cluster, "cluster-1");
        assert_eq!(inventory.version, Some("v1.34.2".parse().unwrap()));
        let cp1 = &inventory.nodes["cp1"];
        assert!(cp1.control_plane && cp1.etcd && cp1.ready);
        assert_eq!(cp1.apiserver, Some("v1.34.2".parse().unwrap()));
        assert_eq!(cp1.kubelet, Some("v1.33.4".parse().unwrap()));
        assert_eq!((cp1.packages, cp1.cgroup.as_str()), (Some(PackageManager::Apt), "v2"));
        assert_eq!(inventory.nodes["w2"].ssh, "w2");
    }

    #[tokio::test]
    async fn all_machines_that_do_not_answer_are_told_at_once() {
        let (cluster, _) = cluster();
        let shells = Scripted::default().says("cp1", ASK, &machine_of("cp1"));
        let error = look(&cluster, &shells, None).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot reach w2: connection refused\ncannot reach w10: connection refused\n\
             hint: try `ssh w2` from here; `--hosts FILE` gives other ssh names, `--ssh-config FILE` ports and keys; `--without w2` leaves a worker out"
        );
    }

    #[tokio::test]
    async fn who_lacks_the_control_plane_is_told_of_no_worker_to_leave_out() {
        let (cluster, _) = cluster();
        let shells = Scripted::default().says("w2", ASK, &machine_of("w2"));
        let error = look(&cluster, &shells, None).await.unwrap_err().to_string();
        assert!(error.contains("cannot reach cp1") && error.contains("cannot reach w10"), "{error}");
        assert!(!error.contains("--without"), "{error}");
    }

    #[tokio::test]
    async fn ssh_that_reaches_another_machine_is_an_error() {
        let (cluster, shells) = cluster();
        let shells = shells.says("other", ASK, &machine_of("w10"));
        let hosts = "[[host]]\nname = \"w2\"\nssh = \"other\"";
        let error = look(&cluster, &shells, Some(hosts)).await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("ssh other reaches another machine than node w2\n"), "{text}");
    }

    #[tokio::test]
    async fn a_host_that_is_no_node_is_told_with_the_nearest_one() {
        let (cluster, shells) = cluster();
        let error = look(&cluster, &shells, Some("[[host]]\nname = \"cp2\"")).await.unwrap_err();
        let text = "host `cp2` is no node of the cluster\nhint: did you mean node `cp1`?";
        assert_eq!(error.to_string(), text);
        let error = look(&cluster, &shells, Some("[[host]]\nname = \"w2.example.com\"")).await.unwrap_err();
        assert!(error.to_string().contains("did you mean node `w2`?"));
    }

    #[tokio::test]
    async fn a_host_of_etcd_alone_may_stand_beside_the_cluster() {
        let (cluster, shells) = cluster();
        let shells = shells.says("root@e1", ASK, &machine_of("e1"));
        let hosts = "[[host]]\nname = \"e1\"\nssh = \"root@e1\"\nroles = [\"etcd\"]";
        let inventory = look(&cluster, &shells, Some(hosts)).await.unwrap();
        assert_eq!(inventory.nodes.keys().collect::<Vec<_>>(), ["cp1", "e1", "w2", "w10"]);
        let e1 = &inventory.nodes["e1"];
        assert!(e1.etcd && e1.beside && !e1.control_plane && e1.kubelet.is_none());
        assert_eq!((e1.ssh.as_str(), e1.packages), ("root@e1", Some(PackageManager::Apt)));
        let both = hosts.replace("\"etcd\"", "\"etcd\", \"worker\"");
        let error = look(&cluster, &shells, Some(&both)).await.unwrap_err();
        assert!(error.to_string().contains("host `e1` is no node of the cluster"), "{error}");
    }

    #[tokio::test]
    async fn who_is_left_out_is_not_asked_and_no_part_of_the_control_plane_is() {
        let cluster = Cluster::new();
        for name in ["cp1", "w1", "w2"] {
            cluster.node(name, "v1.33.4", name == "cp1");
        }
        cluster.control_plane("cp1", "v1.33.4");
        let shells = ["cp1", "w1"]
            .into_iter()
            .fold(Scripted::default(), |shells, name| shells.says(name, ASK, &machine_of(name)));
        let ports = ports(Some(&cluster), &shells, &Default::default());
        let without = async |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            let read = read(&ports, None, &names).await;
            read.map(|found| (found.nodes.into_keys().collect::<Vec<_>>(), found.left_out))
                .map_err(|e| e.to_string())
        };
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        assert_eq!(without(&["w2"]).await, Ok((names(&["cp1", "w1"]), names(&["w2"]))));
        assert_eq!(without(&["w2", "w2"]).await, Ok((names(&["cp1", "w1"]), names(&["w2"]))));
        assert!(without(&[]).await.unwrap_err().contains("`--without w2` leaves a worker out"));
        let error = without(&["cp1"]).await.unwrap_err();
        assert!(error.starts_with(
            "node `cp1` cannot be left out: the others need it\nhint: `--without` is for workers; "
        ));
        assert!(error.contains("`kup run std/node-replace --set old=cp1 --set gone=true`"), "{error}");
        let error = without(&["w22"]).await.unwrap_err();
        assert_eq!(error, "left out node `w22` is no node of the cluster\nhint: did you mean node `w2`?");
    }

    #[tokio::test]
    async fn hosts_alone_are_nodes_without_a_cluster() {
        let says = "id-a\n4.18.0-553\n2:cpu,cpuacct:/\n1:name=systemd:/\n0::/\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"";
        let shells = Scripted::default().says("root@a", ASK, says);
        let hosts = hosts::parse("[[host]]\nname = \"a\"\nssh = \"root@a\"\nroles = [\"etcd\"]").unwrap();
        let inventory = read(&ports(None, &shells, &Default::default()), Some(&hosts), &[]).await.unwrap();
        let a = &inventory.nodes["a"];
        assert_eq!((a.packages, a.etcd, a.control_plane), (Some(PackageManager::Dnf), true, false));
        assert_eq!((a.kernel.as_str(), a.cgroup.as_str()), ("4.18.0-553", "v1"));
        assert_eq!((inventory.cluster.as_str(), inventory.version), ("", None));
        let nothing = read(&ports(None, &shells, &Default::default()), None, &[]).await;
        assert_eq!(nothing, Err(InventoryError::Nothing));
    }

    #[tokio::test]
    async fn the_machines_of_a_provider_are_not_asked_unless_a_hosts_file_names_them() {
        let cluster = Cluster::new();
        cluster.node("w1", "v1.33.4", false);
        let shells = Scripted::default();
        let inventory = look(&cluster, &shells, None).await.unwrap();
        assert_eq!(inventory.nodes.keys().collect::<Vec<_>>(), ["w1"]);
        assert!(shells.sent().is_empty());
        let error = look(&cluster, &shells, Some("[[host]]\nname = \"w1\"")).await.unwrap_err();
        assert!(error.to_string().starts_with("cannot reach w1"), "{error}");
    }

    #[tokio::test]
    async fn a_managed_control_plane_is_known_by_its_version_alone() {
        let cluster = Cluster::new();
        cluster.node("w1", "v1.33.4-gke.1", false);
        cluster.version("v1.33.5-gke.100");
        let inventory = super::cluster(&cluster.client()).await.unwrap();
        assert_eq!(inventory.version, Some("v1.33.5-gke.100".parse().unwrap()));
    }

    #[test]
    fn gpus_of_all_vendors_count() {
        for resource in ["nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "nvidia.com/mig-1g.5gb"] {
            assert!(is_gpu(resource), "{resource}");
        }
        assert!(!is_gpu("cpu") && !is_gpu("nvidia.com/gpu.shared-note"));
    }
}
