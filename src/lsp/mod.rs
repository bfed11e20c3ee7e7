//! The Language Server Protocol over [`dsl::ask`]: what is open in the editor, what was found in it,
//! and the editor's questions. One thread takes message after message; a check waits until nobody is typing.

mod address;
mod answer;
mod desk;
mod document;
mod finding;
mod mend;
mod shelf;

use dsl::ask::Refusal;
use lsp_server::{Connection, ErrorCode, Message, Notification, ProtocolError, Request, Response};
use lsp_types::notification::{
    DidChangeTextDocument, DidChangeWatchedFiles, DidCloseTextDocument, DidOpenTextDocument,
    DidSaveTextDocument, Notification as Known, PublishDiagnostics,
};
use lsp_types::request::{
    CodeActionRequest, Completion, DocumentSymbolRequest, Formatting, GotoDefinition, HoverRequest,
    PrepareRenameRequest, References, Rename, Request as Question, SemanticTokensFullRequest,
};
use lsp_types::{
    CodeActionKind, CodeActionOptions, CodeActionProviderCapability, CompletionOptions, CompletionResponse,
    DocumentSymbolResponse, GotoDefinitionResponse, HoverProviderCapability, InitializeParams, OneOf,
    RenameOptions, SaveOptions, SemanticTokenModifier, SemanticTokensFullOptions, SemanticTokensLegend,
    SemanticTokensOptions, SemanticTokensResult, ServerCapabilities, ServerInfo, TextDocumentSyncCapability,
    TextDocumentSyncKind, TextDocumentSyncOptions, TextDocumentSyncSaveOptions, WorkDoneProgressOptions,
};

use self::desk::Desk;
use self::shelf::Shelf;
use crate::config;

/// Speaks with an editor until it says goodbye.
pub(crate) fn serve(connection: &Connection) -> Result<(), ProtocolError> {
    let (id, params) = connection.initialize_start()?;
    let params: InitializeParams = serde_json::from_value(params).unwrap_or_default();
    let hello = serde_json::json!({
        "capabilities": capabilities(),
        "serverInfo": ServerInfo { name: "kup".to_string(), version: Some(env!("CARGO_PKG_VERSION").to_string()) },
    });
    connection.initialize_finish(id, hello)?;
    let mut server = Server::new(connection, &params);
    loop {
        // Whoever types fast is not answered for every letter.
        let message = match connection.receiver.try_recv() {
            Ok(message) => message,
            Err(_) => {
                server.catch_up();
                match connection.receiver.recv() {
                    Ok(message) => message,
                    // The editor is gone without a word.
                    Err(_) => return Ok(()),
                }
            }
        };
        match message {
            Message::Request(request) if connection.handle_shutdown(&request)? => return Ok(()),
            Message::Request(request) => {
                server.catch_up();
                let answer = server.answer(request);
                server.send(answer.into());
            }
            Message::Notification(n) if n.method == lsp_types::notification::Exit::METHOD => return Ok(()),
            Message::Notification(notification) => server.hear(notification),
            Message::Response(_) => {}
        }
    }
}

fn capabilities() -> ServerCapabilities {
    ServerCapabilities {
        text_document_sync: Some(TextDocumentSyncCapability::Options(TextDocumentSyncOptions {
            open_close: Some(true),
            change: Some(TextDocumentSyncKind::INCREMENTAL),
            save: Some(TextDocumentSyncSaveOptions::SaveOptions(SaveOptions { include_text: Some(false) })),
            ..TextDocumentSyncOptions::default()
        })),
        completion_provider: Some(CompletionOptions {
            trigger_characters: Some([" ", "=", ".", "/", "{", ","].map(str::to_string).to_vec()),
            ..CompletionOptions::default()
        }),
        hover_provider: Some(HoverProviderCapability::Simple(true)),
        definition_provider: Some(OneOf::Left(true)),
        references_provider: Some(OneOf::Left(true)),
        rename_provider: Some(OneOf::Right(RenameOptions {
            prepare_provider: Some(true),
            work_done_progress_options: WorkDoneProgressOptions::default(),
        })),
        code_action_provider: Some(CodeActionProviderCapability::Options(CodeActionOptions {
            code_action_kinds: Some(vec![CodeActionKind::QUICKFIX, mend::FIX_ALL.to_string().into()]),
            ..CodeActionOptions::default()
        })),
        document_formatting_provider: Some(OneOf::Left(true)),
        document_symbol_provider: Some(OneOf::Left(true)),
        semantic_tokens_provider: Some(
            SemanticTokensOptions {
                legend: SemanticTokensLegend {
                    token_types: answer::token_types(),
                    token_modifiers: vec![SemanticTokenModifier::DECLARATION],
                },
                full: Some(SemanticTokensFullOptions::Bool(true)),
                ..SemanticTokensOptions::default()
            }
            .into(),
        ),
        ..ServerCapabilities::default()
    }
}

