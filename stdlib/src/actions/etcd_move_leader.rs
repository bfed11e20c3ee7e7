//! `etcd move leader`: hands the leadership of a node's member, if it leads, to another one that is well.

use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;

use super::etcd::{Etcd, Status};
use super::host::Host;

/// How often to look whether it has another leader.
const AGAIN: Duration = Duration::from_millis(500);

/// Moves the leader.
pub(super) struct EtcdMoveLeader;

#[async_trait]
impl Action for EtcdMoveLeader {
    fn name(&self) -> &'static str {
        "etcd move leader"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let host = Host::of(cx)?;
        let etcd = Etcd::on(&host).await?;
        let status = etcd.status().await?;
        if status.leader == 0 {
            return Err(Failure::transient("etcd has no leader"));
        }
        if !status.leads() {
            return Ok(Check::Done(format!("the member of {} does not lead", host.name)));
        }
        if etcd.statuses().await?.len() < 2 {
            return Ok(Check::Done(format!("the member of {} is the only one", host.name)));
        }
        Ok(Check::Needs { now: format!("{} leads", host.name), then: String::new(), before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let etcd = Etcd::on(&host).await?;
        let well = etcd.healthy().await?;
        let own = etcd.status().await?;
        if !own.leads() {
            return Ok(Progress::Done(Value::None));
        }
        let next = match cx.args.get("to") {
            Some(Value::Node(name)) => wanted(cx, name).await?,
            _ => furthest(etcd.statuses().await?, &own)?,
        };
        // Ids are hexadecimal on the command line, and only the leader itself hands over.
        etcd.change("etcdctl", &["move-leader", &format!("{next:x}")]).await?;
        let name = well.members.iter().find(|member| member.id == next).map(|member| member.name.as_str());
        Ok(pending(name.unwrap_or_default()))
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let status = Etcd::on(&host).await?.status().await?;
        let name = handle.as_text().unwrap_or_default();
        Ok(match status.leader != 0 && !status.leads() {
            true => Progress::Done(Value::Text(format!("{name} leads"))),
            false => pending(name),
        })
    }
}

fn pending(name: &str) -> Progress {
    let reason = format!("waiting for {name} to lead");
    Progress::Pending { handle: Value::Text(name.to_string()), reason, again: AGAIN }
}

/// Returns the member of a host that somebody named.
async fn wanted(cx: &Context, name: &str) -> Result<u64, Failure> {
    let Some(node) = cx.inventory.nodes.get(name) else {
        return Err(Failure::last(format!("there is no node `{name}`")));
    };
    let host = Host::named(cx, node);
    Ok(Etcd::on(&host).await?.status().await?.id())
}

/// Returns the member that has applied most: it need not catch up first.
fn furthest(all: Vec<Status>, own: &Status) -> Result<u64, Failure> {
    let others = all.into_iter().filter(|status| status.id() != own.id());
    let next = others.max_by_key(|status| (status.raft_applied_index, std::cmp::Reverse(status.id())));
    next.map(|status| status.id()).ok_or_else(|| Failure::last("etcd has no other member that could lead"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, perform};
    use super::*;

    const CTL: &str = "crictl exec abc123 etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key";

    fn status(id: u64, leader: u64, applied: u64) -> String {
        format!(
            r#"{{"Endpoint":"x","Status":{{"header":{{"member_id":{id},"revision":9}},"version":"3.5.24","leader":{leader},"raftAppliedIndex":{applied}}}}}"#
        )
    }

    fn three(leader: u64) -> Bench {
        let all =
            format!("[{},{},{}]", status(16, leader, 90), status(255, leader, 80), status(4095, leader, 89));
        Bench::default()
            .says("crictl ps --name ^etcd$ -q", "abc123\n")
            .says(&format!("{CTL} endpoint status -w json"), &format!("[{}]", status(16, leader, 90)))
            .says(&format!("{CTL} alarm list -w json"), "{}")
            .says(
                &format!("{CTL} member list -w json"),
                r#"{"members":[{"ID":16,"name":"n1"},{"ID":255,"name":"n2"},{"ID":4095,"name":"n3"}]}"#,
            )
            .says(&format!("{CTL} endpoint health --cluster -w json"), r#"[{"endpoint":"x","health":true}]"#)
            .says(&format!("{CTL} endpoint status --cluster -w json"), &all)
    }

    #[tokio::test]
    async fn the_member_that_is_furthest_follows_on() {
        let moved = format!("{CTL} move-leader fff");
        // It leads at the probe and at the start, and afterwards another one does.
        let own = |leader: u64| format!("[{}]", status(16, leader, 90));
        let line = format!("{CTL} endpoint status -w json");
        let bench = Bench::default().says(&line, &own(16)).says(&line, &own(16)).says(&line, &own(16));
        let bench = bench.says(&line, &own(4095)).says(&moved, "Leadership transferred\n");
        let rest = three(16);
        let bench = bench.beside(rest);
        let said = perform(&EtcdMoveLeader, &bench.step(&[])).await.unwrap();
        assert_eq!(said.as_text(), Some("n3 leads"));
        assert!(bench.sent().contains(&moved));
    }

    #[tokio::test]
    async fn who_does_not_lead_is_left() {
        let bench = three(255);
        let said = perform(&EtcdMoveLeader, &bench.step(&[])).await.unwrap();
        assert_eq!(said.as_text(), Some("the member of n1 does not lead"));
    }
}
