//! `restart kubelet`: with its new unit files, until the new one is seen at work.
//!
//! `Ready` proves nothing here: for up to 50 seconds after a kubelet has died its node still looks
//! Ready. What proves it is a lease renewed after the old process was gone, and the version that the
//! node reports. A new minor restarts all static pods of a control plane: that they are well again is
//! for `wait healthy` to say, before the next node is touched.

use std::time::Duration;

use async_trait::async_trait;
use dsl::value::{Value, Version};
use engine::action::{Action, Check, Context, Progress};
use engine::event::{Class, Failure};
use engine::port::Command;
use indexmap::IndexMap;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;

use super::failure;
use super::host::{Host, is_away};
use crate::api;

/// The unit.
const KUBELET: &str = "kubelet";
/// How often to look.
pub(super) const AGAIN: Duration = Duration::from_secs(1);
/// How long everything must stay well; a kubelet that cannot start ends within a second, and is
/// begun again after ten.
pub(super) const SETTLE: Duration = Duration::from_secs(1);
/// And on a control plane: by then the API shows which static pods the new kubelet restarts, so that
/// nobody takes the last word of the old one for their health.
const SETTLE_STATIC_PODS: Duration = Duration::from_secs(3);
/// After so many restarts by systemd waiting longer does not help.
const LOOPS: u64 = 5;

/// Restarts the kubelet.
pub(super) struct RestartKubelet;

#[async_trait]
impl Action for RestartKubelet {
    fn name(&self) -> &'static str {
        "restart kubelet"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let host = Host::of(cx)?;
        let installed = installed(&host).await?;
        let needs = |now: String| Check::Needs { now, then: installed.to_string(), before: Value::None };
        let Some(kube) = &cx.ports.kube else {
            // Nobody tells which version the running process is.
            return Ok(needs(String::new()));
        };
        let running = api::node(kube, &host.name).await?;
        match running_version(&running) {
            Some(version) if version == installed => Ok(Check::Done(format!("kubelet is {version}"))),
            Some(version) => Ok(needs(version.to_string())),
            None => Ok(needs(String::new())),
        }
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let installed = installed(&host).await?;
        let before = begun(cx, &host, installed).await?;
        host.ask(Command::change(["systemctl", "daemon-reload"])).await?;
        let restart = host.run(Command::change(["systemctl", "restart", KUBELET])).await?;
        if !restart.ok() {
            let failure = failure::classify("systemctl restart kubelet", &restart);
            return Err(with_journal(&host, failure, KUBELET).await);
        }
        before.after(cx, &host, KUBELET).await
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        follow(cx, &Host::of(cx)?, handle, KUBELET).await
    }
}

/// What is known before a unit is restarted that runs a kubelet.
pub(super) struct Before {
    installed: Version,
    lease: Option<Timestamp>,
}

/// Looks before a unit is restarted that will run this version of the kubelet.
pub(super) async fn begun(cx: &Context, host: &Host, installed: Version) -> Result<Before, Failure> {
    let lease = match &cx.ports.kube {
        Some(kube) => renewed(kube, &host.name).await?,
        None => None,
    };
    Ok(Before { installed, lease })
}

impl Before {
    /// Looks right after the restart, and begins to follow the new process.
    pub(super) async fn after(self, cx: &Context, host: &Host, unit: &str) -> Result<Progress, Failure> {
        let restarts = Unit::of(host, unit).await?.restarts;
        Ok(self.follows(cx, host, restarts).await)
    }

    /// Begins to follow the new process, which systemd or nobody has restarted so often.
    pub(super) async fn follows(self, cx: &Context, host: &Host, restarts: u64) -> Progress {
        // The old process is gone now: whatever is newer than this was renewed by the new one.
        let after = match &cx.ports.kube {
            Some(kube) => renewed(kube, &host.name).await.unwrap_or(None),
            None => None,
        };
        let mut handle = IndexMap::from([
            ("version".to_string(), Value::Version(self.installed)),
            ("restarts".to_string(), Value::Number(i64::try_from(restarts).unwrap_or(i64::MAX))),
        ]);
        if let Some(lease) = after.or(self.lease) {
            handle.insert("lease".to_string(), Value::Text(lease.to_string()));
        }
        pending(&Value::Record(handle), "waiting for the kubelet to start".to_string())
    }
}

/// Looks whether the new kubelet of a unit is at work, twice with a pause.
pub(super) async fn follow(
    cx: &Context,
    host: &Host,
    handle: &Value,
    unit: &str,
) -> Result<Progress, Failure> {
    let settle = match &host.node {
        Some(node) if node.control_plane => SETTLE_STATIC_PODS,
        _ => SETTLE,
    };
    for look in ["first", "second"] {
        match waits_for(cx, host, handle, unit).await? {
            Some(reason) => return Ok(pending(handle, reason)),
            None if look == "first" => cx.ports.clock.sleep(settle).await,
            None => {}
        }
    }
    Ok(Progress::Done(handle.get("version").cloned().unwrap_or(Value::None)))
}

