//! `os upgrade`: the packages of the operating system, all of them, and none of Kubernetes.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::inventory::PackageManager;
use engine::port::{Command, Output};

use super::detached::{self, Unit};
use super::host::Host;
use super::packages::Packages;
use super::updates::Updates;
use super::{argument, failure, reboot, run_script};

const WHAT: &str = "the upgrade";

/// Upgrades the operating system's packages.
pub(super) struct OsUpgrade;

#[async_trait]
impl Action for OsUpgrade {
    fn name(&self) -> &'static str {
        "os upgrade"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let host = Host::of(cx)?;
        let updates = Updates::of(&host, &Packages::of(&host).await?).await?;
        if updates.own.is_empty() {
            return Ok(Check::Done(format!("no package of {} waits for an update", host.name)));
        }
        let plural = if updates.own.len() == 1 { "" } else { "s" };
        let now = format!("{} old package{plural}", updates.own.len());
        Ok(Check::Needs { now, then: "up to date".to_string(), before: Value::Record(updates.record()) })
    }

    async fn start(&self, cx: &Context, before: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let packages = Packages::of(&host).await?;
        if cx.long
            && let Some(unit) = detached::find(cx, &host).await?
        {
            return Ok(detached::pending(&with(unit, before), &host, WHAT, &Unit::Runs(String::new())));
        }
        let loose = Updates::of(&host, &packages).await?.kubernetes;
        if !loose.is_empty() {
            return Err(unheld(&host, packages.manager, &loose));
        }
        let command = match argument::optional_text(cx, "script") {
            Some(_) => Command::change(run_script::bring(cx, &host, "script").await?),
            None => packages.upgrade(),
        };
        if cx.long {
            let unit = detached::begin(cx, &host, &command).await?;
            return Ok(detached::pending(&with(unit, before), &host, WHAT, &Unit::Runs(String::new())));
        }
        let output = host.run(command).await?;
        ended(&host, &packages, before, &output).await
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        match detached::look(cx, &host, handle, WHAT).await? {
            Unit::Ended(output) => {
                let before = handle.get("before").cloned().unwrap_or(Value::None);
                ended(&host, &Packages::of(&host).await?, &before, &output).await
            }
            unit => Ok(detached::pending(handle, &host, WHAT, &unit)),
        }
    }

    async fn clean(&self, cx: &Context) {
        detached::clean(cx).await;
    }
}

/// Judges an upgrade that has ended.
async fn ended(
    host: &Host,
    packages: &Packages<'_>,
    before: &Value,
    output: &Output,
) -> Result<Progress, Failure> {
    if !output.ok() {
        let failure = failure::classify(WHAT, output);
        if failure::known(&failure::said(output)).is_some_and(|k| k.name == "dpkg-interrupted") {
            packages.configure().await?;
        }
        return Err(failure);
    }
    // A new kernel is used from the next boot on, whether or not anything on the node says so.
    let kernel = before.get("kernel") == Some(&Value::Bool(true));
    let reboot = kernel || reboot::is_wanted(host).await?;
    let mut record = match before {
        Value::Record(record) => record.clone(),
        _ => Default::default(),
    };
    record.insert("reboot".to_string(), Value::Bool(reboot));
    Ok(Progress::Done(Value::Record(record)))
}

/// A kubelet that moves by itself is a bad surprise, and one beyond the skew policy a broken node.
fn unheld(host: &Host, manager: PackageManager, loose: &[String]) -> Failure {
    let (names, list) = (loose.join(" "), loose.join(", "));
    let hint = match manager {
        PackageManager::Apt => format!("hold them on {}: apt-mark hold {names}", host.name),
        PackageManager::Dnf => {
            format!("exclude them in the repository's file on {}: exclude={names}", host.name)
        }
    };
    Failure::last(format!("it would bring {list} to another version too, for nothing holds them"))
        .with_hint(hint)
}

/// Adds to a unit's handle what was found before.
fn with(unit: Value, before: &Value) -> Value {
    let mut handle = match unit {
        Value::Record(handle) => handle,
        other => [("unit".to_string(), other)].into_iter().collect(),
    };
    handle.insert("before".to_string(), before.clone());
    Value::Record(handle)
}

#[cfg(test)]
mod tests {
    use engine::event::Class;

    use super::super::testing::{self, Bench, perform};
    use super::*;

    const ASK: &str = "apt-get -s -q --with-new-pkgs upgrade -o APT::Color=0";
    const UPGRADE: &str = "apt-get upgrade -y -q --with-new-pkgs -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o APT::Color=0";
    const OPENSSL: &str = "Inst openssl [1] (2 x [amd64])\n";
    const REBOOT: &str = "test -e /var/run/reboot-required";

