//! `windows install kubeadm`: kubeadm.exe of a release in the place of the one before, which is kept.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;

use super::host::Host;
use super::windows::Program;

/// The verb.
pub(super) struct InstallKubeadm;

#[async_trait]
impl Action for InstallKubeadm {
    fn name(&self) -> &'static str {
        "windows install kubeadm"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let host = Host::of_any(cx)?;
        let program = Program::of(cx, &host, "kubeadm").await?;
        let now = program.installed(&host).await?;
        if now == program.version {
            return Ok(Check::Done(format!("kubeadm.exe at {now}")));
        }
        let (text, then) = (now.to_string(), program.version.to_string());
        Ok(Check::Needs { now: text, then, before: Value::Version(now) })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of_any(cx)?;
        let program = Program::of(cx, &host, "kubeadm").await?;
        // An earlier attempt may have come so far, and nobody has heard of it.
        if program.installed(&host).await? != program.version {
            program.fetch(&host).await?;
            program.swap(&host).await?;
        }
        Ok(Progress::Done(Value::Version(program.version)))
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        let host = Host::of_any(cx)?;
        let Value::Version(old) = before else { return Ok(()) };
        let program = Program::of(cx, &host, "kubeadm").await?;
        if program.installed(&host).await? == *old {
            return Ok(());
        }
        program.kept(&host, old).await?;
        program.swap_back(&host).await
    }
}

#[cfg(test)]
mod tests {
    use engine::event::Class;

    use super::super::testing::{self, Bench, perform};
    use super::*;

    const URL: &str = "https://x/v1.34.2/bin/windows/amd64/kubeadm.exe";

    fn bench(hash: &str) -> (Bench, Context) {
        let bench = Bench::default()
            .says("where.exe $PATH:kubeadm.exe", "C:\\k\\kubeadm.exe\n")
            .says("C:\\k\\kubeadm.exe version -o short", "v1.33.4\n")
            .says(&format!("curl.exe -fsSL --retry 3 --output C:\\k\\kubeadm.kup.exe {URL}"), "")
            .says(&format!("curl.exe -fsSL --retry 3 {URL}.sha256"), "ab12")
            .says(
                "Get-FileHash -Algorithm SHA256 -LiteralPath C:\\k\\kubeadm.kup.exe",
                &format!("\nAlgorithm : SHA256\nHash      : {hash}\nPath      : C:\\k\\kubeadm.kup.exe\n\n"),
            )
            .says("C:\\k\\kubeadm.kup.exe version -o short", "v1.34.2\n")
            .says("C:\\k\\kubeadm.previous.exe version -o short", "v1.32.0\n")
            .says(
                "[IO.File]::Replace C:\\k\\kubeadm.kup.exe C:\\k\\kubeadm.exe C:\\k\\kubeadm.previous.exe",
                "",
            );
        let args = [
            ("version", Value::Version("v1.34.2".parse().unwrap())),
            ("from", Value::Text("https://x/".into())),
        ];
        let mut cx = bench.step(&args);
        testing::node(&mut cx).windows = true;
        (bench, cx)
    }

    #[tokio::test]
    async fn a_program_takes_the_place_once_its_hash_is_that_of_its_release() {
        let (good, cx) = bench("AB12");
        assert_eq!(perform(&InstallKubeadm, &cx).await.unwrap().to_string(), "v1.34.2");
        assert!(good.sent().contains("[IO.File]::Replace"));
        let (other, cx) = bench("AB13");
        let failure = perform(&InstallKubeadm, &cx).await.unwrap_err();
        assert_eq!(failure.class, Class::Transient);
        assert!(!other.sent().contains("Replace"));
    }

    #[tokio::test]
    async fn what_is_no_address_is_not_handed_to_curl() {
        let (bench, mut cx) = bench("AB12");
        for from in ["-K", "--config=/x", "mirror", "-o://x"] {
            cx.args.insert("from".into(), Value::Text(from.into()));
            let failure = perform(&InstallKubeadm, &cx).await.unwrap_err();
            assert_eq!(failure.message, format!("`{from}` is no address"));
        }
        assert_eq!(bench.sent(), "");
    }

    #[tokio::test]
    async fn what_was_not_kept_is_not_put_back() {
        let (bench, cx) = bench("AB12");
        InstallKubeadm.undo(&cx, &Value::Version("v1.33.4".parse().unwrap())).await.unwrap();
        let failure =
            InstallKubeadm.undo(&cx, &Value::Version("v1.31.0".parse().unwrap())).await.unwrap_err();
        assert!(failure.message.contains("kubeadm.previous.exe is not v1.31.0"), "{failure:?}");
        assert!(!bench.sent().contains("Replace"));
    }

    #[tokio::test]
    async fn a_verb_of_linux_is_refused_on_windows() {
        let (_, cx) = bench("AB12");
        let failure = Host::of(&cx).err().unwrap();
        assert!(failure.message.contains("n1 runs Windows"), "{failure:?}");
    }
}
