//! What may stand at a place of a text that is not finished: found by looking back over the tokens of
//! the item that the place is in.

use super::lex::{Kind, Token, tokens};

/// What may stand at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place<'t> {
    /// Nothing that could be proposed: a comment, a text, a new name.
    Nothing,
    /// An item of the file.
    Item,
    /// A clause of a native verb.
    Clause,
    /// The path of a module.
    Module,
    /// The name of a type.
    Type,
    /// The name of a stage.
    Stage,
    /// What a handler handles.
    Event,
    /// A law.
    Law,
    /// One of some words.
    Words(&'static [&'static str]),
    /// A fact in `order by`, or behind a point, and of what: a field if that is a record.
    Fact(Option<&'t str>),
    /// What follows the set of an `each`.
    EachOption,
    /// A statement of a block.
    Statement(Block),
    /// What a test expects.
    Expected,
    /// The name of a parameter that a test sets.
    Set,
    /// More words of a verb, or arguments: what stands in front, from its first byte on.
    Step { begin: usize, front: Vec<&'t str>, words: usize },
    /// The value of an argument or a parameter.
    Value(Wanted<'t>),
}

/// What a block may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// Policy first, then steps.
    Scope,
    /// Steps only.
    Steps,
    /// One step that gives something back.
    Result,
    /// Policy only.
    Policy,
    /// One step that decides.
    Handler,
    /// Lines of a test, and its steps.
    Test,
    /// `on EVENT { }`: verbs that look.
    Hook,
}

/// Which value is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted<'t> {
    /// What it is for.
    pub(super) of: For<'t>,
    /// Whether it stands in the condition of a `where`.
    pub(super) it: bool,
}

/// What a value is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum For<'t> {
    /// Anything.
    Any,
    /// A type by its name, or the words of an enumeration.
    Type(Vec<&'t str>),
    /// The same as a variable.
    Like(&'t str),
    /// An argument of the verb that the front begins with; without a name, the next one without one.
    Argument { front: Vec<&'t str>, words: usize, name: Option<&'t str> },
}

/// Finds what may stand at a byte, and where the word that stands there already begins.
pub(super) fn context(text: &str, byte: usize) -> (Place<'_>, usize) {
    let byte = text.floor_char_boundary(byte.min(text.len()));
    let begin = piece(text, byte);
    let mut all = tokens(text, begin..byte);
    let mut start = byte;
    match all.last() {
        Some(Token { kind: Kind::Comment, .. }) => return (Place::Nothing, byte),
        Some(Token { kind: Kind::Text { closed: false }, start, .. }) => {
            // `${` begins an expression; all else is text.
            return match text[*start..byte].rfind("${") {
                Some(at) if !text[start + at..byte].contains('}') => {
                    let inner = tokens(text, start + at + 2..byte);
                    let typed = inner.last().filter(|t| t.kind == Kind::Word && t.end == byte);
                    let of = typed.map_or(inner.len(), |_| inner.len() - 1);
                    (expression(text, &inner[..of], For::Any), typed.map_or(byte, |t| t.start))
                }
                _ => (Place::Nothing, byte),
            };
        }
        Some(Token { kind: Kind::Word | Kind::Number, end, start: word }) if *end == byte => {
            start = *word;
            all.pop();
        }
        _ => {}
    }
    all.retain(|t| t.kind != Kind::Comment);
    let place = place(text, begin, &all, start);
    // A path has signs in it.
    if place == Place::Module {
        let path = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
        start = text[..byte].trim_end_matches(path).len();
    }
    (place, start)
}

/// Returns where the item begins that a byte is in.
pub(super) fn piece(text: &str, byte: usize) -> usize {
    let mut end = text[..byte].rfind('\n').map_or(0, |at| at + 1);
    loop {
        if crate::parse::begins_item(&text[end..]).is_some() {
            return end;
        }
        match text[..end].strip_suffix('\n') {
            Some(above) => end = above.rfind('\n').map_or(0, |at| at + 1),
            None => return 0,
        }
    }
}

fn place<'t>(text: &'t str, begin: usize, all: &[Token], start: usize) -> Place<'t> {
    let word = |t: &Token| &text[t.start..t.end];
    // The heads of the blocks that are open, and where the statement begins.
    let (mut heads, mut from, mut brackets) = (Vec::new(), 0, 0usize);
    // Where the records begin that are open within the statement.
    let mut records: Vec<usize> = Vec::new();
    for (i, token) in all.iter().enumerate() {
        match (token.kind, word(token)) {
            (Kind::Newline, _) if brackets == 0 => {
                let next = |n: usize| all.get(i + n).map(word);
                if next(2) != Some("=") || !all.get(i + 1).is_some_and(|t| t.kind == Kind::Word) {
                    from = i + 1;
                }
            }
            (Kind::Sign, "{")
                if begins_record(text, &all[..i])
                    || (!heads.is_empty() && i > from && word(&all[i - 1]) == "gives") =>
            {
                brackets += 1;
                records.push(i + 1);
            }
            (Kind::Sign, "}") if !records.is_empty() => {
                brackets = brackets.saturating_sub(1);
                records.pop();
            }
            (Kind::Sign, "{") => {
                let mut head = all[from..i].iter().map(word).filter(|w| *w != "\n");
                heads.push(match (head.next(), head.next()) {
                    (Some("on"), Some(event)) if event != "failure" => "on event",
                    (first, _) => first.unwrap_or_default(),
                });
                (from, brackets) = (i + 1, 0);
            }
            (Kind::Sign, "}") => {
                heads.pop();
                (from, brackets) = (i + 1, 0);
            }
            (Kind::Sign, "(" | "[") => brackets += 1,
            (Kind::Sign, ")" | "]") => brackets = brackets.saturating_sub(1),
            _ => {}
        }
    }
    if let Some(record) = records.last() {
        return field(text, &all[*record..]);
    }
    let line: Vec<Token> = all[from..].iter().filter(|t| t.kind != Kind::Newline).copied().collect();
    match heads.last() {
        None => item(text, begin, &line, start),
        // The record that a native verb gives back.
        Some(&"gives") => match line.last().map(word) {
            Some(":") => Place::Type,
            Some(_) | None => Place::Nothing,
        },
        Some(head) => statement(text, &line, start, block(head, heads.len())),
    }
}

