//! K1018: a hook that cannot run: nothing of the kind ever happens, or it holds no step.

use crate::ast::Item;
use crate::program::{Block, Stmt, TaskBody};

use super::{Found, Lint, Subject};

pub(super) const LINT: Lint = Lint { code: "K1018", look };

fn look(subject: &Subject<'_>, found: &mut Found) {
    let nodes = || {
        let stages = subject.stages.iter().map(|stage| &stage.body);
        let tasks = subject.tasks.iter().filter_map(|task| match &task.body {
            TaskBody::Steps { body, .. } => Some(body),
            TaskBody::Native | TaskBody::Script(_) => None,
        });
        stages.chain(tasks).any(loops)
    };
    for item in &subject.tree.items {
        let Item::On { event, block } = item else { continue };
        let words: Vec<&str> = subject.text(*event).split_whitespace().collect();
        match words.as_slice() {
            ["failure"] => {}
            _ if block.stmts.is_empty() => {
                let message = format!("`on {}` holds no step, so nothing happens", words.join(" "));
                found.add(
                    *event,
                    message,
                    "nothing is done here",
                    "say what is to be told or asked, or remove it",
                );
            }
            ["node", ..] if !nodes() => {
                let message = format!("`on {}` never happens: no `each` goes over nodes", words.join(" "));
                let hint = "write `on step`, or put the steps into `each node in ... { }`";
                found.add(*event, message, "never happens here", hint);
            }
            _ => {}
        }
    }
}

fn loops(block: &Block) -> bool {
    block.0.iter().any(|stmt| match stmt {
        Stmt::Each(_) => true,
        Stmt::Step(_) => false,
        Stmt::If(choice) => loops(&choice.then) || loops(&choice.other),
        Stmt::When(choice) => loops(&choice.then) || loops(&choice.other),
        Stmt::Parallel(block) | Stmt::Sequence(block) => loops(block),
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::check;

    #[test]
    fn a_hook_has_an_event_that_comes_and_something_to_do() {
        let tell = "task tell (text: string) script \"\"\"say(text)\"\"\"\n";
        let one = "playbook \"p\"\nstage s { run command \"x\" on=local }\n";
        check(
            &format!(
                "{one}on node done {{ tell text=\"x\" }}\non run done {{ }}\non step done {{ tell text=\"x\" }}\n{tell}"
            ),
            expect![[r#"
                3:4 `node done` warning K1018 `on node done` never happens: no `each` goes over nodes
                    write `on step`, or put the steps into `each node in ... { }`
                4:4 `run done` warning K1018 `on run done` holds no step, so nothing happens
                    say what is to be told or asked, or remove it
                ok
            "#]],
        );
        check(
            &format!(
                "playbook \"p\"\nstage s {{ each node in workers {{ drain }} }}\non node done {{ tell text=\"x\" }}\n{tell}"
            ),
            expect![[r#"
                ok
            "#]],
        );
    }
}
