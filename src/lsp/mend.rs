//! Changes that the editor may make of a text: the fixes of `kup check --fix`, one by one or all at once,
//! and the one style of `kup fmt`.

use dsl::diagnostic::{Diagnostic, Patch};
use dsl::source::{LoadError, Loader};
use dsl::span::FileId;
use lsp_types::{
    CodeAction, CodeActionKind, CodeActionOrCommand, CodeActionParams, DocumentFormattingParams, TextEdit,
    WorkspaceEdit,
};

use super::desk::{Desk, Texts};
use super::document::{Document, Lines};
use super::finding::finding;
use crate::printable::one_line;

/// Puts everything right that can be put right in one way only.
pub(crate) const FIX_ALL: &str = "source.fixAll.kup";

/// A mended text may show the next mistake.
const ROUNDS: usize = 64;

/// A text as it will be, before all others.
struct Mended<'d> {
    path: &'d str,
    text: &'d str,
    others: Texts<'d>,
}

impl Loader for Mended<'_> {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        if path == self.path { Ok(self.text.to_string()) } else { self.others.load(path) }
    }

    fn shipped(&self) -> Vec<&'static str> {
        self.others.shipped()
    }
}

impl Desk {
    /// Returns the fixes for what is found in a range, and one for the whole text.
    pub(crate) fn code_actions(&self, params: CodeActionParams) -> Option<Vec<CodeActionOrCommand>> {
        let (page, document) = self.page(&params.text_document)?;
        let (from, to) = (document.byte(params.range.start), document.byte(params.range.end));
        let wanted = |kind: &CodeActionKind| {
            let asked = params.context.only.as_ref();
            // A kind stands for all that begin with it.
            let begins = |only: &CodeActionKind| {
                let rest = kind.as_str().strip_prefix(only.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            asked.is_none_or(|only| only.iter().any(begins))
        };
        let own = page.diagnostics().iter().filter_map(|d| Some((d, d.patch.as_deref()?)));
        let own: Vec<(&Diagnostic, &Patch)> = own.filter(|(_, p)| p.span.file == FileId(0)).collect();
        let mut actions = Vec::new();
        if wanted(&CodeActionKind::QUICKFIX) {
            let touches = |d: &Diagnostic| {
                d.span
                    .is_some_and(|s| s.start as usize <= to && from <= s.end as usize && s.file == FileId(0))
            };
            for (d, patch) in own.iter().filter(|(d, _)| touches(d)) {
                let lines = Lines::of(document.text());
                let range = document.range(patch.span.start as usize, patch.span.end as usize);
                let edit = TextEdit { range, new_text: patch.with.clone() };
                actions.push(CodeAction {
                    title: title(page.sources().slice(patch.span), &patch.with),
                    kind: Some(CodeActionKind::QUICKFIX),
                    diagnostics: Some(vec![finding(
                        d,
                        &document.uri,
                        document.text(),
                        &lines,
                        self.related(),
                    )]),
                    edit: Some(edits(document, vec![edit])),
                    is_preferred: Some(true),
                    ..CodeAction::default()
                });
            }
        }
        let all = CodeActionKind::from(FIX_ALL.to_string());
        if wanted(&all)
            && !own.is_empty()
            && let Some(edit) = changed(document, &self.mended(&params.text_document.uri, document))
        {
            actions.push(CodeAction {
                title: "put right all that kup is certain of".to_string(),
                kind: Some(all),
                edit: Some(edits(document, vec![edit])),
                ..CodeAction::default()
            });
        }
        Some(actions.into_iter().map(CodeActionOrCommand::CodeAction).collect())
    }

    /// Returns the text as `kup check --fix` would leave it.
    fn mended(&self, uri: &lsp_types::Uri, document: &Document) -> String {
        let path = self.path(uri);
        let mut text = document.text().to_string();
        for _ in 0..ROUNDS {
            let loader = Mended { path: &path, text: &text, others: self.texts() };
            let checked = dsl::check_any(&path, &loader, stdlib::PRELUDE);
            match dsl::mend(FileId(0), &text, &checked.diagnostics) {
                Some((better, _)) => text = better,
                None => break,
            }
        }
        text
    }

    /// Returns the change that brings a text into the one style; none if it cannot be read yet.
    pub(crate) fn formatting(&self, params: DocumentFormattingParams) -> Option<Vec<TextEdit>> {
        let (_, document) = self.page(&params.text_document)?;
        let new = dsl::format(&self.path(&params.text_document.uri), document.text()).ok()?;
        Some(changed(document, &new).into_iter().collect())
    }
}

/// Says what a fix does.
fn title(was: &str, is: &str) -> String {
    match (one_line(was), one_line(is)) {
        (was, is) if was.is_empty() && is.is_empty() => "put the white space right".to_string(),
        (was, is) if was.is_empty() => format!("write `{is}`"),
        (was, is) if is.is_empty() => format!("remove `{was}`"),
        (was, is) => format!("write `{is}` instead of `{was}`"),
    }
}

#[expect(clippy::mutable_key_type, reason = "the protocol's own type; nobody changes the addresses")]
fn edits(document: &Document, edits: Vec<TextEdit>) -> WorkspaceEdit {
    let changes = [(document.uri.clone(), edits)].into();
    WorkspaceEdit { changes: Some(changes), ..WorkspaceEdit::default() }
}

/// Returns the smallest change from the text of a document to another, whole lines of it; `None`: they
/// are the same. What stays is not touched, so the cursor stays where it is.
fn changed(document: &Document, new: &str) -> Option<TextEdit> {
    let old = document.text();
    if old == new {
        return None;
    }
    let a: Vec<&str> = old.split_inclusive('\n').collect();
    let b: Vec<&str> = new.split_inclusive('\n').collect();
    let above = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[above..], &b[above..]);
    let below = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    let length = |lines: &[&str]| lines.iter().map(|line| line.len()).sum::<usize>();
    let end = old.len() - length(&a[a.len() - below..]);
    let start = end - length(&a[..a.len() - below]);
    let new_text = b[..b.len() - below].concat();
    Some(TextEdit { range: document.range(start, end), new_text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_that_change_are_changed() {
        let uri: lsp_types::Uri = "file:///a.kup".parse().unwrap();
        let texts = ["", "a\n", "a\nb\nc\n", "a\nB\nc\n", "a\nc\n", "a\nb\nb\nc", "ü\r\nb\n"];
        for old in texts {
            for new in texts {
                let mut document = Document::new(uri.clone(), 1, old.to_string());
                let Some(edit) = changed(&document, new) else {
                    assert_eq!(old, new);
                    continue;
                };
                let change = lsp_types::TextDocumentContentChangeEvent {
                    range: Some(edit.range),
                    range_length: None,
                    text: edit.new_text,
                };
                document.change(2, vec![change]);
                assert_eq!(document.text(), new, "from {old:?}");
            }
        }
        let document = Document::new(uri, 1, "a\nb\nc\n".to_string());
        let edit = changed(&document, "a\nB\nc\n").unwrap();
        assert_eq!((edit.range.start.line, edit.range.end.line, edit.new_text.as_str()), (1, 2, "B\n"));
    }

    #[test]
    fn a_fix_says_what_it_does() {
        assert_eq!(title("drian", "drain"), "write `drain` instead of `drian`");
        assert_eq!(title("use std/etcd\n", ""), "remove `use std/etcd`");
        assert_eq!(title("\t", "  "), "put the white space right");
    }
}
