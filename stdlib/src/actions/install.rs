//! `install`: Kubernetes packages at one version, with what was held held again whatever happens.
//!
//! apt loses a hold when a held package is installed, so which packages were held is written down
//! on the node before they are let go, and stays there until they are held again.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::port::{Command, Output};
use indexmap::IndexMap;

use super::detached::{self, Unit};
use super::host::{FOLDER, Host};
use super::packages::{Hold, Package, Packages, Way, checked_name, kubernetes};
use super::{argument, failure, package_repository};

const WHAT: &str = "the installation";

/// Installs packages at a version.
pub(super) struct Install;

#[async_trait]
impl Action for Install {
    fn name(&self) -> &'static str {
        "install"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let version = argument::version(cx, "version")?;
        let names = names(cx)?;
        let host = Host::of(cx)?;
        let packages = Packages::of(&host).await?;
        let installed = packages.installed(&names).await?;
        let let_go = host.read(&held_file(cx)).await?;
        let fits = |package: &Package| kubernetes(&package.version).as_ref() == Some(&version);
        if installed.len() == names.len() && installed.iter().all(fits) && let_go.is_none() {
            return Ok(Check::Done(format!("{} at {version}", names.join(", "))));
        }
        let mut held = packages.held(&names).await?;
        for name in let_go.iter().flat_map(|text| text.lines()) {
            if names.iter().any(|n| n == name) && !held.iter().any(|h| h == name) {
                held.push(name.to_string());
            }
        }
        let mut now: Vec<String> = installed
            .iter()
            .map(|p| kubernetes(&p.version).map_or_else(|| p.version.clone(), |v| v.to_string()))
            .collect();
        now.dedup();
        let lower = installed.iter().any(|p| kubernetes(&p.version).is_some_and(|now| now > version));
        if lower && argument::optional_text(cx, "down") != Some("allow") {
            return Err(Failure::last(format!("{} has newer packages than {version}", host.name))
                .with_hint("name a version that is not older, or say `down=allow`; std/rollback-worker has what belongs to it"));
        }
        let before = Value::Record(IndexMap::from([
            ("lower".to_string(), Value::Bool(lower)),
            ("packages".to_string(), to_value(&installed)),
            ("held".to_string(), Value::List(held.into_iter().map(Value::Text).collect())),
        ]));
        Ok(Check::Needs { now: now.join(", "), then: version.to_string(), before })
    }

    async fn start(&self, cx: &Context, before: &Value) -> Result<Progress, Failure> {
        let version = argument::version(cx, "version")?;
        let names = names(cx)?;
        let host = Host::of(cx)?;
        let packages = Packages::of(&host).await?;
        let held = texts(before.get("held"));
        let mut exact = packages.resolve(&names, &version).await?;
        if exact.is_none() {
            // A patch of the same minor: nobody had a reason to read the index again.
            packages.update().await?;
            exact = packages.resolve(&names, &version).await?;
        }
        let Some(exact) = exact else {
            return Err(Failure::last(format!(
                "the repository of {} does not have {} {version}",
                host.name,
                names.join(", ")
            ))
            .with_hint(format!("put `package repository minor={}` before this step", version.minor())));
        };
        if cx.long
            && let Some(unit) = detached::find(cx, &host).await?
        {
            let handle = with(unit, &exact, &held);
            return Ok(detached::pending(&handle, &host, WHAT, &Unit::Runs(String::new())));
        }
        if !held.is_empty() {
            host.ask(Command::change(["mkdir", "-p", "-m", "0700", FOLDER])).await?;
            host.write(&held_file(cx), &(held.join("\n") + "\n"), 0o600).await?;
        }
        let lower = before.get("lower") == Some(&Value::Bool(true));
        let command = packages.install(&exact, if lower { Way::Down } else { Way::Up });
        let begun = async {
            packages.hold(Hold::Unhold, &held).await?;
            if cx.long {
                detached::begin(cx, &host, &command).await.map(Ok)
            } else {
                host.run(command).await.map(Err)
            }
        };
        match begun.await {
            Ok(Ok(unit)) => {
                let handle = with(unit, &exact, &held);
                Ok(detached::pending(&handle, &host, WHAT, &Unit::Runs(String::new())))
            }
            Ok(Err(output)) => ended(cx, &host, &exact, &held, &output).await,
            Err(failure) => {
                // If this fails too, the file on the node still says what to hold.
                hold_again(cx, &host, &packages, &held).await.ok();
                Err(failure)
            }
        }
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        let held = texts(handle.get("held"));
        match detached::look(cx, &host, handle, WHAT).await {
            Ok(Unit::Ended(output)) => {
                let exact = from_value(handle.get("packages"));
                ended(cx, &host, &exact, &held, &output).await
            }
            Ok(unit) => Ok(detached::pending(handle, &host, WHAT, &unit)),
            Err(failure) => {
                let packages = Packages::of(&host).await?;
                hold_again(cx, &host, &packages, &held).await.ok();
                Err(failure)
            }
        }
    }

    async fn clean(&self, cx: &Context) {
        detached::clean(cx).await;
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        let host = Host::of(cx)?;
        let packages = Packages::of(&host).await?;
        let old = from_value(before.get("packages"));
        let held = texts(before.get("held"));
        let names: Vec<String> = old.iter().map(|package| package.name.clone()).collect();
        if old.is_empty() {
            // Nothing was installed before; a package more does no harm.
            return Ok(());
        }
        if packages.installed(&names).await? != old {
            let available = packages.available(&names).await?;
            if !old.iter().all(|package| available.contains(package))
                && let Some(version) = old.first().and_then(|package| kubernetes(&package.version))
            {
                // Repositories are one a minor, and the undo of the repository comes after this one.
                package_repository::point(&host, &packages, version.minor()).await?;
            }
            packages.hold(Hold::Unhold, &held).await?;
            let way = if before.get("lower") == Some(&Value::Bool(true)) { Way::Up } else { Way::Down };
            let installed = host.ask(packages.install(&old, way)).await;
            hold_again(cx, &host, &packages, &held).await?;
            installed?;
            if names.iter().any(|name| name == "kubelet") {
                // The new one still runs; what is undone next expects the old one.
                host.ask(Command::change(["systemctl", "daemon-reload"])).await?;
                host.ask(Command::change(["systemctl", "restart", "kubelet"])).await?;
            }
            return Ok(());
        }
        hold_again(cx, &host, &packages, &held).await
    }
}

