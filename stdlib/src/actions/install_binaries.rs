//! `install binaries`: components of a self-built node at a version, by the binaries of its release. Nothing of it runs before
//! its unit is restarted; taken back, the binaries that were kept have their names again and their units run them.

use std::time::Duration;

use async_trait::async_trait;
use dsl::value::{Value, Version};
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::port::Command;
use indexmap::IndexMap;

use super::binary::{self, Binary, version_of};
use super::component::{TOOL, named, path_of, release, state, unwell};
use super::host::Host;
use super::{argument, detached, failure};

/// How often to look whether a unit that was taken back is well, and how many times.
const AGAIN: (Duration, u32) = (Duration::from_secs(2), 90);

/// The verb.
pub(super) struct InstallBinaries;

#[async_trait]
impl Action for InstallBinaries {
    fn name(&self) -> &'static str {
        "install binaries"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let host = Host::of(cx)?;
        let wanted = argument::version(cx, "version")?;
        let (mut before, mut names, mut now) = (IndexMap::new(), Vec::new(), Vec::new());
        for name in argument::words(cx, "components")? {
            let version = version_of(&host, &path_of(&host, &name).await?).await?;
            if version != wanted {
                now.push(version.to_string());
                before.insert(name.clone(), Value::Version(version));
            }
            names.push(name);
        }
        now.dedup();
        if before.is_empty() {
            return Ok(Check::Done(format!("{} at {wanted}", names.join(", "))));
        }
        Ok(Check::Needs { now: now.join(", "), then: wanted.to_string(), before: Value::Record(before) })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        binary::fetch(cx, &host, &binaries(cx, &host).await?).await
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let host = Host::of(cx)?;
        binary::follow(cx, &host, handle, &binaries(cx, &host).await?).await
    }

    async fn clean(&self, cx: &Context) {
        detached::clean(cx).await;
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        let host = Host::of(cx)?;
        let Value::Record(before) = before else { return Ok(()) };
        let mut units = Vec::new();
        for (name, old) in before {
            let Value::Version(old) = old else { continue };
            binary::swap_back(&host, &path_of(&host, name).await?, old).await?;
            if name != TOOL {
                units.push((name.as_str(), old));
            }
        }
        for (name, old) in units {
            back(cx, &host, name, old).await?;
        }
        Ok(())
    }
}

async fn binaries(cx: &Context, host: &Host) -> Result<Vec<Binary>, Failure> {
    let mut all = Vec::new();
    for name in argument::words(cx, "components")? {
        let path = path_of(host, &name).await?;
        all.push(release(cx, host, &name, path)?);
    }
    Ok(all)
}

/// Lets a unit run the binary that is there again, and waits until it does.
async fn back(cx: &Context, host: &Host, name: &str, old: &Version) -> Result<(), Failure> {
    let look = async || state(host, name).await.map_err(|error| failure::shell(&error));
    let is = look().await?;
    if is.current && is.is_active() {
        return Ok(());
    }
    host.ask(Command::change(["systemctl", "restart", name])).await?;
    let mut missing = String::new();
    for _ in 0..AGAIN.1 {
        let is = look().await?;
        missing = match (is.is_active() && is.current, named(name)) {
            (false, _) => format!("the {name} of {} is {}", host.name, is.unit),
            (true, Ok(component)) => unwell(host, component, &is).await.unwrap_or_default(),
            // The kubelet's own node is waited for by whoever uncordons it.
            (true, Err(_)) => String::new(),
        };
        if missing.is_empty() {
            return Ok(());
        }
        cx.ports.clock.sleep(AGAIN.0).await;
    }
    Err(Failure::transient(format!("{name} {old} is back, and not well: {missing}")))
}

#[cfg(test)]
mod tests {
    use engine::event::Class;

    use super::super::testing::{Bench, perform};
    use super::*;

