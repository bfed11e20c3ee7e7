//! `etcd remove member`: takes the member of a node out of the cluster before the node goes, or after it was lost. A member that is
//! only stopped still counts for the quorum. https://etcd.io/docs/v3.6/op-guide/runtime-configuration/

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;

use super::cordon;
use super::etcd::{Etcd, Row};
use super::host::Host;

/// Removes a member.
pub(super) struct EtcdRemoveMember;

#[async_trait]
impl Action for EtcdRemoveMember {
    fn name(&self) -> &'static str {
        "etcd remove member"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let node = cordon::node_of(cx)?;
        let host = other(cx, node)?;
        let etcd = Etcd::on(&host).await?;
        let Some((_, left)) = leaving(&etcd, node).await? else {
            return Ok(Check::Done(format!("etcd has no member {node}")));
        };
        let (now, then) = (format!("{} members", left + 1), format!("{left} members"));
        Ok(Check::Needs { now, then, before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let node = cordon::node_of(cx)?;
        let host = other(cx, node)?;
        let etcd = Etcd::on(&host).await?;
        if let Some((id, _)) = leaving(&etcd, node).await? {
            // Ids are hexadecimal on the command line.
            etcd.change("etcdctl", &["member", "remove", &format!("{id:x}")]).await?;
        }
        Ok(Progress::Done(Value::Text(format!("{node} is no member of etcd"))))
    }
}

/// Returns the id of a node's member and how many would be left, if they could do without it; `None` if it has none.
async fn leaving(etcd: &Etcd<'_>, node: &str) -> Result<Option<(u64, usize)>, Failure> {
    let members = etcd.members().await?;
    let Some(member) = members.iter().find(|member| member.name == node) else { return Ok(None) };
    let left: Vec<&Row> = members.iter().filter(|other| other.id != member.id).collect();
    if left.len() < 2 {
        return Err(Failure::last(format!(
            "etcd has {} members, and needs two without {node}",
            members.len()
        ))
        .with_hint("join another control plane first; a lost quorum is for std/etcd-restore"));
    }
    // A learner has no vote, and a member that was never started has no address that could be asked.
    let voters = left.iter().filter(|other| !other.is_learner).count();
    let well = etcd.well().await?;
    let answer = left.iter().filter(|other| !other.is_learner && other.urls.iter().any(|u| well.contains(u)));
    let (answer, quorum) = (answer.count(), voters / 2 + 1);
    if answer < quorum {
        return Err(Failure::transient(format!(
            "without {node} etcd would have no quorum: {answer} of {voters} others are well, and {quorum} are needed"
        ))
        .with_hint("mend the others first, or join another control plane; a lost quorum is for std/etcd-restore"));
    }
    Ok(Some((member.id, left.len())))
}

/// Returns the host of another member.
fn other(cx: &Context, node: &str) -> Result<Host, Failure> {
    let others = cx.inventory.nodes.values().filter(|other| other.etcd && other.name != node);
    // One that was Ready when the plan was made is asked first.
    let found = others.max_by_key(|other| other.ready || other.beside);
    found.map(|other| Host::named(cx, other)).ok_or_else(|| {
        Failure::last(format!("etcd has no member but that of {node}"))
            .with_hint("the only member cannot go: save it with std/etcd-backup, and set up another cluster")
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, perform};
    use super::*;

    const CTL: &str = "crictl exec abc123 etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key";

    /// An etcd with members `n1` to `nN`, of which some do not answer; `n1` is to go.
    fn etcd(members: usize, sick: &[usize]) -> (Bench, Context) {
        let all = |one: &dyn Fn(usize) -> String| (1..=members).map(one).collect::<Vec<_>>().join(",");
        let rows =
            all(&|i| format!(r#"{{"ID":{},"name":"n{i}","clientURLs":["https://10.0.0.{i}:2379"]}}"#, 9 + i));
        let ends =
            all(&|i| format!(r#"{{"endpoint":"https://10.0.0.{i}:2379","health":{}}}"#, !sick.contains(&i)));
        let code = i32::from(!sick.is_empty());
        let bench = Bench::default()
            .says("crictl ps --name ^etcd$ -q", "abc123\n")
            .says(&format!("{CTL} member list -w json"), &format!(r#"{{"members":[{rows}]}}"#))
            .ends(&format!("{CTL} endpoint health --cluster -w json"), code, &format!("[{ends}]"), "")
            .says(&format!("{CTL} member remove a"), "Member a removed\n");
        let mut cx = bench.step(&[("node", Value::Node("n1".into()))]);
        let mut inventory = (*cx.inventory).clone();
        for i in 1..=members {
            let name = format!("n{i}");
            let node = engine::inventory::Node {
                ssh: name.clone(),
                name: name.clone(),
                etcd: true,
                ready: true,
                ..Default::default()
            };
            inventory.nodes.insert(name, node);
        }
        cx.inventory = std::sync::Arc::new(inventory);
        (bench, cx)
    }

    #[tokio::test]
    async fn a_member_goes_once_where_the_others_have_a_quorum_whether_it_answers_itself_or_not() {
        for (members, sick) in [(3, &[][..]), (3, &[1]), (5, &[1, 4]), (4, &[])] {
            let (bench, cx) = etcd(members, sick);
            perform(&EtcdRemoveMember, &cx).await.unwrap();
            assert!(bench.sent().contains("member remove a"), "{members} {sick:?}");
        }
        let (bench, mut cx) = etcd(3, &[]);
        cx.args.insert("node".to_string(), Value::Node("n9".into()));
        let Ok(Check::Done(why)) = EtcdRemoveMember.check(&cx).await else { panic!() };
        assert_eq!(why, "etcd has no member n9");
        assert!(!bench.sent().contains("member remove"));
    }

    #[tokio::test]
    async fn no_member_goes_that_the_others_need() {
        for (members, sick, why) in [
            (2, &[][..], "etcd has 2 members, and needs two without n1"),
            (3, &[2], "1 of 2 others are well, and 2 are needed"),
            (5, &[2, 3], "2 of 4 others are well, and 3 are needed"),
        ] {
            let (bench, cx) = etcd(members, sick);
            for failure in [
                EtcdRemoveMember.check(&cx).await.unwrap_err(),
                EtcdRemoveMember.start(&cx, &Value::None).await.unwrap_err(),
            ] {
                assert!(failure.message.contains(why), "{members} {sick:?}: {failure:?}");
            }
            assert!(!bench.sent().contains("member remove"), "{members} {sick:?}");
        }
    }
}
