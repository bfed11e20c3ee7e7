//! `kup lsp` as an editor meets it: the real binary, spoken to over its stdin and stdout.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::Kup;
use crate::support::editor::{Editor, span};

fn range(start: (u32, u32), end: (u32, u32)) -> Value {
    let place = |(line, character): (u32, u32)| json!({"line": line, "character": character});
    json!({"start": place(start), "end": place(end)})
}

fn uri(kup: &Kup, path: &str) -> String {
    format!("file://{}", kup.path(path).display())
}

#[test]
fn an_editor_sees_mistakes_where_they_stand_and_sees_them_go() {
    let kup = Kup::new();
    let uri = uri(&kup, "not saved yet.kup").replace(' ', "%20");
    let mut editor = Editor::new(&kup);
    editor.open(&uri, "playbook \"ü 😀\"\nstage s { run command \"😀 ü\" om=local }\n");
    assert_eq!(editor.found(&uri), ["1:29-1:31 K0203 `run command` has no argument `om`"]);
    editor.change(&uri, 2, range((1, 29), (1, 31)), "on");
    assert_eq!(editor.found(&uri), [] as [&str; 0]);
    editor.change(&uri, 3, range((0, 10), (0, 10)), "\\q");
    assert_eq!(editor.found(&uri), ["0:10-0:12 K0110 `\\q` is no escape"]);
    assert_eq!(editor.close(), 0);
}

#[test]
fn hints_stand_beside_the_finding_or_in_its_words() {
    let kup = Kup::new();
    let uri = uri(&kup, "a.kup");
    let text = "playbook \"p\"\nstage s { drian }\n";
    let published = |editor: &mut Editor| {
        editor.open(&uri, text);
        editor.told(&uri)["diagnostics"][0].take()
    };
    let mut editor = Editor::new(&kup);
    let beside = published(&mut editor);
    assert_eq!(beside["message"], "unknown verb `drian`");
    assert_eq!(beside["relatedInformation"][0]["message"], "no verb begins with this");
    assert_eq!(beside["relatedInformation"][1]["message"], "hint: did you mean `drain`?");
    assert_eq!(beside["relatedInformation"][0]["location"]["uri"], uri);
    editor.close();
    let mut editor = Editor::mute(&kup);
    editor.ask("initialize", json!({"capabilities": {}}));
    editor.tell("initialized", json!({}));
    let told = "unknown verb `drian`\nno verb begins with this\nhint: did you mean `drain`?";
    assert_eq!(published(&mut editor)["message"], told);
    editor.close();
}

#[test]
fn a_change_in_a_module_is_found_in_the_playbook_that_uses_it_before_it_is_saved() {
    let kup = Kup::new().with("lib.kup", "task greet () { run command \"echo hi\" on=local }\n");
    let (playbook, module) = (uri(&kup, "p.kup"), uri(&kup, "lib.kup"));
    let mut editor = Editor::new(&kup);
    editor.open(&playbook, "use ./lib\nplaybook \"p\"\nstage s { greet }\n");
    assert_eq!(editor.found(&playbook), [] as [&str; 0]);
    editor.open(&module, "task greet (who: string) { run command \"echo ${who}\" on=local }\n");
    assert_eq!(editor.found(&module), [] as [&str; 0]);
    assert_eq!(editor.found(&playbook), ["2:10-2:15 K0303 `greet` needs `who`, text"]);
    // Closed without being saved, it is what it was on the disk.
    editor.tell("textDocument/didClose", json!({"textDocument": {"uri": module}}));
    assert_eq!(editor.found(&playbook), [] as [&str; 0]);
    assert_eq!(editor.close(), 0);
}

#[test]
fn what_is_found_in_a_file_that_is_not_open_is_told_too_and_taken_back() {
    let kup = Kup::new().with("lib.kup", "task greet () { drian }\n");
    let (playbook, module) = (uri(&kup, "p.kup"), uri(&kup, "lib.kup"));
    let mut editor = Editor::new(&kup);
    editor.open(&playbook, "use ./lib\nplaybook \"p\"\nstage s { greet }\n");
    assert_eq!(editor.found(&module), ["0:16-0:21 K0201 unknown verb `drian`"]);
    editor.tell("textDocument/didClose", json!({"textDocument": {"uri": playbook}}));
    assert_eq!(editor.found(&module), [] as [&str; 0]);
    assert_eq!(editor.close(), 0);
}

