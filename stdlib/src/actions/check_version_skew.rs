//! `check version skew`: the target can be reached from what runs now. One minor up at most, never
//! down, and no component further from another than Kubernetes' skew policy allows.

use async_trait::async_trait;
use dsl::value::{Minor, Value, Version};
use engine::action::Context;
use engine::event::Failure;
use engine::inventory::Inventory;
use jiff::civil::Date;

use super::argument;
use super::verdict::Verdict;
use crate::release::Table;
use crate::{api, inventory};

/// The verb.
pub(super) struct CheckVersionSkew;

#[async_trait]
impl Verdict for CheckVersionSkew {
    fn name(&self) -> &'static str {
        "check version skew"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let target = argument::version(cx, "to")?;
        let candidates = cx.args.get("candidates").and_then(Value::as_text) == Some("allow");
        // Read anew: a run that was held for a day must not be judged by yesterday's versions.
        let cluster = inventory::cluster(&api::client(&cx.ports)?).await?;
        let today = i64::try_from(cx.ports.clock.wall().as_secs()).ok();
        let today = today.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        let today = today.map(|now| now.to_zoned(jiff::tz::TimeZone::UTC).date());
        if cx.args.get("within").and_then(Value::as_text) == Some("patch") {
            same_minor(&cluster, &target)?;
        }
        judge(&cluster, &target, candidates, today)
    }
}

/// Holds that the target is of the minor that every apiserver runs.
fn same_minor(cluster: &Inventory, target: &Version) -> Result<(), Failure> {
    match apiservers(cluster).iter().find(|(_, version)| version.minor() != target.minor()) {
        Some((node, version)) => {
            let text = format!(
                "the kube-apiserver of {node} is {version}: {target} is no patch of {}",
                version.minor()
            );
            Err(Failure::last(text).with_hint("for another minor: `kup run std/kubeadm-minor`"))
        }
        None => Ok(()),
    }
}

fn judge(
    cluster: &Inventory,
    target: &Version,
    candidates: bool,
    today: Option<Date>,
) -> Result<String, Failure> {
    // What a vendor added does not make a version newer.
    let to = target.release();
    if to.is_prerelease() && !candidates {
        return Err(Failure::last(format!("{target} is a pre-release"))
            .with_hint("name a release, or say `candidates=allow` for a cluster you can lose"));
    }
    let apiservers = apiservers(cluster);
    let kubelets: Vec<(&str, Version)> = cluster
        .nodes
        .values()
        .filter_map(|node| Some((node.name.as_str(), node.kubelet.as_ref()?.release())))
        .collect();
    let (Some(low), Some(high)) =
        (apiservers.iter().min_by_key(|(_, v)| v), apiservers.iter().max_by_key(|(_, v)| v))
    else {
        return Err(Failure::last("the version of the apiserver is not known")
            .with_hint("look at the image tag of the pods `kube-apiserver-NODE`"));
    };
    apart(low, high)?;
    upward(&low.1, &to)?;
    let newer = apiservers.iter().map(|(node, v)| ("kube-apiserver", node, v));
    let newer = newer.chain(kubelets.iter().map(|(node, v)| ("kubelet", node, v))).find(|(_, _, v)| **v > to);
    if let Some((what, node, version)) = newer {
        return Err(Failure::last(format!("the {what} of {node} is {version}, newer than {target}"))
            .with_hint("kup never goes down: name a version that is not older"));
    }
    for (node, kubelet) in &kubelets {
        behind(node, kubelet, &to)?;
        ahead(cluster, node, kubelet, &low.1)?;
    }
    let all_there =
        apiservers.iter().map(|(_, v)| v).chain(kubelets.iter().map(|(_, v)| v)).all(|v| *v == to);
    if all_there {
        return Ok(format!("already {target}"));
    }
    let hop = if low.1.minor() == to.minor() { "the same minor" } else { "one minor up" };
    let mut text = format!("{} to {target}, {hop}", low.1);
    for note in notes(cluster, &low.1, &to, today) {
        text.push_str("; ");
        text.push_str(&note);
    }
    Ok(text)
}

/// Returns the apiservers by node; a managed one stands for itself.
fn apiservers(cluster: &Inventory) -> Vec<(&str, Version)> {
    let of_nodes: Vec<(&str, Version)> = cluster
        .nodes
        .values()
        .filter_map(|node| Some((node.name.as_str(), node.apiserver.as_ref()?.release())))
        .collect();
    match &cluster.version {
        Some(version) if of_nodes.is_empty() => vec![("the cluster", version.release())],
        _ => of_nodes,
    }
}

