//! `check etcd`: every member of etcd is on a host that kup knows, the whole of it is well, and of a release that loses
//! nothing on its way. Who takes a control plane apart with a member out, or saves an etcd it does not know, finds out too late.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::Context;
use engine::event::Failure;
use engine::inventory::Node;

use super::etcd::Etcd;
use super::host::Host;
use super::verdict::{Findings, Verdict};
use super::{argument, etcd_releases};

/// The verb.
pub(super) struct CheckEtcd;

#[async_trait]
impl Verdict for CheckEtcd {
    fn name(&self) -> &'static str {
        "check etcd"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let known: Vec<&Node> = cx.inventory.nodes.values().filter(|node| node.etcd).collect();
        let Some(first) = known.first() else {
            if cx.args.get("unknown").and_then(Value::as_text) == Some("allow") {
                return Ok("kup knows no host of etcd, and saves nothing".to_string());
            }
            return Err(Failure::last("kup knows no host of this cluster's etcd").with_hint(
                "give its hosts the role `etcd` in a hosts file, with `--hosts FILE`; or save it yourself, and allow it",
            ));
        };
        let host = Host::named(cx, first);
        let well = Etcd::on(&host).await?.healthy().await?;
        if well.members.len() != known.len() {
            let members: Vec<&str> = well.members.iter().map(|member| member.name.as_str()).collect();
            let hosts: Vec<&str> = known.iter().map(|node| node.name.as_str()).collect();
            return Err(Failure::last(format!(
                "etcd has {} members ({}), and kup knows {} of their hosts ({})",
                members.len(),
                members.join(", "),
                hosts.len(),
                hosts.join(", ")
            ))
            .with_hint("give every host of a member the role `etcd` in the hosts file, or remove the member that is none"));
        }
        let count = well.members.len();
        let members = if count == 1 { "1 member".to_string() } else { format!("{count} members") };
        let place = if first.beside { ", external" } else { "" };
        let mut findings = Findings::default();
        // An etcd that kubeadm has not set up stays as it is.
        let moves = known.iter().any(|node| node.apiserver.is_some());
        let to = argument::version(cx, "to").ok().filter(|_| moves);
        etcd_releases::judge(&mut findings, &well.version, count, to.as_ref());
        findings.conclude(format!("{members} of etcd {} well{place}", well.version), etcd_releases::HINT)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::{Scripted, Still, ports, with};
    use engine::inventory::Inventory;

    const CTL: &str = "etcdctl --endpoints=http://e1:2379";

    fn external(members: &str) -> Scripted {
        let status =
            r#"[{"Endpoint":"http://e1:2379","Status":{"header":{"revision":9},"version":"3.5.24"}}]"#;
        Scripted::default()
            .says("e1", "systemctl show etcd.service -p MainPID", "MainPID=7\n")
            .file("e1", "/proc/7/cmdline", "etcd\0--advertise-client-urls=http://e1:2379\0")
            .says("e1", &format!("{CTL} alarm list -w json"), "{}")
            .says("e1", &format!("{CTL} member list -w json"), members)
            .says(
                "e1",
                &format!("{CTL} endpoint health --cluster -w json"),
                r#"[{"endpoint":"x","health":true}]"#,
            )
            .says("e1", &format!("{CTL} endpoint status --cluster -w json"), status)
    }

    async fn judge(shells: &Scripted, hosts: &[&str], args: &[(&str, Value)]) -> String {
        let node = |name: &&str| {
            let node = Node {
                name: (*name).into(),
                ssh: (*name).into(),
                etcd: true,
                beside: true,
                ..Node::default()
            };
            (node.name.clone(), node)
        };
        let inventory = Inventory { nodes: hosts.iter().map(node).collect(), ..Inventory::default() };
        let cx = with(ports(None, shells, &Arc::<Still>::default()), inventory, "", args);
        match CheckEtcd.judge(&cx).await {
            Ok(text) => text,
            Err(failure) => format!("no: {}", failure.message),
        }
    }

    #[tokio::test]
    async fn every_member_is_on_a_host_that_is_known_or_it_is_said() {
        let two = external(r#"{"members":[{"ID":1,"name":"e1"},{"ID":2,"name":"e2"}]}"#);
        assert_eq!(judge(&two, &["e1", "e2"], &[]).await, "2 members of etcd 3.5.24 well, external");
        assert_eq!(
            judge(&two, &["e1"], &[]).await,
            "no: etcd has 2 members (e1, e2), and kup knows 1 of their hosts (e1)"
        );
        assert_eq!(judge(&two, &[], &[]).await, "no: kup knows no host of this cluster's etcd");
        let allow = [("unknown", Value::Word("allow".into()))];
        assert_eq!(judge(&two, &[], &allow).await, "kup knows no host of etcd, and saves nothing");
    }
}
