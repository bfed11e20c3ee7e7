//! What is done to a node that runs Windows: its kubeadm and its kubelet are files on the PATH, fetched from the page of releases, and the
//! kubelet is a service. Nothing is detached there, so each command may be begun again.
//!
//! ```text
//! where.exe $PATH:kubelet.exe -> C:\k\kubelet.exe
//! curl.exe C:\k\kubelet.kup.exe, Get-FileHash = what the release says, kubelet.kup.exe --version,
//! [IO.File]::Replace: kubelet.kup.exe takes the name, and what had it is kubelet.previous.exe
//! ```
//!
//! <https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/upgrading-windows-nodes/>

use dsl::value::{Value, Version};
use engine::action::{Context, Progress};
use engine::event::Failure;
use engine::port::{Command, Output};

use super::failure;
use super::host::Host;
use super::{argument, binary};

/// The service.
const KUBELET: &str = "kubelet";

/// A program of Kubernetes on a node, and the release that it shall be of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// Where it is.
    path: String,
    /// What it shall be.
    pub(super) version: Version,
    /// Where it is fetched from.
    pub(super) address: String,
}

impl Program {
    /// Returns a program as the step wants it: `FROM/v1.34.2/bin/windows/amd64/kubelet.exe`, with its hash beside it.
    /// <https://kubernetes.io/releases/download/>
    pub(super) async fn of(cx: &Context, host: &Host, name: &str) -> Result<Program, Failure> {
        let version = argument::version(cx, "version")?;
        let from = argument::text(cx, "from")?.trim_end_matches('/');
        if !from.split_once("://").is_some_and(|(scheme, _)| ["https", "http", "file"].contains(&scheme)) {
            // curl would take it for an option, or for a host of ours.
            return Err(Failure::last(format!("`{from}` is no address"))
                .with_hint("write it like https://mirror.example/release or file:///C:/kubernetes"));
        }
        let address = format!("{from}/{version}/bin/windows/{}/{name}.exe", binary::arch(host));
        Ok(Program { path: path_of(host, name).await?, version, address })
    }

    /// Returns the path of another file in its folder.
    pub(super) fn beside(&self, file: &str) -> String {
        let folder = self.path.rfind(['\\', '/']).map_or("", |at| &self.path[..=at]);
        format!("{folder}{file}")
    }

    fn named(&self, word: &str) -> String {
        format!("{}.{word}.exe", &self.path[..self.path.len() - ".exe".len()])
    }

    /// Returns the version that is there.
    pub(super) async fn installed(&self, host: &Host) -> Result<Version, Failure> {
        version_of(host, &self.path).await
    }

    /// Fetches it beside the one that is there, and holds that it is what its release says.
    pub(super) async fn fetch(&self, host: &Host) -> Result<(), Failure> {
        let part = self.named("kup");
        let get = |rest: &[&str]| {
            let words = ["curl.exe", "-fsSL", "--retry", "3"].into_iter().chain(rest.iter().copied());
            words.map(String::from).collect::<Vec<String>>()
        };
        host.ask(Command::change(get(&["--output", &part, &self.address]))).await?;
        let told = host.ask(Command::read(get(&[&format!("{}.sha256", self.address)]))).await?;
        let told = told.split_whitespace().next().unwrap_or("nothing").to_ascii_lowercase();
        let hash = Command::read(["Get-FileHash", "-Algorithm", "SHA256", "-LiteralPath", &part]);
        let hash = field(&host.ask(hash).await?, "Hash").to_ascii_lowercase();
        if told != hash {
            return Err(Failure::transient(format!(
                "{} is not what its release says: its hash is {hash}, and its list says {}",
                self.address,
                failure::printable(&told)
            )));
        }
        let says = version_of(host, &part).await?;
        match says == self.version {
            true => Ok(()),
            false => Err(Failure::last(format!("{} says that it is {says}", self.address))),
        }
    }

    /// Gives what was fetched the name, and keeps the one before.
    pub(super) async fn swap(&self, host: &Host) -> Result<(), Failure> {
        let words = ["[IO.File]::Replace", &self.named("kup"), &self.path, &self.named("previous")];
        host.ask(Command::change(words)).await.map(drop)
    }

    /// Holds that the one before is what was kept.
    pub(super) async fn kept(&self, host: &Host, old: &Version) -> Result<(), Failure> {
        let kept = self.named("previous");
        match version_of(host, &kept).await? == *old {
            true => Ok(()),
            false => Err(Failure::last(format!("{kept} is not {old}"))
                .with_hint(format!("put {old} into {} on {} by hand", self.path, host.name))),
        }
    }

