//! How the etcd member of a kubeadm node is asked: by the tools in its own container, with the
//! certificates that kubeadm gave it.

/// Prints the id of the member's container, if it runs.
pub(crate) const CONTAINER: [&str; 5] = ["crictl", "ps", "--name", "^etcd$", "-q"];

/// Reads what [`CONTAINER`] printed.
pub(crate) fn container(said: &str) -> Option<&str> {
    let id = |line: &&str| !line.is_empty() && line.bytes().all(|b| b.is_ascii_alphanumeric());
    said.lines().map(str::trim).find(id)
}

/// Returns the command of a tool in the member's container.
pub(crate) fn command<'a>(container: &'a str, tool: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    let mut argv = vec!["crictl", "exec", container, tool];
    if tool == "etcdctl" {
        argv.extend([
            "--endpoints=https://127.0.0.1:2379",
            "--cacert=/etc/kubernetes/pki/etcd/ca.crt",
            "--cert=/etc/kubernetes/pki/etcd/server.crt",
            "--key=/etc/kubernetes/pki/etcd/server.key",
        ]);
    }
    argv.extend(args);
    argv
}
