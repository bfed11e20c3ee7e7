//! `etcd snapshot`: saves etcd, verifies the file, copies it off the node and holds the copy's hash
//! against the original's. A cluster with an alarm, a learner or a sick member is not saved: what
//! follows a snapshot is an upgrade.

use std::path::PathBuf;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::port::Command;
use indexmap::IndexMap;
use serde::Deserialize;

use super::etcd::{Etcd, Well};
use super::host::Host;
use super::seal::{ENDING, For};
use super::{argument, failure};
use crate::etcd::Member;

/// Saves a snapshot.
pub(super) struct EtcdSnapshot;

#[async_trait]
impl Action for EtcdSnapshot {
    fn name(&self) -> &'static str {
        "etcd snapshot"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let into = place(cx, For::of(cx)?.as_ref())?;
        let here = Host::here(cx);
        let path = into.display().to_string();
        if is_copied(&here, &path).await? {
            return Ok(Check::Done(format!("{path} is verified")));
        }
        Ok(Check::Needs { now: String::new(), then: path, before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let etcd = Etcd::on(&host).await?;
        let well = etcd.healthy().await?;
        // The file stands on the node until it is copied.
        let folder = etcd.member.folder();
        let file = format!("{folder}/kup-{}.db", cx.run);
        let saved = save(cx, &etcd, &file, &well).await;
        // Whatever came of it, the folder is left as it was; a broken save leaves `.part`.
        let left = ["rm", "-rf", &file, &format!("{file}.part"), &scratch(&file)];
        let removed = host.run(Command::change(left)).await;
        if let Err(failure) = removed {
            tracing::warn!(host = host.name, file, failure.message, "a snapshot is left on the node");
        }
        saved.map(Progress::Done)
    }
}

async fn save(cx: &Context, etcd: &Etcd<'_>, file: &str, well: &Well) -> Result<Value, Failure> {
    let host = etcd.host;
    if let Member::Service(_) = etcd.member {
        host.ask(Command::change(["mkdir", "-p", "-m", "0700", etcd.member.folder()])).await?;
    }
    etcd.change("etcdctl", &["snapshot", "save", file]).await?;
    let tool = etcd.snapshots(&well.version).await?;
    let status = status(etcd, tool, file).await?;
    if status.total_key == 0 || status.revision < well.revision {
        return Err(Failure::last(format!(
            "the snapshot has {} keys at revision {}; etcd was at {} before",
            status.total_key, status.revision, well.revision
        ))
        .with_hint("do not go on without a good snapshot; look at the etcd member of this node"));
    }
    let tested = cx.args.get("tested") == Some(&Value::Bool(true));
    if tested {
        test(etcd, tool, file, &status).await?;
    }
    let Copied { path, sha256, size } = copy(cx, host, file, For::of(cx)?).await?;
    let number = |n: u64| Value::Number(i64::try_from(n).unwrap_or(i64::MAX));
    Ok(Value::Record(IndexMap::from([
        ("path".to_string(), Value::Text(path)),
        ("sha256".to_string(), Value::Text(sha256)),
        ("revision".to_string(), number(status.revision)),
        ("keys".to_string(), number(status.total_key)),
        ("size".to_string(), Value::Size(size)),
        ("tested".to_string(), Value::Bool(tested)),
    ])))
}

async fn status(etcd: &Etcd<'_>, tool: &str, file: &str) -> Result<Status, Failure> {
    etcd.json(tool, &["snapshot", "status", file, "-w", "json"]).await
}

/// What a member writes ahead of its data: a file of 64 MB from the start, and the next one beside it
/// (etcd v3.6, server/storage/wal/wal.go, `SegmentSizeBytes`, and file_pipeline.go).
const LOG: u64 = 2 * 64_000_000;

/// Returns the folder in which a snapshot is restored to try it.
fn scratch(file: &str) -> String {
    format!("{}-tested", file.trim_end_matches(".db"))
}

/// Restores the snapshot beside the member, and holds what comes of it against it. The member itself is not touched, and keeps
/// enough room to go on: a disk that runs full would be the end of the only good copy.
async fn test(etcd: &Etcd<'_>, tool: &str, file: &str, saved: &Status) -> Result<(), Failure> {
    let (host, folder) = (etcd.host, scratch(file));
    let needs = saved.total_size + LOG;
    let free = host.ask(Command::read(["df", "--output=avail", "-B1", etcd.member.folder()])).await?;
    let free: u64 = free.lines().last().and_then(|line| line.trim().parse().ok()).unwrap_or_default();
    // As much again stays free, so that the member does not feel it.
    if free < 2 * needs {
        return Err(Failure::last(format!(
            "{} on {} has {} free, and to restore the snapshot there takes {}; twice that must be free",
            etcd.member.folder(),
            host.name,
            Value::Size(free),
            Value::Size(needs)
        ))
        .with_hint("make room there, or save it without trying it: tested=false"));
    }
    // What an attempt has left is half a restore, and the tool wants a folder that is not there.
    host.ask(Command::change(["rm", "-rf", &folder])).await?;
    etcd.change(tool, &["snapshot", "restore", file, "--data-dir", &folder]).await?;
    let restored = status(etcd, tool, &format!("{folder}/member/snap/db")).await?;
    host.ask(Command::change(["rm", "-rf", &folder])).await?;
    if restored.revision == saved.revision && restored.total_key > 0 {
        return Ok(());
    }
    Err(Failure::last(format!(
        "the snapshot was restored to try it, and holds {} keys at revision {} then, not {} at {}",
        restored.total_key, restored.revision, saved.total_key, saved.revision
    ))
    .with_hint("do not go on without a good snapshot; look at the etcd member of this node"))
}

/// A snapshot on this machine.
pub(super) struct Copied {
    pub(super) path: String,
    pub(super) sha256: String,
    pub(super) size: u64,
}

/// Copies a file off its node to where the run's snapshot stands, sealed if somebody is to have it alone, and holds what was read
/// against the original's hash.
pub(super) async fn copy(
    cx: &Context,
    host: &Host,
    file: &str,
    seal: Option<For>,
) -> Result<Copied, Failure> {
    let origin = hash(host, file).await?;
    let here = Host::here(cx);
    let into = place(cx, seal.as_ref())?;
    if let Some(folder) = into.parent() {
        here.ask(unprivileged(["mkdir".to_string(), "-p".to_string(), folder.display().to_string()])).await?;
    }
    let size = match &seal {
        None => host.shell.fetch(file, &into).await,
        Some(seal) => host.shell.fetch_sealed(file, &into, seal).await,
    };
    let size = size.map_err(|error| failure::shell(&error))?;
    let path = into.display().to_string();
    let sha256 = hash(&here, &path).await?;
    let read = match &seal {
        None => sha256.clone(),
        Some(seal) => seal.hash().unwrap_or_default(),
    };
    if read != origin {
        return Err(Failure::transient(format!(
            "{path} is not what {} sent: its hash is {read}, not {origin}",
            host.name
        )));
    }
    // What `sha256sum -c` reads. It is written last: a snapshot with it is a verified one.
    let name = into.file_name().map_or_else(|| path.clone(), |name| name.to_string_lossy().into_owned());
    here.write(&format!("{path}.sha256"), &format!("{sha256}  {name}\n"), 0o600).await?;
    Ok(Copied { path, sha256, size })
}

/// Returns where the snapshot of this step stands on this machine, sealed or not.
fn place(cx: &Context, seal: Option<&For>) -> Result<PathBuf, Failure> {
    let mut path = target(cx)?.into_os_string();
    path.push(if seal.is_some() { ENDING } else { "" });
    Ok(path.into())
}

/// Returns whether a verified snapshot stands at a path of this machine.
pub(super) async fn is_copied(here: &Host, path: &str) -> Result<bool, Failure> {
    let Some(line) = here.read(&format!("{path}.sha256")).await? else { return Ok(false) };
    let Some(known) = line.split_whitespace().next() else { return Ok(false) };
    Ok(hash(here, path).await.is_ok_and(|found| found == known))
}

/// Returns where the snapshot of this step stands on this machine. The step is part of the name: where a run saves before each
/// hop, an older snapshot must not be taken for the one that is wanted.
pub(super) fn target(cx: &Context) -> Result<PathBuf, Failure> {
    let host = Host::of(cx)?;
    let cluster = if cx.inventory.cluster.is_empty() { "hosts" } else { &cx.inventory.cluster };
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' };
    let step: String = cx.key.chars().map(plain).collect();
    let file = format!("{cluster}-{}-{}-{step}.db", cx.run, host.name);
    Ok(argument::path(cx, "into")?.join(file))
}

/// Returns the SHA-256 of a file, by the machine's own tool.
async fn hash(host: &Host, path: &str) -> Result<String, Failure> {
    let mut command = Command::read(["sha256sum", path]);
    command.root = !host.is_local();
    let said = host.ask(command).await?;
    let hash = said.split_whitespace().next().unwrap_or_default().trim_start_matches('\\');
    if hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(hash.to_string());
    }
    Err(Failure::last(format!("`sha256sum {path}` printed no hash")).with_output(failure::tail(&said)))
}

