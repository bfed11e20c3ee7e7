//! `restart component`: the unit of a component with the binary that is installed, until its process is that one and says on its
//! own host that it is well.

use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::{Class, Failure};
use engine::port::Command;

use super::binary::version_of;
use super::component::{named, path_of, state, unwell};
use super::host::{Host, is_away};
use super::restart_kubelet::with_journal;
use super::{argument, failure};

/// How often to look.
const AGAIN: Duration = Duration::from_secs(1);

/// After so many restarts by systemd waiting longer does not help.
const LOOPS: i64 = 3;

/// The verb.
pub(super) struct RestartComponent;

#[async_trait]
impl Action for RestartComponent {
    fn name(&self) -> &'static str {
        "restart component"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let host = Host::of(cx)?;
        let name = argument::text(cx, "component")?;
        let installed = version_of(&host, &path_of(&host, name).await?).await?;
        let state = state(&host, name).await.map_err(|error| failure::shell(&error))?;
        if state.is_active() && state.current {
            return Ok(Check::Done(format!("{name} {installed} runs")));
        }
        Ok(Check::Needs { now: String::new(), then: installed.to_string(), before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let name = argument::text(cx, "component")?;
        host.ask(Command::change(["systemctl", "daemon-reload"])).await?;
        // One that announces when it is ready would keep the call until then.
        let restart = host.run(Command::change(["systemctl", "restart", "--no-block", name])).await?;
        if !restart.ok() {
            let failure = failure::classify(&format!("systemctl restart {name}"), &restart);
            return Err(with_journal(&host, failure, name).await);
        }
        let before = state(&host, name).await.map_or(0, |state| state.restarts);
        let handle = Value::Number(i64::try_from(before).unwrap_or(i64::MAX));
        Ok(Progress::Pending { handle, reason: format!("waiting for {name} to start"), again: AGAIN })
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let name = argument::text(cx, "component")?;
        let before = match handle {
            Value::Number(number) => *number,
            _ => 0,
        };
        let waits = |reason: String| Progress::Pending { handle: handle.clone(), reason, again: AGAIN };
        let is = match state(&host, name).await {
            Ok(state) => state,
            Err(error) if is_away(&error) => {
                return Ok(waits(format!("waiting for {} to answer", host.name)));
            }
            Err(error) => return Err(failure::shell(&error)),
        };
        let loops = i64::try_from(is.restarts).unwrap_or(i64::MAX) - before;
        if loops > 0 || is.unit.starts_with("failed") {
            let looping = format!("the {name} of {} does not stay up: {}", host.name, is.unit);
            let failure = with_journal(&host, Failure::transient(looping.clone()), name).await;
            if failure.class == Class::Final || loops >= LOOPS || is.unit.starts_with("failed") {
                return Err(failure);
            }
            return Ok(waits(looping));
        }
        if !is.is_active() {
            return Ok(waits(format!("the {name} of {} is {}", host.name, is.unit)));
        }
        if !is.current {
            return Ok(waits(format!("the {name} of {} still runs the binary before", host.name)));
        }
        match unwell(&host, named(name)?, &is).await {
            Some(reason) => Ok(waits(reason)),
            None => Ok(Progress::Done(Value::Text(format!("{name} is well")))),
        }
    }
}
