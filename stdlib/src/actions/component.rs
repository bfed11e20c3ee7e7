//! The components of a self-built cluster: each is a binary that a unit of systemd runs on its node, and says there itself
//! how it is. What runs is what is installed when the process and the path are one file.

use dsl::value::Version;
use engine::action::Context;
use engine::event::Failure;
use engine::port::{Command, ShellError};

use super::binary::{self, Binary, exec_path, of_unit};
use super::host::{Host, is_away};
use super::{argument, failure};

/// A component that answers for itself: its name is that of its unit and of its binary.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Component {
    /// Its name.
    pub(super) name: &'static str,
    scheme: &'static str,
    /// The flag that may name another port, and the port without it.
    port: (&'static str, u16),
    path: &'static str,
}

const fn component(
    name: &'static str,
    scheme: &'static str,
    port: (&'static str, u16),
    path: &'static str,
) -> Component {
    Component { name, scheme, port, path }
}

/// <https://kubernetes.io/docs/reference/using-api/health-checks/>,
/// <https://kubernetes.io/docs/reference/networking/ports-and-protocols/>
const COMPONENTS: [Component; 4] = [
    component("kube-apiserver", "https", ("--secure-port=", 6443), "/readyz"),
    component("kube-controller-manager", "https", ("--secure-port=", 10257), "/healthz"),
    component("kube-scheduler", "https", ("--secure-port=", 10259), "/healthz"),
    component("kube-proxy", "http", ("--healthz-port=", 10256), "/healthz"),
];

/// What runs on a control plane beside what runs everywhere.
pub(super) const CONTROL_PLANE: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// What runs on every node.
pub(super) const EVERYWHERE: [&str; 2] = ["kubelet", "kube-proxy"];

/// A tool that no unit runs; it lies beside the others.
pub(super) const TOOL: &str = "kubectl";

/// Returns a component by its name.
pub(super) fn named(name: &str) -> Result<&'static Component, Failure> {
    COMPONENTS
        .iter()
        .find(|component| component.name == name)
        .ok_or_else(|| Failure::last(format!("`{name}` is no component")))
}

/// Returns the units that a host is to have.
pub(super) fn units(host: &Host) -> Vec<&'static str> {
    let control_plane = host.node.as_ref().is_some_and(|node| node.control_plane);
    let own: &[&str] = if control_plane { &CONTROL_PLANE } else { &[] };
    own.iter().chain(&EVERYWHERE).copied().collect()
}

/// Returns where a binary lies on a host.
pub(super) async fn path_of(host: &Host, name: &str) -> Result<String, Failure> {
    if name != TOOL {
        return of_unit(host, name, name).await;
    }
    let kubelet = of_unit(host, "kubelet", "kubelet").await?;
    Ok(format!("{}{TOOL}", kubelet.trim_end_matches("kubelet")))
}

/// Returns what a binary is to become, as the step says it: `FROM/v1.34.2/bin/linux/amd64/kubelet`, with its hash beside it.
/// <https://kubernetes.io/releases/download/>
pub(super) fn release(cx: &Context, host: &Host, name: &str, path: String) -> Result<Binary, Failure> {
    let version = argument::version(cx, "version")?;
    let from = argument::text(cx, "from")?.trim_end_matches('/');
    let hash = argument::text(cx, "hash")?;
    let address = format!("{from}/{version}/bin/linux/{}/{name}", binary::arch(host));
    Ok(Binary {
        path,
        hashes: format!("{address}.{hash}"),
        address,
        version,
        asset: name.to_string(),
        hasher: if hash == "sha512" { "sha512sum" } else { "sha256sum" },
    })
}

/// How a component is on its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// `active (running)`.
    pub(super) unit: String,
    /// How often systemd has begun it again.
    pub(super) restarts: u64,
    /// Whether its process runs the file that is installed.
    pub(super) current: bool,
    argv: String,
}

impl State {
    /// Returns whether systemd calls it active.
    pub(super) fn is_active(&self) -> bool {
        self.unit.starts_with("active")
    }
}

/// Looks at the unit of a component, and at what its process runs.
pub(super) async fn state(host: &Host, name: &str) -> Result<State, ShellError> {
    let wanted = "ActiveState,SubState,NRestarts,MainPID,ExecStart";
    let shown = host.shell.run(&Command::read(["systemctl", "show", name, "-p", wanted])).await?;
    let of = |name: &str| {
        let lines = shown.stdout.lines().filter_map(|line| line.split_once('='));
        lines.clone().find(|(key, _)| *key == name).map_or("", |(_, value)| value).to_string()
    };
    let (argv, pid) = (of("ExecStart"), of("MainPID"));
    let path = exec_path(&argv).unwrap_or_default();
    let mut current = false;
    if pid.parse::<u32>().is_ok_and(|pid| pid > 0) && !path.is_empty() {
        let process = format!("/proc/{pid}/exe");
        let files = Command::read(["stat", "-L", "-c", "%d:%i", &process, path]).as_root();
        let said = host.shell.run(&files).await?.stdout;
        let mut lines = said.lines();
        current = matches!((lines.next(), lines.next()), (Some(one), Some(other)) if one == other);
    }
    let unit = failure::printable(&format!("{} ({})", of("ActiveState"), of("SubState")));
    Ok(State { unit, restarts: of("NRestarts").parse().unwrap_or(0), current, argv })
}

/// Asks a component on its own host how it is; `None` where it is well.
pub(super) async fn unwell(host: &Host, component: &Component, state: &State) -> Option<String> {
    let Component { name, scheme, port: (flag, port), path } = component;
    let given = |flag: &str| {
        let words = state.argv.split("argv[]=").nth(1).unwrap_or_default().split_whitespace();
        words.rev().find_map(|word| word.strip_prefix(flag)).map(str::to_string)
    };
    let port = given(flag).unwrap_or_else(|| port.to_string());
    let address = match given("--bind-address=").as_deref() {
        None | Some("0.0.0.0" | "::") => "127.0.0.1".to_string(),
        Some(v6) if v6.contains(':') => format!("[{v6}]"),
        Some(own) => own.to_string(),
    };
    let url = format!("{scheme}://{address}:{port}{path}");
    // Its certificate is good for other names; it is asked on its own host.
    let ask = ["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "5", &url];
    match host.shell.run(&Command::read(ask)).await {
        // Who may not ask is refused by one that is up.
        Ok(output) if matches!(output.stdout.trim(), "200" | "401" | "403") => None,
        Ok(output) if output.stdout.trim() == "000" => {
            Some(format!("the {name} of {} does not answer at {url}", host.name))
        }
        Ok(output) => {
            let code = failure::printable(output.stdout.trim());
            Some(format!("the {name} of {} answers {code} at {url}", host.name))
        }
        Err(error) if is_away(&error) => Some(format!("waiting for {} to answer", host.name)),
        Err(error) => Some(error.to_string()),
    }
}

/// Returns the version of every unit's binary that is not the wanted one, or is not what runs.
pub(super) async fn others(host: Host, wanted: Version) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for name in units(&host) {
        let version = binary::version_of(&host, &path_of(&host, name).await?).await?;
        let state = state(&host, name).await.map_err(|error| failure::shell(&error))?;
        if version != wanted {
            found.push(format!("{name} of {} ({version})", host.name));
        } else if !state.current {
            found.push(format!("{name} of {} (an older one still runs)", host.name));
        }
    }
    Ok(found)
}
