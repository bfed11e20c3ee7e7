//! K1012: an `undo` that never runs, because its step changes nothing, or that no plan takes, because
//! its step is made of steps.

use crate::program::{Effect, TaskBody};

use super::walk::{Site, sites};
use super::{Found, Lint, Subject};

pub(super) const LINT: Lint = Lint { code: "K1012", look };

fn look(subject: &Subject<'_>, found: &mut Found) {
    sites(subject, &mut |site, _| {
        let Site::Step(step) = site else { return };
        if step.policy.undo.is_none() {
            return;
        }
        let task = &subject.tasks[step.task.0 as usize];
        match &task.body {
            TaskBody::Steps { .. } => {
                let message = format!(
                    "`{}` is made of steps, each with its own undo; no plan takes this one",
                    task.name
                );
                found.add(
                    step.span,
                    message,
                    "its `undo` never runs",
                    "put the `undo` block behind the step that it takes back",
                );
            }
            TaskBody::Native | TaskBody::Script(_) if task.header.effect == Effect::Reads => {
                let message = format!("`{}` changes nothing, so there is nothing to take back", task.name);
                found.add(
                    step.span,
                    message,
                    "its `undo` never runs",
                    "put the `undo` block behind the step that it takes back",
                );
            }
            TaskBody::Native | TaskBody::Script(_) => {}
        }
    });
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::check;

    #[test]
    fn an_undo_belongs_to_a_step_that_changes_something() {
        check(
            "playbook \"p\"\nstage s { each node in workers {\n wait healthy { undo { uncordon } }\n out { undo { uncordon } }\n\
             run command \"a\" { undo { run command \"b\" } }\n}\n}\ntask out (node: node = here) { drain node }",
            expect![[r#"
                3:2 `wait healthy` warning K1012 `wait healthy` changes nothing, so there is nothing to take back
                    put the `undo` block behind the step that it takes back
                4:2 `out` warning K1012 `out` is made of steps, each with its own undo; no plan takes this one
                    put the `undo` block behind the step that it takes back
                ok
            "#]],
        );
    }
}
