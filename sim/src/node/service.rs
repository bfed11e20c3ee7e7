//! The service `etcd` of a host of an external etcd, or of a control plane that somebody built: a process with its settings in its environment, as
//! packages and installers start it.

use crate::world::World;

/// The process while it runs; systemd says 0 of one that does not.
const PID: u32 = 731;

/// Lays down what a process shows of itself, once all members are known.
pub fn begin(world: &mut World) {
    let all: Vec<(String, String)> =
        world.etcd.members.iter().map(|(name, member)| (name.clone(), member.address.clone())).collect();
    let initial: Vec<String> =
        all.iter().map(|(name, address)| format!("{name}=https://{address}:2380")).collect();
    for (name, address) in &all {
        let Some(node) = world.nodes.get_mut(name).filter(|node| node.serves_etcd()) else { continue };
        let environment = [
            "PATH=/usr/local/bin:/usr/bin:/bin".to_string(),
            format!("ETCD_NAME={name}"),
            "ETCD_DATA_DIR=/var/lib/etcd".to_string(),
            format!("ETCD_LISTEN_CLIENT_URLS=https://{address}:2379,https://127.0.0.1:2379"),
            format!("ETCD_ADVERTISE_CLIENT_URLS=https://{address}:2379"),
            format!("ETCD_INITIAL_ADVERTISE_PEER_URLS=https://{address}:2380"),
            format!("ETCD_INITIAL_CLUSTER={}", initial.join(",")),
            "ETCD_TRUSTED_CA_FILE=/etc/etcd/pki/ca.crt".to_string(),
            format!("ETCD_CERT_FILE=/etc/etcd/pki/{name}.crt"),
            format!("ETCD_KEY_FILE=/etc/etcd/pki/{name}.key"),
            "ETCD_CLIENT_CERT_AUTH=true".to_string(),
        ];
        node.files.write(&format!("/proc/{PID}/environ"), environment.join("\0") + "\0", 0o400);
        node.files.write(&format!("/proc/{PID}/cmdline"), "/usr/bin/etcd\0", 0o444);
    }
}

/// Starts or stops the service of a host.
pub(crate) fn set(world: &mut World, name: &str, up: bool) {
    world.etcd.set_up(name, up);
    world.machines_changed();
}

/// Returns what `systemctl show` says of the service, as far as somebody asks.
pub(crate) fn properties(world: &World, name: &str) -> Vec<(&'static str, String)> {
    let installed = world.nodes.get(name).is_some_and(|node| node.serves_etcd());
    let (load, active, sub, pid) = match (installed, world.etcd.is_up(name)) {
        (false, _) => ("not-found", "inactive", "dead", 0),
        (true, false) => ("loaded", "inactive", "dead", 0),
        (true, true) => ("loaded", "active", "running", PID),
    };
    vec![
        ("MainPID", pid.to_string()),
        ("LoadState", load.to_string()),
        ("ActiveState", active.to_string()),
        ("SubState", sub.to_string()),
    ]
}