/// A command on this machine, as the user who runs kup.
pub(super) fn unprivileged(argv: [String; 3]) -> Command {
    Command { root: false, ..Command::change(argv) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    revision: u64,
    #[serde(default)]
    total_key: u64,
    #[serde(default)]
    total_size: u64,
}

#[cfg(test)]
mod tests {
    use engine::event::Class;

    use super::super::testing::{Bench, perform};
    use super::*;

    const CTL: &str = "crictl exec abc123 etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key";
    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const COPY: &str = "/playbooks/snapshots/c0ffee-r1-n1-workers-n1-step.db";
    const FILE: &str = "/var/lib/etcd/kup-r1.db";

    /// Scripts; what is scripted before this counts instead of it.
    fn member(bench: Bench, alarms: &str, learner: bool, healthy: bool) -> Bench {
        let members =
            format!(r#"{{"members":[{{"ID":1,"name":"n1"}},{{"ID":2,"name":"n2","isLearner":{learner}}}]}}"#);
        let health = format!(
            r#"[{{"endpoint":"https://10.0.0.2:2379","health":{healthy},"took":"9ms","error":"context deadline exceeded"}}]"#
        );
        bench
            .says("crictl ps --name ^etcd$ -q", "abc123\n")
            .says(&format!("{CTL} alarm list -w json"), alarms)
            .says(&format!("{CTL} member list -w json"), &members)
            .ends(&format!("{CTL} endpoint health --cluster -w json"), i32::from(!healthy), &health, "")
            .says(&format!("{CTL} endpoint status --cluster -w json"), r#"[{"Endpoint":"x","Status":{"header":{"revision":90}}},{"Endpoint":"y","Status":{"header":{"revision":91}}}]"#)
            .says(&format!("{CTL} snapshot save {FILE}"), "Snapshot saved\n")
            .says(&format!("crictl exec abc123 etcdutl snapshot status {FILE} -w json"), r#"{"hash":1,"revision":92,"totalKey":7,"totalSize":4096,"version":"3.5.24"}"#)
            .says(&format!("sha256sum {FILE}"), &format!("{HASH}  {FILE}\n"))
            .file(FILE, "snapshot")
    }

    const CHECK: &str = "crictl exec abc123 etcdutl snapshot";
    const TESTED: &str = "/var/lib/etcd/kup-r1-tested";

    /// A member whose snapshot can be restored, to what `status` says then.
    fn restorable(bench: Bench, free: &str, status: &str) -> Bench {
        member(bench, "{}", false, true)
            .says("df --output=avail -B1 /var/lib/etcd", &format!("     Avail\n{free}\n"))
            .says(&format!("{CHECK} restore {FILE} --data-dir {TESTED}"), "")
            .says(&format!("{CHECK} status {TESTED}/member/snap/db -w json"), status)
            .says(&format!("sha256sum {COPY}"), &format!("{HASH}  {COPY}\n"))
    }

    fn tested() -> (&'static str, Value) {
        ("tested", Value::Bool(true))
    }

    #[tokio::test]
    async fn a_snapshot_is_restored_on_the_side_before_it_is_relied_on() {
        let bench = restorable(Bench::default(), "300000000", r#"{"revision":92,"totalKey":6}"#);
        let value = perform(&EtcdSnapshot, &bench.step(&[into(), tested()])).await.unwrap();
        assert_eq!(value.get("tested"), Some(&Value::Bool(true)));
        let sent = bench.sent();
        let lines: Vec<&str> = sent.lines().skip_while(|line| !line.starts_with("df ")).take(5).collect();
        assert_eq!(
            lines,
            [
                "df --output=avail -B1 /var/lib/etcd",
                &format!("rm -rf {TESTED}"),
                &format!("{CHECK} restore {FILE} --data-dir {TESTED}"),
                &format!("{CHECK} status {TESTED}/member/snap/db -w json"),
                &format!("rm -rf {TESTED}"),
            ]
        );
    }

    #[tokio::test]
    async fn a_snapshot_that_comes_back_otherwise_is_none_and_the_members_disk_is_not_filled_to_try_it() {
        let other = restorable(Bench::default(), "300000000", r#"{"revision":91,"totalKey":6}"#);
        let failure = perform(&EtcdSnapshot, &other.step(&[into(), tested()])).await.unwrap_err();
        assert_eq!(
            failure.message,
            "the snapshot was restored to try it, and holds 6 keys at revision 91 then, not 7 at 92"
        );
        let sent = other.sent();
        assert!(sent.ends_with(&format!("rm -rf {FILE} {FILE}.part {TESTED}\n")), "{sent}");
        assert!(!sent.contains("fetch"));
        let full = restorable(Bench::default(), "200000000", r#"{"revision":92,"totalKey":6}"#);
        let failure = perform(&EtcdSnapshot, &full.step(&[into(), tested()])).await.unwrap_err();
        assert!(failure.hint.ends_with("tested=false"), "{failure:?}");
        assert!(!full.sent().contains("snapshot restore"));
    }

    #[tokio::test]
    async fn a_sealed_snapshot_is_held_against_the_original_and_its_own_hash_stands_beside_it() {
        let key = age::x25519::Identity::generate().to_public().to_string();
        let to = ("encrypt_to", Value::List(vec![Value::Text(key)]));
        let of_it = "16c3b6be5db7ea6a4cb1b9ee5d2df3a0e6ad2ad9a5ea0b1fe2ac5ae1c46e0f4f";
        let bench = member(
            Bench::default().says(
                &format!("sha256sum {FILE}"),
                &format!("{}  x\n", super::super::seal::hash(b"snapshot")),
            ),
            "{}",
            false,
            true,
        )
        .says(&format!("sha256sum {COPY}.age"), &format!("{of_it}  x\n"));
        let cx = bench.step(&[into(), to.clone()]);
        let value = perform(&EtcdSnapshot, &cx).await.unwrap();
        assert_eq!(value.get("path").and_then(Value::as_text), Some(&*format!("{COPY}.age")));
        assert_eq!(value.get("sha256").and_then(Value::as_text), Some(of_it));
        assert!(bench.content(&format!("{COPY}.age.sha256")).unwrap().starts_with(of_it));
        assert!(matches!(EtcdSnapshot.check(&cx).await, Ok(Check::Done(_))));
        // The original has another hash than what was read: it was damaged on its way.
        let bench = member(Bench::default(), "{}", false, true)
            .says(&format!("sha256sum {COPY}.age"), &format!("{of_it}  x\n"));
        let failure = perform(&EtcdSnapshot, &bench.step(&[into(), to])).await.unwrap_err();
        assert_eq!(failure.class, Class::Transient);
    }

    fn into() -> (&'static str, Value) {
        ("into", Value::Path("./snapshots".into()))
    }

    #[tokio::test]
    async fn a_snapshot_is_verified_on_the_node_and_again_off_it() {
        let bench = member(Bench::default(), "{}", false, true)
            .says(&format!("sha256sum {COPY}"), &format!("{HASH}  {COPY}\n"));
        let cx = bench.step(&[into()]);
        let value = perform(&EtcdSnapshot, &cx).await.unwrap();
        assert_eq!(value.get("revision"), Some(&Value::Number(92)));
        assert_eq!(
            bench.content(&format!("{COPY}.sha256")).unwrap(),
            format!("{HASH}  c0ffee-r1-n1-workers-n1-step.db\n")
        );
        let sent = bench.sent().replace(CTL, "CTL");
        expect_test::expect![[r#"
            crictl ps --name ^etcd$ -q
            CTL alarm list -w json
            CTL member list -w json
            CTL endpoint health --cluster -w json
            CTL endpoint status --cluster -w json
            CTL snapshot save /var/lib/etcd/kup-r1.db
            crictl exec abc123 etcdutl snapshot status /var/lib/etcd/kup-r1.db -w json
            sha256sum /var/lib/etcd/kup-r1.db
            here: mkdir -p /playbooks/snapshots
            fetch /var/lib/etcd/kup-r1.db /playbooks/snapshots/c0ffee-r1-n1-workers-n1-step.db
            here: sha256sum /playbooks/snapshots/c0ffee-r1-n1-workers-n1-step.db
            here: write /playbooks/snapshots/c0ffee-r1-n1-workers-n1-step.db.sha256 600
            rm -rf /var/lib/etcd/kup-r1.db /var/lib/etcd/kup-r1.db.part /var/lib/etcd/kup-r1-tested
        "#]]
        .assert_eq(&sent);
        assert!(matches!(EtcdSnapshot.check(&cx).await, Ok(Check::Done(_))));
    }

    async fn refused(bench: Bench) -> Failure {
        let failure = perform(&EtcdSnapshot, &bench.step(&[into()])).await.unwrap_err();
        assert!(!bench.sent().contains("snapshot save"));
        failure
    }

    #[tokio::test]
    async fn a_cluster_that_is_not_well_is_not_saved_and_upgraded() {
        let alarm =
            refused(member(Bench::default(), r#"{"alarms":[{"memberID":1,"alarm":1}]}"#, false, true)).await;
        assert_eq!((alarm.class, alarm.message.as_str()), (Class::Final, "etcd has the alarm NOSPACE"));
        let learner = refused(member(Bench::default(), "{}", true, true)).await;
        assert_eq!(learner.message, "etcd member n2 is still a learner");
        let sick = refused(member(Bench::default(), "{}", false, false)).await;
        assert_eq!(
            (sick.class, sick.message.as_str()),
            (Class::Transient, "etcd at https://10.0.0.2:2379 is not healthy")
        );
    }

    #[tokio::test]
    async fn an_empty_snapshot_is_refused_and_removed() {
        let empty = Bench::default().says(
            &format!("crictl exec abc123 etcdutl snapshot status {FILE} -w json"),
            r#"{"revision":92,"totalKey":0}"#,
        );
        // The last answer of a command stays, so the empty one is asked for first.
        let bench = member(empty, "{}", false, true);
        let failure = perform(&EtcdSnapshot, &bench.step(&[into()])).await.unwrap_err();
        assert_eq!(failure.class, Class::Final);
        assert!(bench.sent().ends_with(&format!("rm -rf {FILE} {FILE}.part {TESTED}\n")));
    }

    #[tokio::test]
    async fn a_copy_that_differs_is_not_taken_for_a_snapshot() {
        let other = HASH.replace('e', "f");
        let bench = member(Bench::default(), "{}", false, true)
            .says(&format!("sha256sum {COPY}"), &format!("{other}  x\n"));
        let cx = bench.step(&[into()]);
        assert_eq!(perform(&EtcdSnapshot, &cx).await.unwrap_err().class, Class::Transient);
        assert_eq!(bench.content(&format!("{COPY}.sha256")), None);
    }
}
