//! What editors are given: the words of the highlighting are those of the grammar, and the extension
//! names files that are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::kept;
use crate::support::repository;

fn json(path: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(repository().join(path)).unwrap()).unwrap()
}

#[test]
fn the_highlighting_knows_the_words_of_the_grammar_and_no_others() {
    let grammar = fs::read_to_string(repository().join("dsl/src/kup.pest")).unwrap();
    let is_word = |w: &&str| w.len() > 1 && w.bytes().all(|b| b.is_ascii_lowercase());
    let lines = grammar.lines().filter(|line| !line.starts_with("//"));
    let words: BTreeSet<String> = lines
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .filter(is_word)
        .map(str::to_string)
        .collect();
    assert!(words.contains("stage") && words.len() > 30, "{words:?}");
    let highlighting = json("editors/vscode/syntaxes/kup.tmLanguage.json");
    let mut known = BTreeSet::new();
    let patterns = |of: &str| highlighting["repository"][of]["patterns"].as_array().unwrap().clone();
    // Words that mean something in a test only are highlighted there.
    for pattern in patterns("keyword").into_iter().chain(patterns("test").into_iter().take(1)) {
        let pattern = pattern["match"].as_str().unwrap();
        let alternatives = pattern.split("(?:").nth(1).and_then(|p| p.split(')').next()).unwrap();
        for word in alternatives.split('|') {
            assert!(known.insert(word.to_string()), "`{word}` stands there twice");
        }
    }
    assert_eq!(known, words);
}

#[test]
fn the_extension_is_a_program_that_node_reads() {
    let extension = repository().join("editors/vscode/extension.js");
    match Command::new("node").arg("--check").arg(extension).output() {
        Ok(read) => assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr)),
        Err(_) => eprintln!("not run: there is no `node` on the PATH"),
    }
}

/// Returns where `tests/run.sh` keeps what compiles and packages the extension.
fn packager() -> Option<PathBuf> {
    let modules = kept()?.join("vscode/node_modules");
    modules.join(".bin/vsce").exists().then_some(modules)
}

#[test]
fn the_extension_is_compiled_and_packaged_with_all_that_it_needs() {
    let Some(modules) = packager() else {
        eprintln!("not run: there is nothing that packages the extension (npm, and then tests/run.sh)");
        return;
    };
    let folder = TempDir::new().unwrap();
    let files =
        Command::new("git").args(["ls-files"]).current_dir(repository().join("editors/vscode")).output();
    for file in String::from_utf8(files.unwrap().stdout).unwrap().lines() {
        let to = folder.path().join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(repository().join("editors/vscode").join(file), to).unwrap();
    }
    std::os::unix::fs::symlink(modules, folder.path().join("node_modules")).unwrap();
    let mut npm = Command::new("npm");
    npm.args(["run", "package", "--", "--out", "kup.vsix"]).current_dir(folder.path());
    let made = npm.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&made.stdout), String::from_utf8_lossy(&made.stderr));
    assert!(made.status.success(), "{said}");
    let packed = fs::read(folder.path().join("kup.vsix")).unwrap();
    assert!(packed.starts_with(b"PK"), "it is an archive");
    // Its directory names what is in it.
    let holds = |name: &str| packed.windows(name.len()).any(|bytes| bytes == name.as_bytes());
    for name in
        ["extension/dist/extension.js", "extension/syntaxes/kup.tmLanguage.json", "extension/package.json"]
    {
        assert!(holds(name), "no `{name}` in it:\n{said}");
    }
    assert!(!holds("extension/node_modules") && !holds("extension/extension.js"), "{said}");
    let program = fs::read_to_string(folder.path().join("dist/extension.js")).unwrap();
    assert!(
        program.contains("kup.restart") && program.contains("textDocument/didOpen"),
        "the client is in it"
    );
}

#[test]
fn the_extension_starts_the_language_server_and_names_files_that_are_there() {
    let package = json("editors/vscode/package.json");
    assert_eq!(package["version"], env!("CARGO_PKG_VERSION"));
    let contributes = &package["contributes"];
    // It is made of extension.js.
    assert_eq!(package["main"], "./dist/extension.js");
    let named = [&contributes["languages"][0]["configuration"], &contributes["grammars"][0]["path"]];
    for path in named {
        let path = path.as_str().unwrap();
        assert!(repository().join("editors/vscode").join(path).is_file(), "{path}");
    }
    assert_eq!(contributes["languages"][0]["extensions"][0], ".kup");
    json("editors/vscode/language-configuration.json");
    let extension = fs::read_to_string(repository().join("editors/vscode/extension.js")).unwrap();
    assert!(extension.contains("args: [\"lsp\"]"));
}
