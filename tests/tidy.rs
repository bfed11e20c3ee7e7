//! The walls of the house, and its manners: who may import whom, no printing outside `src/`, every
//! module says what it is, no file grows out of hand.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::repository;

/// A room, and what its code may not name. A path that ends in `/` is a folder.
const WALLS: &[(&str, &[&str])] = &[
    // Text in, findings out: no world, no files, no engine.
    (
        "dsl/src/",
        &[
            "engine::",
            "stdlib::",
            "sim::",
            "tokio::",
            "kube::",
            "clap::",
            "std::fs",
            "std::env",
            "annotate_snippets",
        ],
    ),
    // Syntax does not know meaning.
    ("dsl/src/ast.rs", &["crate::program", "crate::catalog"]),
    ("dsl/src/parse/", &["crate::program", "crate::catalog"]),
    ("dsl/src/parse.rs", &["crate::program", "crate::catalog"]),
    ("dsl/src/shift/", &["crate::program", "crate::check"]),
    ("dsl/src/format/", &["crate::program", "crate::check", "crate::lint"]),
    // The pure core: no runtime, no cluster, no clock, no chance.
    ("engine/src/hops.rs", PURE),
    ("engine/src/inventory.rs", PURE),
    ("engine/src/event.rs", PURE),
    ("engine/src/retry.rs", PURE),
    ("engine/src/line.rs", PURE),
    ("engine/src/plan/", PURE),
    ("engine/src/machine/", PURE),
    ("engine/src/law/", PURE),
    ("engine/src/action.rs", &["crate::live", "sim::", "crate::machine"]),
    ("engine/src/port.rs", &["crate::live", "sim::", "crate::machine"]),
    ("engine/src/run.rs", &["crate::live", "sim::"]),
    ("engine/src/run/", &["crate::live", "sim::"]),
    ("engine/src/journal/", &["crate::live", "sim::"]),
    ("engine/src/live/", &["sim::", "crate::machine"]),
    // Verbs reach the world through ports only.
    ("stdlib/src/", &["openssh::", "engine::machine", "engine::run", "engine::live", "sim::"]),
    // The simulated cluster must not know who drives it.
    ("sim/src/", &["dsl::", "stdlib::", "engine::machine", "engine::run", "engine::plan", "engine::live"]),
];

const PURE: &[&str] = &[
    "tokio::",
    "kube::",
    "k8s_openapi::",
    "openssh::",
    "rhai::",
    "serde::",
    "serde_json::",
    "Instant::now",
    "SystemTime",
    "rand::",
    "dsl::ast",
    "std::fs",
    "std::env",
    "crate::live",
    "crate::run",
    "crate::journal",
];

/// Who alone may import a library, and the library.
const ONLY: &[(&str, &str)] = &[("engine/src/hook/", "rhai::")];

/// The rooms that print nothing.
const SILENT: [&str; 4] = ["dsl/src/", "engine/src/", "stdlib/src/", "sim/src/"];

#[test]
fn no_room_reaches_through_a_wall() {
    let mut broken = Vec::new();
    for (room, forbidden) in WALLS {
        for file in rust_files(&repository().join(room)) {
            for (number, line) in code(&file) {
                for name in forbidden.iter().filter(|name| names(&line, name)) {
                    broken.push(format!("{}:{number}: {room} may not use `{name}`", short(&file)));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn what_is_fenced_has_one_door() {
    let mut broken = Vec::new();
    for (room, library) in ONLY {
        for file in all_rust_files()
            .into_iter()
            .filter(|file| !short(file).starts_with(room) && !short(file).starts_with("tests/"))
        {
            for (number, _) in code(&file).iter().filter(|(_, line)| names(line, library)) {
                broken.push(format!("{}:{number}: only {room} may use `{library}`", short(&file)));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn only_the_binary_prints() {
    let mut broken = Vec::new();
    for room in SILENT {
        for file in rust_files(&repository().join(room)) {
            for (number, line) in code(&file) {
                if ["println!", "eprintln!", "print!", "eprint!"].iter().any(|p| names(&line, p)) {
                    broken.push(format!("{}:{number}: prints", short(&file)));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_module_says_what_it_is_and_nothing_is_left_undone() {
    // Put together here, so that this file does not find itself.
    let undone: Vec<String> = ["todo", "unimplemented", "dbg"]
        .iter()
        .map(|m| format!("{m}!("))
        .chain(["TO".to_string() + "DO"])
        .collect();
    let mut broken = Vec::new();
    for file in all_rust_files() {
        let text = fs::read_to_string(&file).unwrap();
        if !text.starts_with("//!") && !is_test(&file) {
            broken.push(format!("{}: does not begin with `//!`", short(&file)));
        }
        if text.lines().count() >= 800 {
            broken.push(format!("{}: {} lines", short(&file), text.lines().count()));
        }
        for mark in undone.iter().filter(|mark| text.contains(mark.as_str())) {
            broken.push(format!("{}: has `{mark}`", short(&file)));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_test_is_switched_off() {
    let ignore = format!("#[{}", "ignore");
    for file in all_rust_files() {
        assert!(!fs::read_to_string(&file).unwrap().contains(&ignore), "{}", short(&file));
    }
}

/// Returns the lines of code with their numbers: without comments, and without the unit tests, which
/// stand last and may reach further.
fn code(file: &Path) -> Vec<(usize, String)> {
    if is_test(file) {
        return Vec::new();
    }
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().enumerate().take_while(|(_, l)| l.trim() != "#[cfg(test)]");
    lines.map(|(i, l)| (i + 1, l.split("//").next().unwrap_or_default().to_string())).collect()
}

/// Whether a line names something, as a word of its own and not as the end of a longer one.
fn names(line: &str, name: &str) -> bool {
    line.match_indices(name)
        .any(|(i, _)| !line[..i].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
}

/// Whether a file holds tests only: it is called so, or the module above it is switched on by
/// `#[cfg(test)]`.
fn is_test(file: &Path) -> bool {
    let path = short(file);
    if path.ends_with("/tests.rs") || path.contains("/tests/") {
        return true;
    }
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let declared = format!("#[cfg(test)]\nmod {stem};");
    let folder = file.parent().unwrap_or(file);
    ["lib.rs", "mod.rs"]
        .iter()
        .any(|above| fs::read_to_string(folder.join(above)).is_ok_and(|text| text.contains(&declared)))
}

fn all_rust_files() -> Vec<PathBuf> {
    ["src/", "dsl/", "engine/", "stdlib/", "sim/", "tests/"]
        .iter()
        .flat_map(|folder| rust_files(&repository().join(folder)))
        .collect()
}

/// Returns the Rust files of a folder, or the file itself; nothing if there is none yet.
fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_path_buf()];
    }
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|p| !p.ends_with("target"))
        .flat_map(|p| match p.is_dir() {
            true => rust_files(&p),
            false if p.extension().is_some_and(|e| e == "rs") => vec![p],
            false => Vec::new(),
        })
        .collect();
    files.sort();
    files
}

fn short(file: &Path) -> String {
    file.strip_prefix(repository()).unwrap_or(file).display().to_string()
}
