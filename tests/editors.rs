//! What editors are given: the words of the highlighting are those of the grammar, and the extension
//! names files that are there.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

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
    match std::process::Command::new("node").arg("--check").arg(extension).output() {
        Ok(read) => assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr)),
        Err(_) => eprintln!("not run: there is no `node` on the PATH"),
    }
}

#[test]
fn the_extension_starts_the_language_server_and_names_files_that_are_there() {
    let package = json("editors/vscode/package.json");
    assert_eq!(package["version"], env!("CARGO_PKG_VERSION"));
    let contributes = &package["contributes"];
    let named = [
        &package["main"],
        &contributes["languages"][0]["configuration"],
        &contributes["grammars"][0]["path"],
    ];
    for path in named {
        let path = path.as_str().unwrap();
        assert!(repository().join("editors/vscode").join(path).is_file(), "{path}");
    }
    assert_eq!(contributes["languages"][0]["extensions"][0], ".kup");
    json("editors/vscode/language-configuration.json");
    let extension = fs::read_to_string(repository().join("editors/vscode/extension.js")).unwrap();
    assert!(extension.contains("args: [\"lsp\"]"));
}
