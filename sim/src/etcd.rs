//! The etcd members of the cluster, whether they have a quorum, and what etcdctl says of them.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::node::Files;
use crate::random::Random;

/// The etcd cluster.
#[derive(Clone, Debug, Default)]
pub struct Etcd {
    /// The members by node.
    pub members: IndexMap<String, Member>,
    /// The raft term; it grows with each election.
    term: u64,
    leader: Option<String>,
    /// The data that had a quorum last.
    served: Data,
}

/// What a member has on its disk: members with other data are other clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// The id of the cluster, of which the token and the list of members decide.
    pub cluster: u64,
    /// The revision of the snapshot that it was restored from.
    pub revision: Option<u64>,
}

impl Default for Data {
    fn default() -> Data {
        Data::FIRST
    }
}

impl std::fmt::Display for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&json!(self).to_string())
    }
}

impl Data {
    /// What a cluster begins with.
    pub(crate) const FIRST: Data = Data { cluster: 0x1f2e_3d4c_5b6a_7988, revision: None };

    /// Returns the file of a data folder.
    pub(crate) fn path(folder: &str) -> String {
        format!("{folder}/member/snap/db")
    }

    /// Reads the data in a folder.
    pub(crate) fn read(files: &Files, folder: &str) -> Option<Data> {
        serde_json::from_str(&files.text(&Data::path(folder))?).ok()
    }

    /// Makes the data of a restore.
    pub(crate) fn restored(token: &str, members: &str, revision: Option<u64>) -> Data {
        let mut members: Vec<&str> = members.split(',').collect();
        members.sort_unstable();
        let digest = Sha256::digest(format!("{token} {}", members.join(",")));
        let cluster = digest[..8].iter().fold(0, |id, byte| (id << 8) | u64::from(*byte));
        Data { cluster, revision }
    }
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whether it answers.
    pub up: bool,
    /// The version of its binary, such as `3.5.24`.
    pub version: String,
    /// Its id.
    pub id: u64,
    /// Where clients find it.
    pub address: String,
    /// What it holds; `None` where its data folder is empty.
    pub data: Option<Data>,
    /// The bytes of its database on the disk, of which [`IN_USE`] hold something.
    pub size: u64,
}

/// The bytes of a database that hold something.
pub const IN_USE: u64 = 40_960;
/// What it takes on the disk after weeks of changes.
const GROWN: u64 = 81_920;

/// What etcdctl prints when nobody leads.
const NO_QUORUM: &str = "Error: context deadline exceeded\n";

impl Etcd {
    /// Adds a member that runs.
    pub fn join(&mut self, name: &str, version: &str, address: String) {
        // Real ids are 64 bits, but JSON readers of doubles would round them: 53 are enough to look real.
        let id = Random::named(0, name).bits() >> 11;
        let data = Some(self.served);
        let member = Member { up: true, version: version.to_string(), id, address, data, size: GROWN };
        self.members.insert(name.to_string(), member);
        self.elect();
    }

    /// Takes a member out of the cluster for good.
    pub fn leave(&mut self, name: &str) {
        self.members.shift_remove(name);
        self.elect();
    }

    /// Answers `member remove ID`.
    pub(crate) fn remove_member(&mut self, id: &str) -> Answer {
        if !self.quorum() {
            return Answer::no_quorum();
        }
        let id = u64::from_str_radix(id, 16).unwrap_or_default();
        let found = self.members.iter().find(|(_, member)| member.id == id).map(|(name, _)| name.clone());
        let Some(name) = found else {
            let stderr = format!("Error: etcdserver: member not found ({id:x})\n");
            return Answer { code: 1, stdout: String::new(), stderr };
        };
        // What is left must have a quorum of its own (`strict-reconfig-check`).
        let started = self.members.iter().filter(|(other, member)| **other != name && member.up).count();
        if 2 * started < self.members.len() {
            let stderr =
                "Error: etcdserver: re-configuration failed due to not enough started members\n".to_string();
            return Answer { code: 1, stdout: String::new(), stderr };
        }
        self.leave(&name);
        let stdout = format!("Member {id:x} removed from cluster {:x}\n", self.served.cluster);
        Answer { code: 0, stdout, stderr: String::new() }
    }

    /// Returns the data that the cluster serves.
    pub(crate) fn data(&self) -> Data {
        self.served
    }

    /// Returns whether more than half of the members answer, with the same data.
    pub fn quorum(&self) -> bool {
        self.serving().is_some()
    }

    /// Returns the data that more than half of the members have and answer from.
    fn serving(&self) -> Option<Data> {
        let having = |data: Data| self.members.values().filter(|m| m.up && m.data == Some(data)).count();
        let mut all = self.members.values().filter_map(|m| m.data);
        all.find(|data| 2 * having(*data) > self.members.len())
    }

    /// Returns the data that have a quorum, if they are others than those that had it last.
    pub(crate) fn new_data(&mut self) -> Option<Data> {
        let data = self.serving().filter(|data| *data != self.served)?;
        self.served = data;
        Some(data)
    }

