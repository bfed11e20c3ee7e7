//! `read etcd member`: what the member of a node says of itself.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use indexmap::IndexMap;

use super::etcd::Etcd;
use super::host::Host;

/// Looks at a member.
pub(super) struct ReadEtcdMember;

#[async_trait]
impl Action for ReadEtcdMember {
    fn name(&self) -> &'static str {
        "read etcd member"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        Host::of(cx)?;
        Ok(Check::Needs { now: String::new(), then: String::new(), before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let status = Etcd::on(&host).await?.status().await?;
        Ok(Progress::Done(Value::Record(IndexMap::from([
            ("leads".to_string(), Value::Bool(status.leads())),
            ("version".to_string(), Value::Text(status.version.clone())),
            ("size".to_string(), Value::Size(status.db_size)),
            ("free".to_string(), Value::Share(status.free())),
        ]))))
    }
}