#[test]
fn what_cannot_be_understood_is_answered_or_ends_the_conversation() {
    let kup = Kup::new();
    let mut editor = Editor::new(&kup);
    editor.tell(
        "textDocument/didChange",
        json!({"textDocument": {"uri": "file:///never/opened.kup", "version": 3}, "contentChanges": []}),
    );
    editor.tell("textDocument/didOpen", json!("nonsense"));
    let unknown = editor.answer("kup/unknown", json!({}));
    assert_eq!(unknown["error"]["code"], -32601);
    // Gone without a word: an editor that crashed.
    assert_eq!(editor.leave(), 0);
    let mut editor = Editor::mute(&kup);
    editor.tell("exit", Value::Null);
    let ran = kup.ended(editor.hang_up()).exits(2);
    ran.says("what the editor says cannot be understood");
    let ran = kup.output(Command::new(crate::support::binary()).args(["lsp", "--stdio"]));
    ran.exits(2);
}

/// A place in a text as the protocol has it: that of a mark.
fn mark(text: &str) -> (String, Value) {
    let at = text.find('|').expect("a mark");
    let line = text[..at].matches('\n').count();
    let start = text[..at].rfind('\n').map_or(0, |i| i + 1);
    let column = text[start..at].encode_utf16().count();
    (text.replacen('|', "", 1), json!({"line": line, "character": column}))
}

/// Opens a text in an editor and asks at its mark.
fn ask_at(kup: &Kup, text: &str, method: &str, more: Value) -> Value {
    let uri = uri(kup, "p.kup");
    let (text, position) = mark(text);
    let mut editor = Editor::new(kup);
    editor.open(&uri, &text);
    let mut params = json!({"textDocument": {"uri": uri}, "position": position});
    for (key, value) in more.as_object().unwrap() {
        params[key] = value.clone();
    }
    let mut answer = editor.answer(method, params);
    assert_eq!(editor.close(), 0);
    match answer.get("error") {
        Some(error) => error["message"].clone(),
        None => answer["result"].take(),
    }
}

#[test]
fn hover_shows_the_header_and_the_doc_of_a_verb() {
    let text = "playbook \"😀\"\nstage s { each n in workers { name \"😀 ${n}\"\n dr|ain } }\n";
    let hover = ask_at(&Kup::new(), text, "textDocument/hover", json!({}));
    let said = hover["contents"]["value"].as_str().unwrap();
    assert!(
        said.starts_with("```kup\nnative task drain (\n  node: node = here;\n  grace: duration?,\n"),
        "{said}"
    );
    assert!(said.contains("\n  disrupts node\n") && said.contains("Cordons the node, evicts"), "{said}");
    assert_eq!(span(&hover["range"]), "2:1-2:6");
}

#[test]
fn completion_puts_what_fits_best_first_and_replaces_what_is_typed() {
    let text = "playbook \"p\"\nstage s { each n in workers { \"ü😀\"\n drain emptydir=re| } }\n";
    let items = ask_at(&Kup::new(), text, "textDocument/completion", json!({}));
    assert_eq!((items[0]["label"].as_str(), items[1]["label"].as_str()), (Some("refuse"), Some("delete")));
    assert_eq!(items[0]["textEdit"]["newText"], "refuse");
    assert_eq!(span(&items[0]["textEdit"]["range"]), "2:16-2:18");
    assert!(items[0]["sortText"].as_str() < items[1]["sortText"].as_str());
}

#[test]
fn the_definition_of_a_shipped_verb_is_a_file_to_read_that_knows_its_own_verbs() {
    let kup = Kup::new();
    let text = "playbook \"p\"\nstage s { each n in workers { drain| } }\n";
    let found = ask_at(&kup, text, "textDocument/definition", json!({}));
    let uri = found["uri"].as_str().unwrap();
    assert!(uri.ends_with("/std/node.kup"), "{uri}");
    let file = std::path::Path::new(uri.strip_prefix("file://").unwrap());
    let shipped = std::fs::read_to_string(file).unwrap();
    assert!(std::fs::metadata(file).unwrap().permissions().readonly());
    let line = found["range"]["start"]["line"].as_u64().unwrap() as usize;
    assert!(shipped.lines().nth(line).unwrap().starts_with("native task drain"));
    // Opened, it is the module itself and not a second one with the same verbs.
    let mut editor = Editor::new(&kup);
    editor.open(uri, &shipped);
    assert_eq!(editor.found(uri), [] as [&str; 0]);
    assert_eq!(editor.close(), 0);
}