/// Returns what is still missing; `None` when the new kubelet is at work.
async fn waits_for(cx: &Context, host: &Host, handle: &Value, name: &str) -> Result<Option<String>, Failure> {
    let base = match handle.get("restarts") {
        Some(Value::Number(n)) => u64::try_from(*n).unwrap_or(0),
        _ => 0,
    };
    let active = match host.shell.run(&Command::read(["systemctl", "is-active", name])).await {
        Ok(output) => output.stdout.trim() == "active",
        Err(error) if is_away(&error) => return Ok(Some(format!("waiting for {} to answer", host.name))),
        Err(error) => return Err(failure::shell(&error)),
    };
    let unit = Unit::of(host, name).await?;
    if unit.state == "activating (start)" {
        return Ok(Some(format!("waiting for {name} of {} to start", host.name)));
    }
    // systemd counts from 0 again when a person restarts the unit.
    let loops = unit.restarts.saturating_sub(base);
    if !active || loops > 0 {
        let looping = format!("the {name} of {} does not stay up: {}", host.name, unit.state);
        let failure = with_journal(host, Failure::transient(looping.clone()), name).await;
        if (!active && failure.class == Class::Final) || loops >= LOOPS || unit.state.starts_with("failed") {
            return Err(failure);
        }
        if !active {
            return Ok(Some(looping));
        }
    }
    reports(cx, host, handle).await
}

/// Returns what the API does not show yet of the new kubelet: its version, a lease of its own, Ready.
pub(super) async fn reports(cx: &Context, host: &Host, handle: &Value) -> Result<Option<String>, Failure> {
    let Some(kube) = &cx.ports.kube else { return Ok(None) };
    // While the apiservers restart, any answer may come, also 401 and 403: none of them is a verdict.
    let node = match api::node(kube, &host.name).await {
        Ok(node) => node,
        Err(failure) => return Ok(Some(failure.message)),
    };
    let wanted = handle.get("version");
    match running_version(&node) {
        Some(version) if Some(&Value::Version(version.clone())) == wanted => {}
        version => {
            let version = version.map_or("no version".to_string(), |v| v.to_string());
            return Ok(Some(format!("the kubelet still reports {version}")));
        }
    }
    let known = handle.get("lease").and_then(Value::as_text).and_then(|text| text.parse::<Timestamp>().ok());
    match renewed(kube, &host.name).await {
        Ok(Some(renewed)) if known.is_none_or(|known| renewed > known) => {}
        // Hosts that have no lease are judged by the rest.
        Ok(None) if known.is_none() => {}
        Ok(_) => return Ok(Some("the kubelet has not renewed its lease yet".to_string())),
        Err(failure) => return Ok(Some(failure.message)),
    }
    if !is_ready(&node) {
        return Ok(Some("the node is not Ready".to_string()));
    }
    Ok(None)
}

/// What systemd says of the kubelet.
struct Unit {
    state: String,
    restarts: u64,
}

impl Unit {
    async fn of(host: &Host, unit: &str) -> Result<Unit, Failure> {
        let wanted = "ActiveState,SubState,NRestarts,ExecMainStatus,ActiveEnterTimestamp";
        let output = host.ask(Command::read(["systemctl", "show", unit, "-p", wanted])).await?;
        let of = |name: &str| {
            output
                .lines()
                .filter_map(|line| line.split_once('='))
                .find(|(n, _)| *n == name)
                .map_or("", |(_, v)| v)
        };
        let mut state = format!("{} ({})", of("ActiveState"), of("SubState"));
        let restarts = of("NRestarts").parse().unwrap_or(0);
        if restarts > 0 {
            state = format!("{state}, restarted {restarts} times, last exit code {}", of("ExecMainStatus"));
        }
        Ok(Unit { state: failure::printable(&state), restarts })
    }
}

/// Adds the end of a unit's journal, and what it is known to mean.
pub(super) async fn with_journal(host: &Host, failure: Failure, unit: &str) -> Failure {
    let command = Command::read(["journalctl", "-u", unit, "-n", "40", "--no-pager", "-o", "cat"]).as_root();
    let Ok(output) = host.shell.run(&command).await else { return failure };
    let journal = output.stdout;
    let failure = match failure::known(&journal) {
        Some(known) if known.is_final() => Failure {
            class: Class::Final,
            message: format!("{}: {}", failure.message, known.message),
            hint: known.hint.clone(),
            ..failure
        },
        _ => failure.with_hint(format!("see `journalctl -u {unit}` on {}", host.name)),
    };
    failure.with_output(failure::tail(&journal))
}

async fn installed(host: &Host) -> Result<Version, Failure> {
    let said = host.ask(Command::read(["kubelet", "--version"])).await?;
    let version = said.split_whitespace().last().and_then(|word| word.parse().ok());
    version.ok_or_else(|| {
        Failure::last("`kubelet --version` names no version").with_output(failure::tail(&said))
    })
}

