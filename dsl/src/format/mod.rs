//! One style for every text: two spaces, one empty line between items, `name=value` without spaces.
//! It works on the pieces of a text and not on its tree, so nothing can get lost, and what the
//! language learns is laid out before anybody teaches it here.

mod layout;
mod page;
mod space;
mod text;
mod token;
mod tree;

use crate::diagnostic::{Diagnostic, Severity};
use crate::parse::parse;
use crate::source::Sources;
use layout::Layout;
use space::Role;
use token::{Kind, tokens};
use tree::{Entry, Line, Piece, tree};

/// Why a text was not formatted: it cannot be read.
#[derive(Debug)]
pub struct Refused {
    /// The text.
    pub sources: Sources,
    /// What is wrong with it.
    pub diagnostics: Vec<Diagnostic>,
}

/// Returns a text in the one style. A text that cannot be read is refused.
pub fn format(path: &str, text: &str) -> Result<String, Refused> {
    let mut sources = Sources::default();
    let file = sources.add(path, text);
    let (_, diagnostics) = parse(file, text);
    if diagnostics.iter().any(|d| d.severity == Severity::Error) {
        return Err(Refused { sources, diagnostics });
    }
    Ok(laid_out(text))
}

/// Lays out a text that can be read.
pub(crate) fn laid_out(text: &str) -> String {
    let tokens = tokens(text);
    let mut layout = Layout::default();
    items(&mut layout, &tree(&tokens));
    let out = layout.page.finish();
    // The text will be overwritten with this. Only commas may come or go, or trade places with a comment.
    let kept = |text: &str| -> Vec<u8> {
        text.bytes().filter(|b| !b.is_ascii_whitespace() && !matches!(b, b',' | b';')).collect()
    };
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    assert!(kept(bare) == kept(&out), "a formatted text has all its pieces");
    out
}

/// What was written last.
enum Before<'t> {
    Nothing,
    Comment,
    /// An item: its first word, and whether it is one line.
    Item(&'t str, bool),
}

/// Writes the items of a file. Comments right above an item belong to it.
fn items<'t>(layout: &mut Layout<'t>, entries: &[Entry<'t>]) {
    let mut before = Before::Nothing;
    let mut rest = entries;
    while let [first, ..] = rest {
        let apart = is_apart(first);
        let start = layout.page.lines();
        let comments = 1 + rest[1..].iter().take_while(|e| is_comment(e) && !is_apart(e)).count();
        let comments = if is_comment(first) { comments } else { 0 };
        for entry in &rest[..comments] {
            if let Entry::Comment { text, .. } = entry {
                layout.page.comment_line(0, text);
            }
        }
        rest = &rest[comments..];
        let item = match rest {
            [Entry::Line(line), ..] if comments == 0 || !line.apart => Some(line),
            _ => None,
        };
        let (now, blank) = match item {
            None => (Before::Comment, apart),
            Some(line) => {
                let word = word(line);
                let from = layout.page.lines();
                rest = &rest[item_lines(layout, rest)..];
                // A run of parameters is many lines, and each of them is one.
                let short = word == PARAM || layout.page.lines() == from + 1;
                let blank = match before {
                    Before::Item(last, true) if short && last == word => apart,
                    Before::Item(..) => true,
                    Before::Nothing | Before::Comment => apart,
                };
                (Before::Item(word, short), blank)
            }
        };
        if blank && start > 0 {
            layout.page.blank_before(start);
        }
        before = now;
    }
}

