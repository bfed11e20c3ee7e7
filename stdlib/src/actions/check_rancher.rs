//! `check k3s`, `check rke2`: before anything is touched, every node runs that distribution by its unit and reaches
//! the target's release, and the datastore is one that kup can save.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::Context;
use engine::event::Failure;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};

use super::host::everywhere;
use super::rancher::Maker;
use super::verdict::Verdict;
use super::{argument, binary};
use crate::api;

/// The verb.
pub(super) struct CheckRancher(pub(super) &'static Maker, pub(super) &'static str);

#[async_trait]
impl Verdict for CheckRancher {
    fn name(&self) -> &'static str {
        self.1
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let version = self.0.version(cx, "version")?;
        let from = argument::text(cx, "from")?;
        let wanted = &version;
        let nodes = everywhere(cx, |host| async move {
            self.0.binary(&host).await?;
            let release = self.0.release(from, wanted, &host);
            binary::reaches(&host, &release.binary, self.0.name).await
        });
        let nodes = nodes.await?;
        let store = datastore(cx, self.0).await?;
        Ok(format!("{} nodes reach {version}; {store}", nodes.len()))
    }
}

/// Judges what holds the cluster: an embedded etcd whose members all vote, or what kup cannot save.
async fn datastore(cx: &Context, maker: &Maker) -> Result<String, Failure> {
    let members: Vec<&str> =
        cx.inventory.nodes.values().filter(|n| n.etcd && !n.beside).map(|n| n.name.as_str()).collect();
    if members.is_empty() {
        if cx.args.get("unsaved").and_then(Value::as_text) == Some("allow") {
            return Ok("its datastore is no embedded etcd, and kup saves nothing".to_string());
        }
        return Err(Failure::last(format!("no server of {} has an embedded etcd, so kup cannot save its datastore", maker.name))
            .with_hint("save it yourself first (of SQLite the folder server/db, of a database by its own tools), then allow it: unsaved=allow"));
    }
    let nodes = Api::<Node>::all(api::client(&cx.ports)?);
    for node in api::list("list the nodes", &nodes, ListParams::default()).await? {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let conditions =
            node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        if members.contains(&name)
            && conditions.iter().any(|c| c.type_ == "EtcdIsVoter" && c.status != "True")
        {
            return Err(Failure::transient(format!("the member of {name} does not vote in its etcd"))
                .with_hint(format!("see `journalctl -u {}` on {name}", maker.name)));
        }
    }
    Ok(format!("etcd on {}", members.join(", ")))
}
