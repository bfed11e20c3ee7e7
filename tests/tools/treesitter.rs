//! The grammar for tree-sitter, held to the language: generated and tried on its own corpus, and on every
//! text that kup takes. `tests/run.sh` installs the program that does it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::program;
use crate::support::repository;

/// The grammar in a folder of its own, where it may be generated.
struct Grammar {
    program: PathBuf,
    folder: TempDir,
}

impl Grammar {
    /// Generates the parser; `None`: there is no program for it.
    fn generated() -> Option<Grammar> {
        let Some(program) = program("bin/tree-sitter") else {
            eprintln!("not run: there is no `tree-sitter` (cargo install tree-sitter-cli)");
            return None;
        };
        let folder = TempDir::new().unwrap();
        copy(&repository().join("editors/tree-sitter-kup"), folder.path());
        let grammar = Grammar { program, folder };
        grammar.does(&["generate"]);
        Some(grammar)
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        // What it builds belongs to the test.
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("XDG_CACHE_HOME", self.folder.path().join("cache"));
        command.env("HOME", self.folder.path()).output().unwrap()
    }

    #[track_caller]
    fn does(&self, args: &[&str]) {
        let Output { status, stdout, stderr } = self.run(args);
        let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "tree-sitter {args:?}:\n{said}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// Returns the `.kup` files of a folder and of the folders in it.
fn texts(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries
        .flat_map(|path| match path.is_dir() {
            true => texts(&path),
            false if path.extension().is_some_and(|e| e == "kup") => vec![path],
            false => Vec::new(),
        })
        .collect();
    found.sort();
    found
}

/// Returns the cases in which nothing is wrong with the syntax, as whole files.
fn cases() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for file in texts(&repository().join("dsl/cases")) {
        let text = fs::read_to_string(&file).unwrap();
        for case in text.split("\n--- ").map(|case| case.trim_start_matches("--- ")) {
            let Some((heading, body)) = case.split_once(" ---\n") else { continue };
            if body.contains("#~ K01") || body.contains("#~ file") {
                continue;
            }
            let lines: Vec<&str> = body.lines().filter(|l| !l.trim_start().starts_with("#~")).collect();
            let body = lines.join("\n");
            let whole = match heading.rsplit_once(" (") {
                Some((_, "steps)")) => format!("playbook \"p\"\nstage s {{\n{body}\n}}\n"),
                Some((_, "lane)")) => {
                    format!("playbook \"p\"\nstage s {{\neach n in workers {{\n{body}\n}}\n}}\n")
                }
                _ => body,
            };
            found.push((format!("{}: {heading}", file.display()), whole));
        }
    }
    found
}

#[test]
fn the_grammar_for_tree_sitter_takes_its_corpus_and_every_text_that_kup_takes() {
    let Some(grammar) = Grammar::generated() else { return };
    grammar.does(&["test"]);
    let folder = grammar.folder.path().join("texts");
    fs::create_dir(&folder).unwrap();
    let mut all: Vec<(String, String)> = ["playbooks", "stdlib/kup", "src/commands"]
        .iter()
        .flat_map(|f| texts(&repository().join(f)))
        .map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap()))
        .collect();
    assert!(all.len() > 15, "{}", all.len());
    all.extend(cases());
    assert!(all.len() > 250, "{}", all.len());
    for (i, (_, text)) in all.iter().enumerate() {
        fs::write(folder.join(format!("{i:04}.kup")), text).unwrap();
    }
    let list: String = (0..all.len()).map(|i| format!("texts/{i:04}.kup\n")).collect();
    fs::write(grammar.folder.path().join("texts.txt"), list).unwrap();
    let output = grammar.run(&["parse", "--quiet", "--paths", "texts.txt"]);
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong: Vec<String> = said
        .lines()
        .filter_map(|line| {
            let number: usize = line.trim_start().strip_prefix("texts/")?.get(..4)?.parse().ok()?;
            let (name, text) = &all[number];
            Some(format!("{name}\n  {line}\n{text}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} texts:\n{}", wrong.len(), wrong.join("\n"));
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
