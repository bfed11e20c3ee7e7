//! `k3s install`, `rke2 install`: the binary of a release in the place of the one before, checked against the hashes
//! of its release. The unit and its settings stay: the installer would write them anew, from what it is given.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::port::Command;
use indexmap::IndexMap;

use super::binary::{self, Binary, version_of};
use super::host::Host;
use super::rancher::Maker;
use super::{argument, detached};

/// Puts a binary in its place.
pub(super) struct Install(pub(super) &'static Maker, pub(super) &'static str);

#[async_trait]
impl Action for Install {
    fn name(&self) -> &'static str {
        self.1
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let wanted = self.0.version(cx, "version")?;
        let host = Host::of(cx)?;
        let now = version_of(&host, &self.0.binary(&host).await?).await?;
        if now == wanted {
            return Ok(Check::Done(format!("{} at {wanted}", self.0.name)));
        }
        let before = IndexMap::from([("version".to_string(), Value::Version(now.clone()))]);
        Ok(Check::Needs { now: now.to_string(), then: wanted.to_string(), before: Value::Record(before) })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        binary::fetch(cx, &host, &[self.wanted(cx, &host).await?]).await
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        binary::follow(cx, &host, handle, &[self.wanted(cx, &host).await?]).await
    }

    async fn clean(&self, cx: &Context) {
        detached::clean(cx).await;
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        let host = Host::of(cx)?;
        let path = self.0.binary(&host).await?;
        let Some(Value::Version(old)) = before.get("version") else { return Ok(()) };
        binary::swap_back(&host, &path, old).await?;
        // The new one may still run; what is undone next expects the old one.
        host.ask(Command::change(["systemctl", "restart", "--no-block", self.0.unit(&host)])).await.map(drop)
    }
}

impl Install {
    async fn wanted(&self, cx: &Context, host: &Host) -> Result<Binary, Failure> {
        let version = self.0.version(cx, "version")?;
        let release = self.0.release(argument::text(cx, "from")?, &version, host);
        Ok(Binary {
            path: self.0.binary(host).await?,
            version,
            address: release.binary,
            hashes: release.hashes,
            asset: release.asset,
            hasher: "sha256sum",
        })
    }
}

#[cfg(test)]
mod tests {
    use engine::event::Class;

    use super::super::rancher::K3S;
    use super::super::testing::{Bench, perform};
    use super::*;

    const INSTALL: Install = Install(&K3S, "k3s install");
    const BIN: &str = "/usr/local/bin/k3s";
    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn agent(listed: &str) -> Bench {
        Bench::default()
            .says(
                "systemctl show k3s-agent -p ExecStart",
                &format!("ExecStart={{ path={BIN} ; argv[]={BIN} agent ; }}\n"),
            )
            .says(&format!("{BIN} --version"), "k3s version v1.33.4+k3s1 (1)\ngo version go1.24.5\n")
            .says(&format!("{BIN}.kup --version"), "k3s version v1.34.2+k3s1 (2)\ngo version go1.24.5\n")
            .says(&format!("{BIN}.previous --version"), "k3s version v1.33.4+k3s1 (1)\ngo version go1.24.5\n")
            .says("curl -fsSL --retry 3 --output /usr/local/bin/k3s.kup https://x/v1.34.2%2Bk3s1/k3s", "")
            .says(
                "curl -fsSL --retry 3 https://x/v1.34.2%2Bk3s1/sha256sum-amd64.txt",
                &format!("{listed}  k3s\n"),
            )
            .says(&format!("sha256sum {BIN}.kup"), &format!("{HASH}  {BIN}.kup\n"))
            .says(&format!("chmod 0755 {BIN}.kup"), "")
            .says(&format!("ln -f {BIN} {BIN}.previous"), "")
            .says(&format!("ln -f {BIN}.previous {BIN}.kup"), "")
            .says(&format!("mv -f {BIN}.kup {BIN}"), "")
    }

    fn args() -> [(&'static str, Value); 2] {
        let version = "v1.34.2+k3s1".parse().unwrap();
        [("version", Value::Version(version)), ("from", Value::Text("https://x".into()))]
    }

    #[tokio::test]
    async fn a_binary_is_placed_once_its_hash_and_its_version_are_those_of_the_release() {
        let bench = agent(HASH);
        let done = perform(&INSTALL, &bench.step(&args())).await.unwrap();
        assert_eq!(done.to_string(), "v1.34.2+k3s1");
        expect_test::expect![[r#"
            systemctl show k3s-agent -p ExecStart
            /usr/local/bin/k3s --version
            systemctl show k3s-agent -p ExecStart
            curl -fsSL --retry 3 --output /usr/local/bin/k3s.kup https://x/v1.34.2%2Bk3s1/k3s
            /usr/local/bin/k3s --version
            curl -fsSL --retry 3 https://x/v1.34.2%2Bk3s1/sha256sum-amd64.txt
            sha256sum /usr/local/bin/k3s.kup
            chmod 0755 /usr/local/bin/k3s.kup
            /usr/local/bin/k3s.kup --version
            ln -f /usr/local/bin/k3s /usr/local/bin/k3s.previous
            mv -f /usr/local/bin/k3s.kup /usr/local/bin/k3s
        "#]]
        .assert_eq(&bench.sent());
    }

    #[tokio::test]
    async fn a_download_with_another_hash_is_not_placed() {
        let bench = agent("0000");
        let failure = perform(&INSTALL, &bench.step(&args())).await.unwrap_err();
        assert_eq!(failure.class, Class::Transient);
        assert!(failure.message.contains("the list says 0000"), "{}", failure.message);
        assert!(!bench.sent().contains("mv -f"));
    }

    #[tokio::test]
    async fn undo_gives_the_kept_binary_its_name_back_and_restarts_the_unit() {
        let bench = Bench::default()
            .says(&format!("{BIN} --version"), "k3s version v1.34.2+k3s1 (2)\n")
            .beside(agent(HASH));
        let before = Value::Record(
            [("version".to_string(), Value::Version("v1.33.4+k3s1".parse().unwrap()))].into_iter().collect(),
        );
        INSTALL.undo(&bench.step(&args()), &before).await.unwrap();
        let sent = bench.sent();
        let end = "ln -f /usr/local/bin/k3s.previous /usr/local/bin/k3s.kup\nmv -f /usr/local/bin/k3s.kup /usr/local/bin/k3s\nsystemctl restart --no-block k3s-agent\n";
        assert!(sent.ends_with(end), "{sent}");
    }

    #[tokio::test]
    async fn a_node_without_the_unit_is_told() {
        let bench = Bench::default().says("systemctl show k3s-agent -p ExecStart", "ExecStart=\n");
        let failure = INSTALL.check(&bench.step(&args())).await.unwrap_err();
        assert_eq!(failure.message, "n1 has no unit k3s-agent that runs k3s");
    }
}
