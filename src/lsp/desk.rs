//! What lies on the editor's desk: open texts, what is known of each of them, and what the editor was
//! told. Open texts count before those on the disk.

use std::collections::{BTreeMap, BTreeSet};

use dsl::ask::Page;
use dsl::source::{BadScript, LoadError, Loader};
use engine::hook;
use lsp_types::{
    Diagnostic, DidChangeTextDocumentParams, PublishDiagnosticsParams, TextDocumentIdentifier,
    TextDocumentItem, Uri,
};

use super::address;
use super::document::{Document, Lines};
use super::finding::finding;
use super::shelf::Shelf;
use crate::text;

/// The open texts and all that is known of them.
pub(crate) struct Desk {
    /// By their paths.
    open: BTreeMap<String, Document>,
    /// Each open text, read as a playbook or module of its own.
    pages: BTreeMap<String, Page>,
    /// The shipped modules as files.
    shelf: Shelf,
    /// Open texts that must be read anew.
    stale: BTreeSet<String>,
    /// Closed texts, of which the editor must be told anew.
    closed: BTreeSet<String>,
    /// What the editor was told last, where it was anything.
    told: BTreeMap<String, Vec<Diagnostic>>,
    /// Whether the editor shows hints beside a finding.
    related: bool,
}

/// Hands in what is open before what is on the disk.
pub(crate) struct Texts<'d>(&'d BTreeMap<String, Document>);

impl Loader for Texts<'_> {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        match self.0.get(path) {
            Some(document) => Ok(document.text().to_string()),
            None => text::load(path),
        }
    }

    fn shipped(&self) -> Vec<&'static str> {
        stdlib::modules().iter().map(|(name, _)| *name).collect()
    }

    fn script(&self, text: &str, names: &[&str]) -> Result<(), BadScript> {
        hook::check(text, names)
    }
}

impl Desk {
    /// Makes an empty desk.
    pub(crate) fn new(related: bool, shelf: Shelf) -> Desk {
        Desk {
            open: BTreeMap::new(),
            pages: BTreeMap::new(),
            shelf,
            stale: BTreeSet::new(),
            closed: BTreeSet::new(),
            told: BTreeMap::new(),
            related,
        }
    }

    /// Returns the path of an address; a shipped module has its name for a path, wherever it lies.
    pub(crate) fn path(&self, uri: &Uri) -> String {
        let path = address::path(uri);
        self.shelf.module(&path).map_or(path, str::to_string)
    }

    /// Returns whether the editor shows hints beside a finding.
    pub(crate) fn related(&self) -> bool {
        self.related
    }

    /// Returns what is known of an open text.
    pub(crate) fn page(&self, text: &TextDocumentIdentifier) -> Option<(&Page, &Document)> {
        let path = self.path(&text.uri);
        Some((self.pages.get(&path)?, self.open.get(&path)?))
    }

    /// Returns what is known of every open text.
    pub(crate) fn pages(&self) -> impl Iterator<Item = &Page> {
        self.pages.values()
    }

    /// Returns all texts, as a check reads them.
    pub(crate) fn texts(&self) -> Texts<'_> {
        Texts(&self.open)
    }

    /// Takes a text onto the desk.
    pub(crate) fn open(&mut self, item: TextDocumentItem) {
        let path = self.path(&item.uri);
        self.open.insert(path, Document::new(item.uri, item.version, item.text));
        self.doubt();
    }

    /// Takes over what was typed.
    pub(crate) fn change(&mut self, changed: DidChangeTextDocumentParams) {
        let path = self.path(&changed.text_document.uri);
        let Some(document) = self.open.get_mut(&path) else { return };
        document.change(changed.text_document.version, changed.content_changes);
        let uses = |page: &Page| page.sources().files().any(|file| page.sources().path(file) == path);
        let users = self.pages.iter().filter(|(_, page)| uses(page));
        self.stale.extend(users.map(|(root, _)| root.clone()));
        self.stale.insert(path);
    }

    /// Takes a text from the desk.
    pub(crate) fn close(&mut self, uri: &Uri) {
        let path = self.path(uri);
        self.open.remove(&path);
        self.pages.remove(&path);
        self.closed.insert(path);
        self.doubt();
    }

    /// Believes nothing that was read: another file may be there now, or one may be gone.
    pub(crate) fn doubt(&mut self) {
        self.stale = self.open.keys().cloned().collect();
    }

    /// Reads anew what has changed, and returns what the editor must hear: always of what was read anew,
    /// and of others where something else is found now.
    pub(crate) fn catch_up(&mut self) -> Vec<PublishDiagnosticsParams> {
        let stale = std::mem::take(&mut self.stale);
        let closed = std::mem::take(&mut self.closed);
        if stale.is_empty() && closed.is_empty() {
            return Vec::new();
        }
        for root in &stale {
            let page = self.pages.entry(root.clone()).or_insert_with(|| Page::new(root, stdlib::PRELUDE));
            page.read(&Texts(&self.open));
        }
        let found = self.findings();
        let mut paths: BTreeSet<&String> = stale.iter().collect();
        let both = found.keys().chain(self.told.keys());
        paths.extend(both.filter(|path| found.get(*path) != self.told.get(*path)));
        let news = paths.into_iter().filter_map(|path| {
            Some(PublishDiagnosticsParams {
                uri: self.uri(path)?,
                diagnostics: found.get(path).cloned().unwrap_or_default(),
                version: self.open.get(path).map(|document| document.version),
            })
        });
        let news = news.collect();
        self.told = found;
        news
    }

    /// Returns what is found in each text that is open or used by one that is; a text that others use too
    /// has each finding once.
    fn findings(&self) -> BTreeMap<String, Vec<Diagnostic>> {
        let mut found: BTreeMap<String, Vec<Diagnostic>> = BTreeMap::new();
        let root = dsl::span::FileId(0);
        for page in self.pages.values() {
            let sources = page.sources();
            let mut own: BTreeMap<&str, Vec<Diagnostic>> = BTreeMap::new();
            let mut lines: BTreeMap<u32, (Option<Uri>, Lines)> = BTreeMap::new();
            for d in page.diagnostics() {
                let file = d.span.map_or(root, |span| span.file);
                let (path, text) = (sources.path(file), sources.text(file));
                let (uri, lines) = lines.entry(file.0).or_insert_with(|| (self.uri(path), Lines::of(text)));
                let Some(uri) = uri else { continue };
                let finding = finding(d, uri, text, lines, self.related);
                own.entry(path).or_default().push(finding);
            }
            for (path, mut findings) in own {
                match found.get_mut(path) {
                    Some(known) => {
                        findings.retain(|finding| !known.contains(finding));
                        known.append(&mut findings);
                    }
                    None => {
                        found.insert(path.to_string(), findings);
                    }
                }
            }
        }
        found
    }

    /// Returns the address of a path, in the words of the editor if it has the text open.
    pub(crate) fn uri(&self, path: &str) -> Option<Uri> {
        match self.open.get(path) {
            Some(document) => Some(document.uri.clone()),
            None => self.shelf.uri(path).or_else(|| address::uri(path)),
        }
    }
}
