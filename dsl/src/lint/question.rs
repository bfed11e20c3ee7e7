//! K1021: a playbook that asks on the way, and nobody means to be there. No text shows it: who starts the run
//! with `--yes` knows.

use crate::diagnostic::{Diagnostic, Severity};
use crate::program::{Block, Expr, Policy, Program, Stmt, TaskBody};

/// Warns at the first question of a playbook that is run with `--yes`; `asks` says how often it asks: `asks once`.
pub fn unattended(program: &Program, asks: &str) -> Option<Diagnostic> {
    let stages = program.stages.iter().find_map(|stage| question(&stage.policy, &stage.body));
    let tasks = program.tasks.iter().find_map(|task| match &task.body {
        TaskBody::Steps { policy, body, .. } => question(policy, body),
        TaskBody::Native | TaskBody::Script(_) => None,
    });
    let question = program.policy.approve.as_ref().or(stages).or(tasks)?;
    Some(Diagnostic {
        code: "K1021",
        severity: Severity::Warning,
        message: format!("the playbook {asks} on the way, and `--yes` is no answer to that"),
        span: Some(question.span),
        label: "asked during the run".to_string(),
        hints: vec!["stay at the terminal, or answer a paused run with `kup approve`".to_string()],
        patch: None,
    })
}

fn question<'p>(policy: &'p Policy, block: &'p Block) -> Option<&'p Expr> {
    policy.approve.as_ref().or_else(|| within(block))
}

fn within(block: &Block) -> Option<&Expr> {
    block.0.iter().find_map(|stmt| match stmt {
        Stmt::Step(step) => step.policy.approve.as_ref(),
        Stmt::Each(each) => question(&each.policy, &each.body),
        Stmt::If(choice) => within(&choice.then).or_else(|| within(&choice.other)),
        Stmt::When(choice) => within(&choice.then).or_else(|| within(&choice.other)),
        Stmt::Parallel(block) | Stmt::Sequence(block) => within(block),
    })
}

#[cfg(test)]
mod tests {
    use super::unattended;
    use crate::tests::run;

    #[test]
    fn the_first_question_is_where_it_is_told() {
        let text = "playbook \"p\"\nstage s { each n in workers {\n if n.ready { drain n }\n else { rest n }\n} }\n\
                    task rest (node: node = here) {\n approve \"now?\"\n drain node { approve \"really?\" }\n}\n";
        let checked = run(&[("test.kup", text)]);
        let told = unattended(&checked.program.unwrap(), "asks once").unwrap();
        assert_eq!(checked.sources.slice(told.span.unwrap()), "\"now?\"");
        assert_eq!(told.message, "the playbook asks once on the way, and `--yes` is no answer to that");
    }

    #[test]
    fn a_playbook_without_a_question_may_be_left_alone() {
        let checked = run(&[("test.kup", "playbook \"p\"\nstage s { run command \"x\" on=local }\n")]);
        assert!(unattended(&checked.program.unwrap(), "asks once").is_none());
    }
}
