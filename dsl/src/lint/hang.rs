//! K1008: a step that may hang, because neither its verb nor anybody around says how long it may
//! take.

use crate::program::{Effect, TaskBody};

use super::walk::{Site, sites};
use super::{Found, Lint, Subject};

pub(super) const LINT: Lint = Lint { code: "K1008", look };

fn look(subject: &Subject<'_>, found: &mut Found) {
    sites(subject, &mut |site, around| {
        let Site::Step(step) = site else { return };
        let task = &subject.tasks[step.task.0 as usize];
        let mut said = around.policies.iter().copied().chain([&step.policy, &task.header.policy]);
        let native = matches!(task.body, TaskBody::Native) && task.header.effect != Effect::Decides;
        // In a task the caller may say it.
        if native && !around.in_task && said.all(|p| p.timeout.is_none()) {
            let message = format!("nobody says how long `{}` may take", task.name);
            let hint = "add `{ timeout 10m }`, or a `timeout` to the header of the verb";
            found.add(step.span, message, "may take forever", hint);
        }
    });
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::check;

    #[test]
    fn a_verb_without_a_timeout_needs_one_at_the_step() {
        check(
            "playbook \"p\"\nstage s { each node in workers { power cycle\n power cycle { timeout 5m }\n drain\n}\n}\n\
             stage t { timeout 5m\n each node in workers { power cycle }\n}\n\
             native task power cycle (node: node = here)\n  disrupts node\n",
            expect![[r#"
                2:34 `power cycle` warning K1008 nobody says how long `power cycle` may take
                    add `{ timeout 10m }`, or a `timeout` to the header of the verb
                ok
            "#]],
        );
    }
}