#[test]
fn a_module_is_gone_to_and_its_users_are_found() {
    let kup = Kup::new().with("lib.kup", "# ü\ntask greet () { run command \"hi\" on=local }\n");
    let text = "use ./lib\nplaybook \"p\"\nstage s { gr|eet\n greet }\n";
    let found = ask_at(&kup, text, "textDocument/definition", json!({}));
    assert_eq!(
        (found["uri"].as_str(), span(&found["range"])),
        (Some(&*uri(&kup, "lib.kup")), "1:5-1:10".into())
    );
    let with = json!({"context": {"includeDeclaration": true}});
    let all = ask_at(&kup, text, "textDocument/references", with);
    let mut all: Vec<String> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|at| {
            format!("{} {}", at["uri"].as_str().unwrap().rsplit('/').next().unwrap(), span(&at["range"]))
        })
        .collect();
    all.sort();
    assert_eq!(all, ["lib.kup 1:5-1:10", "p.kup 2:10-2:15", "p.kup 3:1-3:6"]);
}

#[test]
fn a_rename_comes_as_edits_and_a_refusal_in_words() {
    let kup = Kup::new();
    let text = "playbook \"p\"\nparam t|o: version\nstage s { each n in workers { name \"😀 ${to} 😀 ${to}\"\n drain } }\n";
    let edits = ask_at(&kup, text, "textDocument/rename", json!({"newName": "target"}));
    let edits = edits["changes"][&uri(&kup, "p.kup")].as_array().unwrap().clone();
    let places: Vec<String> = edits.iter().map(|e| span(&e["range"])).collect();
    assert_eq!(places, ["1:6-1:8", "2:41-2:43", "2:50-2:52"]);
    assert!(edits.iter().all(|e| e["newText"] == "target"));
    let refused = ask_at(&kup, text, "textDocument/rename", json!({"newName": "n"}));
    assert_eq!(refused, "`n` means something else here already");
    let word = ask_at(
        &kup,
        "playbook \"p\"\nstage s { each n in work|ers { drain } }\n",
        "textDocument/prepareRename",
        json!({}),
    );
    assert_eq!(word, "`workers` is a word of the language");
}

