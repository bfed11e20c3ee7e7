//! What is known of releases of etcd: those that may lose data, and those from which several members may go to the next minor.

use std::sync::LazyLock;

use dsl::value::Version;
use jiff::civil::Date;
use serde::Deserialize;

use super::verdict::Findings;
use crate::release::{self, Weight, numbers};

#[derive(Deserialize)]
struct Table {
    known_until: Date,
    newest: String,
    bad: Vec<Bad>,
    floor: Vec<Floor>,
}

/// Releases with the same trouble.
#[derive(Deserialize)]
struct Bad {
    from: String,
    fixed: String,
    weight: Weight,
    what: String,
    source: String,
}

/// The first release from which members may go to a minor.
#[derive(Deserialize)]
struct Floor {
    to: String,
    at_least: String,
    weight: Weight,
    what: String,
    source: String,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    // The file is compiled in, and a test reads it.
    toml::from_str(include_str!("../../data/etcd_releases.toml"))
        .expect("data/etcd_releases.toml is well formed")
});

/// What to do about all of it.
pub(super) const HINT: &str = "bring its members to a newer patch release first: the newest patch of the cluster's own minor brings one, or `etcd.local.imageTag` of kubeadm's ClusterConfiguration";

/// Judges the oldest member of an etcd, and whether kubeadm may take several members to the etcd of a target.
pub(super) fn judge(findings: &mut Findings, oldest: &str, members: usize, to: Option<&Version>) {
    let now = numbers(oldest);
    for bad in TABLE.bad.iter().filter(|bad| numbers(&bad.from) <= now && now < numbers(&bad.fixed)) {
        let text = format!("etcd {oldest}: {}, until {}; see {}", bad.what, bad.fixed, bad.source);
        findings.add(bad.weight == Weight::Refuse, text);
    }
    if numbers(&TABLE.newest) < now[..now.len().min(2)].to_vec() {
        findings
            .add(false, format!("kup's table of etcd ends with {} ({})", TABLE.newest, TABLE.known_until));
    }
    let next = to.and_then(|to| release::Table::get().of(to.minor())).map(release::Release::etcd_minor);
    let Some(next) = next.filter(|next| members > 1 && now < numbers(next)) else { return };
    // The lowest that is not reached says the most.
    let floor = TABLE.floor.iter().find(|floor| floor.to == next && now < numbers(&floor.at_least));
    if let Some(floor) = floor {
        let text = format!(
            "etcd {oldest} goes to {next}, for which its members should be at {}: {}; see {}",
            floor.at_least, floor.what, floor.source
        );
        findings.add(floor.weight == Weight::Refuse, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(oldest: &str, members: usize, to: &str) -> Result<String, String> {
        let mut findings = Findings::default();
        judge(&mut findings, oldest, members, to.parse().ok().as_ref());
        findings.conclude("well".to_string(), HINT).map_err(|failure| failure.message)
    }

    #[test]
    fn a_release_that_loses_data_is_refused_and_what_some_have_is_a_note() {
        assert!(check("3.5.2", 1, "").unwrap_err().starts_with("etcd 3.5.2: it may lose data"));
        assert!(check("3.5.4", 1, "").unwrap().starts_with("well; note: etcd 3.5.4: a member that is ended"));
        assert_eq!(check("3.5.24", 3, "").unwrap(), "well");
        assert_eq!(check("3.4.23", 3, "v1.33.2").unwrap(), "well");
        assert!(check("3.8.0", 1, "").unwrap().contains("kup's table of etcd ends with 3.7"));
    }

    #[test]
    fn several_members_are_held_to_what_the_next_minor_wants_of_them() {
        assert!(check("3.5.16", 3, "v1.34.2").unwrap_err().contains("should be at 3.5.20"));
        let note = check("3.5.24", 3, "v1.34.2").unwrap();
        assert!(
            note.starts_with(
                "well; note: etcd 3.5.24 goes to 3.6, for which its members should be at 3.5.32"
            ),
            "{note}"
        );
        assert!(check("3.6.8", 3, "v1.37.0").unwrap().contains("should be at 3.6.11"));
        for (oldest, members, to) in
            [("3.5.24", 1, "v1.34.2"), ("3.5.32", 3, "v1.34.2"), ("3.6.4", 3, "v1.34.2")]
        {
            assert_eq!(check(oldest, members, to).unwrap(), "well", "{oldest} {members} {to}");
        }
    }

    #[test]
    fn every_entry_has_its_source_and_the_lowest_floor_of_a_minor_comes_first() {
        for bad in &TABLE.bad {
            assert!(
                numbers(&bad.from) < numbers(&bad.fixed) && bad.source.starts_with("https://"),
                "{}",
                bad.what
            );
        }
        for pair in TABLE.floor.windows(2).filter(|pair| pair[0].to == pair[1].to) {
            assert!(numbers(&pair[0].at_least) < numbers(&pair[1].at_least));
        }
        assert!(TABLE.floor.iter().all(|floor| floor.source.starts_with("https://")));
    }
}