/// The server's end of the conversation.
struct Server<'c> {
    connection: &'c Connection,
    desk: Desk,
}

impl<'c> Server<'c> {
    fn new(connection: &'c Connection, params: &InitializeParams) -> Server<'c> {
        let shows = params.capabilities.text_document.as_ref().and_then(|t| t.publish_diagnostics.as_ref());
        let related = shows.and_then(|p| p.related_information).unwrap_or(false);
        Server { connection, desk: Desk::new(related, Shelf::new(config::cache_dir())) }
    }

    fn send(&self, message: Message) {
        // Nobody listens: the next receive ends the loop.
        let _ = self.connection.sender.send(message);
    }

    /// Takes note of what the editor did.
    fn hear(&mut self, notification: Notification) {
        match notification.method.as_str() {
            DidOpenTextDocument::METHOD => {
                if let Some(opened) = params::<DidOpenTextDocument>(notification) {
                    self.desk.open(opened.text_document);
                }
            }
            DidChangeTextDocument::METHOD => {
                if let Some(changed) = params::<DidChangeTextDocument>(notification) {
                    self.desk.change(changed);
                }
            }
            DidCloseTextDocument::METHOD => {
                if let Some(closed) = params::<DidCloseTextDocument>(notification) {
                    self.desk.close(&closed.text_document.uri);
                }
            }
            // What another text uses may be there now, or be another one.
            DidSaveTextDocument::METHOD | DidChangeWatchedFiles::METHOD => self.desk.doubt(),
            _ => {}
        }
    }

    /// Reads anew what has changed, and tells the editor what is found.
    fn catch_up(&mut self) {
        for news in self.desk.catch_up() {
            let told = Notification::new(PublishDiagnostics::METHOD.to_string(), news);
            self.send(told.into());
        }
    }

    /// Answers a question.
    fn answer(&mut self, request: Request) -> Response {
        let desk = &self.desk;
        match request.method.as_str() {
            HoverRequest::METHOD => reply::<HoverRequest>(request, |asked| Ok(desk.hover(asked))),
            Completion::METHOD => reply::<Completion>(request, |asked| {
                Ok(desk.completion(asked).map(CompletionResponse::Array))
            }),
            GotoDefinition::METHOD => {
                let found = |asked| Ok(desk.definition(asked).map(GotoDefinitionResponse::Scalar));
                reply::<GotoDefinition>(request, found)
            }
            References::METHOD => reply::<References>(request, |asked| Ok(desk.references(asked))),
            PrepareRenameRequest::METHOD => {
                reply::<PrepareRenameRequest>(request, |asked| desk.prepare_rename(asked))
            }
            Rename::METHOD => reply::<Rename>(request, |asked| desk.rename(asked)),
            CodeActionRequest::METHOD => {
                reply::<CodeActionRequest>(request, |asked| Ok(desk.code_actions(asked)))
            }
            Formatting::METHOD => reply::<Formatting>(request, |asked| Ok(desk.formatting(asked))),
            DocumentSymbolRequest::METHOD => reply::<DocumentSymbolRequest>(request, |asked| {
                Ok(desk.symbols(asked).map(DocumentSymbolResponse::Nested))
            }),
            SemanticTokensFullRequest::METHOD => reply::<SemanticTokensFullRequest>(request, |asked| {
                Ok(desk.semantic_tokens(asked).map(SemanticTokensResult::Tokens))
            }),
            method => {
                let unknown = format!("kup does not know `{method}`");
                Response::new_err(request.id, ErrorCode::MethodNotFound as i32, unknown)
            }
        }
    }
}

/// Reads a question, has it answered, and writes the answer.
fn reply<Q: Question>(
    request: Request,
    answer: impl FnOnce(Q::Params) -> Result<Q::Result, Refusal>,
) -> Response {
    match serde_json::from_value(request.params) {
        Ok(params) => match answer(params) {
            Ok(result) => Response::new_ok(request.id, result),
            Err(Refusal(why)) => Response::new_err(request.id, ErrorCode::RequestFailed as i32, why),
        },
        Err(why) => Response::new_err(request.id, ErrorCode::InvalidParams as i32, why.to_string()),
    }
}

/// Reads what a notification says; what cannot be read is as if it were not said.
fn params<N: Known>(notification: Notification) -> Option<N::Params> {
    serde_json::from_value(notification.params).ok()
}
