//! What a file holds, as a tree: its parameters, stages and tasks, and the loops in them.

use super::Page;
use crate::ast::{self, Item, Stmt};
use crate::span::Span;

/// Something that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// All of it.
    pub span: Span,
    /// The place of its name.
    pub at: Span,
    /// What is in it.
    pub inside: Vec<Symbol>,
}

/// What a symbol is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The playbook with its title.
    Playbook,
    /// A parameter.
    Param,
    /// A stage.
    Stage,
    /// A task.
    Task,
    /// A loop.
    Each,
    /// A handler.
    Handler,
    /// A test.
    Test,
}

impl Page {
    /// Returns what the file holds, in the order of the text.
    pub fn outline(&self) -> Vec<Symbol> {
        let items = self.study.trees.first().into_iter().flat_map(|tree| &tree.items);
        items.filter_map(|item| self.symbol(item)).collect()
    }

    fn symbol(&self, item: &Item) -> Option<Symbol> {
        let text = |span: Span| self.study.sources.slice(span).to_string();
        Some(match item {
            Item::Playbook { title, span, .. } => Symbol {
                name: text(title.span).trim_matches('"').to_string(),
                kind: Kind::Playbook,
                span: *span,
                at: title.span,
                inside: Vec::new(),
            },
            Item::Param(param) => Symbol {
                name: text(param.name),
                kind: Kind::Param,
                span: param.span,
                at: param.name,
                inside: Vec::new(),
            },
            Item::Stage { name, block, .. } => Symbol {
                name: text(*name),
                kind: Kind::Stage,
                span: name.to(block.span),
                at: *name,
                inside: self.loops(block),
            },
            Item::Task(task) => {
                let (first, last) = task.words.first().zip(task.words.last())?;
                let at = first.to(*last);
                let (end, inside) = match &task.body {
                    ast::TaskBody::Block(block) => (block.span, self.loops(block)),
                    ast::TaskBody::Script(span) => (*span, Vec::new()),
                    ast::TaskBody::Native(_) => (at, Vec::new()),
                };
                Symbol { name: text(at), kind: Kind::Task, span: at.to(end), at, inside }
            }
            Item::On { event, block } => Symbol {
                name: format!("on {}", text(*event)),
                kind: Kind::Handler,
                span: event.to(block.span),
                at: *event,
                inside: Vec::new(),
            },
            Item::Test(test) => Symbol {
                name: text(test.name.span).trim_matches('"').to_string(),
                kind: Kind::Test,
                span: test.name.span.to(test.block.span),
                at: test.name.span,
                inside: self.loops(&test.block),
            },
            Item::Use(_) => return None,
        })
    }

    fn loops(&self, block: &ast::Block) -> Vec<Symbol> {
        let mut found = Vec::new();
        for stmt in &block.stmts {
            match stmt {
                Stmt::Each(each) => {
                    let head = self.study.sources.slice(each.span);
                    found.push(Symbol {
                        name: head.split_whitespace().collect::<Vec<_>>().join(" "),
                        kind: Kind::Each,
                        span: each.span.to(each.block.span),
                        at: each.span,
                        inside: self.loops(&each.block),
                    });
                }
                Stmt::Parallel(block) => found.extend(self.loops(block)),
                Stmt::If(choice) | Stmt::When(choice) => {
                    let blocks = choice.arms.iter().map(|(_, block)| block).chain(&choice.other);
                    found.extend(blocks.flat_map(|block| self.loops(block)));
                }
                Stmt::Step(_) | Stmt::Let(..) | Stmt::Gives(_) | Stmt::Policy(_) => {}
            }
        }
        found
    }
}
