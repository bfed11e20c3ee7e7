//! A question for the cluster's DNS, sent by bash as a datagram: `bash -c SCRIPT NAME SERVER QUERY`, where the script writes QUERY to
//! /dev/udp and prints what comes back by `od`. What answers are the Services of the store, as long as a CoreDNS is Ready
//! and the node has somebody who leads to it.

use std::sync::Arc;

use serde_json::Value;

use crate::node::process::{Ended, Process, said};
use crate::pod;
use crate::world::World;

/// What bash opens to send a datagram.
const DEVICE: &str = "/dev/udp/";
/// The domain of every simulated cluster.
const DOMAIN: &str = ".svc.cluster.local";
/// How long the script waits for an answer.
const PATIENCE: (u64, u64) = (3000, 3050);

/// Returns whether a script asks so.
pub(super) fn is_asked(script: &str) -> bool {
    script.contains(DEVICE)
}

/// Answers as a server would, or with nothing.
pub(super) async fn ask(process: &Process, server: &str, query: &str) -> Ended {
    let query = unescaped(query);
    let answer = process.world(|w| answers(w, &process.node, server).then(|| answer(w, &query)).flatten());
    let Some(answer) = answer else {
        process.busy(PATIENCE.0, PATIENCE.1).await?;
        return Ok(said(""));
    };
    process.busy(4, 12).await?;
    let line = |bytes: &[u8]| bytes.iter().map(|byte| format!(" {byte:02x}")).collect::<String>() + "\n";
    Ok(said(answer.chunks(16).map(line).collect::<String>()))
}

/// Returns the bytes that `printf` makes of `\xNN`.
fn unescaped(text: &str) -> Vec<u8> {
    text.split("\\x").filter_map(|byte| u8::from_str_radix(byte.get(..2)?, 16).ok()).collect()
}

/// Returns whether somebody answers at an address: it is that of the DNS, a pod of it is Ready, and whoever leads there runs on the node.
fn answers(world: &World, node: &str, server: &str) -> bool {
    let of_dns = |labels: &Value| labels["k8s-app"] == "kube-dns";
    let is_server = |s: &Arc<Value>| of_dns(&s["metadata"]["labels"]) && s["spec"]["clusterIP"] == *server;
    let ready = |p: &Arc<Value>| pod::name(p).contains("coredns") && pod::ready(p);
    let proxies: Vec<bool> = world
        .store
        .pods_on(node)
        .filter(|p| pod::name(p).starts_with("kube-proxy"))
        .map(|p| pod::ready(p))
        .collect();
    world.store.list_in("services", "kube-system").any(is_server)
        && world.store.list_in("pods", "kube-system").any(ready)
        && (proxies.is_empty() || proxies.contains(&true))
}

/// Makes the answer to a query: the address of a Service, or that there is none.
fn answer(world: &World, query: &[u8]) -> Option<Vec<u8>> {
    let (mut labels, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*query.get(at)?);
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at + 1..at + 1 + length)?).into_owned());
        at += 1 + length;
    }
    let name = labels.join(".");
    let service = name.strip_suffix(DOMAIN).and_then(|name| name.split_once('.'));
    let service = service.and_then(|(name, namespace)| world.store.get("services", namespace, name));
    let address: Option<std::net::Ipv4Addr> =
        service.and_then(|service| service["spec"]["clusterIP"].as_str()?.parse().ok());
    let mut bytes = query.to_vec();
    bytes[2] = 0x85;
    bytes[3] = 0x80 | if address.is_some() { 0 } else { 3 };
    if let Some(address) = address {
        bytes[7] = 1;
        bytes.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
        bytes.extend(address.octets());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use engine::port::Command;

    use crate::{Cluster, Shape};

    /// Asks for the address of `NAME.default.svc.cluster.local` on the only node.
    async fn ask(cluster: &Cluster, server: &str, name: &str) -> String {
        let query = format!(
            "\\x00\\x01\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00{}\\x00\\x00\\x01\\x00\\x01",
            {
                let labels = [name, "default", "svc", "cluster", "local"];
                labels
                    .map(|label| {
                        std::iter::once(label.len() as u8)
                            .chain(label.bytes())
                            .map(|b| format!("\\x{b:02x}"))
                            .collect::<String>()
                    })
                    .concat()
            }
        );
        let words = ["bash", "-c", "exec 3<>/dev/udp/$1/53; ...", "x", server, &query];
        cluster.ports().shells.on("cp1").run(&Command::read(words)).await.unwrap().stdout
    }

    #[tokio::test(start_paused = true)]
    async fn services_are_known_by_their_names_where_a_coredns_answers() {
        let cluster = Cluster::start(Shape::parse("1+0@v1.33.4").unwrap(), 1, Vec::new());
        assert!(ask(&cluster, "10.96.0.10", "kubernetes").await.ends_with(" 00 04 0a 60 00 01\n"));
        let unknown = ask(&cluster, "10.96.0.10", "nope").await;
        assert_eq!(&unknown[6..12], " 85 83");
        assert_eq!(ask(&cluster, "10.96.0.99", "kubernetes").await, "");
    }
}
