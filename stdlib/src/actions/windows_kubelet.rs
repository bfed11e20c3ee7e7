//! `windows upgrade kubelet`: kubelet.exe of a release, between the stop of its service and its start, until the new one is seen at work as
//! after `restart kubelet`.

use async_trait::async_trait;
use dsl::value::{Value, Version};
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;

use super::host::{Host, is_away};
use super::restart_kubelet::{SETTLE, begun, pending, reports, running_version};
use super::windows::{self, Program};
use crate::api;

/// The verb.
pub(super) struct UpgradeKubelet;

#[async_trait]
impl Action for UpgradeKubelet {
    fn name(&self) -> &'static str {
        "windows upgrade kubelet"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let host = Host::of_any(cx)?;
        let program = Program::of(cx, &host, "kubelet").await?;
        let installed = program.installed(&host).await?;
        let kube = api::client(&cx.ports)?;
        let running = running_version(&api::node(&kube, &host.name).await?);
        if installed == program.version && running.as_ref() == Some(&installed) {
            return Ok(Check::Done(format!("kubelet is {installed}")));
        }
        let now = running.map_or(String::new(), |version| version.to_string());
        Ok(Check::Needs { now, then: program.version.to_string(), before: Value::Version(installed) })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of_any(cx)?;
        let program = Program::of(cx, &host, "kubelet").await?;
        let before = begun(cx, &host, program.version.clone()).await?;
        if program.installed(&host).await? != program.version {
            program.fetch(&host).await?;
            windows::stop(&host).await?;
            if let Err(failure) = program.swap(&host).await {
                // A node is left with its old kubelet rather than with none.
                let _ = windows::restart(&host).await;
                return Err(failure);
            }
        }
        windows::restart(&host).await?;
        Ok(before.follows(cx, &host, 0).await)
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let host = Host::of_any(cx)?;
        for look in ["first", "second"] {
            match waits_for(cx, &host, handle).await? {
                Some(reason) => return Ok(pending(handle, reason)),
                None if look == "first" => cx.ports.clock.sleep(SETTLE).await,
                None => {}
            }
        }
        Ok(Progress::Done(handle.get("version").cloned().unwrap_or(Value::None)))
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        let host = Host::of_any(cx)?;
        let Value::Version(old) = before else { return Ok(()) };
        let program = Program::of(cx, &host, "kubelet").await?;
        if program.installed(&host).await? != *old {
            program.kept(&host, old).await?;
            windows::stop(&host).await?;
            program.swap_back(&host).await?;
        }
        back(cx, &host, old).await
    }
}

/// Lets the service run what is there again, unless it does.
async fn back(cx: &Context, host: &Host, old: &Version) -> Result<(), Failure> {
    let running = running_version(&api::node(&api::client(&cx.ports)?, &host.name).await?);
    match windows::status(host).await?.as_str() {
        "Running" if running.as_ref() == Some(old) => Ok(()),
        _ => windows::restart(host).await,
    }
}

/// Returns what is still missing; `None` when the new kubelet is at work.
async fn waits_for(cx: &Context, host: &Host, handle: &Value) -> Result<Option<String>, Failure> {
    let status = match host.shell.run(&windows::ask_status()).await {
        Ok(output) => windows::said_status(&output),
        Err(error) if is_away(&error) => return Ok(Some(format!("waiting for {} to answer", host.name))),
        Err(error) => return Err(super::failure::shell(&error)),
    };
    match status.as_str() {
        "Running" => reports(cx, host, handle).await,
        "StartPending" | "StopPending" | "ContinuePending" => {
            Ok(Some(format!("waiting for the kubelet of {} to start", host.name)))
        }
        other => Err(Failure::transient(format!("the kubelet of {} does not stay up: {other}", host.name))
            // What runs it may hold it as `Paused` where it ends at once: nssm: service.cpp, throttle_restart
            .with_hint(format!(
                "see C:\\var\\log\\kubelet and `Get-EventLog -LogName System -Newest 40` on {}",
                host.name
            ))),
    }
}
