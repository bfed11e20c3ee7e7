//! `check windows nodes`: before anything is touched, every Windows worker has its programs where they are looked for, runs its kubelet as a
//! service, and reaches the target's release.

use async_trait::async_trait;
use engine::action::Context;
use engine::event::Failure;

use super::argument;
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
            for name in ["kubeadm", "kubelet"] {
                let program = Program::of(cx, host, name).await?;
                program.installed(host).await?;
                windows::reaches(host, &program).await?;
            }
            windows::status(host).await
        });
        let answers = together(asked.collect()).await;
        answers.into_iter().collect::<Result<Vec<String>, Failure>>()?;
        Ok(match hosts.len() {
            0 => format!("no Windows node is behind {version}"),
            count => format!("{count} Windows nodes reach {version}"),
        })
    }
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
}
