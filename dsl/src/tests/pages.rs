//! The pages tell the truth: what they call wrong has exactly their code, and what they call right
//! has none.

use std::collections::BTreeSet;

use super::{Files, PRELUDE, line};
use crate::page::{Page, pages};

/// What no short text can show: it is about a file, about the length of a text, about a plan, or about a run.
const UNSHOWN: [&str; 14] = [
    "K0109", "K0113", "K0114", "K0116", "K0316", "K0318", "K0601", "K0602", "K0603", "K0604", "K0605",
    "K0606", "K0607", "K1021",
];

/// Returns the files of an example: `wrong` or `right`, the playbook first.
fn files<'p>(page: &'p Page, kind: &str) -> Vec<(&'p str, &'p str)> {
    let mark = format!("```kup {kind}");
    let blocks = page.text.split(mark.as_str()).skip(1);
    let whole = blocks.map(|b| b.split("```").next().unwrap_or_default());
    whole
        .map(|b| b.split_once('\n').expect("a block has lines"))
        .map(|(name, text)| (if name.is_empty() { "example.kup" } else { name.trim() }, text))
        .collect()
}

/// Returns the codes of all findings, and how they read.
fn codes(files: &[(&str, &str)]) -> (BTreeSet<&'static str>, String) {
    // A module with a test is shown as a module.
    let is_module = files[0].1.contains("\ntest ") && !files[0].1.contains("playbook ");
    let check = if is_module { crate::check_any } else { crate::check };
    let checked = check(files[0].0, &Files(files), &PRELUDE);
    let said = checked.diagnostics.iter().map(|d| line(&checked.sources, d)).collect();
    (checked.diagnostics.iter().map(|d| d.code).collect(), said)
}

#[test]
fn what_a_page_calls_wrong_has_its_code_and_no_other() {
    for page in pages().iter().filter(|p| !UNSHOWN.contains(&p.code)) {
        let files = files(page, "wrong");
        assert!(!files.is_empty(), "{} shows nothing wrong", page.code);
        let (codes, said) = codes(&files);
        assert_eq!(codes, BTreeSet::from([page.code]), "{}:\n{said}", page.code);
    }
}

#[test]
fn what_a_page_calls_right_is_sound() {
    for page in pages() {
        let files = files(page, "right");
        assert!(!files.is_empty() || UNSHOWN.contains(&page.code), "{} shows nothing right", page.code);
        if !files.is_empty() {
            assert_eq!(codes(&files).1, "", "{}", page.code);
        }
    }
}

#[test]
fn a_page_is_a_heading_with_its_code_and_a_few_words() {
    let mut before = "";
    for page in pages() {
        assert!(before < page.code, "{} is out of order", page.code);
        before = page.code;
        let heading = format!("# {}: {}\n\n", page.code, page.title());
        assert!(page.text.starts_with(&heading), "{}: {heading}", page.code);
        let last = page.text.rsplit("```").next().unwrap_or_default().trim();
        assert!(last.len() > 20, "{} does not say why", page.code);
        assert!(page.text.len() < 2500, "{} is no short page", page.code);
    }
}

#[test]
fn every_code_has_a_page() {
    let problems = include_str!("../problem.rs").split('"').filter(|word| is_code(word));
    let lints = crate::lint::LINTS.iter().map(|lint| lint.code);
    for code in problems.chain(lints) {
        assert!(pages().iter().any(|p| p.code == code), "write dsl/pages/{code}.md, and add it to page.rs");
    }
}

fn is_code(word: &str) -> bool {
    word.len() == 5 && word.starts_with('K') && word[1..].bytes().all(|b| b.is_ascii_digit())
}