#[test]
fn symbols_and_colors_cover_the_text() {
    let kup = Kup::new();
    let text = "playbook \"p\"\n# 😀\nstage s { each n in workers { name \"😀 ${n}\"\n drain } }\n|";
    let symbols = ask_at(&kup, text, "textDocument/documentSymbol", json!({}));
    assert_eq!(symbols[1]["name"], "s");
    assert_eq!(symbols[1]["children"][0]["name"], "each n in workers");
    let tokens = ask_at(&kup, text, "textDocument/semanticTokens/full", json!({}));
    let data: Vec<u64> = tokens["data"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
    let (mut line, mut column) = (0, 0);
    let mut places = Vec::new();
    for token in data.chunks(5) {
        column = if token[0] == 0 { column + token[1] } else { token[1] };
        line += token[0];
        places.push(format!("{line}:{column}+{}", token[2]));
    }
    let all = "0:0+8 0:9+3 1:0+4 2:0+5 2:6+1 2:10+4 2:15+1 2:17+2 2:20+7 2:30+4 2:35+6 2:41+1 2:42+2 3:1+5";
    assert_eq!(places.join(" "), all);
}

#[test]
fn a_fix_is_offered_where_the_mistake_stands_and_for_the_whole_text() {
    let kup = Kup::new();
    let uri = uri(&kup, "p.kup");
    let text = "playbook \"😀\"\nstage s { each n in workers {\n  \"😀\"\n  drian\n  drain gracee=2m\n} }\n";
    let text = text.replace("  \"😀\"\n", "");
    let mut editor = Editor::new(&kup);
    editor.open(&uri, &text);
    editor.told(&uri);
    let mut ask = |start, end, context: Value| {
        let params = json!({"textDocument": {"uri": uri}, "range": range(start, end), "context": context});
        editor.ask("textDocument/codeAction", params)
    };
    let here = ask((2, 3), (2, 3), json!({"diagnostics": []}));
    let titles: Vec<&str> = here.as_array().unwrap().iter().map(|a| a["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["write `drain` instead of `drian`", "put right all that kup is certain of"]);
    assert_eq!(here[0]["kind"], "quickfix");
    assert_eq!(here[0]["diagnostics"][0]["code"], "K0201");
    let edit = &here[0]["edit"]["changes"][&uri][0];
    assert_eq!((span(&edit["range"]), &edit["newText"]), ("2:2-2:7".into(), &"drain".into()));
    let all = ask((0, 0), (0, 0), json!({"diagnostics": [], "only": ["source.fixAll"]}));
    assert_eq!(all.as_array().unwrap().len(), 1);
    let edit = &all[0]["edit"]["changes"][&uri][0];
    assert_eq!(edit["newText"], "  drain\n  drain grace=2m\n");
    assert_eq!(ask((0, 0), (0, 0), json!({"diagnostics": [], "only": ["refactor"]})), json!([]));
    assert_eq!(editor.close(), 0);
}

#[test]
fn a_text_is_formatted_and_one_that_cannot_be_read_is_left() {
    let kup = Kup::new();
    let uri = uri(&kup, "p.kup");
    let mut editor = Editor::new(&kup);
    editor.open(&uri, "playbook \"p\"\n\nstage s {\n     run command \"date\" on=local\n}\n");
    let options = json!({"tabSize": 8, "insertSpaces": false});
    let params = json!({"textDocument": {"uri": uri}, "options": options});
    let edits = editor.ask("textDocument/formatting", params.clone());
    assert_eq!(edits.as_array().unwrap().len(), 1);
    assert_eq!(span(&edits[0]["range"]), "3:0-4:0");
    assert_eq!(edits[0]["newText"], "  run command \"date\" on=local\n");
    editor.change(&uri, 2, range((3, 0), (3, 5)), "  ");
    assert_eq!(editor.ask("textDocument/formatting", params.clone()), json!([]));
    editor.change(&uri, 3, range((4, 0), (4, 1)), "");
    assert_eq!(editor.ask("textDocument/formatting", params), Value::Null);
    assert_eq!(editor.close(), 0);
}

#[test]
fn neovim_shows_what_kup_lsp_says() {
    let has_nvim = Command::new("nvim").arg("--version").output().is_ok_and(|o| o.status.success());
    if !has_nvim {
        eprintln!("not run: there is no `nvim` on the PATH (Debian: apt-get install neovim)");
        return;
    }
    let text = "playbook \"p\"\nstage s {\n  each box in workers { name \"😀\"\n    drain box emptydri=refuse\n  }\n}\n";
    let kup = Kup::new().with("p.kup", text).env("KUP_BINARY", crate::support::binary());
    let script = crate::support::repository().join("tests/cli/neovim.lua");
    let line = ["--headless", "-n", "-u", "NONE", "-i", "NONE", "-c"];
    let ran = kup.output(Command::new("nvim").args(line).arg(format!("luafile {}", script.display())));
    let said = std::fs::read_to_string(kup.path("said.txt")).unwrap_or_else(|_| panic!("{ran:?}"));
    let expected = "\
        finding 3:14 `drain` has no argument `emptydri`\n\
        mended     drain box emptydir=refuse\n\
        hover native task drain (\n\
        completion refuse delete\n\
        definition node.kup native task drain\n\
        renamed   each node in workers { name \"😀\"     drain node emptydir=refuse\n\
        offered write `drain` instead of `drian`\n\
        fixed     drain node emptydir=refuse\n\
        formatted   each node in workers {     name \"😀\"\n\
        tokens playbook:keyword \"p\":string stage:keyword s:namespace each:keyword node:variable in:keyword \
        workers:enumMember name:keyword \"😀\":string drain:function node:variable emptydir:parameter refuse:enumMember\n";
    assert_eq!(said, expected);
}
