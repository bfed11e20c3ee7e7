//! The etcd member of a machine: how it runs there, and how its tools are called. Stacked on a control
//! plane it is a container with the certificates that kubeadm gave it. Beside a cluster it is as a rule a
//! service, which is asked for the settings that it was started with.

use std::collections::HashMap;

use engine::inventory::Node;
use engine::port::{Command, Output, Shell, ShellError};
use serde::Deserialize;

use crate::crictl;

/// Prints the process of the service.
const MAIN_PID: [&str; 5] = ["systemctl", "show", "etcd.service", "-p", "MainPID"];

/// Where the tools may leave a file on a host whose etcd is a service.
const FOLDER: &str = "/var/lib/kup";

/// A member that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    /// In the container with this id.
    Pod(String),
    /// As the service `etcd`, started with these settings.
    Service(Settings),
}

/// What a service was started with, as far as its clients need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Where clients find it: its certificate is good for that name.
    endpoint: String,
    /// The authority, the certificate and its key; none without TLS.
    files: Option<[String; 3]>,
}

/// What a look for a member found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A member.
    Member(Member),
    /// None, as far as the machine can say.
    Nothing,
    /// The container runtime could not be asked.
    Unasked(Output),
}

/// Looks for the member that runs on a machine.
pub(crate) async fn find(shell: &dyn Shell, node: Option<&Node>) -> Result<Found, ShellError> {
    let beside = node.is_some_and(|node| node.beside);
    if beside && let Some(service) = service(shell).await? {
        return Ok(Found::Member(service));
    }
    let ids = shell.run(&Command::read(crictl::ps("etcd")).as_root()).await?;
    if let Some(id) = crictl::container(&ids.stdout).filter(|_| ids.ok()) {
        return Ok(Found::Member(Member::Pod(id.to_string())));
    }
    // An etcd that kubeadm stacked is never a service: while its container restarts there is none. Where the apiserver is no static pod, nor is etcd.
    let stacked = node.is_some_and(|node| node.control_plane && node.apiserver.is_some());
    if !beside
        && !stacked
        && let Some(service) = service(shell).await?
    {
        return Ok(Found::Member(service));
    }
    // A host of a service needs no container runtime.
    let absent = ids.code == 127 || ids.stderr.contains("command not found");
    Ok(if ids.ok() || absent { Found::Nothing } else { Found::Unasked(ids) })
}

/// Finds the service with the settings of its process: flags count before the environment, and a
/// configuration file instead of both. https://etcd.io/docs/v3.6/op-guide/configuration/
async fn service(shell: &dyn Shell) -> Result<Option<Member>, ShellError> {
    let shown = shell.run(&Command::read(MAIN_PID)).await?;
    let pid = shown.stdout.trim().strip_prefix("MainPID=").and_then(|pid| pid.parse::<u32>().ok());
    let Some(pid) = pid.filter(|pid| shown.ok() && *pid > 0) else { return Ok(None) };
    let Some(command) = shell.read(&format!("/proc/{pid}/cmdline")).await? else { return Ok(None) };
    let environment = shell.read(&format!("/proc/{pid}/environ")).await?.unwrap_or_default();
    let given = Given::read(&command, &environment);
    let file = match given.get("config-file") {
        Some(path) => shell.read(path).await?,
        None => None,
    };
    let settings = match file {
        Some(text) => Settings::of_file(&String::from_utf8_lossy(&text)),
        None => Settings::of(&given),
    };
    Ok(Some(Member::Service(settings)))
}

/// Flags and environment of a process.
struct Given(HashMap<String, String>);

impl Given {
    fn read(command: &[u8], environment: &[u8]) -> Given {
        let words = |bytes: &[u8]| -> Vec<String> {
            let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
            words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
        };
        let mut given = HashMap::new();
        for variable in words(environment) {
            if let Some((name, value)) = variable.split_once('=')
                && let Some(name) = name.strip_prefix("ETCD_")
            {
                given.insert(name.to_ascii_lowercase().replace('_', "-"), value.to_string());
            }
        }
        let mut words = words(command).into_iter().skip(1).peekable();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix('-').map(|flag| flag.trim_start_matches('-')) else {
                continue;
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name.to_string(), Some(value.to_string())),
                None => (flag.to_string(), words.next_if(|next| !next.starts_with('-'))),
            };
            given.insert(name, value.unwrap_or_default());
        }
        Given(given)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// What a configuration file says.
#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    advertise_client_urls: String,
    client_transport_security: Security,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct Security {
    cert_file: String,
    key_file: String,
    trusted_ca_file: String,
}

impl Settings {
    fn of(given: &Given) -> Settings {
        let file = |name: &str| given.get(name).unwrap_or_default().to_string();
        Settings::new(
            given.get("advertise-client-urls").unwrap_or_default(),
            [file("trusted-ca-file"), file("cert-file"), file("key-file")],
        )
    }

    fn of_file(text: &str) -> Settings {
        let file: File = serde_saphyr::from_str(text).unwrap_or_default();
        let Security { cert_file, key_file, trusted_ca_file } = file.client_transport_security;
        Settings::new(&file.advertise_client_urls, [trusted_ca_file, cert_file, key_file])
    }