/// Apiservers may be one minor apart.
fn apart(low: &(&str, Version), high: &(&str, Version)) -> Result<(), Failure> {
    if high.1.major == low.1.major && high.1.minor - low.1.minor <= 1 {
        return Ok(());
    }
    let text = format!(
        "the kube-apiserver of {} is {} and that of {} is {}: more than one minor apart",
        low.0, low.1, high.0, high.1
    );
    Err(Failure::last(text).with_hint("bring the older one up to its neighbours first"))
}

/// The control plane goes up one minor at a time.
fn upward(low: &Version, to: &Version) -> Result<(), Failure> {
    if to.major != low.major {
        return Err(Failure::last(format!("{low} to {to} is no upgrade that Kubernetes knows")));
    }
    if to.minor > low.minor + 1 {
        let next = low.minor + 1;
        let text = format!("{low} to {to} skips v{}.{next}", low.major);
        let hint = format!("upgrade to the newest v{}.{next} first, then go on", low.major);
        return Err(Failure::last(text).with_hint(hint));
    }
    Ok(())
}

/// Returns by how many minors a kubelet may be older than the newest apiserver: three, before v1.25 two.
/// https://kubernetes.io/releases/version-skew-policy/
pub(super) fn lag(kubelet: Minor) -> u32 {
    if kubelet.minor < 25 { 2 } else { 3 }
}

/// A kubelet may be older than the newest apiserver, but not by more.
fn behind(node: &str, kubelet: &Version, to: &Version) -> Result<(), Failure> {
    let allowed = lag(kubelet.minor());
    if to.minor.saturating_sub(kubelet.minor) <= allowed {
        return Ok(());
    }
    let text = format!("the kubelet of {node} is {kubelet}: too old for {to}, which allows {allowed} minors");
    Err(Failure::last(text).with_hint(format!("upgrade the kubelet of {node} first")))
}

/// A kubelet may not be newer than an apiserver. On a control plane it may be newer than those of
/// other nodes: that is how an upgrade that was stopped half way looks.
fn ahead(cluster: &Inventory, node: &str, kubelet: &Version, low: &Version) -> Result<(), Failure> {
    let own = cluster.nodes.get(node).and_then(|node| node.apiserver.as_ref()).map(Version::release);
    let bound = own.as_ref().unwrap_or(low);
    if kubelet.minor() <= bound.minor() {
        return Ok(());
    }
    let text = format!("the kubelet of {node} is {kubelet}, newer than the apiserver, which is {bound}");
    Err(Failure::last(text).with_hint(format!(
        "drain {node} and install the kubelet of {} again; hold its packages",
        bound.minor()
    )))
}