/// Whether a brace is that of a record: where a value or a type must stand.
fn begins_record(text: &str, before: &[Token]) -> bool {
    let last = before.iter().rev().find(|t| t.kind != Kind::Newline).map(|t| &text[t.start..t.end]);
    last.is_some_and(|last| last != "." && (last == ":" || joins(last)))
}

/// Finds what may stand in a record: a new name, or its value.
fn field<'t>(text: &'t str, within: &[Token]) -> Place<'t> {
    let word = |t: &Token| &text[t.start..t.end];
    let line: Vec<Token> = within.iter().filter(|t| t.kind != Kind::Newline).copied().collect();
    // A comma within brackets is none of the record.
    let (mut depth, mut colon) = (0usize, None);
    for (i, token) in line.iter().enumerate() {
        match word(token) {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            ":" if depth == 0 => colon = Some(i),
            "," if depth == 0 => colon = None,
            _ => {}
        }
    }
    match colon {
        Some(colon) => expression(text, &line[colon + 1..], For::Any),
        None => Place::Nothing,
    }
}

fn block(head: &str, depth: usize) -> Block {
    match head {
        "stage" | "task" | "each" => Block::Scope,
        "playbook" if depth == 1 => Block::Policy,
        "on" => Block::Handler,
        "test" if depth == 1 => Block::Test,
        "on event" => Block::Hook,
        "if" | "when" | "else" | "parallel" | "undo" | "before" | "after" => Block::Steps,
        _ => Block::Policy,
    }
}

