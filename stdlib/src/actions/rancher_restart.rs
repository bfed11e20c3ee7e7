//! `k3s restart`, `rke2 restart`: the unit of a node with the binary that lies there, until the new process is seen
//! at work: the version that its kubelet reports, a lease that it renewed, and on a server its own apiserver.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::port::Command;

use super::binary::version_of;
use super::failure;
use super::host::Host;
use super::rancher::Maker;
use super::restart_kubelet::{AGAIN, begun, follow, running_version, with_journal};
use crate::api;

/// Restarts the unit.
pub(super) struct Restart(pub(super) &'static Maker, pub(super) &'static str);

#[async_trait]
impl Action for Restart {
    fn name(&self) -> &'static str {
        self.1
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let host = Host::of(cx)?;
        let installed = version_of(&host, &self.0.binary(&host).await?).await?;
        let node = api::node(&api::client(&cx.ports)?, &host.name).await?;
        let running = running_version(&node);
        if running.as_ref() == Some(&installed) {
            return Ok(Check::Done(format!("{} {installed} runs", self.0.name)));
        }
        let now = running.map_or_else(String::new, |version| version.to_string());
        Ok(Check::Needs { now, then: installed.to_string(), before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let unit = self.0.unit(&host);
        let installed = version_of(&host, &self.0.binary(&host).await?).await?;
        let before = begun(cx, &host, installed).await?;
        // A server's unit is started when its apiserver answers: that is waited for below.
        let restart = host.run(Command::change(["systemctl", "restart", "--no-block", unit])).await?;
        if !restart.ok() {
            let failure = failure::classify(&format!("systemctl restart {unit}"), &restart);
            return Err(with_journal(&host, failure, unit).await);
        }
        before.after(cx, &host, unit).await
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let progress = follow(cx, &host, handle, self.0.unit(&host)).await?;
        let server = host.node.as_ref().is_some_and(|node| node.control_plane);
        if matches!(progress, Progress::Done(_))
            && server
            && let Some(reason) = self.0.unready(&host, &self.0.binary(&host).await?).await
        {
            return Ok(Progress::Pending { handle: handle.clone(), reason, again: AGAIN });
        }
        Ok(progress)
    }
}