/// Judges an installation that has ended, after what was held is held again.
async fn ended(
    cx: &Context,
    host: &Host,
    exact: &[Package],
    held: &[String],
    output: &Output,
) -> Result<Progress, Failure> {
    let packages = Packages::of(host).await?;
    if !output.ok() {
        let failure = failure::classify(WHAT, output);
        let interrupted =
            failure::known(&failure::said(output)).is_some_and(|k| k.name == "dpkg-interrupted");
        if interrupted {
            packages.configure().await?;
        }
        hold_again(cx, host, &packages, held).await.ok();
        return Err(failure);
    }
    hold_again(cx, host, &packages, held).await?;
    let names: Vec<String> = exact.iter().map(|package| package.name.clone()).collect();
    let installed = packages.installed(&names).await?;
    if installed != exact {
        return Err(Failure::last(format!("the packages were installed, but {} has others", host.name))
            .with_hint("something else installs packages on this node"));
    }
    Ok(Progress::Done(to_value(exact)))
}

/// Holds what was held, and forgets that it was let go.
async fn hold_again(
    cx: &Context,
    host: &Host,
    packages: &Packages<'_>,
    held: &[String],
) -> Result<(), Failure> {
    if held.is_empty() {
        return Ok(());
    }
    packages.hold(Hold::Hold, held).await?;
    host.ask(Command::change(["rm", "-f", &held_file(cx)])).await.map(drop)
}

/// Returns the file on the node that tells what is to be held again. Not in /run: it outlives a reboot.
fn held_file(cx: &Context) -> String {
    format!("{FOLDER}/{}-{}.held", cx.run, detached::step_hash(cx))
}

fn names(cx: &Context) -> Result<Vec<String>, Failure> {
    argument::words(cx, "packages")?.iter().map(|name| checked_name(name)).collect()
}

fn with(unit: Value, exact: &[Package], held: &[String]) -> Value {
    let mut handle = match unit {
        Value::Record(fields) => fields,
        other => IndexMap::from([("unit".to_string(), other)]),
    };
    handle.insert("packages".to_string(), to_value(exact));
    handle.insert("held".to_string(), Value::List(held.iter().cloned().map(Value::Text).collect()));
    Value::Record(handle)
}

fn to_value(packages: &[Package]) -> Value {
    Value::Record(packages.iter().map(|p| (p.name.clone(), Value::Text(p.version.clone()))).collect())
}

fn from_value(value: Option<&Value>) -> Vec<Package> {
    let Some(Value::Record(fields)) = value else { return Vec::new() };
    let package = |(name, version): (&String, &Value)| {
        Some(Package { name: name.clone(), version: version.as_text()?.to_string() })
    };
    fields.iter().filter_map(package).collect()
}

fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::List(items)) => {
            items.iter().filter_map(|item| item.as_text().map(str::to_string)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use engine::event::Class;

    use super::super::testing::{Bench, perform};
    use super::*;

    const QUERY: &str = r"dpkg-query -W -f=${Package} ${Version} ${db:Status-Status}\n kubelet kubectl";
    const LIST: &str = "apt-cache madison kubelet kubectl";
    const OLD: &str = "kubelet 1.33.4-1.1 installed\nkubectl 1.33.4-1.1 installed\n";
    const NEW: &str = "kubelet 1.34.4-1.1 installed\nkubectl 1.34.4-1.1 installed\n";
    const HAS: &str =
        " kubelet | 1.34.4-1.1 | http://x  Packages\n kubectl | 1.34.4-1.1 | http://x  Packages\n";
    const APT: &str = "apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o APT::Color=0";

    fn args() -> [(&'static str, Value); 2] {
        let packages = ["kubelet", "kubectl"].map(|word| Value::Word(word.into()));
        [("packages", Value::List(packages.into())), ("version", Value::Version("v1.34.4".parse().unwrap()))]
    }

    fn install(way: &str, version: &str) -> String {
        format!("{APT}{way} kubelet={version} kubectl={version}")
    }

    fn node() -> Bench {
        Bench::default().says("apt-mark showhold", "kubelet\ncontainerd\n").says(LIST, HAS).says(QUERY, OLD)
    }

    #[tokio::test]
    async fn only_what_was_held_is_held_again() {
        let bench = node()
            .says(QUERY, NEW)
            .says("apt-mark unhold kubelet", "")
            .says("apt-mark hold kubelet", "")
            .says(&install("", "1.34.4-1.1"), "");
        let value = perform(&Install, &bench.step(&args())).await.unwrap();
        assert_eq!(value.to_string(), "{kubelet: 1.34.4-1.1, kubectl: 1.34.4-1.1}");
        expect_test::expect![[r#"
            dpkg-query -W -f=${Package} ${Version} ${db:Status-Status}\n kubelet kubectl
            apt-mark showhold
            apt-cache madison kubelet kubectl
            mkdir -p -m 0700 /var/lib/kup
            write /var/lib/kup/r1-a2906e1d50.held 600
            apt-mark unhold kubelet
            apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o APT::Color=0 kubelet=1.34.4-1.1 kubectl=1.34.4-1.1
            apt-mark hold kubelet
            rm -f /var/lib/kup/r1-a2906e1d50.held
            dpkg-query -W -f=${Package} ${Version} ${db:Status-Status}\n kubelet kubectl
        "#]]
        .assert_eq(&bench.sent());
    }

    #[tokio::test]
    async fn a_failed_installation_leaves_the_packages_held_as_they_were() {
        let locked =
            "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (unattended-upgr)";
        let bench = node().says("apt-mark unhold kubelet", "").says("apt-mark hold kubelet", "").ends(
            &install("", "1.34.4-1.1"),
            100,
            "",
            locked,
        );
        let failure = perform(&Install, &bench.step(&args())).await.unwrap_err();
        assert_eq!(failure.class, Class::Transient);
        assert!(bench.sent().contains("apt-mark hold kubelet"));
    }

    #[tokio::test]
    async fn a_hold_that_was_lost_on_the_way_is_remembered_by_the_node() {
        let bench = Bench::default()
            .says("apt-mark showhold", "")
            .says(QUERY, NEW)
            .file("/var/lib/kup/r1-a2906e1d50.held", "kubelet\n");
        let Check::Needs { before, .. } = Install.check(&bench.step(&args())).await.unwrap() else {
            panic!()
        };
        assert_eq!(texts(before.get("held")), ["kubelet"]);
    }

    #[tokio::test]
    async fn an_interrupted_dpkg_is_configured_once_and_tried_again() {
        let bench = node()
            .says("apt-mark unhold kubelet", "")
            .says("apt-mark hold kubelet", "")
            .says("dpkg --configure -a", "")
            .ends(
                &install("", "1.34.4-1.1"),
                100,
                "",
                "E: dpkg was interrupted, you must manually run 'dpkg --configure -a'",
            );
        let failure = perform(&Install, &bench.step(&args())).await.unwrap_err();
        assert_eq!(failure.class, Class::Transient);
        assert!(bench.sent().contains("dpkg --configure -a"));
    }

    #[tokio::test]
    async fn a_version_that_the_repository_lacks_is_final_after_one_look_at_a_fresh_index() {
        let bench = Bench::default()
            .says("apt-mark showhold", "")
            .says(QUERY, OLD)
            .says(LIST, "")
            .says("apt-get update -q -o APT::Update::Error-Mode=any -o APT::Color=0", "");
        let failure = perform(&Install, &bench.step(&args())).await.unwrap_err();
        assert_eq!(failure.class, Class::Final);
        assert_eq!(failure.hint, "put `package repository minor=v1.34` before this step");
    }

    #[tokio::test]
    async fn undo_goes_back_through_the_old_repository_and_restarts_the_old_kubelet() {
        let path = "/etc/apt/sources.list.d/kubernetes.list";
        let bench = node()
            .says(QUERY, NEW)
            .says("apt-get update -q -o APT::Update::Error-Mode=any -o APT::Color=0", "")
            .file(path, "deb http://x/core:/stable:/v1.34/deb/ /\n")
            .says("apt-mark unhold kubelet", "")
            .says("apt-mark hold kubelet", "")
            .says(&install(" --allow-downgrades", "1.33.4-1.1"), "");
        let cx = bench.step(&args());
        let Check::Needs { before, .. } = Install.check(&cx).await.unwrap() else { panic!() };
        Install.undo(&cx, &before).await.unwrap();
        assert_eq!(bench.content(path).unwrap(), "deb http://x/core:/stable:/v1.33/deb/ /\n");
        assert!(bench.sent().ends_with("systemctl daemon-reload\nsystemctl restart kubelet\n"));
    }
}
