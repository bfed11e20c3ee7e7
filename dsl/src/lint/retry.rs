//! K1010: a `retry 0` that turns nothing off, or that says how long to wait between attempts which
//! there are not.

use crate::ast::{PolicyKind, Stmt};
use crate::program::TaskBody;
use crate::span::Span;

use super::walk::{Site, blocks, sites};
use super::{Found, Lint, Subject, cut};

pub(super) const LINT: Lint = Lint { code: "K1010", look };

fn look(subject: &Subject<'_>, found: &mut Found) {
    blocks(subject.tree, &mut |_, block| {
        for stmt in &block.stmts {
            if let Stmt::Policy(policy) = stmt
                && let PolicyKind::Retry(times, Some((from, to))) = policy.kind
                && subject.text(times) == "0"
            {
                let message = "with `retry 0` there is no second attempt to wait for".to_string();
                let hint = "leave `backoff` out, or say how often to try again";
                let cut = cut::bare(subject.sources, Span { start: times.end, ..policy.span });
                found.add_with_cut(from.to(to), message, "never waited for", hint, cut);
            }
        }
    });
    sites(subject, &mut |site, around| {
        let Site::Step(step) = site else { return };
        let task = &subject.tasks[step.task.0 as usize];
        let none = step.policy.retry.is_some_and(|retry| retry.times == 0);
        let native = matches!(task.body, TaskBody::Native);
        let mut others = around.policies.iter().copied().chain([&task.header.policy]);
        if none && native && !around.in_task && others.all(|p| p.retry.is_none()) {
            let message = "this step is not tried again anyway".to_string();
            let hint = "leave `retry 0` out, or say how often to try again";
            let cut = cut::policy(subject, step.span, |kind| matches!(kind, PolicyKind::Retry(..)));
            found.add_with_cut(step.span, message, "done once, either way", hint, cut);
        }
    });
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::steps;

    #[test]
    fn a_retry_of_nothing() {
        steps(
            "each node in workers {\n run command \"a\" { retry 0 }\n drain { retry 0 }\n drain { retry 0 backoff 1s..5s }\n\
             each x in [\"a\"] {\n  retry 3\n  run command \"${x}\" { retry 0 }\n }\n}",
            expect![[r#"
                4:2 `run command "a"` warning K1010 this step is not tried again anyway
                    leave `retry 0` out, or say how often to try again
                6:26 `1s..5s` warning K1010 with `retry 0` there is no second attempt to wait for
                    leave `backoff` out, or say how often to try again
                ok
            "#]],
        );
    }
}
