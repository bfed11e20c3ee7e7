//! K1020: a `when` that waits for nothing, so that it is decided before the run, and an `if` says so.

use std::collections::HashSet;

use crate::program::{Block, Expr, ExprKind, Stmt};

use super::constant::depends;
use super::{Found, Lint, Subject};

pub(super) const LINT: Lint = Lint { code: "K1020", look };

fn look(subject: &Subject<'_>, found: &mut Found) {
    // What a task is given may be a result, so only stages are judged.
    for stage in subject.stages {
        within(&stage.body, &mut HashSet::new(), found);
    }
}

fn within(block: &Block, results: &mut HashSet<u32>, found: &mut Found) {
    for stmt in &block.0 {
        match stmt {
            Stmt::Step(step) => results.extend(step.result.as_ref().map(|result| result.slot)),
            Stmt::Each(each) => within(&each.body, results, found),
            Stmt::If(choice) => {
                within(&choice.then, results, found);
                within(&choice.other, results, found);
            }
            Stmt::When(choice) => {
                // What depends on nothing at all is told as that.
                if depends(&choice.cond) && !waits(&choice.cond, results) {
                    let message = "this is known when the plan is made".to_string();
                    let hint = "use `if`: then the plan has only the steps that are done";
                    found.add(choice.cond.span, message, "waits for nothing", hint);
                }
                within(&choice.then, results, found);
                within(&choice.other, results, found);
            }
            Stmt::Parallel(block) | Stmt::Sequence(block) => within(block, results, found),
        }
    }
}

fn waits(cond: &Expr, results: &HashSet<u32>) -> bool {
    cond.any(&mut |part| match &part.kind {
        ExprKind::Local(slot) => results.contains(slot),
        ExprKind::Result(..) => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::steps;

    #[test]
    fn a_when_waits_for_a_result() {
        steps(
            "each node in workers {\nlet a = read command \"a\"\nwhen node.gpu > 0 { drain }\n\
             when node.gpu > 0 and a == \"x\" { uncordon }\n}",
            expect![[r#"
                5:6 `node.gpu > 0` warning K1020 this is known when the plan is made
                    use `if`: then the plan has only the steps that are done
                ok
            "#]],
        );
    }
}
