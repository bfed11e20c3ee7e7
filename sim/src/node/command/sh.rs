//! `sh -c LINE` and scripts: the user's own words. Lines of plain words that the box knows are run, one after the other where `;`
//! stands between them, and through `grep`; any other line is assumed to succeed after a second with nothing to say, and as a probe (a
//! command that only looks) to say no. So is a script for an interpreter that is no shell.

use std::time::Duration;

use engine::port::{Command, Output};

use crate::node::process::{Ended, Process, failed, said};

/// What a line of shell comes to without interpreting shell.
pub(in crate::node) enum Line {
    /// `true`, `false` or `exit N`.
    Exit(i32),
    /// Plain words.
    Argv(Vec<String>),
    /// Plain lines, each perhaps through `grep` with a pattern of plain letters.
    Many(Vec<(String, Option<String>)>),
    /// Anything with syntax.
    Other,
}

/// Reads a line.
pub(in crate::node) fn simple(line: &str) -> Line {
    if line.contains("; ") {
        return several(line);
    }
    if line.contains(['|', '&', ';', '<', '>', '(', ')', '$', '`', '*', '?', '[', '#', '~', '\n']) {
        return Line::Other;
    }
    match shlex::split(line) {
        Some(words) => match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [] | ["true" | ":"] | ["exit"] => Line::Exit(0),
            ["false"] => Line::Exit(1),
            ["exit", code] => code.parse().map_or(Line::Other, |c: u8| Line::Exit(i32::from(c))),
            _ => Line::Argv(words),
        },
        None => Line::Other,
    }
}

/// Reads lines between which `; ` stands.
fn several(line: &str) -> Line {
    let mut parts = Vec::new();
    for part in line.split("; ") {
        let (plain, grep) = match part.split_once(" | grep ") {
            Some((plain, pattern)) => (plain, Some(pattern.trim().trim_matches('\'').to_string())),
            None => (part, None),
        };
        match simple(plain) {
            Line::Exit(_) | Line::Argv(_) => parts.push((plain.to_string(), grep)),
            Line::Many(_) | Line::Other => return Line::Other,
        }
    }
    Line::Many(parts)
}

/// Answers for what cannot be interpreted.
pub(in crate::node) async fn assumed(changes: bool) -> Output {
    if !changes {
        return failed(1, "");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    said("")
}

/// Returns whether a program is a shell.
pub(in crate::node) fn is_shell(program: &str) -> bool {
    matches!(program.rsplit('/').next(), Some("sh" | "bash" | "dash"))
}

/// Runs `sh -c LINE` or `sh FILE` on a node.
pub(super) async fn shell(process: &Process, args: &[&str], command: &Command) -> Ended {
    match args {
        ["-c", line, ..] => run(process, line, command).await,
        [flag, rest @ ..] if flag.starts_with('-') => Box::pin(shell(process, rest, command)).await,
        [path, ..] => match process.on(|n| n.files.text(path)) {
            Some(text) => lines(process, &text, command).await,
            None => Ok(failed(2, format!("sh: 0: cannot open {path}: No such file\n"))),
        },
        [] => Ok(said("")),
    }
}

async fn run(process: &Process, line: &str, command: &Command) -> Ended {
    match simple(line) {
        Line::Exit(code) => Ok(failed(code, "")),
        Line::Argv(argv) if argv == ["cat"] => Ok(said(String::from_utf8_lossy(&command.stdin))),
        Line::Argv(argv) => {
            let output = super::execute(process, &Command { argv, ..command.clone() }).await?;
            if matches!(output.code, 127 | 64) { unknown(process, command).await } else { Ok(output) }
        }
        Line::Many(parts) => many(process, &parts, command).await,
        Line::Other => unknown(process, command).await,
    }
}

/// Runs plain lines one after the other; one that nobody knows makes all of them unknown.
async fn many(process: &Process, parts: &[(String, Option<String>)], command: &Command) -> Ended {
    let mut all = said("");
    for (line, grep) in parts {
        let mut output = match simple(line) {
            Line::Exit(code) => failed(code, ""),
            Line::Argv(argv) => {
                Box::pin(super::execute(process, &Command { argv, ..command.clone() })).await?
            }
            Line::Many(_) | Line::Other => return unknown(process, command).await,
        };
        if matches!(output.code, 127 | 64) {
            return unknown(process, command).await;
        }
        if let Some(pattern) = grep {
            let fits = |line: &&str| {
                pattern.split("\\|").any(|one| match one.strip_prefix('^') {
                    Some(start) => line.starts_with(start),
                    None => line.contains(one),
                })
            };
            output.stdout = output.stdout.lines().filter(fits).map(|line| format!("{line}\n")).collect();
            output.code = i32::from(output.stdout.is_empty());
        }
        all.stdout.push_str(&output.stdout);
        all.stderr.push_str(&output.stderr);
        all.code = output.code;
    }
    Ok(all)
}

async fn unknown(process: &Process, command: &Command) -> Ended {
    let output = assumed(command.changes).await;
    process.alive()?;
    Ok(output)
}

/// Runs a program by its path: a script that lies there, or an interpreter that is given one.
pub(super) async fn script(process: &Process, path: &str, args: &[&str], command: &Command) -> Ended {
    let (file, given) =
        process.on(|n| (n.files.get(path).cloned(), args.iter().any(|a| n.files.get(a).is_some())));
    match file {
        Some(file) if file.mode & 0o111 == 0 => {
            Ok(failed(126, format!("sh: 1: {path}: Permission denied\n")))
        }
        Some(file) => lines(process, &String::from_utf8_lossy(&file.content), command).await,
        None if given => unknown(process, command).await,
        None => Ok(super::not_found(&[path])),
    }
}

/// Runs the lines of a script one by one, up to the first `exit`.
async fn lines(process: &Process, text: &str, command: &Command) -> Ended {
    let mut last = said("");
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let ended = run(process, line, command).await?;
        last.stdout.push_str(&ended.stdout);
        last.stderr.push_str(&ended.stderr);
        last.code = ended.code;
        if line.starts_with("exit") {
            break;
        }
    }
    Ok(last)
}
