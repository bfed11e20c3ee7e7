//! K1021: a playbook that asks on the way, and nobody means to be there. No text shows it: who starts the run
//! with `--yes` knows.

use std::collections::HashSet;

use crate::diagnostic::{Diagnostic, Severity};
use crate::program::{Block, Expr, Policy, Program, Stmt, TaskBody, TaskId};

/// Warns at the first question of a playbook that is run with `--yes`; `asks` says how often it asks: `asks once`.
pub fn unattended(program: &Program, asks: &str) -> Option<Diagnostic> {
    let mut search = Search { program, seen: HashSet::new() };
    let mut stages = program.stages.iter();
    let asked = || stages.find_map(|stage| search.scope(&stage.policy, &stage.body));
    let question = program.policy.approve.as_deref().or_else(asked)?;
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

/// Looks for a question from the stages down into the tasks that they call, in the order of the steps.
struct Search<'p> {
    program: &'p Program,
    /// The tasks that were gone through, none of which asks.
    seen: HashSet<TaskId>,
}

impl<'p> Search<'p> {
    fn scope(&mut self, policy: &'p Policy, block: &'p Block) -> Option<&'p Expr> {
        policy.approve.as_deref().or_else(|| self.block(block))
    }

    fn block(&mut self, block: &'p Block) -> Option<&'p Expr> {
        block.0.iter().find_map(|stmt| match stmt {
            Stmt::Step(step) => step.policy.approve.as_deref().or_else(|| self.task(step.task)),
            Stmt::Each(each) => self.scope(&each.policy, &each.body),
            Stmt::If(choice) => self.block(&choice.then).or_else(|| self.block(&choice.other)),
            Stmt::When(choice) => self.block(&choice.then).or_else(|| self.block(&choice.other)),
            Stmt::Parallel(block) | Stmt::Sequence(block) => self.block(block),
        })
    }

    fn task(&mut self, id: TaskId) -> Option<&'p Expr> {
        if !self.seen.insert(id) {
            return None;
        }
        match &self.program.tasks[id.0 as usize].body {
            TaskBody::Steps { policy, body, .. } => self.scope(policy, body),
            TaskBody::Native | TaskBody::Script(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::unattended;
    use crate::tests::run;

    /// Returns what is underlined, and what is said.
    fn told(text: &str) -> Option<(String, String)> {
        let checked = run(&[("test.kup", text)]);
        let told = unattended(&checked.program.unwrap(), "asks once")?;
        Some((checked.sources.slice(told.span.unwrap()).to_string(), told.message))
    }

    #[test]
    fn the_first_question_is_where_it_is_told() {
        let text = "playbook \"p\"\nstage s { each n in workers {\n if n.ready { drain n }\n else { rest n }\n} }\n\
                    task rest (node: node = here) {\n approve \"now?\"\n drain node { approve \"really?\" }\n}\n";
        let (question, message) = told(text).unwrap();
        assert_eq!(question, "\"now?\"");
        assert_eq!(message, "the playbook asks once on the way, and `--yes` is no answer to that");
    }

    #[test]
    fn what_is_never_called_asks_nobody() {
        let tasks = "task lost (node: node = here) {\n approve \"never?\"\n drain node\n}\n\
                     task deep (node: node = here) { drain node { approve \"deep?\" } }\n\
                     task outer (node: node = here) { uncordon node\n deep node }\n";
        let text =
            |step: &str| format!("playbook \"p\"\nstage s {{ each n in workers {{\n {step}\n}} }}\n{tasks}");
        assert_eq!(told(&text("drain n")), None);
        assert_eq!(told(&text("outer n")).unwrap().0, "\"deep?\"");
        assert_eq!(told(&text("outer n\n drain n { approve \"late?\" }")).unwrap().0, "\"deep?\"");
    }

    #[test]
    fn a_playbook_without_a_question_may_be_left_alone() {
        assert_eq!(told("playbook \"p\"\nstage s { run command \"x\" on=local }\n"), None);
    }
}
