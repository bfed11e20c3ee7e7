//! `certs renew`: new certificates for a control plane node, and its static pods restarted one after
//! the other, since they read theirs only when they start.
//!
//! A file on the node says that it was begun, and goes when the last pod has restarted: between the
//! two the certificates on disk are new and those in use are not.

use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::port::Command;
use indexmap::IndexMap;

use super::certificates::Certificates;
use super::host::{FOLDER, Host};
use super::{argument, kubeadm};
use crate::crictl;

const BEGUN: &str = "/var/lib/kup/certs-renew";

/// What is restarted, etcd first: an apiserver needs it.
const COMPONENTS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// How often to look.
const AGAIN: Duration = Duration::from_secs(2);

/// How long a pod may take to end by itself, in seconds.
const GRACE: &str = "30";

/// Renews the certificates of a node.
pub(super) struct CertsRenew;

#[async_trait]
impl Action for CertsRenew {
    fn name(&self) -> &'static str {
        "certs renew"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let host = Host::of(cx)?;
        let left = argument::duration(cx, "left")?;
        let found = Certificates::of(&host).await?;
        let Some(first) = Certificates::first(found.renewable()) else {
            return Err(Failure::last(format!("kubeadm renews no certificate of {}", host.name))
                .with_hint("they are managed by somebody else: renew them there"));
        };
        let half_done = host.read(BEGUN).await?.is_some();
        if first.lasts(left) && !half_done {
            return Ok(Check::Done(format!("first to end: {}", first.told())));
        }
        Ok(Check::Needs { now: first.told(), then: "renewed".to_string(), before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let left = argument::duration(cx, "left")?;
        let old = Certificates::of(&host).await?;
        host.ask(Command::change(["mkdir", "-p", "-m", "0700", FOLDER])).await?;
        host.write(BEGUN, "renewed, and perhaps not in use yet\n", 0o600).await?;
        host.ask(Command::change(["kubeadm", "certs", "renew", "all"])).await?;
        let new = Certificates::of(&host).await?;
        if let (Some(old), Some(new)) =
            (Certificates::first(old.renewable()), Certificates::first(new.renewable()))
            && !new.lasts(left)
            && !old.ends_before(new)
        {
            return Err(Failure::last(format!("kubeadm renewed the certificates, and still {}", new.told()))
                .with_hint("name fewer days with `left=`: kubeadm's certificates last as long as its configuration says"));
        }
        restart(&host, 0).await
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let (at, was) = read(handle)?;
        let component = COMPONENTS[at];
        // A runtime that does not answer for a moment is no verdict.
        let now = container(&host, component).await?;
        if now.is_none() || now.as_deref() == Some(was) {
            return Ok(pending(handle, format!("waiting for the kubelet to start {component} again")));
        }
        if let Some(kube) = &cx.ports.kube {
            // The apiserver itself is among what restarts.
            let reason = match kubeadm::components(kube, &host.name).await {
                Ok(all) => all.iter().find(|c| !c.ready).map(|c| format!("{} is not Ready", c.name)),
                Err(failure) => Some(failure.message),
            };
            if let Some(reason) = reason {
                return Ok(pending(handle, reason));
            }
        }
        restart(&host, at + 1).await
    }
}

/// Restarts the first component from a place on that runs here.
async fn restart(host: &Host, from: usize) -> Result<Progress, Failure> {
    for (at, component) in COMPONENTS.into_iter().enumerate().skip(from) {
        // With an external etcd there is none here.
        let Some(id) = container(host, component).await? else { continue };
        host.ask(Command::change(["crictl", "stop", "-t", GRACE, &id])).await?;
        let handle = IndexMap::from([
            ("at".to_string(), Value::Number(at as i64)),
            ("was".to_string(), Value::Text(id)),
        ]);
        return Ok(pending(&Value::Record(handle), format!("{component} restarts")));
    }
    host.ask(Command::change(["rm", "-f", BEGUN])).await?;
    let found = Certificates::of(host).await?;
    let first = Certificates::first(found.renewable()).map(|first| first.told()).unwrap_or_default();
    Ok(Progress::Done(Value::Text(format!("first to end: {first}"))))
}

/// Returns the container that runs a component.
async fn container(host: &Host, component: &str) -> Result<Option<String>, Failure> {
    let ids = host.ask(Command::read(crictl::ps(component)).as_root()).await?;
    Ok(crictl::container(&ids).map(str::to_string))
}

fn pending(handle: &Value, reason: String) -> Progress {
    Progress::Pending { handle: handle.clone(), reason, again: AGAIN }
}

/// Reads which component restarts, and the container that it ran in before.
fn read(handle: &Value) -> Result<(usize, &str), Failure> {
    let at = match handle.get("at") {
        Some(Value::Number(at)) => usize::try_from(*at).ok().filter(|at| *at < COMPONENTS.len()),
        _ => None,
    };
    match (at, handle.get("was").and_then(Value::as_text)) {
        (Some(at), Some(was)) => Ok((at, was)),
        _ => Err(Failure::unknown("the journal's record of this renewal cannot be read")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, perform};
    use super::*;

    const ASK: &str = "kubeadm certs check-expiration -o json";

    fn said(days: i64) -> String {
        format!(
            r#"{{"certificates":[{{"name":"apiserver","residualTime":{}}}],"certificateAuthorities":[]}}"#,
            days * 86400
        )
    }

    fn bench(days: &[i64]) -> Bench {
        let bench = Bench::default().says("kubeadm certs renew all", "Done renewing certificates.\n");
        let bench = days.iter().fold(bench, |bench, days| bench.says(ASK, &said(*days)));
        bench.cluster.control_plane("n1", "v1.34.4");
        COMPONENTS.into_iter().fold(bench, |bench, component| {
            let ps = format!("crictl ps --name ^{component}$ -q");
            let id = format!("{}1", component.replace('-', ""));
            let next = format!("{}2", component.replace('-', ""));
            bench.says(&ps, &id).says(&ps, &id).says(&ps, &next).says(&format!("crictl stop -t 30 {id}"), &id)
        })
    }

    fn step(bench: &Bench) -> Context {
        bench.step(&[("left", Value::Duration(30 * 86_400_000))])
    }

    #[tokio::test]
    async fn certificates_are_renewed_and_every_static_pod_restarts_in_its_turn() {
        let bench = bench(&[20, 20, 365]);
        let value = perform(&CertsRenew, &step(&bench)).await.unwrap();
        assert_eq!(value.to_string(), "first to end: apiserver 365 days");
        let sent = bench.sent();
        let stops: Vec<&str> = sent.lines().filter(|line| line.starts_with("crictl stop")).collect();
        assert_eq!(
            stops,
            [
                "crictl stop -t 30 etcd1",
                "crictl stop -t 30 kubeapiserver1",
                "crictl stop -t 30 kubecontrollermanager1",
                "crictl stop -t 30 kubescheduler1"
            ]
        );
        assert!(sent.contains("rm -f /var/lib/kup/certs-renew\n"));
    }

    #[tokio::test]
    async fn certificates_that_last_are_left_and_a_renewal_that_was_begun_is_ended() {
        let bench = bench(&[200]);
        assert!(matches!(CertsRenew.check(&step(&bench)).await, Ok(Check::Done(_))));
        let bench = bench.file(BEGUN, "x");
        assert!(matches!(CertsRenew.check(&step(&bench)).await, Ok(Check::Needs { .. })));
    }

    #[tokio::test]
    async fn a_renewal_that_brings_no_later_date_is_a_failure() {
        let failure = perform(&CertsRenew, &step(&bench(&[20]))).await.unwrap_err();
        assert_eq!(failure.message, "kubeadm renewed the certificates, and still apiserver 20 days");
    }
}
