//! Where something is declared, and who names it.

use super::Page;
use crate::check::Mention;
use crate::span::Span;

impl Page {
    /// Returns where what stands at a byte is declared, and the words that were asked about.
    pub fn definition(&self, byte: usize) -> Option<(Span, Span)> {
        let mention = self.mention(byte)?;
        Some((mention.span, self.declared(mention.of)?))
    }

    /// Returns every place that names what stands at a byte, the declaration among them, in all files
    /// that were read.
    pub fn references(&self, byte: usize) -> Vec<Span> {
        match self.definition(byte) {
            Some((_, declared)) => self.naming(declared).map(|m| m.span).collect(),
            None => Vec::new(),
        }
    }

    /// Returns every place that names what is declared at a place of some file.
    pub fn references_to(&self, path: &str, start: u32, end: u32) -> Vec<Span> {
        let Some(file) = self.study.sources.files().find(|f| self.study.sources.path(*f) == path) else {
            return Vec::new();
        };
        self.naming(Span { file, start, end }).map(|m| m.span).collect()
    }

    /// Returns every mention of what is declared at a place.
    pub(super) fn naming(&self, declared: Span) -> impl Iterator<Item = &Mention> {
        self.study.mentions.iter().filter(move |m| self.declared(m.of) == Some(declared))
    }
}