async fn renewed(kube: &kube::Client, node: &str) -> Result<Option<Timestamp>, Failure> {
    let leases = Api::<Lease>::namespaced(kube.clone(), "kube-node-lease");
    let lease = api::find(&format!("read the lease of {node}"), leases.get(node)).await?;
    Ok(lease.and_then(|lease| lease.spec?.renew_time).map(|time| time.0))
}

pub(super) fn running_version(node: &k8s_openapi::api::core::v1::Node) -> Option<Version> {
    node.status.as_ref()?.node_info.as_ref()?.kubelet_version.parse().ok()
}

fn is_ready(node: &k8s_openapi::api::core::v1::Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

pub(super) fn pending(handle: &Value, reason: String) -> Progress {
    Progress::Pending { handle: handle.clone(), reason, again: AGAIN }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Bench, perform};
    use super::*;

    const SHOW: &str =
        "systemctl show kubelet -p ActiveState,SubState,NRestarts,ExecMainStatus,ActiveEnterTimestamp";
    const RUNS: &str = "ActiveState=active\nSubState=running\nNRestarts=0\nExecMainStatus=0\n";
    const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1";

    fn node() -> Bench {
        let bench = Bench::default()
            .says("kubelet --version", "Kubernetes v1.34.4\n")
            .says("systemctl is-active kubelet", "active\n")
            .says(SHOW, RUNS);
        bench.cluster.node("n1", "v1.33.4", false);
        bench
    }

    async fn begun(bench: &Bench, cx: &Context) -> Value {
        let Ok(Progress::Pending { handle, .. }) = RestartKubelet.start(cx, &Value::None).await else {
            panic!()
        };
        bench.sent();
        handle
    }

    async fn reason(cx: &Context, handle: &Value) -> String {
        match RestartKubelet.poll(cx, handle).await.unwrap() {
            Progress::Pending { reason, .. } => reason,
            Progress::Done(value) => format!("done: {value}"),
        }
    }

    #[tokio::test]
    async fn a_kubelet_that_runs_its_installed_version_is_left_alone() {
        let bench = node();
        bench.cluster.node("n1", "v1.34.4", false);
        let done = perform(&RestartKubelet, &bench.step(&[])).await.unwrap();
        assert_eq!(done.to_string(), "kubelet is v1.34.4");
        assert_eq!(bench.sent(), "kubelet --version\n");
    }

    #[tokio::test]
    async fn the_version_and_a_lease_newer_than_the_restart_are_waited_for() {
        let bench = node();
        let cx = bench.step(&[]);
        let handle = begun(&bench, &cx).await;
        assert_eq!(reason(&cx, &handle).await, "the kubelet still reports v1.33.4");
        bench.cluster.node("n1", "v1.34.4", false);
        assert_eq!(reason(&cx, &handle).await, "the kubelet has not renewed its lease yet");
        bench.cluster.lease("kube-node-lease", "n1", "2026-11-21T12:00:05.000000Z");
        bench.cluster.down(true);
        assert!(reason(&cx, &handle).await.contains("the API cannot be reached"));
        bench.cluster.down(false);
        assert_eq!(reason(&cx, &handle).await, "done: v1.34.4");
        assert!(bench.cluster.get(LEASE).is_object());
    }

    #[tokio::test]
    async fn on_a_control_plane_the_api_is_given_time_to_show_which_pods_restart() {
        for (control_plane, settles) in [(false, SETTLE), (true, SETTLE_STATIC_PODS)] {
            let bench = node();
            let mut cx = bench.step(&[]);
            testing::node(&mut cx).control_plane = control_plane;
            let handle = begun(&bench, &cx).await;
            bench.cluster.node("n1", "v1.34.4", control_plane);
            bench.cluster.lease("kube-node-lease", "n1", "2026-11-21T12:00:05.000000Z");
            let before = cx.ports.clock.now();
            assert_eq!(reason(&cx, &handle).await, "done: v1.34.4");
            assert_eq!(cx.ports.clock.now() - before, settles);
        }
    }

    #[tokio::test]
    async fn a_flag_that_the_kubelet_does_not_know_is_final_and_its_journal_is_told() {
        let loops = "ActiveState=activating\nSubState=auto-restart\nNRestarts=1\nExecMainStatus=1\n";
        let bench = Bench::default()
            .says("kubelet --version", "Kubernetes v1.34.4\n")
            .ends("systemctl is-active kubelet", 3, "activating\n", "")
            .says(SHOW, loops)
            .says(
                "journalctl -u kubelet -n 40 --no-pager -o cat",
                "E1121 \"command failed\" err=\"failed to parse kubelet flag: unknown flag: --container-runtime\"\n",
            );
        bench.cluster.node("n1", "v1.33.4", false);
        let failure = perform(&RestartKubelet, &bench.step(&[])).await.unwrap_err();
        assert_eq!(failure.class, Class::Final);
        assert!(failure.output.contains("--container-runtime"), "{failure:?}");
    }
}
