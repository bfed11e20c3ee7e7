//! What the verbs of etcd share: the member of a host with its tools, and what the whole cluster says of
//! itself. A cluster with an alarm, a learner or a sick member is not worked on.

use engine::action::Context;
use engine::event::Failure;
use engine::inventory::Node;
use engine::port::{Command, Output};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::failure;
use super::host::Host;
use crate::etcd::{Found, Member, find};
use crate::health::Finding;
use crate::release::numbers;

/// The etcd member of a host.
pub(super) struct Etcd<'a> {
    pub(super) host: &'a Host,
    pub(super) member: Member,
}

/// A healthy cluster.
#[derive(Debug)]
pub(super) struct Well {
    /// A revision that every member has passed.
    pub(super) revision: u64,
    /// The version of the oldest member, such as `3.5.24`.
    pub(super) version: String,
    /// The members.
    pub(super) members: Vec<Row>,
}

/// A member in the list of members.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Row {
    /// Its id.
    #[serde(rename = "ID", default)]
    pub(super) id: u64,
    /// Its name; empty until it was started.
    #[serde(default)]
    pub(super) name: String,
    #[serde(rename = "isLearner", default)]
    pub(super) is_learner: bool,
    /// Where it is asked; empty until it was started.
    #[serde(rename = "clientURLs", default)]
    pub(super) urls: Vec<String>,
}

/// What a member says of itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    header: Header,
    #[serde(default)]
    pub(super) version: String,
    /// The member that it follows; its own id if it leads, 0 if nobody does.
    #[serde(default)]
    pub(super) leader: u64,
    /// The bytes of its database on the disk.
    #[serde(default)]
    pub(super) db_size: u64,
    /// Those of them that hold something.
    #[serde(default)]
    pub(super) db_size_in_use: u64,
    #[serde(default)]
    pub(super) raft_applied_index: u64,
}

impl Status {
    /// Returns its own id.
    pub(super) fn id(&self) -> u64 {
        self.header.member_id
    }

    /// Returns how much of its database is free.
    pub(super) fn free(&self) -> u32 {
        let free = self.db_size.saturating_sub(self.db_size_in_use);
        u32::try_from(free * 10_000 / self.db_size.max(1)).unwrap_or(10_000)
    }

    /// Returns whether it leads.
    pub(super) fn leads(&self) -> bool {
        self.leader != 0 && self.leader == self.header.member_id
    }
}

impl<'a> Etcd<'a> {
    /// Finds the member of a host.
    pub(super) async fn on(host: &'a Host) -> Result<Etcd<'a>, Failure> {
        let found = find(&*host.shell, host.node.as_ref()).await.map_err(|error| failure::shell(&error))?;
        match found {
            Found::Member(member) => Ok(Etcd { host, member }),
            Found::Nothing => Err(Failure::transient(format!("no etcd runs on {}", host.name)).with_hint(
                "see `crictl ps -a --name etcd` there, or `systemctl status etcd` where it is a service",
            )),
            Found::Unasked(output) => Err(failure::classify("crictl ps", &output)),
        }
    }

    /// Runs a tool that only looks, and must succeed; returns what it prints.
    pub(super) async fn ask(&self, tool: &str, args: &[&str]) -> Result<String, Failure> {
        let output = self.run(tool, args).await?;
        if output.ok() { Ok(output.stdout) } else { Err(failure::classify(&words(tool, args), &output)) }
    }

    /// Runs a tool that changes something, and must succeed.
    pub(super) async fn change(&self, tool: &str, args: &[&str]) -> Result<String, Failure> {
        let output = self.host.run(Command::change(self.member.tool(tool, args))).await?;
        if output.ok() { Ok(output.stdout) } else { Err(failure::classify(&words(tool, args), &output)) }
    }

    /// Runs a tool that only looks.
    pub(super) async fn run(&self, tool: &str, args: &[&str]) -> Result<Output, Failure> {
        self.host.run(Command::read(self.member.tool(tool, args)).as_root()).await
    }

    pub(super) async fn json<T: DeserializeOwned>(&self, tool: &str, args: &[&str]) -> Result<T, Failure> {
        parse(&words(tool, args), &self.ask(tool, args).await?)
    }

    /// Returns the tool that reads and restores snapshots: etcdutl since 3.5, where a package may still leave
    /// it out. https://etcd.io/docs/v3.5/op-guide/recovery/
    pub(super) async fn snapshots(&self, version: &str) -> Result<&'static str, Failure> {
        let old = match &self.member {
            _ if version.starts_with("3.4.") => true,
            Member::Service(_) if version.starts_with("3.5.") => {
                !self.run("etcdutl", &["version"]).await?.ok()
            }
            Member::Service(_) | Member::Pod(_) => false,
        };
        Ok(if old { "etcdctl" } else { "etcdutl" })
    }

    /// Returns the members, whether they answer or not.
    pub(super) async fn members(&self) -> Result<Vec<Row>, Failure> {
        let list: Members = self.json("etcdctl", &["member", "list", "-w", "json"]).await?;
        Ok(list.members)
    }

    /// Returns what every member says of itself. All must answer.
    pub(super) async fn statuses(&self) -> Result<Vec<Status>, Failure> {
        let all: Vec<Endpoint> =
            self.json("etcdctl", &["endpoint", "status", "--cluster", "-w", "json"]).await?;
        Ok(all.into_iter().map(|endpoint| endpoint.status).collect())
    }

