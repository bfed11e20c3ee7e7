//! `check dns`: the cluster's own name resolves on every node, by the address that pods ask. A CoreDNS that is Ready says nothing of the
//! way there, which kube-proxy and the network of each node make. A node asks by what it has, bash and coreutils; a pod would need
//! an image, which not every cluster may pull.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use async_trait::async_trait;
use engine::action::Context;
use engine::event::{Class, Failure};
use engine::port::Command;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::{Api, ListParams};

use super::failure;
use super::host::{Host, everywhere};
use super::verdict::{Findings, Verdict};
use crate::api;

/// The verb.
pub(super) struct CheckDns;

/// Sends `$2` as one datagram to port 53 of `$1`, and prints the datagram that comes back within three seconds in hexadecimal digits.
/// Nothing is printed where none comes. `fullblock`: bash writes a piece a line, and a query has newlines in it.
const ASK: &str = r#"exec 3<>"/dev/udp/$1/53" && printf "$2" | dd bs=4096 iflag=fullblock status=none >&3 && timeout 3 dd bs=4096 count=1 status=none <&3 | od -An -v -tx1"#;

/// What is looked up; every cluster has it.
const NAME: &str = "kubernetes.default.svc";

/// The domain unless kubeadm was told another one.
const DOMAIN: &str = "cluster.local";

/// What the Service of a cluster's DNS is known by, whoever has set it up
/// (kubernetes/dns: docs/specification.md names the Service, and not its label; kubeadm, k3s and RKE2 have this one).
const LABEL: &str = "k8s-app=kube-dns";

#[async_trait]
impl Verdict for CheckDns {
    fn name(&self) -> &'static str {
        "check dns"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let kube = api::client(&cx.ports)?;
        let Some(server) = server(&kube).await? else {
            return Ok(format!("kube-system has no Service with the label {LABEL}, so nobody is asked"));
        };
        let name = format!("{NAME}.{}", domain(&kube).await?);
        let query = Query { name: &name, v6: server.is_ipv6() };
        let answers = everywhere(cx, |host| {
            let query = &query;
            async move {
                match host.is_windows() {
                    true => Ok(None), // nothing there asks in this way
                    false => Ok(Some((host.name.clone(), ask(&host, server, query).await?))),
                }
            }
        });
        let (mut findings, mut asked) = (Findings::default(), 0);
        for (node, answer) in answers.await?.into_iter().flatten() {
            match answer {
                Ok(_) => asked += 1,
                Err(No::Program) => {
                    findings.add(false, format!("{node} has no bash to ask with"));
                }
                Err(No::Answer(why)) => {
                    findings.add(true, format!("on {node}, {server} {why} for {name}"));
                }
            }
        }
        let nodes = if asked == 1 { "1 node".to_string() } else { format!("{asked} nodes") };
        let hint = "look at the pods of CoreDNS, and at kube-proxy and the network plugin of the node";
        // CoreDNS may be on its way, and a datagram may be lost.
        let concluded = findings.conclude(format!("{name} resolves on {nodes}"), hint);
        concluded.map_err(|failure| Failure { class: Class::Transient, ..failure })
    }
}

/// Returns the address of the cluster's DNS.
async fn server(kube: &kube::Client) -> Result<Option<IpAddr>, Failure> {
    let services = Api::<Service>::namespaced(kube.clone(), api::SYSTEM);
    let of_dns = ListParams::default().labels(LABEL);
    let services = api::list("list the Services of the cluster's DNS", &services, of_dns).await?;
    let addresses =
        services.iter().filter_map(|service| service.spec.as_ref()?.cluster_ip.as_deref()?.parse().ok());
    Ok(addresses.into_iter().next())
}

/// Returns the domain of the cluster as kubeadm keeps it for the kubelets.
async fn domain(kube: &kube::Client) -> Result<String, Failure> {
    let maps = Api::<ConfigMap>::namespaced(kube.clone(), api::SYSTEM);
    let map = api::find("read the ConfigMap kubelet-config", maps.get("kubelet-config")).await?;
    let text = map.and_then(|map| map.data?.remove("kubelet")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("clusterDomain:"));
    let domain = line.map(|domain| domain.trim().trim_matches('"').trim_end_matches('.'));
    Ok(domain.filter(|domain| !domain.is_empty()).unwrap_or(DOMAIN).to_string())
}

