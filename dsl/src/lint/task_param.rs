//! K1017: a parameter of a task that its steps never look at.

use crate::program::{ExprKind, TaskBody};

use super::walk::{looks_at, mentions, policy_mentions};
use super::{Found, Lint, Subject};

pub(super) const LINT: Lint = Lint { code: "K1017", look };

fn look(subject: &Subject<'_>, found: &mut Found) {
    for item in &subject.tree.items {
        let crate::ast::Item::Task(written) = item else { continue };
        let words = written.words[0].to(written.words[written.words.len() - 1]);
        let Some(task) = subject.tasks.iter().find(|t| t.span == words) else { continue };
        let TaskBody::Steps { policy, body, gives, .. } = &task.body else { continue };
        for param in written.positional.iter().chain(&written.named) {
            let name = subject.text(param.name);
            let Some(slot) = task.params.iter().position(|p| p.name == name) else { continue };
            // A task that is called in every lane may take the lane's node and not need it.
            let is_here =
                task.params[slot].default.as_ref().is_some_and(|d| matches!(d.kind, ExprKind::Here));
            let slot = slot as u32;
            let is_given = gives.as_ref().is_some_and(|gives| looks_at(gives, slot));
            let is_seen = is_given || mentions(body, slot) || policy_mentions(policy, slot);
            if !is_here && !body.0.is_empty() && !is_seen {
                let message = format!("`{}` never looks at its parameter `{name}`", task.name);
                found.add(param.name, message, "never used", "remove it, or use it");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::check;

    #[test]
    fn a_parameter_that_nobody_looks_at() {
        check(
            "playbook \"p\"\nstage s { each node in workers { greet name=\"a\" loud=true often=3 } }\n\
             task greet (node: node = here; name: string, loud: bool, often: number) {\n\
             if loud { run command \"echo ${name}\" on=local }\n}",
            expect![[r#"
                3:58 `often` warning K1017 `greet` never looks at its parameter `often`
                    remove it, or use it
                ok
            "#]],
        );
    }
}
