//! `read command`: a command line of the operator's own that only looks.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::port::Command;

use super::argument;
use super::failure;
use super::host::Host;
use super::once::last_lines;

/// Runs a line through `sh`, and changes nothing, as its writer promises.
pub(super) struct ReadCommand;

#[async_trait]
impl Action for ReadCommand {
    fn name(&self) -> &'static str {
        "read command"
    }

    fn lines(&self) -> &'static [&'static str] {
        &["line"]
    }

    async fn check(&self, _: &Context) -> Result<Check, Failure> {
        Ok(Check::Needs { now: String::new(), then: String::new(), before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let mut command = Command::read(["sh", "-c", argument::text(cx, "line")?]);
        command.root = !host.is_local();
        let output = host.run(command).await?;
        if !output.ok() {
            let failure = Failure::transient(format!("exit code {}", output.code));
            return Err(failure.with_output(failure::tail(&failure::said(&output))));
        }
        Ok(Progress::Done(Value::Text(last_lines(&output.stdout))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, perform};
    use super::*;

    #[tokio::test]
    async fn it_gives_back_what_the_command_says_and_leaves_nothing_on_the_node() {
        let bench =
            Bench::default().says("sh -c cat /version", "2.4.1\n").ends("sh -c cat /version", 1, "", "no");
        let cx = bench.step(&[("line", Value::Text("cat /version".into()))]);
        assert_eq!(perform(&ReadCommand, &cx).await, Ok(Value::Text("2.4.1".into())));
        assert_eq!(bench.sent(), "sh -c cat /version\n");
        let failure = perform(&ReadCommand, &cx).await.unwrap_err();
        assert_eq!((failure.message.as_str(), failure.output.as_str()), ("exit code 1", "no"));
    }
}
