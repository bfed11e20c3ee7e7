//! The language as its users meet it: every case in `dsl/cases/` is checked, and what is found must be
//! what the case says, both ways. `dsl/cases/README.md` says how to add one.

mod case;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use case::{Case, cases, folder};
use expect_test::expect_file;

/// Runs all cases of a folder, or writes down what they say if `UPDATE_EXPECT` is set.
fn run(group: &str) {
    let mut wrong = Vec::new();
    for (file, cases) in cases(group) {
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            let text: String = cases.iter().map(Case::annotated).collect();
            fs::write(&file, text).unwrap();
            continue;
        }
        for case in &cases {
            wrong.extend(
                case.differences().into_iter().map(|d| format!("{}: {}: {d}", file.display(), case.name)),
            );
        }
    }
    assert!(wrong.is_empty(), "{}\n(UPDATE_EXPECT=1 writes down what is found)", wrong.join("\n"));
}

macro_rules! groups {
    ($($name:ident)*) => {
        const GROUPS: &[&str] = &[$(stringify!($name)),*];
        $(#[test] fn $name() { run(stringify!($name)); })*
    };
}

// One folder a group; a new folder is added here.
groups! { each expressions files handlers habits modules names natives params policy results scripts stages steps syntax tasks tests texts warnings }

#[test]
fn every_folder_is_a_group() {
    let mut folders: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut groups = GROUPS.to_vec();
    groups.sort_unstable();
    assert_eq!(folders, groups);
}

#[test]
fn there_are_enough_of_them_and_each_has_a_name_of_its_own() {
    let mut names = Vec::new();
    for group in GROUPS {
        let all = cases(group);
        names.extend(all.iter().flat_map(|(file, cases)| {
            let story = file.file_stem().unwrap().to_string_lossy().into_owned();
            cases.iter().map(move |c| format!("{group}/{story}: {}", c.name))
        }));
    }
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "two cases of a story have one name");
    assert!(count >= 300, "{count}");
}

/// What no text in a case can show: it takes a file that is no text, or none at all, or a cluster.
const ELSEWHERE: [&str; 5] = ["K0113", "K0114", "K0116", "K0316", "K0318"];

#[test]
fn every_finding_of_the_language_has_a_case_and_stands_among_the_messages() {
    let mut messages: BTreeMap<String, String> = BTreeMap::new();
    for group in GROUPS {
        for (_, cases) in cases(group) {
            for case in cases {
                // A check takes its time, so only those that show something new are checked again.
                if case.codes().all(|code| messages.contains_key(code)) {
                    continue;
                }
                for (code, drawn) in case.drawn() {
                    messages.entry(code).or_insert(drawn);
                }
            }
        }
    }
    let problems = include_str!("../src/problem.rs");
    let codes: Vec<&str> = problems.split("=> \"K").skip(1).filter_map(|c| c.split('"').next()).collect();
    let missing: Vec<String> = codes
        .iter()
        .map(|code| format!("K{code}"))
        .filter(|code| !messages.contains_key(code) && !ELSEWHERE.contains(&code.as_str()))
        .collect();
    assert!(codes.len() > 60, "the codes are found in the source");
    assert!(missing.is_empty(), "no case shows {missing:?}");
    let text: Vec<String> = messages.into_values().collect();
    expect_file![Path::new(folder()).join("messages.txt")].assert_eq(&text.join("\n"));
}
