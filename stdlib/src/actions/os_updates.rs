//! `os updates`: which packages of its operating system a node could update, and whether it asks for a
//! reboot.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;

use super::host::Host;
use super::packages::Packages;
use super::reboot;
use super::updates::Updates;

/// Asks for updates.
pub(super) struct OsUpdates;

#[async_trait]
impl Action for OsUpdates {
    fn name(&self) -> &'static str {
        "os updates"
    }

    async fn check(&self, _: &Context) -> Result<Check, Failure> {
        Ok(Check::Needs { now: String::new(), then: String::new(), before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let packages = Packages::of(&host).await?;
        packages.update_all().await?;
        let updates = Updates::of(&host, &packages).await?;
        let reboot = reboot::is_wanted(&host).await?;
        let mut record = updates.record();
        record.insert("reboot".to_string(), Value::Bool(reboot));
        record.insert("wanted".to_string(), Value::Bool(reboot || !updates.own.is_empty()));
        Ok(Progress::Done(Value::Record(record)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, perform};
    use super::*;

    const UPDATE: &str = "apt-get update -q -o APT::Update::Error-Mode=any -o APT::Color=0";
    const ASK: &str = "apt-get -s -q --with-new-pkgs upgrade -o APT::Color=0";
    const REBOOT: &str = "test -e /var/run/reboot-required";

    #[tokio::test]
    async fn the_index_is_read_anew_and_the_node_asked_for_updates_and_a_reboot() {
        let bench = Bench::default()
            .says(UPDATE, "")
            .says(ASK, "Inst openssl [1] (2 x [amd64])\n")
            .ends(REBOOT, 1, "", "")
            .says("ls -A /boot", "");
        let given = perform(&OsUpdates, &bench.step(&[])).await.unwrap();
        assert_eq!(given.to_string(), "{packages: 1, kernel: false, reboot: false, wanted: true}");
        expect_test::expect![[r#"
            apt-get update -q -o APT::Update::Error-Mode=any -o APT::Color=0
            apt-get -s -q --with-new-pkgs upgrade -o APT::Color=0
            test -e /var/run/reboot-required
            ls -A /boot
        "#]]
        .assert_eq(&bench.sent());
    }

    #[tokio::test]
    async fn a_reboot_that_waits_is_something_to_do() {
        let bench = Bench::default().says(UPDATE, "").says(ASK, "").says(REBOOT, "");
        let given = perform(&OsUpdates, &bench.step(&[])).await.unwrap();
        assert_eq!(given.to_string(), "{packages: 0, kernel: false, reboot: true, wanted: true}");
    }

    #[tokio::test]
    async fn an_index_that_cannot_be_read_is_no_reason_to_say_that_all_is_well() {
        let bench = Bench::default()
            .ends(UPDATE, 100, "", "E: The repository 'http://x' is not signed.")
            .says(ASK, "");
        perform(&OsUpdates, &bench.step(&[])).await.unwrap_err();
        assert!(!bench.sent().contains(ASK));
    }
}
