//! K1005: a block in which nothing is done.

use crate::ast::Stmt;

use super::walk::{Owner, blocks};
use super::{Found, Lint, Subject};

pub(super) const LINT: Lint = Lint { code: "K1005", look };

fn look(subject: &Subject<'_>, found: &mut Found) {
    blocks(subject.tree, &mut |owner, block| {
        let acts = block.stmts.iter().any(|stmt| !matches!(stmt, Stmt::Policy(_)));
        let (span, what) = match owner {
            // These hold policy; a handler and an undo without a step are errors.
            Owner::Playbook | Owner::Step if block.stmts.is_empty() => (block.span, "this block".to_string()),
            Owner::Playbook | Owner::Step | Owner::Undo | Owner::Handler => return,
            _ if acts => return,
            Owner::Stage(name) => (name, format!("the stage `{}`", subject.text(name))),
            Owner::Task(words) => (words, format!("the task `{}`", subject.text(words))),
            Owner::Each(each) => (each.span, "this `each`".to_string()),
            Owner::If(cond) => (cond, "this `if`".to_string()),
            Owner::When(cond) => (cond, "this `when`".to_string()),
            Owner::Else => (block.span, "this `else`".to_string()),
            Owner::Parallel => (block.span, "this `parallel`".to_string()),
        };
        let message = match owner {
            Owner::Playbook | Owner::Step => format!("{what} is empty"),
            _ => format!("{what} has no step, so it does nothing"),
        };
        found.add(span, message, "nothing is done here", "remove it, or say what is to be done");
    });
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::check;

    #[test]
    fn a_block_without_a_step_does_nothing() {
        check(
            "playbook \"p\" { }\nstage a { timeout 5m }\nstage b {\n each node in workers { drain { }\n}\n\
             each node in workers { }\n if count(workers) > 3 { } else { }\n parallel { }\n rest\n}\ntask rest () { }",
            expect![[r#"
                1:14 `{ }` warning K1005 this block is empty
                    remove it, or say what is to be done
                2:7 `a` warning K1005 the stage `a` has no step, so it does nothing
                    remove it, or say what is to be done
                4:31 `{ }` warning K1005 this block is empty
                    remove it, or say what is to be done
                6:1 `each node in workers` warning K1005 this `each` has no step, so it does nothing
                    remove it, or say what is to be done
                7:5 `count(workers) > 3` warning K1005 this `if` has no step, so it does nothing
                    remove it, or say what is to be done
                7:33 `{ }` warning K1005 this `else` has no step, so it does nothing
                    remove it, or say what is to be done
                8:11 `{ }` warning K1005 this `parallel` has no step, so it does nothing
                    remove it, or say what is to be done
                11:6 `rest` warning K1005 the task `rest` has no step, so it does nothing
                    remove it, or say what is to be done
                ok
            "#]],
        );
    }
}
