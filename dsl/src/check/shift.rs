//! What a body means moves with its text, so that what did not change need not be checked again. A step may hold the default
//! of a verb that is declared elsewhere, so each place goes its own way.

use super::{Shift, Way};
use crate::program::*;

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

impl Shift for Step {
    fn shift(&mut self, way: Way) {
        let Step { result, task: _, args, policy, text: _, span } = self;
        result.shift(way);
        args.shift(way);
        policy.shift(way);
        span.shift(way);
    }
}

impl Shift for Binding {
    fn shift(&mut self, way: Way) {
        let Binding { name: _, slot: _, span } = self;
        span.shift(way);
    }
}

impl Shift for Each {
    fn shift(&mut self, way: Way) {
        let Each { name: _, slot: _, over, order: _, batch, canary, soak, policy, body, span } = self;
        over.shift(way);
        batch.shift(way);
        canary.shift(way);
        soak.shift(way);
        policy.shift(way);
        body.shift(way);
        span.shift(way);
    }
}

impl Shift for If {
    fn shift(&mut self, way: Way) {
        let If { cond, then, other, span } = self;
        cond.shift(way);
        then.shift(way);
        other.shift(way);
        span.shift(way);
    }
}

impl Shift for Choice {
    fn shift(&mut self, way: Way) {
        let Choice { cond, text: _, then, other, span } = self;
        cond.shift(way);
        then.shift(way);
        other.shift(way);
        span.shift(way);
    }
}

impl Shift for Policy {
    fn shift(&mut self, way: Way) {
        let Policy { timeout: _, retry: _, undo, name, long: _, allow: _, approve, window: _, hosts: _ } =
            self;
        undo.shift(way);
        name.shift(way);
        approve.shift(way);
    }
}

impl Shift for Expr {
    fn shift(&mut self, way: Way) {
        let Expr { kind, ty: _, span } = self;
        kind.shift(way);
        span.shift(way);
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
