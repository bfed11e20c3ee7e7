//! An editor that speaks the Language Server Protocol with the real binary, word by word.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command};
use std::sync::mpsc::{self, Receiver};

use serde_json::{Value, json};

use super::{Kup, LIMIT, binary};

/// An editor with a `kup lsp` of its own.
pub(crate) struct Editor {
    kup: Child,
    stdin: ChildStdin,
    heard: Receiver<Value>,
    /// What the server said and nobody has asked for yet.
    unread: VecDeque<Value>,
    asked: i64,
}

impl Editor {
    /// Starts the server in an environment and greets it.
    pub(crate) fn new(kup: &Kup) -> Editor {
        let mut editor = Editor::mute(kup);
        let shows = json!({"textDocument": {"publishDiagnostics": {"relatedInformation": true}}});
        editor.ask("initialize", json!({"capabilities": shows, "processId": null, "rootUri": null}));
        editor.tell("initialized", json!({}));
        editor
    }

    /// Starts the server and says nothing yet.
    pub(crate) fn mute(kup: &Kup) -> Editor {
        let mut child = kup.speak(Command::new(binary()).arg("lsp"));
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (say, heard) = mpsc::channel();
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            while let Some(message) = message(&mut stdout) {
                if say.send(message).is_err() {
                    return;
                }
            }
        });
        Editor { kup: child, stdin, heard, unread: VecDeque::new(), asked: 0 }
    }

    /// Says something that needs no answer.
    pub(crate) fn tell(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// Asks, and returns the whole answer.
    pub(crate) fn answer(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        self.wait(|message| message["id"] == id)
    }

    /// Asks, and returns the result.
    #[track_caller]
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        let mut answer = self.answer(method, params);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// Opens a text.
    pub(crate) fn open(&mut self, uri: &str, text: &str) {
        let item = json!({"uri": uri, "languageId": "kup", "version": 1, "text": text});
        self.tell("textDocument/didOpen", json!({"textDocument": item}));
    }

    /// Replaces a range of an open text.
    pub(crate) fn change(&mut self, uri: &str, version: i32, range: Value, text: &str) {
        let change = json!({"range": range, "text": text});
        let document = json!({"uri": uri, "version": version});
        self.tell("textDocument/didChange", json!({"textDocument": document, "contentChanges": [change]}));
    }

    /// Waits for what is found in a text.
    pub(crate) fn told(&mut self, uri: &str) -> Value {
        let published = "textDocument/publishDiagnostics";
        self.wait(|m| m["method"] == published && m["params"]["uri"] == uri)["params"].take()
    }

    /// Waits for what is found in a text; each finding is `line:column-line:column code message`.
    pub(crate) fn found(&mut self, uri: &str) -> Vec<String> {
        let told = self.told(uri);
        let found = told["diagnostics"].as_array().unwrap();
        let show = |d: &Value| {
            let (code, message) = (d["code"].as_str().unwrap(), d["message"].as_str().unwrap());
            format!("{} {code} {message}", span(&d["range"]))
        };
        found.iter().map(show).collect()
    }

    /// Says goodbye, and returns the exit code.
    pub(crate) fn close(mut self) -> i32 {
        self.ask("shutdown", Value::Null);
        self.tell("exit", Value::Null);
        self.leave()
    }

    /// Goes away without a word.
    pub(crate) fn hang_up(self) -> Child {
        self.kup
    }

    /// Goes away without a word, and returns the exit code.
    pub(crate) fn leave(self) -> i32 {
        let Editor { mut kup, stdin, heard, .. } = self;
        drop(stdin);
        // The server's end of the line closes when it ends.
        while heard.recv_timeout(LIMIT).is_ok() {}
        let mut said = String::new();
        kup.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "", "a language server has nothing to say beside the protocol");
        kup.wait().unwrap().code().expect("kup ends by itself and not by a signal")
    }

    fn send(&mut self, message: &Value) {
        let body = message.to_string();
        write!(self.stdin, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        self.stdin.flush().unwrap();
    }

    fn wait(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.unread.iter().position(&wanted) {
            return self.unread.remove(at).unwrap();
        }
        loop {
            let message = self.heard.recv_timeout(LIMIT).expect("the server answers");
            if wanted(&message) {
                return message;
            }
            self.unread.push_back(message);
        }
    }
}

/// Writes a range as `line:column-line:column`.
pub(crate) fn span(range: &Value) -> String {
    let place = |p: &Value| format!("{}:{}", p["line"], p["character"]);
    format!("{}-{}", place(&range["start"]), place(&range["end"]))
}

/// Reads a message; `None` where the line is closed.
fn message(from: &mut BufReader<ChildStdout>) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            header => {
                if let Some(n) = header.strip_prefix("Content-Length: ") {
                    length = n.parse().unwrap();
                }
            }
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    Some(serde_json::from_slice(&body).unwrap())
}