/// Why a node was not told.
#[derive(Debug, PartialEq)]
enum No {
    /// It has nothing to ask with.
    Program,
    /// What came instead of an address.
    Answer(String),
}

async fn ask(host: &Host, server: IpAddr, query: &Query<'_>) -> Result<Result<IpAddr, No>, Failure> {
    let words = ["bash", "-c", ASK, "kup-dns", &server.to_string(), &query.escaped()];
    let output = host.run(Command::read(words)).await?;
    if output.code == 127 {
        return Ok(Err(No::Program));
    }
    if !output.ok() {
        let said = failure::printable(output.stderr.lines().last().unwrap_or_default());
        return Ok(Err(No::Answer(format!("cannot be asked ({said})"))));
    }
    let bytes = output.stdout.split_whitespace().map(|byte| u8::from_str_radix(byte, 16));
    let bytes = bytes.collect::<Result<Vec<u8>, _>>().unwrap_or_default();
    Ok(query.read(&bytes).map_err(|why| No::Answer(why.to_string())))
}

/// A question for the address of a name. https://www.rfc-editor.org/rfc/rfc1035#section-4
struct Query<'a> {
    name: &'a str,
    v6: bool,
}

/// What a query and its answer begin with.
const ID: [u8; 2] = *b"ku";
const HEADER: usize = 12;

impl Query<'_> {
    fn kind(&self) -> u8 {
        if self.v6 { 28 } else { 1 }
    }

    fn bytes(&self) -> Vec<u8> {
        // One question, recursion wished.
        let mut bytes = [&ID[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
        for label in self.name.split('.') {
            bytes.push(u8::try_from(label.len()).unwrap_or(63));
            bytes.extend(label.as_bytes());
        }
        bytes.extend([0, 0, self.kind(), 0, 1]);
        bytes
    }

    /// Writes the query as an argument of `printf`.
    fn escaped(&self) -> String {
        self.bytes().iter().map(|byte| format!("\\x{byte:02x}")).collect()
    }

    /// Reads the first address of an answer.
    fn read(&self, answer: &[u8]) -> Result<IpAddr, &'static str> {
        if answer.is_empty() {
            return Err("does not answer");
        }
        if answer.len() < HEADER || answer[..2] != ID || answer[2] & 0x80 == 0 {
            return Err("answers what is no DNS");
        }
        match answer[3] & 0x0f {
            0 => {}
            2 => return Err("says SERVFAIL"),
            3 => return Err("says NXDOMAIN"),
            5 => return Err("says REFUSED"),
            _ => return Err("says that it cannot tell"),
        }
        const SHORT: &str = "breaks off its answer";
        let count = u16::from_be_bytes([answer[6], answer[7]]);
        let mut at = self.bytes().len();
        for _ in 0..count {
            at = behind_name(answer, at).ok_or(SHORT)?;
            let record = answer.get(at..at + 10).ok_or(SHORT)?;
            let length = usize::from(u16::from_be_bytes([record[8], record[9]]));
            let data = answer.get(at + 10..at + 10 + length).ok_or(SHORT)?;
            if record[..2] == [0, self.kind()] {
                let v4 = <[u8; 4]>::try_from(data).map(|ip| IpAddr::V4(Ipv4Addr::from(ip)));
                let v6 = <[u8; 16]>::try_from(data).map(|ip| IpAddr::V6(Ipv6Addr::from(ip)));
                return v4.or(v6).map_err(|_| "answers what is no address");
            }
            at += 10 + length;
        }
        Err("has no address")
    }
}

