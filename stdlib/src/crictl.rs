//! The words for `crictl` on a node: which container runs a component of the control plane, and the
//! tools in etcd's own, with the certificates that kubeadm gave it.

/// Returns the command that prints the id of a component's container, if it runs.
pub(crate) fn ps(component: &str) -> [String; 5] {
    ["crictl", "ps", "--name", &format!("^{component}$"), "-q"].map(str::to_string)
}

/// Reads what [`ps`] printed.
pub(crate) fn container(said: &str) -> Option<&str> {
    let id = |line: &&str| !line.is_empty() && line.bytes().all(|b| b.is_ascii_alphanumeric());
    said.lines().map(str::trim).find(id)
}

/// Returns the command of a tool in the container of an etcd member.
pub(crate) fn etcd<'a>(container: &'a str, tool: &'a str, args: &[&'a str]) -> Vec<&'a str> {
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
