//! `k3s snapshot`, `rke2 snapshot`: the embedded etcd, saved by the server's own command, copied off the server and
//! held against the original's hash. A snapshot is of no use without the token it was saved under, so that is copied, too.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::port::Command;
use indexmap::IndexMap;

use super::etcd_snapshot::{copy, is_copied, target};
use super::failure;
use super::host::Host;
use super::rancher::Maker;

/// Saves the embedded etcd.
pub(super) struct Snapshot(pub(super) &'static Maker, pub(super) &'static str);

#[async_trait]
impl Action for Snapshot {
    fn name(&self) -> &'static str {
        self.1
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let path = target(cx)?.display().to_string();
        if is_copied(&Host::here(cx), &path).await? {
            return Ok(Check::Done(format!("{path} is verified")));
        }
        Ok(Check::Needs { now: String::new(), then: path, before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let folder = format!("/var/lib/rancher/{}/server", self.0.name);
        let base = format!("kup-{}", cx.run);
        host.ask(Command::change([
            self.0.binary(&host).await?.as_str(),
            "etcd-snapshot",
            "save",
            "--name",
            &base,
        ]))
        .await?;
        let file = self.newest(&host, &format!("{folder}/db/snapshots"), &base).await?;
        let copied = copy(cx, &host, &file, None).await;
        // The copies of this machine count; what is on the server is its own retention's business otherwise.
        if let Err(failure) = host.run(Command::change(["rm", "-f", &file])).await {
            tracing::warn!(host = host.name, file, failure.message, "a snapshot is left on the server");
        }
        let copied = copied?;
        let token = target(cx)?.with_extension("token");
        host.shell.fetch(&format!("{folder}/token"), &token).await.map_err(|error| failure::shell(&error))?;
        Ok(Progress::Done(Value::Record(IndexMap::from([
            ("path".to_string(), Value::Text(copied.path)),
            ("sha256".to_string(), Value::Text(copied.sha256)),
            ("size".to_string(), Value::Size(copied.size)),
        ]))))
    }
}

impl Snapshot {
    /// Finds the file that was saved: the server adds its name and the time, and `.zip` where it packs.
    async fn newest(&self, host: &Host, folder: &str, base: &str) -> Result<String, Failure> {
        let listed = host.ask(Command::read(["ls", "-A", folder]).as_root()).await?;
        let mut names: Vec<&str> = listed.lines().filter(|name| name.starts_with(base)).collect();
        // The times in the names have the same number of digits.
        names.sort_unstable();
        match names.last() {
            Some(name) => Ok(format!("{folder}/{name}")),
            None => Err(Failure::last(format!("no snapshot {base} is in {folder} of {}", host.name))
                .with_hint(
                    "where `etcd-snapshot-dir` or `data-dir` say another folder, save and copy it yourself",
                )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rancher::RKE2;
    use super::super::testing::{Bench, perform};
    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const FOLDER: &str = "/var/lib/rancher/rke2/server/db/snapshots";

    #[tokio::test]
    async fn the_newest_snapshot_of_the_run_is_copied_with_its_token() {
        let (file, copy) = (
            format!("{FOLDER}/kup-r1-n1-1800000009"),
            "/playbooks/snapshots/c0ffee-r1-n1-workers-n1-step.db",
        );
        let bench = Bench::default()
            .says(
                "systemctl show rke2-agent -p ExecStart",
                "ExecStart={ path=/usr/bin/rke2 ; argv[]=/usr/bin/rke2 server ; }\n",
            )
            .says("/usr/bin/rke2 etcd-snapshot save --name kup-r1", "")
            .says(
                &format!("ls -A {FOLDER}"),
                "kup-r1-n1-1800000001\nkup-r1-n1-1800000009\netcd-snapshot-n1-1900000000\n",
            )
            .says(&format!("sha256sum {file}"), &format!("{HASH}  x\n"))
            .says(&format!("sha256sum {copy}"), &format!("{HASH}  x\n"))
            .file(&file, "snapshot")
            .file("/var/lib/rancher/rke2/server/token", "K10::server:x\n");
        let cx = bench.step(&[("into", Value::Path("./snapshots".into()))]);
        let snapshot = Snapshot(&RKE2, "rke2 snapshot");
        let said = perform(&snapshot, &cx).await.unwrap();
        assert_eq!(said.get("sha256").and_then(Value::as_text), Some(HASH));
        assert_eq!(
            bench.content("/playbooks/snapshots/c0ffee-r1-n1-workers-n1-step.token").unwrap(),
            "K10::server:x\n"
        );
        assert!(bench.sent().contains(&format!("rm -f {file}\n")));
        assert!(matches!(snapshot.check(&cx).await, Ok(Check::Done(_))));
    }
}
