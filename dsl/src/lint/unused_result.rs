//! K1019: a result that nobody looks at.

use crate::program::{Binding, Block, Stmt, TaskBody};

use super::walk::{looks_at, mentions};
use super::{Found, Lint, Subject};

pub(super) const LINT: Lint = Lint { code: "K1019", look };

fn look(subject: &Subject<'_>, found: &mut Found) {
    let tasks = subject.tasks.iter().filter(|task| task.span.file == Subject::ROOT);
    let bodies = tasks.filter_map(|task| match &task.body {
        TaskBody::Steps { body, gives, .. } => Some((body, gives.as_ref())),
        TaskBody::Native | TaskBody::Script(_) => None,
    });
    // A slot means the same in all of a stage, and in all of a task.
    for (body, gives) in subject.stages.iter().map(|stage| (&stage.body, None)).chain(bodies) {
        let mut results = Vec::new();
        named(body, &mut results);
        for result in results {
            let is_given = gives.is_some_and(|gives| looks_at(gives, result.slot));
            if !is_given && !mentions(body, result.slot) {
                let message = format!("nobody looks at the result `{}`", result.name);
                found.add(result.span, message, "never used", "use it, or write the step without `let`");
            }
        }
    }
}

/// Finds the results that have a name.
fn named<'p>(block: &'p Block, into: &mut Vec<&'p Binding>) {
    for stmt in &block.0 {
        match stmt {
            Stmt::Step(step) => into.extend(&step.result),
            Stmt::Each(each) => named(&each.body, into),
            Stmt::If(choice) => {
                named(&choice.then, into);
                named(&choice.other, into);
            }
            Stmt::When(choice) => {
                named(&choice.then, into);
                named(&choice.other, into);
            }
            Stmt::Parallel(block) | Stmt::Sequence(block) => named(block, into),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::steps;

    #[test]
    fn a_result_has_a_reader() {
        steps(
            "let a = read command \"a\" on=local\nlet b = read command \"b\" on=local\n\
             when b == \"x\" { let c = read command \"c\" on=local\n\
             run command \"x\" on=local { undo { run command \"back to ${c}\" on=local } } }\n\
             let d = read command \"d\" on=local\nrun command \"y\" on=local { name \"y for ${d}\" }",
            expect![[r#"
                3:5 `a` warning K1019 nobody looks at the result `a`
                    use it, or write the step without `let`
                ok
            "#]],
        );
    }
}
