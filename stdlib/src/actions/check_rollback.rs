//! `check rollback`: what could go back to an older version, and what could not. Kubelets may be older than the apiservers by the
//! skew policy; a control plane goes back by one minor at most, after every kubelet, and only by the manifests that
//! kubeadm has put aside. etcd never does.

use async_trait::async_trait;
use dsl::value::{Value, Version};
use engine::action::Context;
use engine::event::Failure;
use engine::inventory::{Inventory, Node};

use super::check_version_skew::lag;
use super::host::Host;
use super::verdict::Verdict;
use super::{argument, restore_static_pods};
use crate::{api, inventory};

/// The verb.
pub(super) struct CheckRollback;

#[async_trait]
impl Verdict for CheckRollback {
    fn name(&self) -> &'static str {
        "check rollback"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let to = argument::version(cx, "to")?.release();
        let cluster = inventory::cluster(&api::client(&cx.ports)?).await?;
        if cx.args.get("of").and_then(Value::as_text) != Some("control_plane") {
            return kubelets(&cluster, &to);
        }
        control_plane(&cluster, &to)?;
        for node in cx.inventory.nodes.values().filter(|node| node.apiserver.is_some()) {
            if node.apiserver.as_ref().is_some_and(|version| version.release() == to) {
                continue;
            }
            restore_static_pods::backup(&Host::named(cx, node), &to).await?;
        }
        Ok(format!("the control plane can be held at {to} again; etcd stays as it is"))
    }
}

fn apiservers(cluster: &Inventory) -> Vec<(&Node, Version)> {
    cluster.nodes.values().filter_map(|node| Some((node, node.apiserver.as_ref()?.release()))).collect()
}

/// Holds that kubelets of a version get along with all apiservers there are.
fn kubelets(cluster: &Inventory, to: &Version) -> Result<String, Failure> {
    let mut versions: Vec<Version> = apiservers(cluster).into_iter().map(|(_, version)| version).collect();
    if versions.is_empty() {
        versions.extend(cluster.version.as_ref().map(Version::release));
    }
    let (Some(oldest), Some(newest)) = (versions.iter().min(), versions.iter().max()) else {
        return Err(Failure::last("the version of the apiserver is not known")
            .with_hint("look at the image tag of the pods `kube-apiserver-NODE`"));
    };
    if to > oldest {
        return Err(Failure::last(format!("{to} is newer than the oldest apiserver, which is {oldest}"))
            .with_hint("a kubelet is never newer than an apiserver: name an older version"));
    }
    let allowed = lag(to.minor());
    if to.major != newest.major || newest.minor - to.minor > allowed {
        return Err(Failure::last(format!("{to} is too old for the apiservers, which are {newest}"))
            .with_hint(format!("kubelets may be {allowed} minors older, and no more")));
    }
    Ok(format!("kubelets of {to} get along with apiservers of {newest}"))
}

/// Holds that the apiservers go down by one minor at most.
fn control_plane(cluster: &Inventory, to: &Version) -> Result<(), Failure> {
    for (node, version) in apiservers(cluster) {
        if to > &version {
            return Err(Failure::last(format!(
                "the kube-apiserver of {} is {version}, older than {to}",
                node.name
            ))
            .with_hint("that is no way back: `kup run std/kubeadm-minor`, or std/kubeadm-patch"));
        }
        if to.major != version.major || version.minor - to.minor > 1 {
            return Err(Failure::last(format!("the kube-apiserver of {} is {version}, more than one minor above {to}", node.name))
                .with_hint("what is stored by now may be what the older one cannot read: mend it forward, or std/etcd-restore"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn cluster(versions: &[&str]) -> Inventory {
        let node = |(i, text): (usize, &&str)| {
            let name = format!("cp{}", i + 1);
            (
                name.clone(),
                Node { name, apiserver: Some(version(text)), control_plane: true, ..Node::default() },
            )
        };
        Inventory {
            nodes: versions.iter().enumerate().map(node).collect::<IndexMap<_, _>>(),
            ..Inventory::default()
        }
    }

    #[test]
    fn kubelets_go_back_as_far_as_the_skew_policy_lets_them() {
        let mixed = cluster(&["v1.34.2", "v1.33.4"]);
        for (to, why) in [
            ("v1.33.4", ""),
            ("v1.31.0", ""),
            ("v1.30.14", "too old"),
            ("v1.33.5", "newer than the oldest"),
            ("v1.34.2", "newer than the oldest"),
        ] {
            match kubelets(&mixed, &version(to)) {
                Ok(_) => assert_eq!(why, "", "{to}"),
                Err(failure) => {
                    assert!(!why.is_empty() && failure.message.contains(why), "{to}: {failure:?}")
                }
            }
        }
    }

    #[test]
    fn a_control_plane_goes_back_by_one_minor_and_never_up() {
        assert!(control_plane(&cluster(&["v1.34.2", "v1.33.4"]), &version("v1.33.4")).is_ok());
        for (to, why) in [("v1.32.9", "more than one minor above"), ("v1.34.1", "older than v1.34.1")] {
            let failure = control_plane(&cluster(&["v1.34.2", "v1.33.4"]), &version(to)).unwrap_err();
            assert!(failure.message.contains(why), "{failure:?}");
        }
    }
}
