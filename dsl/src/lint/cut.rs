//! What to leave out of a text that is too much in it, so that the rest stays as it is. Where a comment
//! stands within, somebody has to judge, and nothing is returned.

use crate::ast::{self, Item, PolicyKind, Stmt};
use crate::source::Sources;
use crate::span::Span;

use super::Subject;
use super::walk::blocks;

/// Returns a place again, if no comment stands within.
pub(super) fn bare(sources: &Sources, at: Span) -> Option<Span> {
    (!sources.slice(at).contains('#')).then_some(at)
}

/// Returns the place of `name=value` with the blanks before it.
pub(super) fn argument(subject: &Subject<'_>, name: &str, value: Span) -> Option<Span> {
    let before = &subject.sources.text(value.file)[..value.start as usize];
    let before = before.strip_suffix('=')?.strip_suffix(name)?;
    let blank = before.len() - before.trim_end_matches([' ', '\t']).len();
    (blank > 0).then(|| Span { start: (before.len() - blank) as u32, ..value })
}

/// Returns the place of a policy behind a step: with the block if nothing else stands in it, else its line.
pub(super) fn policy(subject: &Subject<'_>, step: Span, is_it: impl Fn(&PolicyKind) -> bool) -> Option<Span> {
    let mut found = None;
    blocks(subject.tree, &mut |_, around| {
        for stmt in &around.stmts {
            let written = match stmt {
                Stmt::Step(written) => written,
                Stmt::Let(_, written) => &**written,
                Stmt::Each(_)
                | Stmt::If(_)
                | Stmt::When(_)
                | Stmt::Gives(_)
                | Stmt::Parallel(_)
                | Stmt::Policy(_) => continue,
            };
            if written.span == step
                && let Some(block) = &written.block
            {
                found = behind(subject, block, &is_it);
            }
        }
    });
    found
}

fn behind(subject: &Subject<'_>, block: &ast::Block, is_it: &impl Fn(&PolicyKind) -> bool) -> Option<Span> {
    let policies = block.stmts.iter().filter_map(|stmt| match stmt {
        Stmt::Policy(policy) if is_it(&policy.kind) => Some(policy.span),
        _ => None,
    });
    let at = policies.last()?;
    if block.stmts.len() > 1 {
        return line(subject.sources, at, subject.text(at));
    }
    let before = subject.sources.text(at.file)[..block.span.start as usize].trim_end_matches([' ', '\t']);
    let whole = Span { start: before.len() as u32, ..block.span };
    bare(subject.sources, whole)
}

/// Returns what to leave out, so that a `use` no longer names a module: the path and its comma, or the
/// whole line.
pub(crate) fn module(sources: &Sources, tree: &ast::File, path: Span) -> Option<Span> {
    let paths = tree.items.iter().find_map(|item| match item {
        Item::Use(paths) if paths.contains(&path) => Some(paths),
        _ => None,
    })?;
    let at = paths.iter().position(|p| *p == path)?;
    let listed = match paths.get(at + 1) {
        Some(next) => Some(Span { end: next.start, ..path }),
        None if at > 0 => Some(Span { start: paths[at - 1].end, ..path }),
        None => None,
    };
    match listed {
        Some(listed) => bare(sources, listed),
        None => line(sources, path, &format!("use {}", sources.slice(path))),
    }
}

/// Returns the line of a place with its end, if nothing but this stands on it.
fn line(sources: &Sources, at: Span, alone: &str) -> Option<Span> {
    let text = sources.text(at.file);
    let start = text[..at.start as usize].rfind('\n').map_or(0, |i| i + 1);
    let end = text[at.end as usize..].find('\n').map_or(text.len(), |i| at.end as usize + i + 1);
    (text[start..end].trim() == alone).then_some(Span { start: start as u32, end: end as u32, ..at })
}
