//! K1006: a condition that depends on nothing, so that it is always true or always false.

use crate::program::{Expr, ExprKind, Func};

use super::walk::{Site, sites};
use super::{Found, Lint, Subject};

pub(super) const LINT: Lint = Lint { code: "K1006", look };

fn look(subject: &Subject<'_>, found: &mut Found) {
    sites(subject, &mut |site, _| {
        let cond = match site {
            Site::If(choice) => &choice.cond,
            Site::When(choice) => &choice.cond,
            Site::Each(each) => match &each.over.kind {
                ExprKind::Where(_, cond) => cond,
                _ => return,
            },
            Site::Step(_) => return,
        };
        if !depends(cond) {
            let message = "this condition depends on nothing, so it is always the same".to_string();
            found.add(
                cond.span,
                message,
                "nothing can change it",
                "compare a param, a fact or the loop variable, or leave the condition out",
            );
        }
    });
}

/// Returns whether an expression can have more than one value.
pub(super) fn depends(expr: &Expr) -> bool {
    expr.any(&mut |part| match &part.kind {
        ExprKind::Param(_)
        | ExprKind::Local(_)
        | ExprKind::Result(..)
        | ExprKind::Here
        | ExprKind::Set(_)
        | ExprKind::It => true,
        // A label is one of the node that a `where` looks at.
        ExprKind::Call(func, _) => matches!(func, Func::Label | Func::Hops),
        ExprKind::Literal(_)
        | ExprKind::Fact(..)
        | ExprKind::Field(..)
        | ExprKind::Not(_)
        | ExprKind::Text(_)
        | ExprKind::List(_)
        | ExprKind::Record(_)
        | ExprKind::Binary(..)
        | ExprKind::Where(..) => false,
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::steps;

    #[test]
    fn a_condition_that_is_always_the_same() {
        steps(
            "if 1 == 2 { run command \"a\" on=local }\nif count(workers) > 3 { run command \"b\" on=local }\n\
             each node in workers where not true { drain }\neach node in workers where label(\"a\") == \"b\" { drain }",
            expect![[r#"
                3:4 `1 == 2` warning K1006 this condition depends on nothing, so it is always the same
                    compare a param, a fact or the loop variable, or leave the condition out
                5:28 `not true` warning K1006 this condition depends on nothing, so it is always the same
                    compare a param, a fact or the loop variable, or leave the condition out
                ok
            "#]],
        );
    }
}
