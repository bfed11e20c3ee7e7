//! A tree moves with its text, so that what did not change need not be parsed again.

use super::{Shift, Way, fields};
use crate::ast::*;

fields! {
    Param { name, ty, default, span }
    Type { kind, optional }
    Task { words, positional, named, body, start }
    Claim { fact, of, when }
    Block { stmts, span }
    Step { args, block, span }
    Each { name, over, order, options, block, span }
    If { arms, other }
    Policy { kind, span }
    Expr { kind, span }
    Test { name, lines, block }
    TestLine { kind, span }
    These { step, node }
}

impl Shift for Item {
    fn shift(&mut self, way: Way) {
        match self {
            Item::Use(paths) => paths.shift(way),
            Item::Playbook { title, block, span } => {
                title.shift(way);
                block.shift(way);
                span.shift(way);
            }
            Item::Param(param) => param.shift(way),
            Item::Stage { name, after, block } => {
                name.shift(way);
                after.shift(way);
                block.shift(way);
            }
            Item::Task(task) => task.shift(way),
            Item::On { event, block } => {
                event.shift(way);
                block.shift(way);
            }
            Item::Test(test) => test.shift(way),
        }
    }
}

impl Shift for TypeKind {
    fn shift(&mut self, way: Way) {
        match self {
            TypeKind::Words(words) => words.shift(way),
            TypeKind::List(of) => of.shift(way),
            TypeKind::Record(fields) => fields.shift(way),
        }
    }
}

impl Shift for TaskBody {
    fn shift(&mut self, way: Way) {
        match self {
            TaskBody::Native(clauses) => clauses.shift(way),
            TaskBody::Block(block) => block.shift(way),
            TaskBody::Script(span) => span.shift(way),
        }
    }
}

impl Shift for Clause {
    fn shift(&mut self, way: Way) {
        match self {
            Clause::Effect(word, of) => {
                word.shift(way);
                of.shift(way);
            }
            Clause::Claims(word, claims) => {
                word.shift(way);
                claims.shift(way);
            }
            Clause::Gives(word, ty) => {
                word.shift(way);
                ty.shift(way);
            }
            Clause::Flag(word) => word.shift(way),
            Clause::Undo(undo, when) => {
                undo.shift(way);
                when.shift(way);
            }
            Clause::Policy(policy) => policy.shift(way),
        }
    }
}

impl Shift for Undo {
    fn shift(&mut self, way: Way) {
        match self {
            Undo::Itself => {}
            Undo::None(why) => why.shift(way),
            Undo::Step(step) => step.shift(way),
        }
    }
}

impl Shift for Stmt {
    fn shift(&mut self, way: Way) {
        match self {
            Stmt::Step(step) => step.shift(way),
            Stmt::Let(name, step) => {
                name.shift(way);
                step.shift(way);
            }
            Stmt::Each(each) => each.shift(way),
            Stmt::If(choice) | Stmt::When(choice) => choice.shift(way),
            Stmt::Gives(value) => value.shift(way),
            Stmt::Parallel(block) => block.shift(way),
            Stmt::Policy(policy) => policy.shift(way),
        }
    }
}

impl Shift for Arg {
    fn shift(&mut self, way: Way) {
        match self {
            Arg::Plain(values) => values.shift(way),
            Arg::Named(name, values) => {
                name.shift(way);
                values.shift(way);
            }
        }
    }
}

impl Shift for PolicyKind {
    fn shift(&mut self, way: Way) {
        match self {
            PolicyKind::Timeout(span) => span.shift(way),
            PolicyKind::Retry(times, backoff) => {
                times.shift(way);
                backoff.shift(way);
            }
            PolicyKind::Undo(block) => block.shift(way),
            PolicyKind::Name(text) | PolicyKind::Approve(text) | PolicyKind::Window(text) => text.shift(way),
            PolicyKind::Long => {}
            PolicyKind::Hosts(hosts) => hosts.shift(way),
            PolicyKind::Before(block) | PolicyKind::After(block) => block.shift(way),
            PolicyKind::Allow(law, reason) => {
                law.shift(way);
                reason.shift(way);
            }
        }
    }
}

impl Shift for ExprKind {
    fn shift(&mut self, way: Way) {
        match self {
            ExprKind::Word
            | ExprKind::Endless
            | ExprKind::Quantity
            | ExprKind::Version
            | ExprKind::Text(_) => {}
            ExprKind::Interpolated(parts) | ExprKind::List(parts) => parts.shift(way),
            ExprKind::Record(fields) => fields.shift(way),
            ExprKind::Named(name, value) => {
                name.shift(way);
                value.shift(way);
            }
            ExprKind::Call(name, args) => {
                name.shift(way);
                args.shift(way);
            }
            ExprKind::Fact(of, name) => {
                of.shift(way);
                name.shift(way);
            }
            ExprKind::Not(of) => of.shift(way),
            ExprKind::Binary(_, left, right) => {
                left.shift(way);
                right.shift(way);
            }
        }
    }
}

impl Shift for TestKind {
    fn shift(&mut self, way: Way) {
        match self {
            TestKind::Playbook(path) => path.shift(way),
            TestKind::On(shape, seed) => {
                shape.shift(way);
                seed.shift(way);
            }
            TestKind::Faults(faults) => faults.shift(way),
            TestKind::Set(values) => values.shift(way),
            TestKind::Expect(expect) => expect.shift(way),
        }
    }
}

impl Shift for Expect {
    fn shift(&mut self, way: Way) {
        match self {
            Expect::Plan(text) | Expect::Failure(text) => text.shift(way),
            Expect::Changes(number) => number.shift(way),
            Expect::End(word, text) => {
                word.shift(way);
                text.shift(way);
            }
            Expect::Planned(these) | Expect::None(these) => these.shift(way),
            Expect::Went(these, word) => {
                these.shift(way);
                word.shift(way);
            }
            Expect::Before(first, second) => {
                first.shift(way);
                second.shift(way);
            }
        }
    }
}