    const BIN: &str = "/usr/local/bin/kube-apiserver";
    const URL: &str = "https://x/v1.34.2/bin/linux/amd64/kube-apiserver";
    const HASH: &str = "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce";

    fn node(listed: &str) -> Bench {
        let start = format!("ExecStart={{ path={BIN} ; argv[]={BIN} --secure-port=6444 ; }}\n");
        Bench::default()
            .says("systemctl show kube-apiserver -p ExecStart", &start)
            .says(&format!("{BIN} --version"), "Kubernetes v1.33.4\n")
            .says(&format!("{BIN}.kup --version"), "Kubernetes v1.34.2\n")
            .says(&format!("{BIN}.previous --version"), "Kubernetes v1.33.4\n")
            .says(&format!("curl -fsSL --retry 3 --output {BIN}.kup {URL}"), "")
            .says(&format!("curl -fsSL --retry 3 {URL}.sha512"), listed)
            .says(&format!("sha512sum {BIN}.kup"), &format!("{HASH}  {BIN}.kup\n"))
            .says(&format!("chmod 0755 {BIN}.kup"), "")
            .says(&format!("ln -f {BIN} {BIN}.previous"), "")
            .says(&format!("ln -f {BIN}.previous {BIN}.kup"), "")
            .says(&format!("mv -f {BIN}.kup {BIN}"), "")
            .says(
                "systemctl show kube-apiserver -p ActiveState,SubState,NRestarts,MainPID,ExecStart",
                &format!("ActiveState=active\nSubState=running\nNRestarts=0\nMainPID=7\n{start}"),
            )
            .says(&format!("stat -L -c %d:%i /proc/7/exe {BIN}"), "1:2\n1:3\n")
            .says(&format!("stat -L -c %d:%i /proc/7/exe {BIN}"), "1:3\n1:3\n")
            .says("curl -sk -o /dev/null -w %{http_code} --max-time 5 https://127.0.0.1:6444/readyz", "200")
    }

    fn args() -> [(&'static str, Value); 4] {
        [
            ("components", Value::List(vec![Value::Word("kube-apiserver".into())])),
            ("version", Value::Version("v1.34.2".parse().unwrap())),
            ("from", Value::Text("https://x/".into())),
            ("hash", Value::Word("sha512".into())),
        ]
    }

    #[tokio::test]
    async fn a_binary_is_swapped_in_once_its_hash_and_its_version_are_those_of_the_release() {
        let bench = node(HASH);
        let done = perform(&InstallBinaries, &bench.step(&args())).await.unwrap();
        assert_eq!(done.to_string(), "v1.34.2");
        let sent = bench.sent();
        let end = format!("ln -f {BIN} {BIN}.previous\nmv -f {BIN}.kup {BIN}\n");
        assert!(sent.ends_with(&end) && !sent.contains("restart"), "{sent}");
        let other = node("00");
        let failure = perform(&InstallBinaries, &other.step(&args())).await.unwrap_err();
        assert_eq!(failure.class, Class::Transient);
        assert!(!other.sent().contains("mv -f"));
    }

    #[tokio::test]
    async fn taken_back_the_one_that_was_kept_runs_again_and_is_asked_how_it_is() {
        let bench =
            Bench::default().says(&format!("{BIN} --version"), "Kubernetes v1.34.2\n").beside(node(HASH));
        let before = Value::Record(
            [("kube-apiserver".to_string(), Value::Version("v1.33.4".parse().unwrap()))]
                .into_iter()
                .collect(),
        );
        InstallBinaries.undo(&bench.step(&args()), &before).await.unwrap();
        let sent = bench.sent();
        let swapped = format!("ln -f {BIN}.previous {BIN}.kup\nmv -f {BIN}.kup {BIN}\n");
        assert!(sent.contains(&swapped), "{sent}");
        assert!(sent.contains("systemctl restart kube-apiserver\n"), "{sent}");
        assert!(sent.ends_with("https://127.0.0.1:6444/readyz\n"), "{sent}");
    }
}