fn item<'t>(text: &'t str, begin: usize, line: &[Token], start: usize) -> Place<'t> {
    let word = |t: &Token| &text[t.start..t.end];
    let words: Vec<&str> = line.iter().map(word).collect();
    let Some((first, rest)) = words.split_first() else {
        let indented = !text[..start].ends_with('\n') && start > 0;
        let native = text[begin..].starts_with("native");
        return if indented && native { Place::Clause } else { Place::Item };
    };
    match *first {
        "use" => Place::Module,
        "on" => match rest {
            [] => Place::Event,
            ["stage"] => Place::Stage,
            ["run" | "node" | "step" | "attempt"] | ["stage", _] => {
                Place::Words(&["started", "done", "failed", "waiting"])
            }
            _ => Place::Nothing,
        },
        "stage" if rest.contains(&"after") => Place::Stage,
        "stage" if rest.len() == 1 => Place::Words(&["after"]),
        "native" if rest.is_empty() => Place::Words(&["task"]),
        "param" | "task" | "native" => {
            match words.iter().rposition(|w| matches!(*w, ":" | "=" | "," | ";" | "(")) {
                Some(at) if words[at] == ":" => Place::Type,
                Some(at) if words[at] == "=" && at + 1 == words.len() => {
                    let colon = words[..at].iter().rposition(|w| *w == ":").map_or(at, |colon| colon + 1);
                    let of = words[colon..at]
                        .iter()
                        .copied()
                        .filter(|w| !matches!(*w, "|" | "?" | "[" | "]"))
                        .collect();
                    Place::Value(Wanted { of: For::Type(of), it: false })
                }
                _ => Place::Nothing,
            }
        }
        _ => Place::Nothing,
    }
}

fn statement<'t>(text: &'t str, line: &[Token], start: usize, block: Block) -> Place<'t> {
    let word = |t: &Token| &text[t.start..t.end];
    let words: Vec<&str> = line.iter().map(word).collect();
    match words.as_slice() {
        [] => Place::Statement(block),
        ["expect", rest @ ..] if block == Block::Test => expected(text, line, rest, start),
        ["set"] if block == Block::Test => Place::Set,
        ["on"] if block == Block::Test => Place::Words(&["sim("]),
        ["playbook"] if block == Block::Test => Place::Module,
        ["on" | "set" | "fault" | "playbook", ..] if block == Block::Test => Place::Nothing,
        ["each", ..] => each(text, line, &words),
        ["let", _, "="] => Place::Statement(Block::Result),
        ["let", _, "=", step_words @ ..] => step(text, &line[3..], step_words.to_vec(), start),
        ["let", ..] => Place::Nothing,
        ["else"] => Place::Words(&["if", "when"]),
        ["if" | "when", ..] => expression(text, &line[1..], For::Any),
        ["else", "if" | "when", ..] => expression(text, &line[2..], For::Any),
        ["gives", ..] => expression(text, &line[1..], For::Any),
        ["allow"] => Place::Law,
        ["retry", _] => Place::Words(&["backoff"]),
        [
            "timeout" | "retry" | "allow" | "approve" | "window" | "hosts" | "name" | "undo" | "before"
            | "after" | "long" | "parallel",
            ..,
        ] => Place::Nothing,
        _ => step(text, line, words, start),
    }
}

