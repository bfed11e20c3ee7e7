//! `etcd restore`: puts the data of a snapshot in the place of a stacked member's. All members must be
//! stopped and be restored from one file, with one token and one list of members, or they are not one
//! cluster. The old data stay beside the new ones. https://etcd.io/docs/v3.6/op-guide/recovery/
//!
//! All of it happens below the data folder, which may be a disk of its own and cannot be moved then. A member
//! uses `member` there alone, and only warns of other names (etcd v3.6, server/etcdmain/etcd.go,
//! `identifyDataDirOrDie`).
//!
//! ```text
//! kup-snapshot.db     -> kup-restored/member    by etcdutl, in the image of the member itself
//! member              -> member.kup-RUN         the old data, for the undo; only once the new ones are whole
//! kup-restored/member -> member
//! ```

use std::path::PathBuf;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::port::Command;

use super::detached::{self, Unit};
use super::host::{FOLDER, Host};
use super::seal::{self, ENDING};
use super::{argument, failure, static_pods};
use crate::release::numbers;

const MARK: &str = "/var/lib/kup/etcd-restored";
const WHAT: &str = "etcdutl snapshot restore";

/// Restores a member.
pub(super) struct EtcdRestore;

/// A member as its manifest has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Peer {
    name: String,
    url: String,
    data: String,
    image: String,
}

#[async_trait]
impl Action for EtcdRestore {
    fn name(&self) -> &'static str {
        "etcd restore"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let host = Host::of(cx)?;
        let path = snapshot(cx).await?;
        let sealed = path.to_string_lossy().ends_with(ENDING);
        if sealed && !matches!(cx.args.get("key"), Some(Value::Secret(_))) {
            return Err(no_key(&path));
        }
        if host.read(MARK).await?.is_some_and(|run| run.trim() == &*cx.run) {
            return Ok(Check::Done(format!("restored from {}", path.display())));
        }
        let own = Peer::of(&host).await?;
        let then = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Check::Needs { now: String::new(), then, before: Value::Text(own.data) })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        // After a crash the tool may still be at work.
        if let Some(handle) = detached::find(cx, &host).await? {
            return Ok(detached::pending(&handle, &host, WHAT, &Unit::Runs(String::new())));
        }
        let peers = peers(cx).await?;
        let own = Peer::of(&host).await?;
        let file = copy(&own.data);
        bring(cx, &host, &file).await?;
        // What an attempt has left is half a restore.
        host.ask(Command::change(["rm", "-rf", &restored(&own.data)])).await?;
        let argv = own.restore(&host, &peers, &file, cx).await?;
        let handle = detached::begin(cx, &host, &Command::change(argv)).await?;
        Ok(detached::pending(&handle, &host, WHAT, &Unit::Runs(String::new())))
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let unit = detached::look(cx, &host, handle, WHAT).await?;
        let Unit::Ended(output) = unit else { return Ok(detached::pending(handle, &host, WHAT, &unit)) };
        if !output.ok() {
            return Err(failure::classify(WHAT, &output));
        }
        let data = Peer::of(&host).await?.data;
        exchange(cx, &host, &data).await?;
        host.ask(Command::change(["mkdir", "-p", "-m", "0700", FOLDER])).await?;
        host.write(MARK, &format!("{}\n", cx.run), 0o600).await?;
        host.ask(Command::change(["rm", "-rf", &restored(&data), &copy(&data)])).await?;
        Ok(Progress::Done(Value::Text(format!("the old data are in {}", aside(cx, &data)))))
    }

    async fn clean(&self, cx: &Context) {
        detached::clean(cx).await;
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        let host = Host::of(cx)?;
        let Some(data) = before.as_text() else { return Ok(()) };
        static_pods::hold_stopped(&host, &["etcd"]).await?;
        let (member, aside) = (member(data), aside(cx, data));
        if exists(&host, &aside).await? {
            if exists(&host, &member).await? {
                // Whoever took it back may want to look at it.
                host.ask(Command::change(["mv", "-T", &member, &format!("{aside}-restored")])).await?;
            }
            host.ask(Command::change(["mv", "-T", &aside, &member])).await?;
        }
        host.ask(Command::change(["rm", "-rf", MARK, &restored(data), &copy(data)])).await.map(drop)
    }
}

/// Returns where a member has its data.
fn member(data: &str) -> String {
    format!("{data}/member")
}

/// Returns where a run puts the old data.
fn aside(cx: &Context, data: &str) -> String {
    format!("{data}/member.kup-{}", cx.run)
}

/// Returns the folder that the tool fills: it wants an empty one.
fn restored(data: &str) -> String {
    format!("{data}/kup-restored")
}

/// Returns where the snapshot lies on the node.
fn copy(data: &str) -> String {
    format!("{data}/kup-snapshot.db")
}

