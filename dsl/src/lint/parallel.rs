//! K1013: a `parallel` with one element, whose order is free with nothing.

use crate::ast::Stmt;

use super::walk::{Owner, blocks};
use super::{Found, Lint, Subject};

pub(super) const LINT: Lint = Lint { code: "K1013", look };

fn look(subject: &Subject<'_>, found: &mut Found) {
    blocks(subject.tree, &mut |owner, block| {
        if let (Owner::Parallel, [Stmt::Step(_) | Stmt::Let(..) | Stmt::Each(_)]) =
            (owner, block.stmts.as_slice())
        {
            let message = "only one thing stands in this `parallel`".to_string();
            found.add(
                block.span,
                message,
                "nothing runs beside it",
                "add what may run beside it, or leave `parallel` out",
            );
        }
    });
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::steps;

    #[test]
    fn one_thing_alone_is_not_parallel() {
        steps(
            "parallel { run command \"a\" on=local }\nparallel { run command \"a\" on=local\n run command \"b\" on=local }",
            expect![[r#"
                3:10 `{ run command "a" on=local }` warning K1013 only one thing stands in this `parallel`
                    add what may run beside it, or leave `parallel` out
                ok
            "#]],
        );
    }
}
