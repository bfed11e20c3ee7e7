//! `check bad releases`: the target is none of the releases that somebody wished not to have chosen.

use std::sync::LazyLock;

use async_trait::async_trait;
use dsl::value::Version;
use engine::action::Context;
use engine::event::Failure;
use serde::{Deserialize, Deserializer};

use super::argument;
use super::verdict::{Findings, Verdict};
use crate::release::{Dated, Weight};

/// The verb.
pub(super) struct CheckBadReleases;

#[derive(Deserialize)]
struct Table {
    #[serde(flatten)]
    dated: Dated,
    release: Vec<Bad>,
}

/// Releases with the same trouble.
#[derive(Deserialize)]
struct Bad {
    #[serde(deserialize_with = "version")]
    from: Version,
    #[serde(deserialize_with = "version")]
    fixed: Version,
    weight: Weight,
    what: String,
    source: String,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    // The file is compiled in, and a test reads it.
    toml::from_str(include_str!("../../data/bad_releases.toml"))
        .expect("data/bad_releases.toml is well formed")
});

fn version<'de, D: Deserializer<'de>>(from: D) -> Result<Version, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

#[async_trait]
impl Verdict for CheckBadReleases {
    fn name(&self) -> &'static str {
        "check bad releases"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        judge(&argument::version(cx, "to")?)
    }
}

fn judge(to: &Version) -> Result<String, Failure> {
    let mut findings = Findings::default();
    let release = to.release();
    for bad in TABLE.release.iter().filter(|bad| bad.from <= release && release < bad.fixed) {
        let text = format!("{to}: {}, until {}; see {}", bad.what, bad.fixed, bad.source);
        findings.add(bad.weight == Weight::Refuse, text);
    }
    findings.notes.extend(TABLE.dated.note("bad releases", to.minor()));
    findings
        .conclude(format!("nothing bad is known of {to} that all of its users have"), "name another release")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(to: &str) -> Result<String, String> {
        judge(&to.parse().unwrap()).map_err(|failure| failure.message)
    }

    #[test]
    fn a_release_that_loses_data_is_refused_and_a_good_one_is_not() {
        assert!(check("v1.23.4").unwrap_err().contains("may lose data"));
        assert_eq!(check("v1.34.4").unwrap(), "nothing bad is known of v1.34.4 that all of its users have");
        assert_eq!(
            check("v1.34.4+k3s1").unwrap(),
            "nothing bad is known of v1.34.4+k3s1 that all of its users have"
        );
    }

    #[test]
    fn what_only_some_have_is_a_note_up_to_the_patch_that_mends_it() {
        assert!(check("v1.34.1").unwrap().contains("note: v1.34.1: a Job that was suspended"));
        assert!(!check("v1.34.2").unwrap().contains("note"));
        assert!(
            check("v1.39.0")
                .unwrap()
                .ends_with("note: kup's table of bad releases ends before v1.39 (2026-11-21)")
        );
    }

    #[test]
    fn every_entry_has_its_source_and_a_release_that_mends_it() {
        for bad in &TABLE.release {
            assert!(bad.from < bad.fixed && !bad.source.is_empty(), "{}", bad.what);
        }
    }
}