    fn new(urls: &str, files: [String; 3]) -> Settings {
        let first = urls.split(',').map(str::trim).find(|url| !url.is_empty());
        let endpoint = first.unwrap_or("http://localhost:2379").to_string();
        let files = Some(files).filter(|[_, cert, key]| !cert.is_empty() && !key.is_empty());
        Settings { endpoint, files }
    }
}

impl Member {
    /// Returns the command of one of its tools.
    pub(crate) fn tool(&self, tool: &str, args: &[&str]) -> Vec<String> {
        match self {
            Member::Pod(container) => {
                crictl::etcd(container, tool, args).into_iter().map(str::to_string).collect()
            }
            Member::Service(settings) => {
                let mut argv = vec![tool.to_string()];
                if tool == "etcdctl" {
                    argv.push(format!("--endpoints={}", settings.endpoint));
                    for (name, file) in
                        ["cacert", "cert", "key"].into_iter().zip(settings.files.iter().flatten())
                    {
                        if !file.is_empty() {
                            argv.push(format!("--{name}={file}"));
                        }
                    }
                }
                argv.extend(args.iter().map(|arg| (*arg).to_string()));
                argv
            }
        }
    }

    /// Returns the folder on its machine where the tools may leave a file.
    pub(crate) fn folder(&self) -> &'static str {
        match self {
            // A container sees only its data folder.
            Member::Pod(_) => "/var/lib/etcd",
            Member::Service(_) => FOLDER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scripted;
    use engine::port::Shells;

    const PS: &str = "crictl ps --name ^etcd$ -q";
    const PID: &str = "systemctl show etcd.service -p MainPID";

    fn beside() -> Node {
        Node { etcd: true, beside: true, ..Node::default() }
    }

    /// A host whose etcd was started so.
    fn host(command: &str, environment: &str) -> Scripted {
        Scripted::default()
            .says("e1", PID, "MainPID=731\n")
            .file("e1", "/proc/731/cmdline", &command.replace(' ', "\0"))
            .file("e1", "/proc/731/environ", &environment.replace(' ', "\0"))
    }

    async fn command(host: &Scripted, node: &Node) -> String {
        match find(&*host.on("e1"), Some(node)).await.unwrap() {
            Found::Member(member) => member.tool("etcdctl", &["member", "list"]).join(" "),
            other => format!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_service_is_asked_with_the_settings_that_it_was_started_with() {
        let plain = host("/usr/bin/etcd", "");
        let said = command(&plain, &beside()).await;
        assert_eq!(said, "etcdctl --endpoints=http://localhost:2379 member list");
        let env = "PATH=/bin ETCD_NAME=e1 ETCD_ADVERTISE_CLIENT_URLS=https://10.0.0.5:2379,https://e1:2379 \
                   ETCD_CERT_FILE=/pki/e1.crt ETCD_KEY_FILE=/pki/e1.key ETCD_TRUSTED_CA_FILE=/pki/ca.crt";
        let wanted = "etcdctl --endpoints=https://10.0.0.5:2379 --cacert=/pki/ca.crt --cert=/pki/e1.crt --key=/pki/e1.key member list";
        assert_eq!(command(&host("/usr/bin/etcd", env), &beside()).await, wanted);
        let flags = "/usr/local/bin/etcd --cert-file /pki/e1.crt --key-file=/pki/e1.key -trusted-ca-file=/pki/ca.crt \
                     --client-cert-auth --advertise-client-urls https://10.0.0.5:2379";
        let flags = host(&flags.replace("  ", " "), "ETCD_ADVERTISE_CLIENT_URLS=https://other:2379");
        assert_eq!(command(&flags, &beside()).await, wanted);
        let file = "name: e1\nadvertise-client-urls: https://10.0.0.5:2379\nclient-transport-security:\n  \
                    cert-file: /pki/e1.crt\n  key-file: /pki/e1.key\n  trusted-ca-file: /pki/ca.crt\n  client-cert-auth: true\n";
        let by_file = host("etcd --config-file=/etc/etcd.yml", "").file("e1", "/etc/etcd.yml", file);
        assert_eq!(command(&by_file, &beside()).await, wanted);
    }

    #[tokio::test]
    async fn beside_a_cluster_a_member_may_be_a_container_too_and_on_kubeadms_control_plane_nothing_else() {
        let pod = Scripted::default().says("e1", PID, "MainPID=0\n").says("e1", PS, "abc123\n");
        let said = command(&pod, &beside()).await;
        assert!(said.starts_with("crictl exec abc123 etcdctl --endpoints=https://127.0.0.1:2379 "), "{said}");
        let restarting = host("etcd", "").says("e1", PS, "");
        let built = Node { control_plane: true, etcd: true, ..Node::default() };
        let plane = Node { apiserver: "v1.34.2".parse().ok(), ..built.clone() };
        assert_eq!(command(&restarting, &plane).await, "Nothing");
        // Where no apiserver is a static pod, etcd is none either.
        assert!(command(&host("etcd", ""), &built).await.starts_with("etcdctl --endpoints=http"));
        // A host in a plain list, without a cluster and without a container runtime.
        let bare = Node { etcd: true, ..Node::default() };
        assert!(command(&host("etcd", ""), &bare).await.starts_with("etcdctl --endpoints=http"));
    }
}
