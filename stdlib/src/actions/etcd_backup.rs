//! `etcd backup`: a snapshot for its own sake. What `etcd snapshot` does, but wanted whether or not
//! anything that could need it comes after it.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;

use super::etcd_snapshot::EtcdSnapshot;

/// Saves a snapshot.
pub(super) struct EtcdBackup;

#[async_trait]
impl Action for EtcdBackup {
    fn name(&self) -> &'static str {
        "etcd backup"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        EtcdSnapshot.check(cx).await
    }

    async fn start(&self, cx: &Context, before: &Value) -> Result<Progress, Failure> {
        EtcdSnapshot.start(cx, before).await
    }
}