/// Puts the old data aside and the restored ones in their place; goes on where a crash has broken it off.
async fn exchange(cx: &Context, host: &Host, data: &str) -> Result<(), Failure> {
    let (member, aside, new) = (member(data), aside(cx, data), member(&restored(data)));
    if !exists(host, &new).await? {
        return Ok(());
    }
    if exists(host, &member).await? {
        let away = match exists(host, &aside).await? {
            // An attempt has put the old data aside: these are what it restored.
            true => Command::change(["rm", "-rf", &member]),
            false => Command::change(["mv", "-T", &member, &aside]),
        };
        host.ask(away).await?;
    }
    host.ask(Command::change(["mv", "-T", &new, &member])).await.map(drop)
}

async fn exists(host: &Host, path: &str) -> Result<bool, Failure> {
    Ok(host.run(Command::read(["test", "-e", path]).as_root()).await?.ok())
}

/// Finds the snapshot on this machine, and holds it against the hash that `etcd snapshot` wrote beside it.
async fn snapshot(cx: &Context) -> Result<PathBuf, Failure> {
    let path = argument::path(cx, "from")?;
    let here = Host::here(cx);
    let shown = path.display().to_string();
    let sum =
        |said: &str| said.split_whitespace().next().unwrap_or_default().trim_start_matches('\\').to_string();
    let output = here.run(Command::read(["sha256sum", &shown])).await?;
    if !output.ok() {
        return Err(Failure::last(format!("there is no snapshot {shown}"))
            .with_output(failure::tail(&output.stderr))
            .with_hint("name the file that `etcd snapshot` or `etcd backup` gave back"));
    }
    let found = sum(&output.stdout);
    match here.read(&format!("{shown}.sha256")).await? {
        Some(line) if sum(&line) != found => Err(Failure::last(format!(
            "{shown} is not what was saved: its hash is not that of {shown}.sha256"
        ))
        .with_hint("take another snapshot; this one is damaged")),
        Some(_) | None => Ok(path),
    }
}

/// Copies the snapshot to a node, unless it is there; opened, if it is sealed.
async fn bring(cx: &Context, host: &Host, file: &str) -> Result<(), Failure> {
    let path = snapshot(cx).await?;
    let shown = path.display().to_string();
    let here = cx.ports.shells.here().read(&shown).await.map_err(|error| failure::shell(&error))?;
    let mut content = here.ok_or_else(|| Failure::last(format!("there is no snapshot {shown}")))?;
    if seal::is_sealed(&content) {
        let keys = argument::secret(cx, "key").await?.ok_or_else(|| no_key(&path))?;
        content = seal::open(&content, &keys).map_err(|why| {
            Failure::last(format!("`key` does not open {shown}: {why}"))
                .with_hint("give the secret key to one of the public ones that it was encrypted to")
        })?;
    }
    let hash = seal::hash(&content);
    let there = host.run(Command::read(["sha256sum", file]).as_root()).await?;
    if there.ok() && there.stdout.starts_with(&hash) {
        return Ok(());
    }
    host.shell.write(file, &content, 0o600).await.map_err(|error| failure::shell(&error))?;
    let copied = host.ask(Command::read(["sha256sum", file]).as_root()).await?;
    match copied.starts_with(&hash) {
        true => Ok(()),
        false => Err(Failure::transient(format!("{file} on {} is not what was sent", host.name))),
    }
}

/// Says how a sealed snapshot is opened.
fn no_key(path: &std::path::Path) -> Failure {
    let shown = path.display().to_string();
    let plain = shown.trim_end_matches(ENDING);
    Failure::last(format!("{shown} is encrypted")).with_hint(format!(
        "give the step its secret key, `key=file(\"key.txt\")`, or open it yourself: age --decrypt -i key.txt -o {plain} {shown}"
    ))
}

/// Reads who the members are, and holds that none of them runs, nor an apiserver: that would write into
/// the new cluster.
async fn peers(cx: &Context) -> Result<Vec<Peer>, Failure> {
    let mut peers = Vec::new();
    for node in cx.inventory.nodes.values().filter(|node| node.etcd) {
        let host = Host::named(cx, node);
        static_pods::hold_stopped(&host, &["kube-apiserver", "etcd"]).await?;
        peers.push(Peer::of(&host).await?);
    }
    Ok(peers)
}

impl Peer {
    async fn of(host: &Host) -> Result<Peer, Failure> {
        let text = static_pods::manifest(host, "etcd").await?;
        Peer::read(&text).ok_or_else(|| {
            Failure::last(format!("the manifest of etcd on {} does not say who its member is", host.name))
                .with_hint("kup restores members that kubeadm set up")
        })
    }

