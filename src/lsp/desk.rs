//! What lies on the editor's desk: open texts, what is known of each of them, and what the editor was
//! told. Open texts count before those on the disk.

use std::collections::{BTreeMap, BTreeSet};

use dsl::ask::{self, Reading};
use dsl::source::{LoadError, Loader};
use lsp_types::{Diagnostic, DidChangeTextDocumentParams, PublishDiagnosticsParams, TextDocumentItem, Uri};

use super::address;
use super::document::{Document, Lines};
use super::finding::finding;
use crate::text;

/// The open texts and all that is known of them.
pub(crate) struct Desk {
    /// By their paths.
    open: BTreeMap<String, Document>,
    /// Each open text, read as a playbook or module of its own.
    readings: BTreeMap<String, Reading>,
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
struct Texts<'d>(&'d BTreeMap<String, Document>);

impl Loader for Texts<'_> {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        match self.0.get(path) {
            Some(document) => Ok(document.text().to_string()),
            None => text::load(path),
        }
    }
}

impl Desk {
    /// Makes an empty desk.
    pub(crate) fn new(related: bool) -> Desk {
        Desk {
            open: BTreeMap::new(),
            readings: BTreeMap::new(),
            stale: BTreeSet::new(),
            closed: BTreeSet::new(),
            told: BTreeMap::new(),
            related,
        }
    }

    /// Takes a text onto the desk.
    pub(crate) fn open(&mut self, item: TextDocumentItem) {
        let path = address::path(&item.uri);
        self.open.insert(path, Document::new(item.uri, item.version, item.text));
        self.doubt();
    }

    /// Takes over what was typed.
    pub(crate) fn change(&mut self, changed: DidChangeTextDocumentParams) {
        let path = address::path(&changed.text_document.uri);
        let Some(document) = self.open.get_mut(&path) else { return };
        document.change(changed.text_document.version, changed.content_changes);
        let uses = |reading: &Reading| reading.sources.files().any(|file| reading.sources.path(file) == path);
        let users = self.readings.iter().filter(|(_, reading)| uses(reading));
        self.stale.extend(users.map(|(root, _)| root.clone()));
        self.stale.insert(path);
    }

    /// Takes a text from the desk.
    pub(crate) fn close(&mut self, uri: &Uri) {
        let path = address::path(uri);
        self.open.remove(&path);
        self.readings.remove(&path);
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
            let reading = ask::read(root, &Texts(&self.open), stdlib::PRELUDE);
            self.readings.insert(root.clone(), reading);
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
        for reading in self.readings.values() {
            let sources = &reading.sources;
            let mut lines: BTreeMap<u32, (Option<Uri>, Lines)> = BTreeMap::new();
            for d in &reading.diagnostics {
                let file = d.span.map_or(root, |span| span.file);
                let (path, text) = (sources.path(file), sources.text(file));
                let (uri, lines) = lines.entry(file.0).or_insert_with(|| (self.uri(path), Lines::of(text)));
                let Some(uri) = uri else { continue };
                let finding = finding(d, uri, text, lines, self.related);
                let known = found.entry(path.to_string()).or_default();
                if !known.contains(&finding) {
                    known.push(finding);
                }
            }
        }
        found
    }

    /// Returns the address of a path, in the words of the editor if it has the text open.
    fn uri(&self, path: &str) -> Option<Uri> {
        match self.open.get(path) {
            Some(document) => Some(document.uri.clone()),
            None => address::uri(path),
        }
    }
}