/// Finds what may be expected: how the run ends, or a verb, its node, and how it goes.
fn expected<'t>(text: &'t str, line: &[Token], rest: &[&'t str], start: usize) -> Place<'t> {
    match rest {
        [] => Place::Expected,
        ["done" | "paused" | "undone" | "failed" | "refused" | "failure" | "plan"] => Place::Nothing,
        [.., "on"] => Place::Nothing,
        [.., "on", _] => Place::Words(&["ran", "skipped", "failed", "undone", "before"]),
        [.., "before"] | ["no"] => Place::Statement(Block::Steps),
        _ => step(text, &line[1..], rest.to_vec(), start),
    }
}

fn each<'t>(text: &'t str, line: &[Token], words: &[&'t str]) -> Place<'t> {
    let Some(at) = words.iter().position(|w| *w == "in") else {
        return if words.len() == 2 { Place::Words(&["in"]) } else { Place::Nothing };
    };
    let last = words[words.len() - 1];
    if last == "order" {
        return Place::Words(&["by"]);
    }
    if let Some(by) = words.iter().rposition(|w| *w == "by")
        && !words[by..].contains(&"=")
    {
        return if matches!(last, "by" | ",") {
            Place::Fact(None)
        } else {
            Place::Words(&["last", "batch=", "canary=", "soak="])
        };
    }
    if let Some(eq) = words.iter().rposition(|w| *w == "=") {
        let of = match words[eq - 1] {
            "batch" => "batch",
            "canary" => "number",
            _ => "duration",
        };
        let open = eq + 1 == words.len() || joins(last);
        return if open { expression(text, &line[eq + 1..], For::Type(vec![of])) } else { Place::EachOption };
    }
    if at + 1 == words.len() || joins(last) {
        return expression(text, &line[at + 1..], For::Type(vec!["nodes"]));
    }
    if words.contains(&"where") {
        Place::Words(&["and", "or", "order", "batch=", "canary=", "soak="])
    } else {
        Place::EachOption
    }
}

fn step<'t>(text: &'t str, line: &[Token], words: Vec<&'t str>, start: usize) -> Place<'t> {
    let spoken = line.iter().take_while(|t| matches!(t.kind, Kind::Word)).count();
    let last = words[words.len() - 1];
    let eq = words.iter().rposition(|w| *w == "=");
    // The name of the first argument is no word of the verb.
    let spoken = words.iter().position(|w| *w == "=").map_or(spoken, |eq| spoken.min(eq.saturating_sub(1)));
    let begin = line[0].start;
    match eq {
        Some(eq) if eq + 1 == words.len() || joins(last) => {
            let name = eq.checked_sub(1).map(|at| words[at]);
            let of = For::Argument { front: words.clone(), words: spoken, name };
            expression(text, &line[eq + 1..], of)
        }
        None if joins(last) => {
            let of = For::Argument { front: words.clone(), words: spoken, name: None };
            expression(text, &line[spoken.min(line.len())..], of)
        }
        _ => {
            debug_assert!(begin <= start);
            Place::Step { begin, front: words, words: spoken }
        }
    }
}

/// Finds what is wanted at the end of an expression.
fn expression<'t>(text: &'t str, line: &[Token], of: For<'t>) -> Place<'t> {
    let word = |t: &Token| &text[t.start..t.end];
    let words: Vec<&str> = line.iter().map(word).collect();
    let it = words.contains(&"where");
    if words.last() == Some(&".") {
        return Place::Fact(words.len().checked_sub(2).map(|of| words[of]));
    }
    // An open bracket behind a word is a call.
    let mut open = Vec::new();
    for (i, w) in words.iter().enumerate() {
        match *w {
            "(" | "[" => open.push(i),
            ")" | "]" => {
                open.pop();
            }
            _ => {}
        }
    }
    let call =
        open.last().filter(|at| words[**at] == "(").and_then(|at| at.checked_sub(1)).map(|at| words[at]);
    let of = match (call, words.as_slice()) {
        (_, [.., left, "==" | "!="]) => For::Like(left),
        (Some("first" | "rest" | "count"), _) => For::Type(vec!["nodes"]),
        (Some("minor"), _) => For::Type(vec!["version"]),
        (Some("label"), _) => return Place::Nothing,
        _ if words
            .last()
            .is_some_and(|w| matches!(*w, "where" | "and" | "or" | "not" | "<" | ">" | "<=" | ">=")) =>
        {
            For::Any
        }
        _ => of,
    };
    let done = words.last().is_some_and(|w| !joins(w));
    if done && matches!(of, For::Any) {
        return Place::Words(&["and", "or", "in", "where"]);
    }
    Place::Value(Wanted { of, it })
}

/// Whether something must follow.
fn joins(word: &str) -> bool {
    matches!(
        word,
        "," | "."
            | "("
            | "["
            | "+"
            | "-"
            | "="
            | "=="
            | "!="
            | "<"
            | "<="
            | ">"
            | ">="
            | "and"
            | "or"
            | "not"
            | "in"
            | "where"
    )
}
