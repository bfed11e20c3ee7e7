//! `etcd defrag`: gives the free part of a member's database back to the disk. The member answers nobody
//! meanwhile, and a large database takes minutes, so a leader of several is not defragmented.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;

use super::etcd::Etcd;
use super::host::Host;

/// How long a member may take; etcdctl's own patience is five seconds.
const PATIENCE: &str = "--command-timeout=14m";

/// Defragments a member.
pub(super) struct EtcdDefrag;

#[async_trait]
impl Action for EtcdDefrag {
    fn name(&self) -> &'static str {
        "etcd defrag"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let host = Host::of(cx)?;
        let waste = match cx.args.get("waste") {
            Some(Value::Share(waste)) => *waste,
            _ => return Err(Failure::last("the argument `waste` is not a share")),
        };
        let status = Etcd::on(&host).await?.status().await?;
        let (size, free) = (Value::Size(status.db_size), Value::Share(status.free()));
        Ok(match status.free() < waste {
            true => Check::Done(format!("{free} of {size} is free")),
            false => Check::Needs {
                now: size.to_string(),
                then: Value::Size(status.db_size_in_use).to_string(),
                before: Value::None,
            },
        })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let etcd = Etcd::on(&host).await?;
        let well = etcd.healthy().await?;
        if well.members.len() > 1 && etcd.status().await?.leads() {
            return Err(Failure::last(format!("the member of {} leads", host.name)).with_hint(
                "move the leadership first, with `etcd move leader`: a leader that does not answer halts all",
            ));
        }
        etcd.change("etcdctl", &[PATIENCE, "defrag"]).await?;
        let status = etcd.status().await?;
        Ok(Progress::Done(Value::Size(status.db_size)))
    }
}

#[cfg(test)]
mod tests {
    use engine::event::Class;

    use super::super::testing::{Bench, perform};
    use super::*;

    const CTL: &str = "crictl exec abc123 etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key";

    fn status(leader: u64, size: u64) -> String {
        format!(
            r#"[{{"Endpoint":"x","Status":{{"header":{{"member_id":1,"revision":9}},"version":"3.5.24","leader":{leader},"dbSize":{size},"dbSizeInUse":4096}}}}]"#
        )
    }

    fn member(leader: u64, size: u64) -> Bench {
        Bench::default()
            .says("crictl ps --name ^etcd$ -q", "abc123\n")
            .says(&format!("{CTL} endpoint status -w json"), &status(leader, size))
            .says(&format!("{CTL} alarm list -w json"), "{}")
            .says(
                &format!("{CTL} member list -w json"),
                r#"{"members":[{"ID":1,"name":"n1"},{"ID":2,"name":"n2"}]}"#,
            )
            .says(&format!("{CTL} endpoint health --cluster -w json"), r#"[{"endpoint":"x","health":true}]"#)
            .says(&format!("{CTL} endpoint status --cluster -w json"), &status(leader, size))
            .says(&format!("{CTL} --command-timeout=14m defrag"), "Finished defragmenting etcd member[x]\n")
    }

    fn waste() -> (&'static str, Value) {
        ("waste", Value::Share(2000))
    }

    #[tokio::test]
    async fn a_follower_with_enough_to_give_back_is_defragmented() {
        let bench = member(2, 8192);
        perform(&EtcdDefrag, &bench.step(&[waste()])).await.unwrap();
        assert!(bench.sent().contains(&format!("{CTL} --command-timeout=14m defrag\n")));
        let bench = member(2, 5000);
        let said = perform(&EtcdDefrag, &bench.step(&[waste()])).await.unwrap();
        assert_eq!(said.as_text(), Some("18.08% of 5000B is free"));
        assert!(!bench.sent().contains("defrag"));
    }

    #[tokio::test]
    async fn a_leader_of_several_is_not() {
        let bench = member(1, 8192);
        let failure = perform(&EtcdDefrag, &bench.step(&[waste()])).await.unwrap_err();
        assert_eq!((failure.class, failure.message.as_str()), (Class::Final, "the member of n1 leads"));
        assert!(!bench.sent().contains("defrag\n"));
    }
}
