//! Whether the control plane is whole: the API ready, every static pod of every control plane node
//! well by its kubelet's word or by its own, and the leaders at work.

use engine::action::Context;
use engine::event::Failure;
use engine::inventory::Node;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::Api;

use super::pod::not_ready;
use super::{Finding, Starts, first_hand, node, ready, renewed, restarted};
use crate::api;

/// The static pods of a node with an apiserver; etcd where a member runs there.
const COMPONENTS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// Those of which one leads.
pub(crate) const LEADERS: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];

/// How old a leader's lease may be: then another one may take it.
const FRESH: i64 = 15;

/// Looks at the control plane.
pub(crate) async fn look(cx: &Context, kube: &kube::Client, starts: &mut Starts) -> Result<Finding, Failure> {
    let leases = Api::<Lease>::namespaced(kube.clone(), api::SYSTEM);
    let ((api, now), pods, controller, scheduler) = futures::try_join!(
        ready(cx, kube),
        api::static_pods(kube),
        api::find("read the lease kube-controller-manager", leases.get(LEADERS[0])),
        api::find("read the lease kube-scheduler", leases.get(LEADERS[1])),
    )?;
    let (well, etcd) = futures::join!(first_hand::well(cx, kube, &pods), first_hand::beside(cx));
    let judge =
        |pod: &Pod| unfit(pod).filter(|_| !pod.metadata.name.as_ref().is_some_and(|pod| well.contains(pod)));
    Ok(api.or_else(|| of_all(cx, &pods, starts, judge)).or(etcd).or_else(|| {
        leaders(cx, [controller.as_ref(), scheduler.as_ref()].map(|lease| renewed(lease, now, FRESH)))
    }))
}

/// Judges the static pods of all control plane nodes, each by itself.
pub(crate) fn of_all(
    cx: &Context,
    pods: &[Pod],
    starts: &mut Starts,
    judge: impl Fn(&Pod) -> Finding,
) -> Finding {
    // Every pod is looked at, so that no restart goes unseen behind the first finding.
    let mut findings = Vec::new();
    for node in node::control_planes(&cx.inventory) {
        let there =
            |pod: &&Pod| pod.spec.as_ref().is_some_and(|s| s.node_name.as_deref() == Some(&node.name));
        let pods: Vec<&Pod> = pods.iter().filter(there).collect();
        findings.extend(of_node(node, &pods, starts, &judge));
    }
    findings.into_iter().next()
}

/// Judges the static pods of a node, given the pods that are bound to it.
pub(crate) fn of_node(
    node: &Node,
    pods: &[&Pod],
    starts: &mut Starts,
    judge: impl Fn(&Pod) -> Finding,
) -> Finding {
    // Without an apiserver made of a static pod there is nothing to expect.
    node.apiserver.as_ref()?;
    let mut findings = Vec::new();
    for component in COMPONENTS.into_iter().filter(|component| node.etcd || *component != "etcd") {
        let pod = pods.iter().find(|pod| api::is_static(pod) && is(pod, component));
        match pod {
            None => findings.push(format!("{component}-{} is missing", node.name)),
            Some(pod) => findings.extend(restarted(pod, starts).into_iter().chain(judge(pod))),
        }
    }
    findings.into_iter().next()
}

/// Tells what keeps a static pod from carrying the control plane. Of the controller managers and the
/// schedulers one leads and the others stand by: one that has just started holds nobody up, though its
/// kubelet asks it how it is only after 10 seconds. That one leads, the leases say.
fn unfit(pod: &Pod) -> Finding {
    let stands_by = LEADERS.into_iter().any(|component| is(pod, component));
    not_ready(pod).filter(|_| !(stands_by && starting(pod)))
}

/// Returns whether all containers of the pod run, and none has been asked for the first time how it is.
fn starting(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
    let starts = |status: &ContainerStatus| {
        status.started == Some(false) && status.state.as_ref().is_some_and(|state| state.running.is_some())
    };
    statuses.is_some_and(|statuses| !statuses.is_empty() && statuses.iter().all(starts))
}

fn is(pod: &Pod, component: &str) -> bool {
    pod.metadata.namespace.as_deref() == Some(api::SYSTEM)
        && api::label(&pod.metadata, "component") == Some(component)
}

/// Judges the leaders by whether each has renewed its lease. A managed control plane keeps its
/// leases to itself.
pub(crate) fn leaders(cx: &Context, renewed: [bool; 2]) -> Finding {
    node::control_planes(&cx.inventory).next()?;
    let late = LEADERS.into_iter().zip(renewed).find(|(_, renewed)| !renewed);
    late.map(|(name, _)| format!("no {name} has renewed its lease for {FRESH}s"))
}
