//! `ctr -n k8s.io`: containerd's own client, which runs a tool in an image that is there.

use super::etcd;
use crate::node::manifest_path;
use crate::node::process::{Ended, Process, failed, said};

/// Runs `ctr -n k8s.io images ls -q name==IMAGE` and `ctr -n k8s.io run ... IMAGE ID PROGRAM ...`.
pub(super) async fn ctr(process: &Process, args: &[&str]) -> Ended {
    process.busy(30, 90).await?;
    match args {
        ["-n", "k8s.io", "images", "ls", "-q", filter] => {
            let image = filter.trim_start_matches("name==");
            let there = process.on(|n| own_image(n).as_deref() == Some(image));
            Ok(said(if there { format!("{image}\n") } else { String::new() }))
        }
        ["-n", "k8s.io", "run", "--rm", "--mount", _, image, _, "etcdutl", rest @ ..] => {
            if process.on(|n| own_image(n).as_deref() != Some(*image)) {
                return Ok(failed(1, format!("ctr: image \"{image}\": not found\n")));
            }
            process.busy(400, 1500).await?;
            etcd::tool(process, "etcdutl", rest).await
        }
        _ => Ok(super::not_known("ctr", args)),
    }
}

/// Returns the image of etcd that the node has pulled: that of its manifest, also while that is put aside.
fn own_image(node: &crate::node::Node) -> Option<String> {
    let places = [manifest_path("etcd"), "/etc/kubernetes/kup-stopped/etcd.yaml".to_string()];
    let text = places.iter().find_map(|place| node.files.text(place))?;
    text.lines().find_map(|line| line.trim().strip_prefix("image: ").map(str::to_string))
}