    /// Gives the one before its name back.
    pub(super) async fn swap_back(&self, host: &Host) -> Result<(), Failure> {
        let words = ["[IO.File]::Replace", &self.named("previous"), &self.path, &self.named("kup")];
        host.ask(Command::change(words)).await.map(drop)
    }
}

/// Returns where a program is, which is first on the PATH: alone, `where` would look into the folder of the login before.
async fn path_of(host: &Host, name: &str) -> Result<String, Failure> {
    let file = format!("{name}.exe");
    let output = host.run(Command::read(["where.exe", &format!("$PATH:{file}")])).await?;
    let path = output.stdout.lines().map(str::trim).find(|path| path.to_ascii_lowercase().ends_with(&file));
    match path.filter(|_| output.ok()) {
        Some(path) => Ok(path.to_string()),
        None => Err(Failure::last(format!("{} has no {file} on its PATH", host.name)).with_hint(
            "add its folder, often C:\\k, to the PATH of the machine, and restart sshd there, which hands on its own",
        )),
    }
}

async fn version_of(host: &Host, path: &str) -> Result<Version, Failure> {
    let file = path.rsplit(['\\', '/']).next().unwrap_or_default().to_ascii_lowercase();
    let argv: &[&str] = match file.starts_with("kubeadm") {
        true => &[path, "version", "-o", "short"],
        false => &[path, "--version"],
    };
    let said = host.ask(Command::read(argv.iter().copied())).await?;
    let version = said.split_whitespace().last().and_then(|word| word.parse().ok());
    version.ok_or_else(|| {
        Failure::last(format!("`{}` names no version", argv.join(" "))).with_output(failure::tail(&said))
    })
}

/// Returns a value of what a cmdlet returns.
fn field(said: &str, name: &str) -> String {
    let fields = said.lines().filter_map(|line| line.split_once(" : "));
    fields
        .filter(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_string())
        .next()
        .unwrap_or_default()
}

/// Asks how the service is.
pub(super) fn ask_status() -> Command {
    Command::read(["Get-Service", "-Name", KUBELET])
}

/// Returns how the service is by such an answer: `Running`, `Stopped`, `StartPending`, ...
pub(super) fn said_status(output: &Output) -> String {
    failure::printable(&field(&output.stdout, "Status"))
}

/// Returns how the service is.
pub(super) async fn status(host: &Host) -> Result<String, Failure> {
    let stdout = host.ask(ask_status()).await?;
    Ok(said_status(&Output { stdout, ..Output::default() }))
}

/// Stops the service: a program that runs cannot be written over.
pub(super) async fn stop(host: &Host) -> Result<(), Failure> {
    host.ask(Command::change(["Stop-Service", "-Name", KUBELET])).await.map(drop)
}

/// Restarts the service, or starts it.
pub(super) async fn restart(host: &Host) -> Result<(), Failure> {
    host.ask(Command::change(["Restart-Service", "-Name", KUBELET])).await.map(drop)
}

/// Runs `kubeadm upgrade node`, which on a worker only writes the kubelet's configuration, and may be run again.
pub(super) async fn kubeadm_upgrade_node(host: &Host, target: &Version) -> Result<Progress, Failure> {
    let kubeadm = path_of(host, "kubeadm").await?;
    let found = version_of(host, &kubeadm).await?;
    if found.minor() != target.minor() || found.release() < target.release() {
        return Err(Failure::last(format!("kubeadm on {} is {found}, not {target}", host.name))
            .with_hint(format!("put `windows install kubeadm version={target}` before this step")));
    }
    let output = host.run(Command::change([kubeadm.as_str(), "upgrade", "node"])).await?;
    match output.ok() {
        true => Ok(Progress::Done(Value::None)),
        false => Err(failure::classify("kubeadm upgrade node", &output)),
    }
}

/// Holds that a node reaches what is to be fetched.
pub(super) async fn reaches(host: &Host, program: &Program) -> Result<(), Failure> {
    let look = ["curl.exe", "-fsSL", "--retry", "3", "--head", &program.address];
    let output = host.run(Command::read(look)).await?;
    if output.ok() {
        return Ok(());
    }
    let failure = failure::classify("curl.exe", &output);
    let message = format!("{} does not find {}", host.name, program.address);
    Err(Failure { message, ..failure }
        .with_hint("name a mirror with `from`; it may be a folder on each node: file:///C:/kubernetes"))
}
