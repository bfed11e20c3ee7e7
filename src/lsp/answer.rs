//! The editor's questions, one function each: a place of a text becomes a byte, the page answers, and
//! its bytes become places again.

use std::collections::{BTreeMap, BTreeSet};

use dsl::ask::{Class, Kind, Page, Proposal, Refusal, Sort, Symbol};
use dsl::span::{FileId, Span};
use lsp_types::{
    CompletionItem, CompletionItemKind, CompletionParams, CompletionTextEdit, DocumentSymbol,
    DocumentSymbolParams, Documentation, GotoDefinitionParams, Hover, HoverContents, HoverParams, Location,
    MarkupContent, MarkupKind, PrepareRenameResponse, ReferenceParams, RenameParams, SemanticToken,
    SemanticTokens, SemanticTokensParams, SymbolKind, TextDocumentPositionParams, TextEdit, Uri,
    WorkspaceEdit,
};

use super::desk::Desk;
use super::document::{Document, Lines};

/// A text that is open, what is known of it, and a byte of it.
struct Asked<'d> {
    page: &'d Page,
    document: &'d Document,
    byte: usize,
}

impl Asked<'_> {
    fn range(&self, span: Span) -> lsp_types::Range {
        self.document.range(span.start as usize, span.end as usize)
    }
}

impl Desk {
    fn asked(&self, at: &TextDocumentPositionParams) -> Option<Asked<'_>> {
        let (page, document) = self.page(&at.text_document)?;
        Some(Asked { page, document, byte: document.byte(at.position) })
    }

    /// Says what stands at a place.
    pub(crate) fn hover(&self, params: HoverParams) -> Option<Hover> {
        let asked = self.asked(&params.text_document_position_params)?;
        let hover = asked.page.hover(asked.byte)?;
        let contents = HoverContents::Markup(markdown(hover.text));
        Some(Hover { contents, range: Some(asked.range(hover.span)) })
    }

    /// Proposes what may stand at a place.
    pub(crate) fn completion(&self, params: CompletionParams) -> Option<Vec<CompletionItem>> {
        let asked = self.asked(&params.text_document_position)?;
        let item = |(rank, proposal): (usize, Proposal)| {
            let range = asked.document.range(proposal.start, asked.byte);
            CompletionItem {
                kind: Some(item_kind(proposal.sort)),
                detail: Some(proposal.detail).filter(|d| !d.is_empty()),
                documentation: Some(proposal.doc)
                    .filter(|d| !d.is_empty())
                    .map(|doc| Documentation::MarkupContent(markdown(doc))),
                sort_text: Some(format!("{rank:04}")),
                filter_text: Some(proposal.label.clone()),
                text_edit: Some(CompletionTextEdit::Edit(TextEdit {
                    range,
                    new_text: proposal.label.clone(),
                })),
                label: proposal.label,
                ..CompletionItem::default()
            }
        };
        Some(asked.page.complete(asked.byte).into_iter().enumerate().map(item).collect())
    }

    /// Returns where what stands at a place is declared.
    pub(crate) fn definition(&self, params: GotoDefinitionParams) -> Option<Location> {
        let asked = self.asked(&params.text_document_position_params)?;
        let (_, declared) = asked.page.definition(asked.byte)?;
        self.location(asked.page, declared)
    }

    /// Returns every place that names what stands at a place, in all texts that are open or used by one.
    pub(crate) fn references(&self, params: ReferenceParams) -> Option<Vec<Location>> {
        let asked = self.asked(&params.text_document_position)?;
        let (_, declared) = asked.page.definition(asked.byte)?;
        let path = asked.page.sources().path(declared.file);
        let is_declaration =
            |of: &str, span: Span| of == path && (span.start, span.end) == (declared.start, declared.end);
        // A module that two open texts use is read twice.
        let mut seen = BTreeSet::new();
        let mut all: Vec<Location> = Vec::new();
        for page in self.pages() {
            let sources = page.sources();
            let mut lines: BTreeMap<FileId, (Option<Uri>, Lines)> = BTreeMap::new();
            for span in page.references_to(path, declared.start, declared.end) {
                let (of, text) = (sources.path(span.file), sources.text(span.file));
                let wanted = params.context.include_declaration || !is_declaration(of, span);
                if !wanted || !seen.insert((of, span.start, span.end)) {
                    continue;
                }
                let (uri, lines) = lines.entry(span.file).or_insert_with(|| (self.uri(of), Lines::of(text)));
                let range = lines.range(text, span.start as usize, span.end as usize);
                all.extend(uri.clone().map(|uri| Location { uri, range }));
            }
        }
        Some(all)
    }

    /// Returns what may have another name at a place.
    pub(crate) fn prepare_rename(
        &self,
        at: TextDocumentPositionParams,
    ) -> Result<Option<PrepareRenameResponse>, Refusal> {
        let Some(asked) = self.asked(&at) else { return Ok(None) };
        Ok(Some(PrepareRenameResponse::Range(asked.range(asked.page.renamable(asked.byte)?))))
    }

    /// Returns the changes that give something another name.
    #[expect(clippy::mutable_key_type, reason = "the protocol's own type; nobody changes the addresses")]
    pub(crate) fn rename(&self, params: RenameParams) -> Result<Option<WorkspaceEdit>, Refusal> {
        let Some(asked) = self.asked(&params.text_document_position) else { return Ok(None) };
        let places = asked.page.rename(asked.byte, &params.new_name, &self.texts())?;
        let edit = |span| TextEdit { range: asked.range(span), new_text: params.new_name.clone() };
        let edits = places.into_iter().map(edit).collect();
        let changes = [(asked.document.uri.clone(), edits)].into();
        Ok(Some(WorkspaceEdit { changes: Some(changes), ..WorkspaceEdit::default() }))
    }

    /// Returns what a text holds.
    pub(crate) fn symbols(&self, params: DocumentSymbolParams) -> Option<Vec<DocumentSymbol>> {
        let (page, document) = self.page(&params.text_document)?;
        Some(page.outline().into_iter().map(|symbol| document_symbol(document, symbol)).collect())
    }

    /// Colors a text.
    pub(crate) fn semantic_tokens(&self, params: SemanticTokensParams) -> Option<SemanticTokens> {
        let (page, document) = self.page(&params.text_document)?;
        let (mut line, mut column) = (0, 0);
        let mut data = Vec::new();
        for piece in page.colors() {
            let range = document.range(piece.start, piece.end);
            let start = range.start;
            data.push(SemanticToken {
                delta_line: start.line - line,
                delta_start: if start.line == line { start.character - column } else { start.character },
                length: range.end.character - start.character,
                token_type: piece.class as u32,
                token_modifiers_bitset: u32::from(piece.declared),
            });
            (line, column) = (start.line, start.character);
        }
        Some(SemanticTokens { result_id: None, data })
    }

    /// Returns the address and the range of a place in some file.
    fn location(&self, page: &Page, span: Span) -> Option<Location> {
        let (path, text) = (page.sources().path(span.file), page.sources().text(span.file));
        let range = Lines::of(text).range(text, span.start as usize, span.end as usize);
        Some(Location { uri: self.uri(path)?, range })
    }
}