/// Writes the first item, and returns how many entries it was: parameters, or a native task and its
/// clauses, are written together.
fn item_lines<'t>(layout: &mut Layout<'t>, entries: &[Entry<'t>]) -> usize {
    let Some(Entry::Line(line)) = entries.first() else { return 1 };
    let role = match word(line) {
        PARAM => return params(layout, entries),
        "use" => Role::Uses,
        "task" | "native" => Role::Task,
        _ => Role::Plain,
    };
    layout.line(line, 0, role);
    let mut taken = 1;
    if word(line) == "native" {
        // Comments stand with the clause below them.
        let mut next = taken;
        while let Some(entry) = entries.get(next) {
            next += 1;
            let Entry::Line(clause) = entry else { continue };
            if !is_clause(clause) {
                break;
            }
            for above in &entries[taken..next - 1] {
                if let Entry::Comment { text, .. } = above {
                    layout.page.comment_line(2, text);
                }
            }
            let claims = matches!(word(clause), "needs" | "ensures" | "follows" | "ends");
            layout.line(clause, 2, if claims { Role::Claims } else { Role::Clause });
            taken = next;
        }
    }
    taken
}

/// The item whose neighbours are put under each other.
const PARAM: &str = "param";

/// Writes parameters that stand right below each other, as a table: name, type, default.
fn params<'t>(layout: &mut Layout<'t>, entries: &[Entry<'t>]) -> usize {
    let mut rows: Vec<(Vec<String>, Option<&'t str>)> = Vec::new();
    for entry in entries {
        let Entry::Line(line) = entry else { break };
        if word(line) != PARAM || (line.apart && !rows.is_empty()) {
            break;
        }
        let Some(row) = row(layout, line) else { break };
        rows.push((row, line.behind));
    }
    if rows.is_empty() {
        if let Some(Entry::Line(line)) = entries.first() {
            layout.line(line, 0, Role::Param);
        }
        return 1;
    }
    let width = |rows: &[(Vec<String>, _)], cell: usize| {
        rows.iter().map(|(row, _)| row[cell].chars().count()).max().unwrap_or(0)
    };
    let types = 1 + width(&rows, 0);
    let mut from = 0;
    while from < rows.len() {
        // Defaults are put under each other where neighbours have them.
        let run = rows[from..].iter().take_while(|(row, _)| row.len() > 2).count();
        let defaults = types + width(&rows[from..from + run], 1) + 1;
        for (row, comment) in &rows[from..from + run.max(1)] {
            layout.page.line(0);
            for (cell, column) in row.iter().zip([0, types, defaults]) {
                layout.page.pad(column);
                layout.page.push(cell);
            }
            if let Some(comment) = comment {
                layout.page.comment(comment);
            }
        }
        from += run.max(1);
    }
    rows.len()
}

/// Cuts a parameter into `param name:`, its type, and `= default`; `None` if it does not fit a line.
fn row<'t>(layout: &mut Layout<'t>, line: &Line<'t>) -> Option<Vec<String>> {
    let mark = |mark: &str| line.pieces.iter().position(|p| matches!(p, Piece::Token(t) if t.is(mark)));
    let colon = mark(":")? + 1;
    let equals = mark("=").unwrap_or(line.pieces.len());
    layout.cell(&line.pieces, Role::Param).filter(|whole| !whole.contains('\n'))?;
    let cells = [&line.pieces[..colon], line.pieces.get(colon..equals)?, &line.pieces[equals..]];
    cells.into_iter().filter(|c| !c.is_empty()).map(|c| layout.cell(c, Role::Param)).collect()
}

fn word<'t>(line: &Line<'t>) -> &'t str {
    match line.pieces.first() {
        Some(Piece::Token(token)) if token.kind == Kind::Word => token.text,
        _ => "",
    }
}

/// Words that begin an item, also where they are indented.
const ITEMS: [&str; 8] = ["use", "playbook", "param", "stage", "task", "native", "on", "test"];

/// Returns whether a line below a native task is a clause of it.
fn is_clause(line: &Line<'_>) -> bool {
    !line.flush && !ITEMS.contains(&word(line))
}

fn is_comment(entry: &Entry<'_>) -> bool {
    matches!(entry, Entry::Comment { .. })
}

fn is_apart(entry: &Entry<'_>) -> bool {
    let (Entry::Comment { apart, .. } | Entry::Line(Line { apart, .. })) = entry;
    *apart
}
