//! Turns a text into its tree. Parsing never fails: what cannot be read becomes a diagnostic, and the
//! rest of the file is read all the same.

mod again;
mod build;
mod habit;
mod junk;
mod test;

use std::thread;

use pest::Parser;

pub(crate) use again::{Kept, begins_item};
pub(crate) use habit::{program, unit};
pub(crate) use junk::CLAUSES;

use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::problem::Problem;
use crate::source::LIMIT;
use crate::span::{FileId, Span};

/// The grammar as a parser.
#[derive(pest_derive::Parser)]
#[grammar = "kup.pest"]
pub(crate) struct Grammar;

/// How deep brackets may nest. Far beyond what anybody reads, far below what the stack holds.
const DEPTH: usize = 64;

/// About how many bytes are parsed at once: what pest notes of them stays near the processor.
const RUN: usize = 64 * 1024;

/// Parses a file; a long one in runs of whole items, side by side.
pub(crate) fn parse(file: FileId, text: &str) -> (ast::File, Vec<Diagnostic>) {
    match refused(file, text) {
        Some(problem) => (ast::File::default(), vec![problem]),
        None if text.len() <= RUN => part(file, text, 0),
        None => in_runs(file, text, RUN),
    }
}

/// Parses a text in runs of `length` bytes or a little more, by as many threads as the machine has processors.
fn in_runs(file: FileId, text: &str, length: usize) -> (ast::File, Vec<Diagnostic>) {
    let runs = again::runs(text, length);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let parse = |runs: &[(usize, usize)]| -> Vec<(ast::File, Vec<Diagnostic>)> {
        runs.iter().map(|(start, end)| part(file, &text[*start..*end], *start)).collect()
    };
    let parts = thread::scope(|scope| {
        let mut shares = runs.chunks(runs.len().div_ceil(workers));
        let own = shares.next().unwrap_or_default();
        let others: Vec<_> = shares.map(|share| scope.spawn(move || parse(share))).collect();
        let mut parts = parse(own);
        for other in others {
            parts.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        parts
    });
    // A long vector that grows is copied again and again.
    let items = parts.iter().map(|(part, _)| part.items.len()).sum();
    let mut tree = ast::File { items: Vec::with_capacity(items), lost: Vec::new() };
    let mut found = Vec::new();
    for (part, wrong) in parts {
        tree.items.extend(part.items);
        tree.lost.extend(part.lost);
        found.extend(wrong);
    }
    (tree, found)
}

/// Parses a text that is one expression; its spans are places in this text. None if anything is wrong.
pub(crate) fn alone(text: &str) -> Option<ast::Expr> {
    match refused(FileId(0), text) {
        Some(_) => None,
        None => build::alone(text),
    }
}

/// Says why a text is not even looked at.
fn refused(file: FileId, text: &str) -> Option<Diagnostic> {
    if text.len() > LIMIT {
        return Some(Problem::TooLarge { bytes: text.len(), limit: LIMIT }.of_the_whole());
    }
    if text.contains('\0') {
        return Some(Problem::Binary.of_the_whole());
    }
    let at = too_deep(text)?;
    Some(Problem::TooDeep.at(Span { file, start: at as u32, end: at as u32 + 1 }))
}

/// Parses a part of a file that begins at `offset` and holds whole items.
fn part(file: FileId, text: &str, offset: usize) -> (ast::File, Vec<Diagnostic>) {
    match Grammar::parse(Rule::file, text) {
        Ok(pairs) => build::file(file, text, offset, pairs),
        // The rule `file` takes every text, so this is pest's own limit of the stack.
        Err(error) => {
            let at = junk::place(&error);
            let end = text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
            let span = Span { file, start: (offset + at) as u32, end: (offset + end) as u32 };
            (ast::File::default(), vec![Problem::TooDeep.at(span)])
        }
    }
}

/// Returns the first bracket beyond [`DEPTH`]. Looks only at what the grammar nests: brackets in
/// texts and comments do not count.
fn too_deep(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut i) = (0usize, 0);
    while i < bytes.len() {
        match bytes[i] {
            b'(' | b'[' | b'{' => {
                depth += 1;
                if depth > DEPTH {
                    return Some(i);
                }
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'#' => {
                i += bytes[i..].iter().position(|b| *b == b'\n').unwrap_or(bytes.len() - i);
                continue;
            }
            b'"' if bytes[i..].starts_with(b"\"\"\"") => {
                let body = i + 3;
                i = text[body..].find("\"\"\"").map_or(body, |end| body + end + 3);
                continue;
            }
            b'"' => {
                let mut end = i + 1;
                while end < bytes.len() && !matches!(bytes[end], b'"' | b'\n') {
                    // As in the grammar, an escape does not reach over the end of the line.
                    let escape = bytes[end] == b'\\' && bytes.get(end + 1) != Some(&b'\n');
                    end += if escape { 2 } else { 1 };
                }
                // A quote that never ends hides nothing, so that what follows is still counted.
                i = if bytes.get(end) == Some(&b'"') { end + 1 } else { i + 1 };
                continue;
            }
            _ => {}
        }
        i += 1;
    }
    None
}