/// What colors are called; the order is that of [`Class::NAMES`].
pub(crate) fn token_types() -> Vec<lsp_types::SemanticTokenType> {
    Class::NAMES.iter().map(|name| lsp_types::SemanticTokenType::new(name)).collect()
}

fn markdown(value: String) -> MarkupContent {
    MarkupContent { kind: MarkupKind::Markdown, value }
}

#[expect(deprecated, reason = "a field of the protocol that must be there and is not used")]
fn document_symbol(document: &Document, symbol: Symbol) -> DocumentSymbol {
    let range = |span: Span| document.range(span.start as usize, span.end as usize);
    let inside: Vec<DocumentSymbol> =
        symbol.inside.into_iter().map(|s| document_symbol(document, s)).collect();
    DocumentSymbol {
        // A title may be empty while it is written, and the protocol forbids that.
        name: if symbol.name.is_empty() { "(no name)".to_string() } else { symbol.name },
        detail: None,
        kind: match symbol.kind {
            Kind::Playbook => SymbolKind::FILE,
            Kind::Param => SymbolKind::VARIABLE,
            Kind::Stage => SymbolKind::NAMESPACE,
            Kind::Task => SymbolKind::FUNCTION,
            Kind::Each => SymbolKind::ARRAY,
            Kind::Handler => SymbolKind::EVENT,
            Kind::Test => SymbolKind::METHOD,
        },
        tags: None,
        deprecated: None,
        range: range(symbol.span),
        selection_range: range(symbol.at),
        children: Some(inside).filter(|inside| !inside.is_empty()),
    }
}

fn item_kind(sort: Sort) -> CompletionItemKind {
    match sort {
        Sort::Verb | Sort::Function => CompletionItemKind::FUNCTION,
        Sort::Argument => CompletionItemKind::FIELD,
        Sort::Variable => CompletionItemKind::VARIABLE,
        Sort::Member => CompletionItemKind::ENUM_MEMBER,
        Sort::Fact => CompletionItemKind::PROPERTY,
        Sort::Constant => CompletionItemKind::CONSTANT,
        Sort::Module | Sort::Stage => CompletionItemKind::MODULE,
        Sort::Type => CompletionItemKind::CLASS,
        Sort::Word => CompletionItemKind::KEYWORD,
        Sort::Example => CompletionItemKind::VALUE,
    }
}
