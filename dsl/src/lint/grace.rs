//! K1004: a step that gives up before the grace period that it gives is over.

use crate::program::{ExprKind, TaskBody};
use crate::value::Value;

use super::walk::{Site, sites};
use super::{Found, Lint, Subject};

pub(super) const LINT: Lint = Lint { code: "K1004", look };

fn look(subject: &Subject<'_>, found: &mut Found) {
    sites(subject, &mut |site, around| {
        let Site::Step(step) = site else { return };
        let task = &subject.tasks[step.task.0 as usize];
        if !matches!(task.body, TaskBody::Native) {
            return;
        }
        let Some(at) = task.params.iter().position(|p| p.name == "grace") else { return };
        let ExprKind::Literal(Value::Duration(grace)) = step.args[at].kind else { return };
        let written = [&step.policy].into_iter().chain(around.policies.iter().rev().copied());
        let written = written.filter_map(|p| p.timeout).next();
        // The header counts last, behind what the callers of a task may say.
        let Some(timeout) = written.or(task.header.policy.timeout.filter(|_| !around.in_task)) else {
            return;
        };
        if timeout < grace {
            let (timeout, grace) = (Value::Duration(timeout), Value::Duration(grace));
            let message = format!("pods may take {grace} to end, and the step gives up after {timeout}");
            found.add(
                step.args[at].span,
                message,
                &format!("longer than {timeout}"),
                "give the step a longer `timeout`, or the pods less `grace`",
            );
        }
    });
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::{check, steps};

    #[test]
    fn a_timeout_that_ends_before_the_grace_period() {
        steps(
            "each node in workers {\n drain grace=5m { timeout 2m }\n drain grace=20m\n drain grace=2m { timeout 5m }\n}",
            expect![[r#"
                4:14 `5m` warning K1004 pods may take 5m to end, and the step gives up after 2m
                    give the step a longer `timeout`, or the pods less `grace`
                5:14 `20m` warning K1004 pods may take 20m to end, and the step gives up after 15m
                    give the step a longer `timeout`, or the pods less `grace`
                ok
            "#]],
        );
    }

    #[test]
    fn the_nearest_timeout_counts_and_a_caller_may_have_given_one() {
        check(
            "playbook \"p\" { timeout 1m }\nstage s { each node in workers { out\n drain grace=2m\n drain grace=2m { timeout 1h }\n}\n}\n\
             task out (node: node = here) { drain node grace=20m }",
            expect![[r#"
                3:14 `2m` warning K1004 pods may take 2m to end, and the step gives up after 1m
                    give the step a longer `timeout`, or the pods less `grace`
                ok
            "#]],
        );
    }
}