/// Returns where a name ends: with its last label, or with the place of the rest of it.
fn behind_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(*length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;
    use crate::testing::named;
    use serde_json::json;

    const QUERY: Query<'_> = Query { name: "kubernetes.default.svc.cluster.local", v6: false };

    /// The answer to the query, as `od` prints it.
    fn told(code: u8, records: &[&[u8]]) -> String {
        let mut bytes = QUERY.bytes();
        bytes[2..4].copy_from_slice(&[0x81, 0x80 | code]);
        bytes[7] = u8::try_from(records.len()).unwrap();
        for record in records {
            bytes.extend([0xc0, 0x0c]);
            bytes.extend(*record);
        }
        bytes
            .chunks(16)
            .map(|line| line.iter().map(|b| format!(" {b:02x}")).collect::<String>() + "\n")
            .collect()
    }

    const ADDRESS: &[u8] = &[0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 96, 0, 1];
    /// A name that is another name.
    const ALIAS: &[u8] = &[0, 5, 0, 1, 0, 0, 0, 30, 0, 2, 0xc0, 0x0c];

    fn cluster(bench: Bench) -> Bench {
        let mut metadata = named("kube-system", "kube-dns");
        metadata["labels"] = json!({ "k8s-app": "kube-dns" });
        let service = json!({ "metadata": metadata, "spec": { "clusterIP": "10.96.0.10" } });
        bench.cluster.put("/api/v1/namespaces/kube-system/services/kube-dns", service);
        bench
    }

    async fn check(domain: &str, code: i32, stdout: &str, stderr: &str) -> Result<String, String> {
        let name = format!("kubernetes.default.svc.{domain}");
        let query = Query { name: &name, v6: false }.escaped();
        let bench = cluster(Bench::default().ends(
            &format!("bash -c {ASK} kup-dns 10.96.0.10 {query}"),
            code,
            stdout,
            stderr,
        ));
        let map = json!({ "metadata": named("kube-system", "kubelet-config"), "data": { "kubelet": format!("cgroupDriver: systemd\nclusterDomain: {domain}\n") } });
        bench.cluster.put("/api/v1/namespaces/kube-system/configmaps/kubelet-config", map);
        CheckDns.judge(&bench.step(&[])).await.map_err(|failure| failure.message)
    }

    #[tokio::test]
    async fn the_clusters_own_name_is_asked_for_in_its_own_domain() {
        let well = check("cluster.local", 0, &told(0, &[ALIAS, ADDRESS]), "").await;
        assert_eq!(well.unwrap(), "kubernetes.default.svc.cluster.local resolves on 1 node");
        let other = check("k8s.example", 0, &told(0, &[]), "").await.unwrap_err();
        assert!(other.ends_with("for kubernetes.default.svc.k8s.example"), "{other}");
    }

    #[tokio::test]
    async fn every_way_not_to_be_told_is_told() {
        for (code, stdout, stderr, wanted) in [
            (0, String::new(), "", "does not answer"),
            (0, told(3, &[]), "", "says NXDOMAIN"),
            (0, told(2, &[]), "", "says SERVFAIL"),
            (0, told(0, &[]), "", "has no address"),
            (0, told(0, &[&ADDRESS[..9]]), "", "breaks off its answer"),
            (0, " 48 54 54 50\n".to_string(), "", "answers what is no DNS"),
            (
                1,
                String::new(),
                "bash: connect: Network is unreachable\n",
                "cannot be asked (bash: connect: Network is unreachable)",
            ),
        ] {
            let said = check("cluster.local", code, &stdout, stderr).await.unwrap_err();
            assert_eq!(said, format!("on n1, 10.96.0.10 {wanted} for kubernetes.default.svc.cluster.local"));
        }
        let without = check("cluster.local", 127, "", "sh: bash: not found").await.unwrap();
        assert!(without.ends_with("on 0 nodes; note: n1 has no bash to ask with"), "{without}");
        let none = CheckDns.judge(&Bench::default().step(&[])).await.unwrap();
        assert!(none.ends_with("so nobody is asked"), "{none}");
    }

    #[test]
    fn an_address_may_have_six_groups_more() {
        let query = Query { name: "a.b", v6: true };
        let mut answer = query.bytes();
        answer[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
        answer.extend([0xc0, 0x0c, 0, 28, 0, 1, 0, 0, 0, 30, 0, 16]);
        answer.extend("fd00::1".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(query.read(&answer), Ok("fd00::1".parse().unwrap()));
        assert_eq!(
            query.escaped(),
            "\\x6b\\x75\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x01\\x61\\x01\\x62\\x00\\x00\\x1c\\x00\\x01"
        );
    }
}
