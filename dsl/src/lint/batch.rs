//! K1002: a `batch` that says nothing, because it is always one, or that takes every node out of
//! service at once.

use crate::program::{Block, Effect, ExprKind, Stmt, Task, TaskBody};
use crate::value::{Batch, Type, Value, Window};

use super::walk::{Site, sites};
use super::{Found, Lint, Subject, cut};

pub(super) const LINT: Lint = Lint { code: "K1002", look };

const ALL: Window = Window::Share(10_000);

fn look(subject: &Subject<'_>, found: &mut Found) {
    sites(subject, &mut |site, _| {
        let Site::Each(each) = site else { return };
        let Some(batch) = &each.batch else { return };
        let ExprKind::Literal(Value::Batch(Batch(windows))) = &batch.kind else { return };
        if windows.iter().all(|w| *w == Window::Count(1)) {
            let message = "this `batch` is always 1, and so it is without it".to_string();
            let hint = "leave `batch` out, or say how many may be out of service at once";
            found.add_with_cut(
                batch.span,
                message,
                "says nothing",
                hint,
                cut::argument(subject, "batch", batch.span),
            );
        } else if windows[0] == ALL && each.over.ty == Type::Nodes && disrupts(subject.tasks, &each.body) {
            let message = "this takes all of these nodes out of service at once".to_string();
            let hint = "say how many may be out of service at once, such as `batch=10%`";
            found.add(batch.span, message, "every one of them", hint);
        }
    });
}

/// Returns whether a block takes its node out of service. No task calls itself in a sound text.
fn disrupts(tasks: &[Task], block: &Block) -> bool {
    block.0.iter().any(|stmt| match stmt {
        Stmt::Step(step) => {
            let task = &tasks[step.task.0 as usize];
            match &task.body {
                TaskBody::Native => task.header.effect == Effect::DisruptsNode,
                TaskBody::Steps { body, .. } => disrupts(tasks, body),
                TaskBody::Script(_) => false,
            }
        }
        Stmt::Each(each) => disrupts(tasks, &each.body),
        Stmt::If(choice) => disrupts(tasks, &choice.then) || disrupts(tasks, &choice.other),
        Stmt::When(choice) => disrupts(tasks, &choice.then) || disrupts(tasks, &choice.other),
        Stmt::Parallel(block) | Stmt::Sequence(block) => disrupts(tasks, block),
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::steps;

    #[test]
    fn one_at_a_time_needs_no_batch() {
        steps(
            "each node in workers batch=1 { drain }\neach node in workers batch=[1, 1] { drain }\n\
             each node in workers batch=[1, 5] { drain }",
            expect![[r#"
                3:28 `1` warning K1002 this `batch` is always 1, and so it is without it
                    leave `batch` out, or say how many may be out of service at once
                4:28 `[1, 1]` warning K1002 this `batch` is always 1, and so it is without it
                    leave `batch` out, or say how many may be out of service at once
                ok
            "#]],
        );
    }

    #[test]
    fn all_at_once_is_told_where_nodes_go_out_of_service() {
        steps(
            "each node in workers batch=100% { drain }\neach node in workers batch=[1, 100%] { drain }\n\
             each node in workers batch=100% { run command \"hostname\" }",
            expect![[r#"
                3:28 `100%` warning K1002 this takes all of these nodes out of service at once
                    say how many may be out of service at once, such as `batch=10%`
                ok
            "#]],
        );
    }
}
