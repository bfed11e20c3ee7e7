//! What a body means moves with its text, so that what did not change need not be checked again. A step may hold the default
//! of a verb that is declared elsewhere, so each place goes its own way.

use crate::program::*;
use crate::shift::{Shift, Way, fields};

fields! {
    Step { result, args, policy, span; still task, text }
    Binding { span; still name, slot }
    Each { over, batch, canary, soak, policy, body, span; still name, slot, order }
    If { cond, then, other, span }
    Choice { cond, then, other, span; still text }
    Policy { undo, name, approve; still timeout, retry, long, allow, window, hosts }
    Expr { kind, span; still ty }
}

impl Shift for Block {
    fn shift(&mut self, way: Way) {
        self.0.shift(way);
    }
}

impl Shift for Stmt {
    fn shift(&mut self, way: Way) {
        match self {
            Stmt::Step(step) => step.shift(way),
            Stmt::Each(each) => each.shift(way),
            Stmt::If(choice) => choice.shift(way),
            Stmt::When(choice) => choice.shift(way),
            Stmt::Parallel(block) | Stmt::Sequence(block) => block.shift(way),
        }
    }
}

impl Shift for ExprKind {
    fn shift(&mut self, way: Way) {
        match self {
            ExprKind::Literal(_)
            | ExprKind::Param(_)
            | ExprKind::Local(_)
            | ExprKind::Result(..)
            | ExprKind::Here
            | ExprKind::Set(_)
            | ExprKind::It => {}
            ExprKind::Field(of, _) | ExprKind::Fact(of, _) | ExprKind::Not(of) => of.shift(way),
            ExprKind::Call(_, of) | ExprKind::Text(of) | ExprKind::List(of) => of.shift(way),
            ExprKind::Record(fields) => fields.iter_mut().for_each(|(_, of)| of.shift(way)),
            ExprKind::Binary(_, left, right) | ExprKind::Where(left, right) => {
                left.shift(way);
                right.shift(way);
            }
        }
    }
}

impl Shift for TaskBody {
    fn shift(&mut self, way: Way) {
        match self {
            TaskBody::Native | TaskBody::Script(_) => {}
            TaskBody::Steps { policy, body, gives, slots: _ } => {
                policy.shift(way);
                body.shift(way);
                gives.shift(way);
            }
        }
    }
}
