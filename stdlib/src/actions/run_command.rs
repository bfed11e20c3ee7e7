//! `run command`: a command line of the operator's own.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;

use super::host::Host;
use super::{argument, detached, once};

/// Runs a line through `sh`.
pub(super) struct RunCommand;

#[async_trait]
impl Action for RunCommand {
    fn name(&self) -> &'static str {
        "run command"
    }

    fn lines(&self) -> &'static [&'static str] {
        &["line", "unless"]
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        once::check(cx).await
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let line = argument::text(cx, "line")?;
        once::start(cx, &Host::of(cx)?, vec!["sh".into(), "-c".into(), line.into()]).await
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        once::poll(cx, handle).await
    }

    async fn clean(&self, cx: &Context) {
        detached::clean(cx).await;
    }
}

#[cfg(test)]
mod tests {
    use engine::event::Class;

    use super::super::testing::{Bench, perform};
    use super::*;

    fn line(text: &str) -> (&'static str, Value) {
        ("line", Value::Text(text.to_string()))
    }

    const DOES: &str = "sh -c uptime; true";

    #[tokio::test]
    async fn a_command_line_runs_once_and_gives_back_its_last_lines() {
        let bench = Bench::default().says(DOES, "1\n2\n3\n4\n");
        let mut cx = bench.step(&[line("uptime; true")]);
        cx.gives = true;
        assert_eq!(perform(&RunCommand, &cx).await, Ok(Value::Text("2\n3\n4".into())));
        expect_test::expect![[r#"
            write /var/lib/kup/r1-a2906e1d50.once 600
            sh -c uptime; true
            write /var/lib/kup/r1-a2906e1d50.once 600
            write /var/lib/kup/r1-a2906e1d50.once 600
        "#]]
        .assert_eq(&bench.sent());
        // kup died before the outcome was in the journal: the node remembers it, and what it said.
        assert_eq!(perform(&RunCommand, &cx).await, Ok(Value::Text("2\n3\n4".into())));
        assert_eq!(bench.sent(), "");
    }

    #[tokio::test]
    async fn what_a_command_said_is_asked_of_a_person_only_if_somebody_asks_for_it() {
        let bench = Bench::default().file("/var/lib/kup/r1-a2906e1d50.once", "ended\n");
        let mut cx = bench.step(&[line("uptime; true")]);
        assert_eq!(perform(&RunCommand, &cx).await, Ok(Value::Text(String::new())));
        cx.gives = true;
        let failure = perform(&RunCommand, &cx).await.unwrap_err();
        assert_eq!(failure.class, Class::Unknown);
        assert_eq!(
            (failure.message.as_str(), failure.hint.as_str()),
            (
                "it ended well on n1, and what it gives back was lost with kup",
                "if it may be run again, remove /var/lib/kup/r1-a2906e1d50.once there and go on"
            )
        );
        assert_eq!(bench.sent(), "");
    }

    #[tokio::test]
    async fn a_command_that_nobody_saw_end_is_not_run_again() {
        let bench = Bench::default().loses(DOES);
        let mut cx = bench.step(&[line("uptime; true")]);
        assert_eq!(perform(&RunCommand, &cx).await.unwrap_err().class, Class::Unknown);
        bench.sent();
        cx.attempt = 2;
        let failure = perform(&RunCommand, &cx).await.unwrap_err();
        assert_eq!(failure.class, Class::Unknown);
        assert!(failure.hint.contains("unless"));
        assert_eq!(bench.sent(), "");
    }

    #[tokio::test]
    async fn a_command_that_failed_may_be_tried_again_if_the_playbook_says_so() {
        let bench = Bench::default().ends(DOES, 3, "", "no\u{1b}[2J").says(DOES, "");
        let cx = bench.step(&[line("uptime; true")]);
        let failure = perform(&RunCommand, &cx).await.unwrap_err();
        assert_eq!((failure.class, failure.output.as_str()), (Class::Transient, "no"));
        perform(&RunCommand, &cx).await.unwrap();
    }

    #[tokio::test]
    async fn unless_is_the_probe_and_makes_a_command_repeatable() {
        let bench =
            Bench::default().ends("sh -c test -e /x", 1, "", "").says("sh -c test -e /x", "").loses(DOES);
        let cx = bench.step(&[line("uptime; true"), ("unless", Value::Text("test -e /x".into()))]);
        assert_eq!(perform(&RunCommand, &cx).await.unwrap_err().class, Class::Unknown);
        let done = RunCommand.check(&cx).await.unwrap();
        assert!(matches!(done, Check::Done(_)));
    }

    #[tokio::test]
    async fn on_local_it_runs_here_without_root() {
        let bench = Bench::default().says(DOES, "");
        let cx = bench.step(&[line("uptime; true"), ("on", Value::Node("local".into()))]);
        perform(&RunCommand, &cx).await.unwrap();
        expect_test::expect![[r#"
            here: write /var/tmp/kup-r1-a2906e1d50.once 600
            here: sh -c uptime; true
            here: write /var/tmp/kup-r1-a2906e1d50.once 600
        "#]]
        .assert_eq(&bench.sent());
    }

    #[tokio::test]
    async fn a_long_command_runs_detached() {
        let show = "systemctl show kup-r1-a2906e1d50-1.service -p LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus";
        let bench = Bench::default()
            .says(show, "LoadState=loaded\nActiveState=active\nSubState=running\n")
            .says(show, "LoadState=loaded\nActiveState=active\nSubState=exited\nResult=success\nExecMainCode=1\nExecMainStatus=0\n")
            .file("/run/kup/kup-r1-a2906e1d50-1.out", "well\n");
        let mut cx = bench.step(&[line("sleep 600")]);
        cx.long = true;
        assert_eq!(perform(&RunCommand, &cx).await, Ok(Value::Text("well".into())));
    }

    #[tokio::test]
    async fn a_long_command_that_ended_after_its_time_was_up_is_not_run_again() {
        let show = |attempt: u32| {
            format!(
                "systemctl show kup-r1-a2906e1d50-{attempt}.service -p LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus"
            )
        };
        let bench = Bench::default()
            .file("/var/lib/kup/r1-a2906e1d50.once", "begun\n")
            .says(&show(1), "LoadState=loaded\nActiveState=active\nSubState=exited\nResult=success\nExecMainCode=1\nExecMainStatus=0\n")
            .says(&show(2), "LoadState=not-found\n")
            .file("/run/kup/kup-r1-a2906e1d50-1.out", "late\n");
        let mut cx = bench.step(&[line("sleep 600")]);
        (cx.long, cx.attempt) = (true, 2);
        assert_eq!(perform(&RunCommand, &cx).await, Ok(Value::Text("late".into())));
        assert!(!bench.sent().contains("systemd-run"));
    }
}
