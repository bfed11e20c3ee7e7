//! `kup lsp` as an editor meets it: the real binary, spoken to over its stdin and stdout.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::Kup;
use crate::support::editor::Editor;

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
    assert_eq!(beside["relatedInformation"][0]["message"], "hint: did you mean `drain`?");
    assert_eq!(beside["relatedInformation"][0]["location"]["uri"], uri);
    editor.close();
    let mut editor = Editor::mute(&kup);
    editor.ask("initialize", json!({"capabilities": {}}));
    editor.tell("initialized", json!({}));
    assert_eq!(published(&mut editor)["message"], "unknown verb `drian`\nhint: did you mean `drain`?");
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