    /// Notes what a member holds when it starts; restored data make it another member.
    pub(crate) fn set_data(&mut self, name: &str, data: Option<Data>) {
        let Some(member) = self.members.get_mut(name).filter(|m| m.data != data) else { return };
        member.data = data;
        member.size = IN_USE;
        if let Some(data) = data {
            member.id = Random::named(data.cluster, name).bits() >> 11;
        }
    }

    /// Returns whether a member answers.
    pub fn is_up(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|m| m.up)
    }

    /// Returns whether a member answers from the data that have a quorum.
    fn takes_part(&self, member: &Member) -> bool {
        member.up && member.data.is_some() && member.data == self.serving()
    }

    /// Returns whether who is on a node gets an answer: from the member there, else from any.
    pub(crate) fn answers(&self, node: &str) -> bool {
        self.quorum() && self.members.get(node).is_none_or(|member| self.takes_part(member))
    }

    /// Returns the member that leads, if there is a quorum.
    pub fn leader(&self) -> Option<&str> {
        self.leader.as_deref()
    }

    /// Takes a member away or brings it back. Without a leader, the first that answers is elected.
    pub fn set_up(&mut self, name: &str, up: bool) {
        if let Some(member) = self.members.get_mut(name) {
            member.up = up;
            self.elect();
        }
    }

    /// Changes the binary of a member.
    pub fn set_version(&mut self, name: &str, version: &str) {
        if let Some(member) = self.members.get_mut(name) {
            member.version = version.to_string();
        }
    }

    fn elect(&mut self) {
        if !self.quorum() {
            self.leader = None;
            return;
        }
        let fit = |name: &str| self.members.get(name).is_some_and(|m| self.takes_part(m));
        if self.leader.as_deref().is_some_and(fit) {
            return;
        }
        self.leader = self.members.iter().find(|(_, m)| self.takes_part(m)).map(|(name, _)| name.clone());
        self.term += 1;
    }

    /// Answers `endpoint health -w json` on a node: about its own member.
    pub(crate) fn own_health(&self, node: &str, endpoint: &str) -> Answer {
        if self.answers(node) {
            let well = json!([{"endpoint": endpoint, "health": true, "took": "8.917412ms"}]);
            return Answer { code: 0, stdout: format!("{well}\n"), stderr: String::new() };
        }
        let sick = json!([{"endpoint": endpoint, "health": false, "took": "5.001292715s", "error": "context deadline exceeded"}]);
        Answer { code: 1, stdout: format!("{sick}\n"), stderr: "Error: unhealthy cluster\n".to_string() }
    }

    /// Answers `endpoint health --cluster -w json`: the lines of stdout, and what goes to stderr.
    pub(crate) fn health(&self) -> Answer {
        let quorum = self.quorum();
        let all: Vec<Value> = self
            .members
            .values()
            .map(|m| {
                let endpoint = m.endpoint();
                if quorum && self.takes_part(m) {
                    json!({"endpoint": endpoint, "health": true, "took": "9.482731ms"})
                } else {
                    json!({"endpoint": endpoint, "health": false, "took": "5.001292715s", "error": "context deadline exceeded"})
                }
            })
            .collect();
        let well = all.iter().all(|e| e["health"] == true);
        Answer {
            code: i32::from(!well),
            stdout: format!("{}\n", Value::Array(all)),
            stderr: if well { String::new() } else { "Error: unhealthy cluster\n".to_string() },
        }
    }

    /// Answers `endpoint status --cluster -w json`. Members that do not answer are only on stderr.
    pub(crate) fn status(&self, revision: u64) -> Answer {
        let Some(leader) = self.leader().and_then(|l| self.members.get(l)) else {
            return Answer::no_quorum();
        };
        let (mut all, mut stderr) = (Vec::new(), String::new());
        for member in self.members.values() {
            if !self.takes_part(member) {
                stderr.push_str(&format!(
                    "Failed to get the status of endpoint {} (context deadline exceeded)\n",
                    member.endpoint()
                ));
                continue;
            }
            all.push(self.status_of(member, &member.endpoint(), leader.id, revision));
        }
        let code = i32::from(!stderr.is_empty());
        Answer { code, stdout: format!("{}\n", Value::Array(all)), stderr }
    }

    /// Answers `endpoint status -w json` on a node: about its own member, which answers also without a leader.
    pub(crate) fn own_status(&self, node: &str, endpoint: &str, revision: u64) -> Answer {
        let Some(member) = self.members.get(node).filter(|m| m.up) else {
            return Answer {
                code: 1,
                stdout: "null\n".to_string(),
                stderr: format!(
                    "Failed to get the status of endpoint {endpoint} (context deadline exceeded)\n"
                ),
            };
        };
        let leader = self.leader().and_then(|l| self.members.get(l)).map_or(0, |l| l.id);
        Answer::said(&json!([self.status_of(member, endpoint, leader, revision)]))
    }

    /// Answers `move-leader ID`, sent to the member of a node.
    pub(crate) fn move_leader(&mut self, node: &str, id: &str) -> Answer {
        let own = self.members.get(node).map_or(0, |m| m.id);
        if self.leader() != Some(node) {
            let text = "Error: no leader endpoint given at [https://127.0.0.1:2379]\n".to_string();
            return Answer { code: 1, stdout: String::new(), stderr: text };
        }
        let wanted = u64::from_str_radix(id, 16).ok();
        let next =
            self.members.iter().find(|(_, m)| Some(m.id) == wanted && m.up).map(|(name, _)| name.clone());
        let Some(next) = next else {
            let text = "Error: etcdserver: bad leader transferee\n".to_string();
            return Answer { code: 1, stdout: String::new(), stderr: text };
        };
        self.leader = Some(next);
        self.term += 1;
        let text = format!("Leadership transferred from {own:x} to {id}\n");
        Answer { code: 0, stdout: text, stderr: String::new() }
    }

    /// Answers `defrag`, sent to the member of a node.
    pub(crate) fn defrag(&mut self, node: &str, endpoint: &str) -> Answer {
        match self.members.get_mut(node).filter(|m| m.up) {
            Some(member) => {
                member.size = member.size.min(IN_USE);
                let text = format!("Finished defragmenting etcd member[{endpoint}]\n");
                Answer { code: 0, stdout: text, stderr: String::new() }
            }
            None => Answer::no_quorum(),
        }
    }

    fn status_of(&self, member: &Member, endpoint: &str, leader: u64, revision: u64) -> Value {
        json!({
            "Endpoint": endpoint,
            "Status": {
                "header": {"cluster_id": self.served.cluster, "member_id": member.id, "revision": revision, "raft_term": self.term + 1},
                "version": member.version,
                "dbSize": member.size,
                "leader": leader,
                "raftIndex": revision + 200,
                "raftTerm": self.term + 1,
                "raftAppliedIndex": revision + 200,
                "dbSizeInUse": member.size.min(IN_USE),
            }
        })
    }

    /// Answers `member list -w json`.
    pub(crate) fn member_list(&self) -> Answer {
        if !self.quorum() {
            return Answer::no_quorum();
        }
        let members: Vec<Value> = self
            .members
            .iter()
            .map(|(name, m)| {
                json!({
                    "ID": m.id,
                    "name": name,
                    "peerURLs": [format!("https://{}:2380", m.address)],
                    "clientURLs": [m.endpoint()],
                })
            })
            .collect();
        let first = self.members.values().next().map_or(0, |m| m.id);
        Answer::said(&json!({
            "header": {"cluster_id": self.served.cluster, "member_id": first, "raft_term": self.term + 1},
            "members": members,
        }))
    }

    /// Answers `alarm list -w json`; nothing ever raises an alarm here.
    pub(crate) fn alarm_list(&self, revision: u64) -> Answer {
        if !self.quorum() {
            return Answer::no_quorum();
        }
        let first = self.members.values().next().map_or(0, |m| m.id);
        Answer::said(&json!({
            "header": {"cluster_id": self.served.cluster, "member_id": first, "revision": revision, "raft_term": self.term + 1},
        }))
    }
}

