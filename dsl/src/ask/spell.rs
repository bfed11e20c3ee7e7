//! Writes types and headers the way the language writes them.

use crate::check::Study;
use crate::value::Type;

/// Writes a type as a declaration has it.
pub(crate) fn ty(of: &Type) -> String {
    match of {
        Type::Bool => "bool".to_string(),
        Type::Number => "number".to_string(),
        Type::Text => "string".to_string(),
        Type::Path => "path".to_string(),
        Type::Duration => "duration".to_string(),
        Type::Share => "share".to_string(),
        Type::Size => "size".to_string(),
        Type::Version => "version".to_string(),
        Type::Minor => "minor".to_string(),
        Type::Batch => "batch".to_string(),
        Type::Word(words) => words.join(" | "),
        Type::Node => "node".to_string(),
        Type::Nodes => "nodes".to_string(),
        Type::List(of) => format!("[{}]", ty(of)),
        Type::Optional(of) => format!("{}?", ty(of)),
        Type::Record(_) | Type::Secret => of.to_string(),
    }
}

/// Returns the type that a word names.
pub(crate) fn named(word: &str) -> Option<Type> {
    const NAMED: [Type; 13] = [
        Type::Version,
        Type::Minor,
        Type::Duration,
        Type::Share,
        Type::Number,
        Type::Batch,
        Type::Size,
        Type::Path,
        Type::Text,
        Type::Bool,
        Type::Secret,
        Type::Node,
        Type::Nodes,
    ];
    NAMED.into_iter().find(|ty| self::ty(ty) == word)
}

/// Returns the header of a task as it is written: of a native one with its clauses, else up to the body.
pub(crate) fn header(study: &Study, task: usize) -> String {
    let Some(head) = study.heads.get(task) else { return String::new() };
    let text = study.sources.text(head.whole.file);
    let start = head.whole.start as usize;
    // The bracket behind the last parameter may stand on a line of its own.
    let params = match (head.params.is_empty(), head.whole.end as usize) {
        (true, end) => end,
        (false, end) => text[end..].find(')').map_or(end, |at| end + at),
    };
    let end = text[params..].find('\n').map_or(text.len(), |at| params + at);
    let (line, below) = (&text[start..end], &text[end..]);
    if !line.starts_with("native") {
        let body = text[params..end].find('{').map_or(end, |at| params + at);
        return text[start..body].trim_end().to_string();
    }
    let clauses = below.lines().skip(1).take_while(|l| l.starts_with([' ', '\t']));
    let lines: Vec<&str> = std::iter::once(line).chain(clauses).map(str::trim_end).collect();
    lines.join("\n")
}

/// Returns the first sentence of a doc comment.
pub(crate) fn first_sentence(doc: &str) -> String {
    let line = doc.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line.find(". ").unwrap_or(line.len());
    line[..end].trim_end_matches('.').to_string()
}
