//! `run script`: a script that lies beside the playbook.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::port::Command;

use super::host::Host;
use super::{argument, detached, once};

/// Brings a script to the node and runs it.
pub(super) struct RunScript;

#[async_trait]
impl Action for RunScript {
    fn name(&self) -> &'static str {
        "run script"
    }

    fn lines(&self) -> &'static [&'static str] {
        &["unless"]
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        once::check(cx).await
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let argv = bring(cx, &host, "file").await?;
        once::start(cx, &host, argv).await
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        once::poll(cx, handle).await
    }

    async fn clean(&self, cx: &Context) {
        detached::clean(cx).await;
    }
}

/// Brings the script that an argument names to a machine, and returns the command that runs it there.
pub(super) async fn bring(cx: &Context, host: &Host, argument: &str) -> Result<Vec<String>, Failure> {
    let file = argument::path(cx, argument)?.display().to_string();
    let Some(script) = Host::here(cx).read(&file).await? else {
        return Err(Failure::last(format!("there is no file `{file}`"))
            .with_hint("a path is relative to the playbook's folder"));
    };
    let path = if host.is_local() {
        file
    } else {
        host.ask(Command::change(["mkdir", "-p", "-m", "0700", detached::FOLDER])).await?;
        let path = format!("{}/{}-{}.script", detached::FOLDER, cx.run, detached::step_hash(cx));
        host.write(&path, &script, 0o700).await?;
        path
    };
    let mut argv = interpreter(&script);
    argv.push(path);
    Ok(argv)
}

/// Returns what the script's first line names, else `sh`. The kernel is not asked to execute the
/// file, since /run is mounted noexec on Debian and Ubuntu.
fn interpreter(script: &str) -> Vec<String> {
    let named = script.lines().next().and_then(|line| line.strip_prefix("#!")).map(str::trim);
    match named {
        None | Some("") => vec!["sh".to_string()],
        // As the kernel does it: one argument at most, with its spaces.
        Some(line) => line.splitn(2, char::is_whitespace).map(|word| word.trim().to_string()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, perform};
    use super::*;

    #[tokio::test]
    async fn a_script_is_brought_to_the_node_and_run_by_its_interpreter() {
        let bench = Bench::default()
            .file("/playbooks/fix.py", "#!/usr/bin/env python3\nprint(1)\n")
            .says("/usr/bin/env python3 /run/kup/r1-a2906e1d50.script", "1\n");
        let cx = bench.step(&[("file", Value::Path("fix.py".into()))]);
        assert_eq!(perform(&RunScript, &cx).await, Ok(Value::Text("1".into())));
        expect_test::expect![[r#"
            mkdir -p -m 0700 /run/kup
            write /run/kup/r1-a2906e1d50.script 700
            write /var/lib/kup/r1-a2906e1d50.once 600
            /usr/bin/env python3 /run/kup/r1-a2906e1d50.script
            write /var/lib/kup/r1-a2906e1d50.once 600
        "#]]
        .assert_eq(&bench.sent());
    }

    #[tokio::test]
    async fn a_script_that_is_not_there_is_told() {
        let cx = Bench::default().step(&[("file", Value::Path("./fix.sh".into()))]);
        let failure = perform(&RunScript, &cx).await.unwrap_err();
        assert_eq!(failure.message, "there is no file `/playbooks/fix.sh`");
    }
}