impl Member {
    fn endpoint(&self) -> String {
        format!("https://{}:2379", self.address)
    }
}

/// What a tool of etcd comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    fn said(value: &Value) -> Answer {
        Answer { code: 0, stdout: format!("{value}\n"), stderr: String::new() }
    }

    pub(crate) fn no_quorum() -> Answer {
        Answer { code: 1, stdout: String::new(), stderr: NO_QUORUM.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Etcd {
        let mut etcd = Etcd::default();
        for name in ["cp1", "cp2", "cp3"] {
            etcd.join(name, "3.5.24", format!("10.77.0.{}", 11 + etcd.members.len()));
        }
        etcd
    }

    #[test]
    fn three_members_survive_the_loss_of_one_and_not_of_two() {
        let mut etcd = three();
        assert_eq!(etcd.leader(), Some("cp1"));
        etcd.set_up("cp1", false);
        assert!(etcd.quorum());
        assert_eq!(etcd.leader(), Some("cp2"));
        etcd.set_up("cp2", false);
        assert!(!etcd.quorum());
        assert_eq!(etcd.member_list(), Answer::no_quorum());
        etcd.set_up("cp1", true);
        assert!(etcd.quorum());
    }

    #[test]
    fn one_sick_member_makes_the_health_of_all_fail() {
        let mut etcd = three();
        assert_eq!(etcd.health().code, 0);
        etcd.set_up("cp3", false);
        let answer = etcd.health();
        assert_eq!((answer.code, answer.stderr.as_str()), (1, "Error: unhealthy cluster\n"));
        let all: Value = serde_json::from_str(&answer.stdout).unwrap();
        assert_eq!(all[0]["health"], true);
        assert_eq!(all[2]["error"], "context deadline exceeded");
    }

    #[test]
    fn the_status_names_leader_and_versions() {
        let mut etcd = three();
        etcd.set_version("cp2", "3.6.5");
        let all: Value = serde_json::from_str(&etcd.status(100).stdout).unwrap();
        assert_eq!(all[1]["Status"]["version"], "3.6.5");
        assert_eq!(all[1]["Status"]["leader"], all[0]["Status"]["header"]["member_id"]);
    }
}