    /// Returns what this member says of itself.
    pub(super) async fn status(&self) -> Result<Status, Failure> {
        let own: Vec<Endpoint> = self.json("etcdctl", &["endpoint", "status", "-w", "json"]).await?;
        let own = own.into_iter().next().map(|endpoint| endpoint.status);
        own.ok_or_else(|| {
            Failure::transient(format!("the etcd of {} says nothing of itself", self.host.name))
        })
    }

    /// Holds that the whole cluster is healthy.
    pub(super) async fn healthy(&self) -> Result<Well, Failure> {
        let alarms: Alarms = self.json("etcdctl", &["alarm", "list", "-w", "json"]).await?;
        if let Some(alarm) = alarms.alarms.first() {
            let (name, hint) = match alarm.alarm {
                1 => {
                    ("NOSPACE", "compact, defragment one member after the other, then `etcdctl alarm disarm`")
                }
                2 => ("CORRUPT", "stop: replace the member from a good one, and never disarm first"),
                _ => ("unknown", "see `etcdctl alarm list`"),
            };
            return Err(Failure::last(format!("etcd has the alarm {name}")).with_hint(hint));
        }
        let Members { members } = self.json("etcdctl", &["member", "list", "-w", "json"]).await?;
        for member in &members {
            if member.is_learner {
                return Err(Failure::last(format!("etcd member {} is still a learner", member.name))
                    .with_hint("promote or remove it first: `etcdctl member promote`"));
            }
            if member.name.is_empty() {
                return Err(Failure::last("etcd has a member that was added and never started")
                    .with_hint("start it, or remove it: `etcdctl member remove`"));
            }
        }
        self.endpoints_healthy().await?;
        let statuses = self.statuses().await?;
        let oldest = statuses.iter().map(|status| &status.version).min_by_key(|version| numbers(version));
        Ok(Well {
            revision: statuses.iter().map(|status| status.header.revision).min().unwrap_or(0),
            version: oldest.cloned().unwrap_or_default(),
            members,
        })
    }

    /// Returns the endpoints of the members that are well.
    pub(super) async fn well(&self) -> Result<Vec<String>, Failure> {
        let all = self.health().await?;
        Ok(all.into_iter().filter(|endpoint| endpoint.health).map(|endpoint| endpoint.endpoint).collect())
    }

    async fn health(&self) -> Result<Vec<Health>, Failure> {
        // With a sick endpoint the exit code is 1, and the answer still tells which one.
        let args = ["endpoint", "health", "--cluster", "-w", "json"];
        let output = self.run("etcdctl", &args).await?;
        match parse(&words("etcdctl", &args), &output.stdout) {
            Err(_) if !output.ok() => {
                Err(Failure::transient("etcd is not healthy")
                    .with_output(failure::tail(&failure::said(&output))))
            }
            answered => answered,
        }
    }

    async fn endpoints_healthy(&self) -> Result<(), Failure> {
        let endpoints = self.health().await?;
        match endpoints.iter().find(|endpoint| !endpoint.health) {
            None => Ok(()),
            Some(sick) => Err(Failure::transient(format!(
                "etcd at {} is not healthy",
                failure::printable(&sick.endpoint)
            ))
            .with_output(failure::tail(&sick.error))
            .with_hint("never upgrade while a member is out: another one lost would be the quorum")),
        }
    }
}

/// Looks whether etcd is whole: every host that kup knows has its member, and all of them are well.
pub(super) async fn look(cx: &Context) -> Result<Finding, Failure> {
    let known: Vec<&Node> = cx.inventory.nodes.values().filter(|node| node.etcd).collect();
    if known.is_empty() {
        return Err(Failure::last("kup knows no host of etcd"));
    }
    let mut silent = None;
    for node in &known {
        let host = Host::named(cx, node);
        // A member that is about to start says nothing yet; whom the others miss they tell.
        match Etcd::on(&host).await {
            Ok(etcd) => {
                let well = etcd.healthy().await?;
                let (members, hosts) = (well.members.len(), known.len());
                return Ok((members != hosts).then(|| format!("etcd has {members} of {hosts} members")));
            }
            Err(failure) => silent = silent.or(Some(failure)),
        }
    }
    silent.map_or(Ok(None), Err)
}

/// Returns a command of a tool in few words.
fn words(tool: &str, args: &[&str]) -> String {
    let words: Vec<&str> = args.iter().copied().filter(|arg| !arg.starts_with('-')).take(2).collect();
    format!("{tool} {}", words.join(" "))
}

pub(super) fn parse<T: DeserializeOwned>(what: &str, said: &str) -> Result<T, Failure> {
    serde_json::from_str(said.trim()).map_err(|error| {
        Failure::last(format!("cannot read what `{what}` says: {error}")).with_output(failure::tail(said))
    })
}

#[derive(Deserialize)]
struct Alarms {
    #[serde(default)]
    alarms: Vec<Alarm>,
}

#[derive(Deserialize)]
struct Alarm {
    #[serde(default)]
    alarm: u64,
}

#[derive(Deserialize)]
struct Members {
    members: Vec<Row>,
}

#[derive(Deserialize)]
struct Health {
    endpoint: String,
    health: bool,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "Status")]
    status: Status,
}

#[derive(Clone, Debug, Deserialize)]
struct Header {
    #[serde(default)]
    revision: u64,
    #[serde(default)]
    member_id: u64,
}