    /// Reads kubeadm's manifest, which has a flag a line.
    fn read(text: &str) -> Option<Peer> {
        let flag = |name: &str| {
            let lines = text.lines().map(|line| line.trim().trim_start_matches("- ").trim_matches('"'));
            lines.filter_map(|line| line.strip_prefix("--")?.strip_prefix(name)?.strip_prefix('=')).next()
        };
        let image =
            text.lines().find_map(|line| line.trim().trim_start_matches("- ").strip_prefix("image: "))?;
        Some(Peer {
            name: flag("name")?.to_string(),
            url: flag("initial-advertise-peer-urls")?.to_string(),
            data: flag("data-dir")?.trim_end_matches('/').to_string(),
            image: image.trim().to_string(),
        })
    }

    /// Returns the command that restores this member: by the tool in its own image, or else by that of the
    /// host.
    async fn restore(
        &self,
        host: &Host,
        peers: &[Peer],
        file: &str,
        cx: &Context,
    ) -> Result<Vec<String>, Failure> {
        let members: Vec<String> = peers.iter().map(|peer| format!("{}={}", peer.name, peer.url)).collect();
        let mut argv: Vec<String> = self.tool(host, cx).await?;
        let into = restored(&self.data);
        argv.extend(["etcdutl", "snapshot", "restore", file, "--data-dir", &into].map(str::to_string));
        argv.extend(["--name", &self.name, "--initial-advertise-peer-urls", &self.url].map(str::to_string));
        argv.extend(["--initial-cluster", &members.join(",")].map(str::to_string));
        argv.extend(["--initial-cluster-token", &format!("kup-{}", cx.run)].map(str::to_string));
        if bumps(&self.image) {
            // Controllers and kubelets remember revisions: none may come again.
            argv.extend(["--bump-revision", "1000000000", "--mark-compacted"].map(str::to_string));
        }
        Ok(argv)
    }

    /// Returns what goes before `etcdutl`: containerd's own client runs it in the image of the member, with
    /// its data folder; without it the host must have the tool.
    async fn tool(&self, host: &Host, cx: &Context) -> Result<Vec<String>, Failure> {
        let list = ["ctr", "-n", "k8s.io", "images", "ls", "-q", &format!("name=={}", self.image)];
        let images = host.run(Command::read(list).as_root()).await?;
        if images.ok() && !images.stdout.trim().is_empty() {
            let mount = format!("type=bind,src={0},dst={0},options=rbind:rw", self.data);
            let id = format!("kup-restore-{}-{}", cx.run, cx.attempt);
            let run = ["ctr", "-n", "k8s.io", "run", "--rm", "--mount", &mount, &self.image, &id];
            return Ok(run.map(str::to_string).into());
        }
        let own = host.run(Command::read(["etcdutl", "version"])).await?;
        if own.ok() {
            return Ok(Vec::new());
        }
        Err(Failure::last(format!("{} has no tool that restores a snapshot", host.name))
            .with_output(failure::tail(&failure::said(&images)))
            .with_hint(format!("pull {} there, or install etcdutl of its minor", self.image)))
    }
}

