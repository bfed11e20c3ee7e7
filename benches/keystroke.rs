//! How long a keystroke takes: from `didChange` to `publishDiagnostics`, spoken with the real `kup lsp`, in
//! playbooks of 1,000 to 100,000 steps in 200 tasks.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

const URI: &str = "file:///bench/keystroke.kup";
const TASKS: usize = 200;

/// Writes a playbook of so many steps.
fn playbook(steps: usize) -> String {
    let mut text = String::from("playbook \"keystrokes\"\n");
    for task in 0..TASKS {
        text.push_str(&format!("\ntask part-{task} (node: node = here; text: string) {{\n"));
        for step in 0..steps / TASKS {
            text.push_str(&format!("  run command \"printf ${{text}} > {step}\" on=node {{ timeout 5m }}\n"));
        }
        text.push_str("}\n");
    }
    for task in 0..TASKS {
        text.push_str(&format!("stage s{task} {{ each n in workers {{ part-{task} text=\"x\" }} }}\n"));
    }
    text
}

struct Server {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Server {
    fn say(&mut self, method: &str, id: Option<u32>, params: Value) {
        let mut message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        if let Some(id) = id {
            message["id"] = id.into();
        }
        let body = message.to_string();
        let said = write!(self.stdin, "Content-Length: {}\r\n\r\n{body}", body.len());
        said.and_then(|()| self.stdin.flush()).unwrap_or_else(|e| panic!("the server is gone: {e}"));
    }

    fn hear(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.stdout.read_line(&mut line).unwrap_or_else(|e| panic!("the server is gone: {e}"));
            match line.trim_end() {
                "" => break,
                header => length = header.trim_start_matches("Content-Length: ").parse().unwrap_or(length),
            }
        }
        let mut body = vec![0; length];
        self.stdout.read_exact(&mut body).unwrap_or_else(|e| panic!("the server is gone: {e}"));
        serde_json::from_slice(&body).unwrap_or_else(|e| panic!("{e}"))
    }
}

/// Types a comment letter by letter into the middle of a playbook; returns the times in milliseconds.
fn keystrokes(steps: usize) -> Vec<f64> {
    let text = playbook(steps);
    let mut kup = Command::new(env!("CARGO_BIN_EXE_kup"))
        .arg("lsp")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{e}"));
    let (Some(stdin), Some(stdout)) = (kup.stdin.take(), kup.stdout.take()) else { panic!("no pipes") };
    let mut server = Server { stdin, stdout: BufReader::new(stdout) };
    server.say("initialize", Some(1), json!({"capabilities": {}}));
    server.hear();
    server.say("initialized", None, json!({}));
    let item = json!({"uri": URI, "languageId": "kup", "version": 0, "text": text});
    server.say("textDocument/didOpen", None, json!({"textDocument": item}));
    let found = server.hear();
    assert_eq!(found["params"]["diagnostics"], json!([]), "the playbook of this bench does not check");
    // The first step of a task in the middle.
    let head = format!("\ntask part-{} ", TASKS / 2);
    let line = text[..text.find(&head).unwrap_or(0)].matches('\n').count() + 2;
    let mut times = Vec::new();
    for (key, typed) in "  run command \"one more, letter by letter\" on=node".chars().enumerate() {
        let place = json!({"line": line, "character": key});
        let change = json!({"range": {"start": place, "end": place}, "text": typed.to_string()});
        // The line break behind it comes first, so that what is typed has a line of its own.
        let change =
            if key == 0 { json!({"range": {"start": place, "end": place}, "text": " \n"}) } else { change };
        let began = Instant::now();
        let document = json!({"uri": URI, "version": key + 1});
        server.say(
            "textDocument/didChange",
            None,
            json!({"textDocument": document, "contentChanges": [change]}),
        );
        assert_eq!(server.hear()["params"]["version"], key + 1);
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    server.say("shutdown", Some(2), Value::Null);
    server.hear();
    server.say("exit", None, Value::Null);
    let _ = kup.wait();
    times.sort_by(f64::total_cmp);
    times
}

fn main() {
    println!("{:>8} {:>10} {:>10} {:>10}", "steps", "best ms", "median ms", "worst ms");
    for steps in [1_000, 10_000, 100_000] {
        let times = keystrokes(steps);
        let (best, median, worst) = (times[0], times[times.len() / 2], times[times.len() - 1]);
        println!("{steps:>8} {best:>10.1} {median:>10.1} {worst:>10.1}");
    }
}
