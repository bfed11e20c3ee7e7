//! `kubectl get --raw=/metrics` on a control plane, at its own apiserver: of the metrics those that tell of its users.

use engine::port::Output;

use super::not_known;
use crate::faults::removed_api;
use crate::node::process::{Process, failed, said};

/// Runs `kubectl`.
pub(super) fn kubectl(process: &Process, args: &[&str]) -> Output {
    let raw = args.iter().find_map(|arg| arg.strip_prefix("--raw="));
    if raw != Some("/metrics") || !args.contains(&"get") {
        return not_known("kubectl", args);
    }
    let config =
        args.iter().find_map(|arg| arg.strip_prefix("--kubeconfig=")).unwrap_or("/root/.kube/config");
    if !process.on(|n| n.files.exists(config)) {
        return failed(1, format!("error: stat {config}: no such file or directory\n"));
    }
    process.world(|w| {
        if !w.component_up(&process.node, "kube-apiserver") {
            let said = "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?\n";
            return failed(1, said);
        }
        // The clusters of a simulation were set up long before it begins.
        let since = w.clock.wall().as_secs() - w.now().as_secs() - 90 * 24 * 3600;
        let minor = w.shape.minor();
        let used = w.nodes.get_mut(&process.node).and_then(|node| removed_api::used(node, minor));
        let used = used.map_or(String::new(), |(group, version, resource, removed)| {
            format!(
                "apiserver_requested_deprecated_apis{{group=\"{group}\",removed_release=\"{removed}\",resource=\"{resource}\",subresource=\"\",version=\"{version}\"}} 1\n"
            )
        });
        let help = "# HELP apiserver_requested_deprecated_apis [STABLE] Gauge of deprecated APIs that have been requested, broken out by API group, version, resource, subresource, and removed_release.\n# TYPE apiserver_requested_deprecated_apis gauge\n";
        said(format!("{}{used}process_start_time_seconds {since}\n", if used.is_empty() { "" } else { help }))
    })
}