/// What an operator should know although it stops nothing.
fn notes(cluster: &Inventory, low: &Version, to: &Version, today: Option<Date>) -> Vec<String> {
    let table = Table::get();
    let mut notes = Vec::new();
    match table.of(to.minor()) {
        None => notes.push(format!("note: kup's table ends before {} ({})", to.minor(), table.known_until)),
        Some(release) => {
            if today.is_some_and(|today| today > release.eol) {
                notes.push(format!("note: {} is out of support since {}", to.minor(), release.eol));
            }
            // kubeadm leaves an etcd that it did not set up as it is.
            let stacked = cluster.nodes.values().any(|node| node.etcd && node.apiserver.is_some());
            let from =
                table.of(low.minor()).filter(|from| stacked && from.etcd_minor() != release.etcd_minor());
            if let Some(from) = from {
                notes.push(format!("note: etcd goes from {} to {}", from.etcd_minor(), release.etcd_minor()));
            }
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cluster, context};
    use engine::inventory::Node;

    /// Judges nodes written as `name apiserver kubelet`, with `-` for no apiserver.
    fn check(nodes: &[&str], to: &str, candidates: bool) -> String {
        let mut cluster = Inventory::default();
        for node in nodes {
            let words: Vec<&str> = node.split_whitespace().collect();
            let node = Node {
                name: words[0].into(),
                control_plane: words[1] != "-",
                etcd: words[1] != "-" && words.last() != Some(&"external"),
                apiserver: words[1].parse().ok(),
                kubelet: words[2].parse().ok(),
                ..Node::default()
            };
            cluster.nodes.insert(words[0].into(), node);
        }
        cluster.version = cluster.nodes.values().filter_map(|node| node.apiserver.clone()).min();
        let today = "2026-03-01".parse().ok();
        match judge(&cluster, &to.parse().unwrap(), candidates, today) {
            Ok(text) => text,
            Err(failure) => {
                assert_eq!(failure.class, engine::event::Class::Final);
                format!("no: {}", failure.message)
            }
        }
    }

    #[test]
    fn one_minor_up_is_the_way() {
        let nodes = ["cp1 v1.34.4 v1.34.4", "w1 - v1.33.4"];
        assert_eq!(check(&nodes, "v1.35.2", false), "v1.34.4 to v1.35.2, one minor up");
        assert_eq!(check(&nodes, "v1.34.6", false), "v1.34.4 to v1.34.6, the same minor");
        assert_eq!(check(&nodes, "v1.36.0", false), "no: v1.34.4 to v1.36.0 skips v1.35");
    }

    #[test]
    fn nothing_goes_down() {
        let nodes = ["cp1 v1.34.4 v1.34.4", "w1 - v1.34.4"];
        assert_eq!(
            check(&nodes, "v1.34.2", false),
            "no: the kube-apiserver of cp1 is v1.34.4, newer than v1.34.2"
        );
        assert!(check(&nodes, "v1.33.9", false).starts_with("no: "));
        assert_eq!(check(&nodes, "v1.34.4", false), "already v1.34.4");
        assert_eq!(check(&["cp1 v1.34.4+k3s1 v1.34.4+k3s1"], "v1.34.4", false), "already v1.34.4");
    }

    #[test]
    fn release_candidates_must_be_wanted() {
        let nodes = ["cp1 v1.34.4 v1.34.4"];
        assert_eq!(check(&nodes, "v1.35.0-rc.1", false), "no: v1.35.0-rc.1 is a pre-release");
        assert_eq!(check(&nodes, "v1.35.0-rc.1", true), "v1.34.4 to v1.35.0-rc.1, one minor up");
    }

    #[test]
    fn old_kubelets_stop_it() {
        let check = |kubelet: &str| check(&["cp1 v1.34.4 v1.34.4", kubelet], "v1.35.0", false);
        assert_eq!(check("w1 - v1.32.0"), "v1.34.4 to v1.35.0, one minor up");
        assert_eq!(
            check("w1 - v1.31.9"),
            "no: the kubelet of w1 is v1.31.9: too old for v1.35.0, which allows 3 minors"
        );
        let old = self::check(&["cp1 v1.26.1 v1.26.1", "w1 - v1.24.0"], "v1.27.0", false);
        assert!(old.contains("allows 2 minors"), "{old}");
    }

    #[test]
    fn a_kubelet_that_went_ahead_by_itself_stops_it() {
        let text = check(&["cp1 v1.33.4 v1.33.4", "w1 - v1.34.4"], "v1.34.4", false);
        assert_eq!(text, "no: the kubelet of w1 is v1.34.4, newer than the apiserver, which is v1.33.4");
    }

    #[test]
    fn an_upgrade_that_was_stopped_half_way_may_go_on() {
        let nodes = ["cp1 v1.34.4 v1.34.4", "cp2 v1.33.4 v1.33.4", "w1 - v1.33.4"];
        assert_eq!(
            check(&nodes, "v1.34.4", false),
            "v1.33.4 to v1.34.4, one minor up; note: etcd goes from 3.5 to 3.6"
        );
        let external = ["cp1 v1.33.4 v1.33.4 external"];
        assert_eq!(check(&external, "v1.34.4", false), "v1.33.4 to v1.34.4, one minor up");
        let torn = ["cp1 v1.34.4 v1.34.4", "cp2 v1.32.4 v1.32.4"];
        assert!(check(&torn, "v1.34.4", false).contains("more than one minor apart"));
    }

    #[test]
    fn what_the_table_knows_is_told_and_what_it_does_not_know_is_no_error() {
        let new = check(&["cp1 v1.38.0 v1.38.0"], "v1.39.0", false);
        assert_eq!(new, "v1.38.0 to v1.39.0, one minor up; note: kup's table ends before v1.39 (2026-11-21)");
        let old = check(&["cp1 v1.30.0 v1.30.0"], "v1.31.2", false);
        assert_eq!(old, "v1.30.0 to v1.31.2, one minor up; note: v1.31 is out of support since 2025-11-11");
    }

    #[tokio::test]
    async fn the_versions_are_read_from_the_cluster() {
        let cluster = Cluster::new();
        cluster.node("cp1", "v1.33.4", true);
        cluster.control_plane("cp1", "v1.33.4");
        let to = Value::Version("v1.33.5".parse().unwrap());
        let cx = context(&cluster, "", &[("to", to)]).await;
        let text = CheckVersionSkew.judge(&cx).await.unwrap();
        assert_eq!(
            text,
            "v1.33.4 to v1.33.5, the same minor; note: v1.33 is out of support since 2026-06-28"
        );
    }
}