/// Returns whether the tool of an image can raise the revision: since 3.5.10, and in all of 3.6.
fn bumps(image: &str) -> bool {
    numbers(image.rsplit(':').next().unwrap_or_default()).as_slice() >= [3, 5, 10].as_slice()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, perform};
    use super::*;
    use std::sync::Arc;

    const MANIFEST: &str = "spec:\n  containers:\n  - command:\n    - etcd\n    - --data-dir=/var/lib/etcd\n    - --initial-advertise-peer-urls=https://10.0.0.1:2380\n    - --name=n1\n    image: registry.k8s.io/etcd:3.5.24-0\n";
    const HASH: &str = "16a0eeb0791b6c92451fd284dd9f599e0a7dbe7f6ebea6e2d2d06c7f74aec112";
    const RESTORE: &str = "ctr -n k8s.io run --rm --mount type=bind,src=/var/lib/etcd,dst=/var/lib/etcd,options=rbind:rw registry.k8s.io/etcd:3.5.24-0 kup-restore-r1-1 etcdutl snapshot restore /var/lib/etcd/kup-snapshot.db --data-dir /var/lib/etcd/kup-restored --name n1 --initial-advertise-peer-urls https://10.0.0.1:2380 --initial-cluster n1=https://10.0.0.1:2380 --initial-cluster-token kup-r1 --bump-revision 1000000000 --mark-compacted";

    fn step(bench: &Bench) -> Context {
        let mut cx = bench.step(&[("from", Value::Path("./s.db".into()))]);
        let mut inventory = (*cx.inventory).clone();
        inventory.nodes[0].etcd = true;
        cx.inventory = Arc::new(inventory);
        cx
    }

    fn node() -> Bench {
        Bench::default()
            .file("/etc/kubernetes/kup-stopped/etcd.yaml", MANIFEST)
            .file("/playbooks/s.db", "snapshot")
            .says("sha256sum /playbooks/s.db", &format!("{HASH}  s.db\n"))
            .says("sha256sum /var/lib/etcd/kup-snapshot.db", &format!("{HASH}  x\n"))
            .says("ls -A /etc/kubernetes/manifests", "")
            .says("crictl ps --name ^kube-apiserver$ -q", "")
            .says("test -e /var/lib/etcd/kup-restored/member", "")
            .says("test -e /var/lib/etcd/member", "")
            .says("mv -T /var/lib/etcd/member /var/lib/etcd/member.kup-r1", "")
            .says("mv -T /var/lib/etcd/kup-restored/member /var/lib/etcd/member", "")
            .says(
                "ctr -n k8s.io images ls -q name==registry.k8s.io/etcd:3.5.24-0",
                "registry.k8s.io/etcd:3.5.24-0\n",
            )
    }

    #[tokio::test]
    async fn a_member_is_restored_by_the_tool_in_its_own_image_and_its_old_data_are_kept() {
        let bench = node().says("crictl ps --name ^etcd$ -q", "");
        let cx = step(&bench);
        let show = "systemctl show kup-r1-a2906e1d50-1.service -p LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus";
        let bench = bench.says(show, "LoadState=not-found\n").says(
            show,
            "LoadState=loaded\nActiveState=active\nSubState=exited\nResult=success\nExecMainCode=1\nExecMainStatus=0\n",
        );
        let said = perform(&EtcdRestore, &cx).await.unwrap();
        assert_eq!(said.as_text(), Some("the old data are in /var/lib/etcd/member.kup-r1"));
        let sent = bench.sent();
        assert!(sent.contains(RESTORE), "{sent}");
        let at = |what: &str| sent.find(what).unwrap_or_else(|| panic!("{what}\n{sent}"));
        assert!(at("systemd-run") < at("mv -T /var/lib/etcd/member /var/lib/etcd/member.kup-r1"), "{sent}");
        let put = "mv -T /var/lib/etcd/kup-restored/member /var/lib/etcd/member";
        assert!(at("member.kup-r1") < at(put), "{sent}");
        assert_eq!(bench.content(MARK).as_deref(), Some("r1\n"));
        assert!(matches!(EtcdRestore.check(&cx).await, Ok(Check::Done(_))));
    }

    #[tokio::test]
    async fn while_a_member_or_an_apiserver_runs_nothing_is_touched() {
        let bench = node().says("crictl ps --name ^etcd$ -q", "abc\n");
        let cx = step(&bench);
        let bench = bench.says("systemctl show kup-r1-a2906e1d50-1.service -p LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus", "LoadState=not-found\n");
        let failure = perform(&EtcdRestore, &cx).await.unwrap_err();
        assert_eq!(failure.message, "etcd still runs on n1");
        assert!(!bench.sent().contains("mv "));
    }

    #[tokio::test]
    async fn a_sealed_snapshot_is_opened_by_its_key_alone_and_who_has_none_is_told_what_to_do() {
        use age::secrecy::ExposeSecret;
        let key = age::x25519::Identity::generate();
        let sealed = age::encrypt(&key.to_public(), b"snapshot").unwrap();
        assert_eq!(seal::open(&sealed, key.to_string().expose_secret()).unwrap(), b"snapshot");
        let bench = node().says("sha256sum /playbooks/s.db.age", &format!("{HASH}  s\n")).beside(node());
        let from = ("from", Value::Path("./s.db.age".into()));
        let failure = EtcdRestore.check(&bench.step(&[from])).await.unwrap_err();
        assert_eq!(failure.message, "/playbooks/s.db.age is encrypted");
        assert!(
            failure.hint.ends_with("age --decrypt -i key.txt -o /playbooks/s.db /playbooks/s.db.age"),
            "{}",
            failure.hint
        );
    }

    #[tokio::test]
    async fn a_damaged_snapshot_is_told_before_anything_is_done() {
        let bench = node().file("/playbooks/s.db.sha256", &format!("{}  s.db\n", HASH.replace('e', "f")));
        let failure = EtcdRestore.check(&step(&bench)).await.unwrap_err();
        assert!(failure.message.contains("is not what was saved"), "{}", failure.message);
    }

    #[test]
    fn revisions_are_raised_where_the_tool_can() {
        for (image, can) in [
            ("r/etcd:3.5.9-0", false),
            ("r/etcd:3.5.10-0", true),
            ("r/etcd:3.6.5-0", true),
            ("r/etcd:v3.7.0", true),
        ] {
            assert_eq!(bumps(image), can, "{image}");
        }
    }
}
