//! The cluster that was chosen on the command line, for the tools that kup runs on this machine: `helm` and `kubectl`
//! must not talk to another one than kup does.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use engine::port::{Command, Output, Seal, Shell, ShellError, Shells};

/// The shells of a run, of which the one of this machine knows the cluster.
struct Chosen {
    shells: Arc<dyn Shells>,
    env: Arc<Vec<(String, String)>>,
}

/// Lets commands on this machine find the cluster that kup was given.
pub(crate) fn chosen(
    shells: Arc<dyn Shells>,
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> Arc<dyn Shells> {
    let mut env = Vec::new();
    if let Some(path) = kubeconfig {
        // A command may run in another folder.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        env.push(("KUBECONFIG".to_string(), path.display().to_string()));
    }
    if let Some(context) = context {
        // kubectl has no variable for it, and takes `--context`.
        env.push(("HELM_KUBECONTEXT".to_string(), context.to_string()));
    }
    if env.is_empty() {
        return shells;
    }
    Arc::new(Chosen { shells, env: Arc::new(env) })
}

impl Shells for Chosen {
    fn on(&self, ssh: &str) -> Arc<dyn Shell> {
        self.shells.on(ssh)
    }

    fn here(&self) -> Arc<dyn Shell> {
        Arc::new(Here { shell: self.shells.here(), env: self.env.clone() })
    }
}

/// This machine.
struct Here {
    shell: Arc<dyn Shell>,
    env: Arc<Vec<(String, String)>>,
}

#[async_trait]
impl Shell for Here {
    async fn run(&self, command: &Command) -> Result<Output, ShellError> {
        let mut command = command.clone();
        // What a command sets itself comes last, and counts.
        command.env.splice(0..0, self.env.iter().cloned());
        self.shell.run(&command).await
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ShellError> {
        self.shell.read(path).await
    }

    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<(), ShellError> {
        self.shell.write(path, content, mode).await
    }

    async fn fetch(&self, path: &str, into: &Path) -> Result<u64, ShellError> {
        self.shell.fetch(path, into).await
    }

    async fn fetch_sealed(&self, path: &str, into: &Path, seal: &dyn Seal) -> Result<u64, ShellError> {
        self.shell.fetch_sealed(path, into, seal).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Machines;

    impl Shells for Machines {
        fn on(&self, _: &str) -> Arc<dyn Shell> {
            Arc::new(engine::live::Local)
        }
        fn here(&self) -> Arc<dyn Shell> {
            Arc::new(engine::live::Local)
        }
    }

    #[tokio::test]
    async fn tools_here_find_the_cluster_that_kup_was_given_and_nodes_hear_nothing_of_it() {
        let shells = chosen(Arc::new(Machines), Some(Path::new("/k/config")), Some("blue"));
        let line = Command::read(["sh", "-c", "echo $KUBECONFIG $HELM_KUBECONTEXT"]);
        assert_eq!(shells.here().run(&line).await.unwrap().stdout, "/k/config blue\n");
        let own = line.clone().with_env("HELM_KUBECONTEXT", "red");
        assert_eq!(shells.here().run(&own).await.unwrap().stdout, "/k/config red\n");
        assert_ne!(shells.on("w1").run(&line).await.unwrap().stdout, "/k/config blue\n");
    }
}
