//! The documents tell the truth: every block of kup in them checks, every command line in them is
//! one that kup understands, and the help is the help we decided on.

use std::fs;
use std::path::PathBuf;

use expect_test::expect_file;

use crate::support::{Kup, repository};

#[test]
fn every_shipped_playbook_checks() {
    for file in fs::read_dir(repository().join("playbooks")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|e| e == "kup") {
            let ran = Kup::new().run_args(&["check", path.to_str().unwrap()]).exits(0);
            assert_eq!(ran.stderr, "", "{}: not even a warning", path.display());
        }
    }
}

#[test]
fn every_shipped_text_is_in_the_one_style() {
    let folders = ["stdlib/kup", "playbooks"].map(|f| repository().join(f).display().to_string());
    let ran = Kup::new().run_args(&["fmt", "--check", &folders[0], &folders[1]]);
    assert_eq!(ran.code, 0, "run `kup fmt stdlib/kup playbooks`:\n{}{}", ran.stdout, ran.stderr);
}

#[test]
fn every_block_of_kup_in_the_documents_checks() {
    for (place, language, text) in blocks() {
        // A block without a playbook is a fragment; the language's own tests read those.
        if language == "kup" && text.lines().any(|l| l.starts_with("playbook ")) {
            let ran = Kup::new().with("block.kup", &text).run("check block.kup");
            assert_eq!(ran.code, 0, "{place}:\n{text}\n{}", ran.stderr);
        }
    }
}

#[test]
fn every_command_line_in_the_documents_is_understood() {
    for (place, language, text) in blocks() {
        if !matches!(language.as_str(), "sh" | "console" | "bash") {
            continue;
        }
        for line in text.lines() {
            let line = line.trim_start_matches("$ ").split(" #").next().unwrap_or_default().trim();
            let Some(words) = line.strip_prefix("kup ") else { continue };
            // Asked for help at its end, a line of options that clap does not know is still refused.
            let words: Vec<&str> =
                words.split_whitespace().take_while(|w| !matches!(*w, "|" | ">" | "&&")).collect();
            let ran = Kup::new().run_args(&[words.as_slice(), &["--help"]].concat());
            assert_eq!(ran.code, 0, "{place}: `{line}`\n{}", ran.stderr);
        }
    }
}

#[test]
fn the_help_is_what_was_decided() {
    let kup = Kup::new();
    let mut text = kup.run("-h").exits(0).stdout;
    let commands: Vec<String> = text
        .lines()
        .skip_while(|l| *l != "Commands:")
        .skip(1)
        .take_while(|l| !l.is_empty())
        .filter_map(|l| l.strip_prefix("  ")?.split(' ').next().map(str::to_string))
        .filter(|c| !c.is_empty() && c != "help")
        .collect();
    for command in commands {
        let help = kup.run_args(&[&command, "-h"]).exits(0).stdout;
        // The global options are the same everywhere.
        let own = help.split("Global options:").next().unwrap_or_default();
        text.push_str(&format!("\n--- kup {command} -h ---\n{}\n", own.trim_end()));
    }
    expect_file!["cli/help.txt"].assert_eq(&text);
}

/// Returns the fenced blocks of all documents: where, which language, the text.
fn blocks() -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        let mut open: Option<(usize, String, String)> = None;
        for (i, line) in text.lines().enumerate() {
            match (&mut open, line.trim_start().strip_prefix("```")) {
                (None, Some(language)) => open = Some((i + 1, language.trim().to_string(), String::new())),
                (Some(_), Some(_)) => {
                    if let Some((start, language, text)) = open.take() {
                        found.push((format!("{}:{start}", path.display()), language, text));
                    }
                }
                (Some((.., text)), None) => text.push_str(&format!("{line}\n")),
                (None, None) => {}
            }
        }
    }
    found
}

fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in [repository().to_path_buf(), repository().join("docs"), repository().join("dsl")] {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        found.extend(entries.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "md")));
    }
    found
}

#[test]
fn the_run_in_the_readme_is_a_real_one() {
    let kup = Kup::new().with_main_job();
    let ran = kup.run("run up.kup --sim 3+5@v1.33.4 --set target=v1.34.2 --yes --plain").exits(0);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let shown = readme.split("```text\n").nth(1).and_then(|b| b.split("```").next()).expect("a run");
    let mut rest = said.lines();
    for line in shown.lines().filter(|l| !l.is_empty() && *l != "...") {
        // The run's id is made of the hour.
        let alike = |l: &str| {
            l == line || (line.starts_with("run ") && l.split(' ').skip(2).eq(line.split(' ').skip(2)))
        };
        assert!(rest.any(alike), "the README shows `{line}`, a run does not, or not there:\n{said}");
    }
}

#[test]
fn every_place_that_the_architecture_names_is_there() {
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(repository().join(page)).unwrap();
        let quoted = text.split('`').skip(1).step_by(2);
        let is_path =
            |w: &&str| w.contains('/') && w.chars().all(|c| c.is_alphanumeric() || "/_.-".contains(c));
        let places: Vec<&str> = quoted.filter(is_path).collect();
        assert!(places.len() > 3, "{page} names places");
        for place in places {
            assert!(repository().join(place).exists(), "{page} names `{place}`, which is not there");
        }
    }
}

/// Of the words that are always in scope, only the playbook's writer can say where they come from.
#[test]
fn every_verb_of_the_library_has_its_source() {
    let table = fs::read_to_string(repository().join("docs/sources.md")).unwrap();
    for module in fs::read_dir(repository().join("stdlib/kup")).unwrap().map(|entry| entry.unwrap().path()) {
        if module.is_dir() || module.ends_with("run.kup") {
            continue;
        }
        let text = fs::read_to_string(&module).unwrap();
        for header in text.lines().filter_map(|line| line.strip_prefix("native task ")) {
            let verb = header.split('(').next().unwrap_or_default().trim();
            assert!(table.contains(&format!("`{verb}`")), "docs/sources.md says nothing of `{verb}`");
        }
    }
}

#[test]
fn every_code_of_the_engine_is_explained() {
    let engine = repository().join("engine/src/plan");
    let texts = fs::read_dir(engine).unwrap().map(|f| f.unwrap().path()).filter(|p| p.is_file());
    let texts: String = texts.map(|p| fs::read_to_string(p).unwrap()).collect();
    let is_code =
        |w: &&str| w.len() == 5 && w.starts_with("K0") && w.bytes().skip(1).all(|b| b.is_ascii_digit());
    let codes: Vec<&str> = texts.split('"').filter(is_code).collect();
    assert!(codes.len() > 3, "{codes:?}");
    for code in codes {
        assert!(repository().join(format!("dsl/pages/{code}.md")).exists(), "{code} has no page");
    }
}
