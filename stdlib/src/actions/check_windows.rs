//! `check windows nodes`: before anything is touched, every Windows worker has its programs where they are looked for, runs its kubelet as a
//! service, is started with no flag that the target knows no more, and reaches the target's release.

use async_trait::async_trait;
use dsl::value::Minor;
use engine::action::Context;
use engine::event::Failure;

use super::argument;
use super::check_flags::of_component;
use super::flags;
use super::host::{Host, together};
use super::verdict::Verdict;
use super::windows::{self, Program};

/// The verb.
pub(super) struct CheckWindowsNodes;

#[async_trait]
impl Verdict for CheckWindowsNodes {
    fn name(&self) -> &'static str {
        "check windows nodes"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let version = argument::version(cx, "version")?;
        let behind = cx
            .inventory
            .nodes
            .values()
            .filter(|node| node.windows && node.kubelet.as_ref() != Some(&version));
        let hosts: Vec<Host> = behind.map(|node| Host::named(cx, node)).collect();
        let asked = hosts.iter().map(|host| async {
            let kubeadm = Program::of(cx, host, "kubeadm").await?;
            let kubelet = Program::of(cx, host, "kubelet").await?;
            for program in [&kubeadm, &kubelet] {
                program.installed(host).await?;
                windows::reaches(host, program).await?;
            }
            windows::status(host).await?;
            gone(host, &kubelet, version.minor()).await
        });
        let answers = together(asked.collect()).await;
        let gone = answers.into_iter().collect::<Result<Vec<_>, Failure>>()?.concat();
        if !gone.is_empty() {
            return Err(Failure::last(gone.join("; ")).with_hint(
                "take it out of that script, which kubeadm does not write, and restart the kubelet once",
            ));
        }
        Ok(match hosts.len() {
            0 => format!("no Windows node is behind {version}"),
            count => format!("{count} Windows nodes reach {version}"),
        })
    }
}

/// What PrepareNode.ps1 of sig-windows-tools has the service run, beside the kubelet: it has flags of its own, and reads kubeadm's.
const STARTS: &str = "StartKubelet.ps1";

/// The file that kubeadm writes.
const KUBEADMS: &str = r"C:\var\lib\kubelet\kubeadm-flags.env";

/// Returns the flags with which the kubelet of a node would end at once.
async fn gone(host: &Host, kubelet: &Program, to: Minor) -> Result<Vec<String>, Failure> {
    let script = kubelet.beside(STARTS);
    let own = flags::of_script(&host.read(&script).await?.unwrap_or_default());
    let kubeadms = flags::of_environment(&host.read(KUBEADMS).await?.unwrap_or_default());
    let own = of_component("kubelet", &own, false, to).into_iter().map(|text| (text, script.as_str()));
    let kubeadms = of_component("kubelet", &kubeadms, true, to).into_iter().map(|text| (text, KUBEADMS));
    Ok(own.chain(kubeadms).map(|(text, path)| format!("{}: {text}: {path}", host.name)).collect())
}

#[cfg(test)]
mod tests {
    use dsl::value::Value;

    use super::super::testing::Bench;
    use super::*;

    #[tokio::test]
    async fn a_node_whose_programs_are_not_on_its_path_is_told_before_anything_is_done() {
        let args = [
            ("version", Value::Version("v1.34.2".parse().unwrap())),
            ("from", Value::Text("https://x".into())),
        ];
        let bench =
            Bench::default().ends("where.exe $PATH:kubeadm.exe", 1, "", "INFO: Could not find files\n");
        let mut cx = bench.step(&args);
        assert_eq!(CheckWindowsNodes.judge(&cx).await.unwrap(), "no Windows node is behind v1.34.2");
        let mut inventory = (*cx.inventory).clone();
        inventory.nodes[0].windows = true;
        cx.inventory = inventory.into();
        let failure = CheckWindowsNodes.judge(&cx).await.unwrap_err();
        assert!(failure.message.contains("n1 has no kubeadm.exe on its PATH"), "{failure:?}");
        assert!(failure.hint.contains("PATH of the machine"));
    }

    #[tokio::test]
    async fn a_flag_that_the_target_knows_no_more_is_told_where_it_stands() {
        let look = "curl.exe -fsSL --retry 3 --head https://x/v1.35.0/bin/windows/amd64/";
        let bench = Bench::default()
            .says("where.exe $PATH:kubeadm.exe", "C:\\k\\kubeadm.exe\r\n")
            .says("where.exe $PATH:kubelet.exe", "C:\\k\\kubelet.exe\r\n")
            .says("C:\\k\\kubeadm.exe version -o short", "v1.34.2\n")
            .says("C:\\k\\kubelet.exe --version", "Kubernetes v1.34.2\n")
            .says(&format!("{look}kubeadm.exe"), "")
            .says(&format!("{look}kubelet.exe"), "")
            .says("Get-Service -Name kubelet", "\nStatus : Running\n")
            .file(
                KUBEADMS,
                "KUBELET_KUBEADM_ARGS=\"--pod-infra-container-image=a --keep-terminated-pod-volumes\"",
            )
            .file(
                "C:\\k\\StartKubelet.ps1",
                "$cmd = \"C:\\k\\kubelet.exe --pod-infra-container-image=`\"a`\" --v=2\"",
            );
        let args = [
            ("version", Value::Version("v1.35.0".parse().unwrap())),
            ("from", Value::Text("https://x".into())),
        ];
        let mut cx = bench.step(&args);
        let mut inventory = (*cx.inventory).clone();
        inventory.nodes[0].windows = true;
        cx.inventory = inventory.into();
        let failure = CheckWindowsNodes.judge(&cx).await.unwrap_err();
        assert_eq!(
            failure.message,
            "n1: kubelet has --pod-infra-container-image, which is gone since v1.35: C:\\k\\StartKubelet.ps1; \
             n1: kubelet has --keep-terminated-pod-volumes, which is gone since v1.31: C:\\var\\lib\\kubelet\\kubeadm-flags.env"
        );
    }
}
