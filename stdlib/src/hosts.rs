//! The hosts file: what a person knows of machines and the API does not, above all how ssh reaches
//! them.

use dsl::value::LOCAL;
use serde::Deserialize;

/// A machine in a hosts file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name; the node's name where there is a cluster.
    pub name: String,
    /// What to give to ssh.
    pub ssh: String,
    /// What it is for.
    pub roles: Vec<Role>,
}

/// What a machine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It runs an apiserver.
    ControlPlane,
    /// It runs an etcd member.
    Etcd,
    /// It runs workloads.
    Worker,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    host: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    ssh: Option<String>,
    #[serde(default)]
    roles: Vec<Role>,
}

const LOOKS: &str =
    "a host looks like `[[host]]`, and below it `name = \"w1\"`; `ssh` and `roles` may follow";

/// Reads a hosts file: a table `[[host]]` for each machine.
pub fn parse(text: &str) -> Result<Vec<Host>, String> {
    let file: File =
        toml::from_str(text).map_err(|error| format!("{}\nhint: {LOOKS}", error.to_string().trim_end()))?;
    if file.host.is_empty() {
        return Err(format!("the hosts file names no host\nhint: {LOOKS}"));
    }
    let mut hosts: Vec<Host> = Vec::with_capacity(file.host.len());
    for Entry { name, ssh, roles } in file.host {
        check_name(&name)?;
        if hosts.iter().any(|known| known.name == name) {
            return Err(format!("host `{name}` stands twice in the hosts file"));
        }
        let ssh = ssh.unwrap_or_else(|| name.clone());
        check_ssh(&name, &ssh)?;
        hosts.push(Host { name, ssh, roles });
    }
    Ok(hosts)
}

/// Refuses what cannot be the name of a node: names end up in commands, files and on the terminal.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name == LOCAL {
        return Err(format!("no node may be called `{LOCAL}`: it means the machine where kup runs"));
    }
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let plain = name.len() <= 253 && name.chars().all(inner);
    if plain && edge(name.chars().next()) && edge(name.chars().next_back()) {
        Ok(())
    } else {
        Err(format!(
            "`{}` cannot be the name of a node: lowercase letters, digits, `-` and `.` make one",
            name.escape_debug()
        ))
    }
}

/// Refuses what ssh would take for an option, and what nobody means as a destination.
fn check_ssh(name: &str, ssh: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_graphic() && !"'\"`$;&|<>\\(){}*?!#".contains(c);
    if ssh.is_empty() || ssh.starts_with('-') || !ssh.chars().all(plain) {
        return Err(format!("`{}` is no destination for ssh (host `{name}`)", ssh.escape_debug()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_a_name_a_way_to_it_and_roles() {
        let hosts = parse(
            r#"
            [[host]]
            name = "cp1"
            ssh = "root@cp1.example"
            roles = ["control-plane", "etcd"]

            [[host]]
            name = "w1"
            "#,
        );
        let cp1 = Host {
            name: "cp1".into(),
            ssh: "root@cp1.example".into(),
            roles: vec![Role::ControlPlane, Role::Etcd],
        };
        let w1 = Host { name: "w1".into(), ssh: "w1".into(), roles: vec![] };
        assert_eq!(hosts, Ok(vec![cp1, w1]));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, why) in [
            ("", "names no host"),
            ("[[host]]\nname = \"local\"", "no node may be called `local`"),
            ("[[host]]\nname = \"w1\"\n[[host]]\nname = \"w1\"", "stands twice"),
            ("[[host]]\nname = \"W1;id\"", "cannot be the name"),
            ("[[host]]\nname = \"\"", "cannot be the name"),
            ("[[host]]\nname = \"w1\"\nssh = \"-oProxyCommand=id\"", "no destination for ssh"),
            ("[[host]]\nname = \"w1\"\nrole = \"worker\"", "unknown field `role`"),
            ("[[host]]\nname = \"w1\"\nroles = [\"master\"]", "unknown variant `master`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
