//! `crictl ps`, `crictl stop`, and `crictl exec` for the tools of the etcd image.

use std::time::Duration;

use super::etcd;
use crate::node::COMPONENTS;
use crate::node::kubelet;
use crate::node::process::{Ended, Process, failed, said};
use crate::world::World;

/// Runs `crictl`.
pub(super) async fn crictl(process: &Process, args: &[&str]) -> Ended {
    process.busy(20, 60).await?;
    match args {
        ["ps", rest @ ..] => {
            let name = rest
                .iter()
                .position(|a| *a == "--name")
                .and_then(|at| rest.get(at + 1))
                .copied()
                .unwrap_or("");
            let name = name.trim_start_matches('^').trim_end_matches('$');
            Ok(process.world(|w| {
                let fits = |c: &&str| w.component_up(&process.node, c) && (name.is_empty() || *c == name);
                let ids =
                    COMPONENTS.iter().filter(|c| fits(c)).filter_map(|c| container(w, &process.node, c));
                said(ids.map(|id| format!("{id}\n")).collect::<String>())
            }))
        }
        ["stop", "-t", _, id] => stop(process, id).await,
        ["exec", id, program @ ("etcdctl" | "etcdutl"), rest @ ..] => {
            let there = process.world(|w| {
                w.component_up(&process.node, "etcd")
                    && container(w, &process.node, "etcd").is_some_and(|c| c.starts_with(id))
            });
            if !there {
                return Ok(failed(
                    1,
                    format!(
                        "FATA[0000] execing command in container: rpc error: code = NotFound desc = an error occurred when try to find container \"{id}\": not found\n"
                    ),
                ));
            }
            let mut output = etcd::tool(process, program, rest).await?;
            if output.code != 0 {
                output.stderr.push_str(&format!(
                    "FATA[0000] execing command in container: command terminated with exit code {}\n",
                    output.code
                ));
                output.code = 1;
            }
            Ok(output)
        }
        _ => Ok(super::not_known("crictl", args)),
    }
}

/// Returns the id of a component's container: another one after each restart.
fn container(world: &World, node: &str, component: &str) -> Option<String> {
    let pod = world.static_pods.get(&(node.to_string(), component.to_string()))?;
    let id = kubelet::hash(&format!("{node} {component} {} {}", pod.hash, pod.restarts));
    Some(format!("{id}{}", kubelet::hash(&id)))
}

/// Stops a container; the kubelet starts another one, etcd's within seconds, an apiserver's in some more.
async fn stop(process: &Process, id: &str) -> Ended {
    let node = &process.node;
    let runs = |w: &World, c: &str| w.component_up(node, c) && container(w, node, c).as_deref() == Some(id);
    let Some(component) = process.world(|w| COMPONENTS.into_iter().find(|c| runs(w, c))) else {
        return Ok(failed(
            1,
            format!(
                "E0101 00:00:00.000000    4711 log.go:32] \"StopContainer from runtime service failed\" err=\"rpc error: code = NotFound desc = an error occurred when try to find container \\\"{id}\\\": not found\" containerID=\"{id}\"\n"
            ),
        ));
    };
    process.busy(300, 900).await?;
    process.world(|w| kubelet::stop_static_pod(w, node, component));
    let (name, back) = (node.clone(), if component == "kube-apiserver" { 8 } else { 4 });
    process.later(Duration::from_secs(back), move |w| kubelet::run_static_pod(w, &name, component));
    Ok(said(format!("{id}\n")))
}