    #[tokio::test]
    async fn what_is_old_is_upgraded_and_the_node_asked_for_a_reboot() {
        let bench = Bench::default()
            .says(ASK, OPENSSL)
            .says(UPGRADE, "Setting up openssl (2) ...\n")
            .says(REBOOT, "");
        let given = perform(&OsUpgrade, &bench.step(&[])).await.unwrap();
        assert_eq!(given.to_string(), "{packages: 1, kernel: false, reboot: true}");
    }

    #[tokio::test]
    async fn a_new_kernel_wants_a_reboot_also_where_nothing_on_the_node_says_so() {
        let kernel = "Inst linux-image-6.1.0-40-amd64 (6.1.153-1 x [amd64])\n";
        let bench = Bench::default().says(ASK, kernel).says(UPGRADE, "").ends(REBOOT, 1, "", "");
        let given = perform(&OsUpgrade, &bench.step(&[])).await.unwrap();
        assert_eq!(given.to_string(), "{packages: 1, kernel: true, reboot: true}");
    }

    #[tokio::test]
    async fn a_node_without_old_packages_is_left_alone() {
        let check = OsUpgrade.check(&Bench::default().says(ASK, "").step(&[])).await;
        assert_eq!(check, Ok(Check::Done("no package of n1 waits for an update".into())));
        let mut cx = Bench::default().says("dnf -q repoquery --upgrades --qf %{name}\\n", "").step(&[]);
        testing::node(&mut cx).packages = Some(PackageManager::Dnf);
        assert!(matches!(OsUpgrade.check(&cx).await, Ok(Check::Done(_))));
    }

    #[tokio::test]
    async fn kubernetes_is_never_brought_along() {
        let both = format!("{OPENSSL}Inst kubelet [1.34.1-1.1] (1.34.4-1.1 kubernetes [amd64])\n");
        let bench = Bench::default().says(ASK, &both);
        let failure = perform(&OsUpgrade, &bench.step(&[])).await.unwrap_err();
        assert_eq!(failure.class, Class::Final);
        assert_eq!(failure.message, "it would bring kubelet to another version too, for nothing holds them");
        assert_eq!(failure.hint, "hold them on n1: apt-mark hold kubelet");
        assert!(!bench.sent().contains(UPGRADE));
        let asks = "dnf -q repoquery --upgrades --qf %{name}\\n";
        let locks = "dnf -q versionlock list --disablerepo=*";
        let mut cx = Bench::default().says(asks, "kubelet\nopenssl\n").says(locks, "").step(&[]);
        testing::node(&mut cx).packages = Some(PackageManager::Dnf);
        let failure = perform(&OsUpgrade, &cx).await.unwrap_err();
        assert!(failure.hint.ends_with("exclude=kubelet"), "{}", failure.hint);
    }

    #[tokio::test]
    async fn a_script_stands_in_for_the_package_manager_where_packages_wait() {
        let bench = Bench::default()
            .file("/playbooks/patch.sh", "echo patched\n")
            .says(ASK, OPENSSL)
            .says("sh /run/kup/r1-a2906e1d50.script", "patched\n")
            .ends(REBOOT, 1, "", "");
        let cx = bench.step(&[("script", Value::Path("./patch.sh".into()))]);
        let given = perform(&OsUpgrade, &cx).await.unwrap();
        assert_eq!(given.to_string(), "{packages: 1, kernel: false, reboot: false}");
        assert!(!bench.sent().contains(UPGRADE));
        assert!(bench.content("/run/kup/r1-a2906e1d50.script").is_some());
    }

    #[tokio::test]
    async fn it_goes_on_by_itself_on_the_node_and_is_followed() {
        let show = "systemctl show kup-r1-a2906e1d50-1.service -p LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus";
        let bench = Bench::default()
            .says(ASK, OPENSSL)
            .says(show, "LoadState=not-found\n")
            .says(show, "LoadState=loaded\nActiveState=active\nSubState=running\n")
            .says(show, "LoadState=loaded\nActiveState=active\nSubState=exited\nResult=success\nExecMainCode=1\nExecMainStatus=0\n")
            .says(REBOOT, "");
        let mut cx = bench.step(&[]);
        cx.long = true;
        let given = perform(&OsUpgrade, &cx).await.unwrap();
        assert_eq!(given.to_string(), "{packages: 1, kernel: false, reboot: true}");
        assert!(
            bench.sent().contains("--setenv=NEEDRESTART_MODE=l"),
            "needrestart must not restart the kubelet"
        );
    }

    #[tokio::test]
    async fn an_interrupted_dpkg_is_configured_and_tried_again() {
        let bench = Bench::default().says(ASK, OPENSSL).says("dpkg --configure -a", "").ends(
            UPGRADE,
            100,
            "",
            "E: dpkg was interrupted, you must manually run 'dpkg --configure -a'",
        );
        let failure = perform(&OsUpgrade, &bench.step(&[])).await.unwrap_err();
        assert_eq!(failure.class, Class::Transient);
        assert!(bench.sent().contains("dpkg --configure -a"));
    }
}
