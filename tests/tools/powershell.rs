//! What is sent to nodes that run Windows, read by a grammar of PowerShell that others wrote: every script is one, and whatever stands in a
//! word, the tree of its script is the same. There is no Windows here, and no PowerShell: what either does is not tried.

use std::os::unix::fs::PermissionsExt;

use engine::live::{Ssh, SshOptions};
use engine::port::{Command, Shells};

use super::kept;
use crate::support::Kup;
use crate::support::hostile::strings;
use crate::support::sshd::Hosts;

/// Stands for the shell of the node: it keeps the tree of each script, and answers as if all were well.
const SHELL: &str = r#"
import base64, os, sys
import tree_sitter, tree_sitter_powershell
parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
words = os.environ["SSH_ORIGINAL_COMMAND"].split(" ")
if words[0] != "powershell.exe":
    sys.exit(1)
tree = parser.parse(base64.b64decode(words[-1]).decode("utf-16-le").encode())
def shape(node):
    return node.type + "".join("(" + shape(child) + ")" for child in node.children)
with open(os.path.join(os.path.dirname(sys.argv[0]), "trees"), "a") as file:
    file.write(("broken " if tree.root_node.has_error else "") + shape(tree.root_node) + "\n")
sys.stdout.write("eA==\nkup ended with 0\n")
"#;

#[test]
fn a_foreign_grammar_reads_every_script_and_no_word_changes_its_tree() {
    let python = kept().map(|tools| tools.join("powershell/bin/python")).filter(|python| python.exists());
    let Some(python) = python else {
        eprintln!("skipped: there is no grammar of PowerShell on this machine");
        return;
    };
    let kup = Kup::new().with("shell.py", format!("#!{}\n{SHELL}", python.display()));
    let program = kup.path("shell.py");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let Some(_hosts) = Hosts::start_with(&kup, &["win1"], Some(&program.display().to_string())) else {
        return;
    };
    let trees = || std::fs::read_to_string(kup.path("trees")).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let shells = Ssh::new(SshOptions { config: Some(kup.path("ssh/config")), sockets: None });
        let shell = shells.on("win1");
        // Of a kind the trees are equal, whatever the words are.
        let hostile = strings(8, 7).into_iter().filter(|word| word.len() < 400);
        let known =
            ["x", "it's", "\u{2019}", "$(Remove-Item C:)", "`\"", "); exit", "-Force", "--%", "#", "@a"];
        for word in known.map(String::from).into_iter().chain(hostile) {
            let get = Command::read(["Get-FileHash", "-LiteralPath", word.as_str()]).with_env("A", &word);
            // The name of a parameter is none of its words.
            if word != "-Force" {
                shell.run(&get).await.unwrap();
            }
            shell.run(&Command::change(["[IO.File]::Replace", "a", word.as_str()])).await.unwrap();
            let path = format!("C:\\{word}");
            assert_eq!(shell.read(&path).await.unwrap(), Some(b"x".to_vec()));
            shell.write(&path, word.as_bytes(), 0o644).await.unwrap();
            // What PowerShell hands to no program as it is, is not sent.
            let _ = shell.run(&Command::change(["C:\\k\\kubeadm.exe", "upgrade", word.as_str()])).await;
        }
    });
    let (all, lines) = (trees(), trees().lines().count());
    let kinds: std::collections::BTreeSet<&str> = all.lines().collect();
    assert!(lines > 60, "{lines} scripts were read");
    assert!(!kinds.iter().any(|tree| tree.starts_with("broken")), "{kinds:#?}");
    // A cmdlet, a method, a file that is read, one that is written, a program.
    assert_eq!(kinds.len(), 5, "{kinds:#?}");
}
