//! Ways through a text: through the tree as it was written, for what only the spelling shows, and
//! through the program, for what it means. A new statement of the language is added here once.

use crate::ast;
use crate::program::{Block, Choice, Each, Expr, ExprKind, If, Policy, Step, Stmt, TaskBody};
use crate::span::Span;

use super::Subject;

/// Whose block it is, as written.
#[derive(Clone, Copy)]
pub(super) enum Owner<'t> {
    /// A playbook's own block: policy.
    Playbook,
    /// A stage, by the place of its name.
    Stage(Span),
    /// A task, by the place of its words.
    Task(Span),
    /// A loop.
    Each(&'t ast::Each),
    /// What an `if` does, by the place of its condition.
    If(Span),
    /// What a `when` does, by the place of its condition.
    When(Span),
    /// What either does else.
    Else,
    /// Elements in a free order.
    Parallel,
    /// The block behind a step.
    Step,
    /// What takes a step back.
    Undo,
    /// `on EVENT`
    Handler,
}

/// Visits every block of a tree, outer ones first.
pub(super) fn blocks<'t>(tree: &'t ast::File, visit: &mut dyn FnMut(Owner<'t>, &'t ast::Block)) {
    for item in &tree.items {
        match item {
            ast::Item::Playbook { block: Some(block), .. } => within(Owner::Playbook, block, visit),
            ast::Item::Stage { name, block, .. } => within(Owner::Stage(*name), block, visit),
            ast::Item::On { block, .. } => within(Owner::Handler, block, visit),
            ast::Item::Task(task) => match &task.body {
                ast::TaskBody::Block(block) => {
                    let name = task.words[0].to(task.words[task.words.len() - 1]);
                    within(Owner::Task(name), block, visit);
                }
                ast::TaskBody::Native(_) | ast::TaskBody::Script(_) => {}
            },
            ast::Item::Playbook { block: None, .. }
            | ast::Item::Use(_)
            | ast::Item::Param(_)
            | ast::Item::Test(_) => {}
        }
    }
}

fn within<'t>(owner: Owner<'t>, block: &'t ast::Block, visit: &mut dyn FnMut(Owner<'t>, &'t ast::Block)) {
    visit(owner, block);
    for stmt in &block.stmts {
        match stmt {
            ast::Stmt::Step(step) => {
                if let Some(block) = &step.block {
                    within(Owner::Step, block, visit);
                }
            }
            ast::Stmt::Let(_, step) => {
                if let Some(block) = &step.block {
                    within(Owner::Step, block, visit);
                }
            }
            ast::Stmt::Each(each) => within(Owner::Each(each), &each.block, visit),
            ast::Stmt::If(choice) | ast::Stmt::When(choice) => {
                let is_when = matches!(stmt, ast::Stmt::When(_));
                for (cond, block) in &choice.arms {
                    let owner = if is_when { Owner::When(cond.span) } else { Owner::If(cond.span) };
                    within(owner, block, visit);
                }
                if let Some(block) = &choice.other {
                    within(Owner::Else, block, visit);
                }
            }
            ast::Stmt::Parallel(block) => within(Owner::Parallel, block, visit),
            ast::Stmt::Gives(_) => {}
            ast::Stmt::Policy(policy) => {
                if let ast::PolicyKind::Undo(block)
                | ast::PolicyKind::Before(block)
                | ast::PolicyKind::After(block) = &policy.kind
                {
                    within(Owner::Undo, block, visit);
                }
            }
        }
    }
}

/// A statement of the program.
#[derive(Clone, Copy)]
pub(super) enum Site<'p> {
    /// A call.
    Step(&'p Step),
    /// A loop.
    Each(&'p Each),
    /// A choice.
    If(&'p If),
    /// A choice made during the run.
    When(&'p Choice),
}

/// What is known of the place of a statement.
#[derive(Clone)]
pub(super) struct Around<'p> {
    /// The policies of the scopes around it, the outermost first.
    pub(super) policies: Vec<&'p Policy>,
    /// Whether it stands in a task, so that a caller's policy comes on top.
    pub(super) in_task: bool,
}

/// Visits every statement of the text's stages and tasks, outer ones first.
pub(super) fn sites<'p>(subject: &Subject<'p>, visit: &mut dyn FnMut(Site<'p>, &Around<'p>)) {
    for stage in subject.stages {
        let mut around = Around { policies: vec![subject.policy, &stage.policy], in_task: false };
        through(&stage.body, &mut around, visit);
    }
    for task in subject.tasks.iter().filter(|t| t.span.file == Subject::ROOT) {
        if let TaskBody::Steps { policy, body, .. } = &task.body {
            through(body, &mut Around { policies: vec![policy], in_task: true }, visit);
        }
    }
}

fn through<'p>(block: &'p Block, around: &mut Around<'p>, visit: &mut dyn FnMut(Site<'p>, &Around<'p>)) {
    for stmt in &block.0 {
        match stmt {
            Stmt::Step(step) => {
                visit(Site::Step(step), around);
                if let Some(undo) = &step.policy.undo {
                    // The scopes around a step have no say in how it is taken back.
                    through(undo, &mut Around { policies: Vec::new(), in_task: around.in_task }, visit);
                }
            }
            Stmt::Each(each) => {
                visit(Site::Each(each), around);
                around.policies.push(&each.policy);
                through(&each.body, around, visit);
                around.policies.pop();
            }
            Stmt::If(choice) => {
                visit(Site::If(choice), around);
                through(&choice.then, around, visit);
                through(&choice.other, around, visit);
            }
            Stmt::When(choice) => {
                visit(Site::When(choice), around);
                through(&choice.then, around, visit);
                through(&choice.other, around, visit);
            }
            Stmt::Parallel(block) | Stmt::Sequence(block) => through(block, around, visit),
        }
    }
}

/// Returns whether a block looks at a parameter or a loop variable, by its slot.
pub(super) fn mentions(block: &Block, slot: u32) -> bool {
    block.0.iter().any(|stmt| match stmt {
        Stmt::Step(step) => {
            step.args.iter().any(|arg| looks_at(arg, slot)) || policy_mentions(&step.policy, slot)
        }
        Stmt::Each(each) => {
            let head = [Some(&each.over), each.batch.as_ref(), each.canary.as_ref(), each.soak.as_ref()];
            head.into_iter().flatten().any(|expr| looks_at(expr, slot))
                || policy_mentions(&each.policy, slot)
                || mentions(&each.body, slot)
        }
        Stmt::If(choice) => {
            looks_at(&choice.cond, slot) || mentions(&choice.then, slot) || mentions(&choice.other, slot)
        }
        Stmt::When(choice) => {
            looks_at(&choice.cond, slot) || mentions(&choice.then, slot) || mentions(&choice.other, slot)
        }
        Stmt::Parallel(block) | Stmt::Sequence(block) => mentions(block, slot),
    })
}

/// Returns whether a policy looks at a slot.
pub(super) fn policy_mentions(policy: &Policy, slot: u32) -> bool {
    [&policy.name, &policy.approve].into_iter().flatten().any(|text| looks_at(text, slot))
        || policy.undo.as_ref().is_some_and(|undo| mentions(undo, slot))
}

pub(super) fn looks_at(expr: &Expr, slot: u32) -> bool {
    expr.any(&mut |part| matches!(part.kind, ExprKind::Local(own) if own == slot))
}
