//! K1001: a loop variable, a result or a task's parameter that hides a name which means something else around
//! it.

use crate::ast::{self, Item};
use crate::span::Span;

use super::{Found, Lint, Subject};

pub(super) const LINT: Lint = Lint { code: "K1001", look };

/// The sets that every playbook has.
const SETS: [&str; 4] = ["nodes", "control_plane", "workers", "etcd"];

fn look(subject: &Subject<'_>, found: &mut Found) {
    let mut names: Vec<(&str, &str)> = SETS.map(|set| (set, "the set")).to_vec();
    names.extend(subject.params.iter().map(|p| (p.name.as_str(), "the param")));
    for item in &subject.tree.items {
        match item {
            Item::Stage { block, .. } => loops(subject, block, &mut names, found),
            Item::Task(task) => {
                let outside = names.len();
                for param in task.positional.iter().chain(&task.named) {
                    tell(subject, param.name, &names[..outside], found);
                    names.push((subject.text(param.name), "the parameter"));
                }
                if let ast::TaskBody::Block(block) = &task.body {
                    loops(subject, block, &mut names, found);
                }
                names.truncate(outside);
            }
            Item::Use(_) | Item::Playbook { .. } | Item::Param(_) | Item::On { .. } | Item::Test(_) => {}
        }
    }
}

fn loops<'s>(
    subject: &'s Subject<'_>,
    block: &ast::Block,
    names: &mut Vec<(&'s str, &'static str)>,
    found: &mut Found,
) {
    let outside = names.len();
    for stmt in &block.stmts {
        match stmt {
            ast::Stmt::Let(name, _) => {
                tell(subject, *name, names, found);
                names.push((subject.text(*name), "the result"));
            }
            ast::Stmt::Each(each) => {
                tell(subject, each.name, names, found);
                names.push((subject.text(each.name), "the loop variable"));
                loops(subject, &each.block, names, found);
                names.pop();
            }
            ast::Stmt::If(choice) | ast::Stmt::When(choice) => {
                let blocks = choice.arms.iter().map(|(_, block)| block).chain(&choice.other);
                blocks.for_each(|block| loops(subject, block, names, found));
            }
            ast::Stmt::Parallel(block) => loops(subject, block, names, found),
            ast::Stmt::Step(_) | ast::Stmt::Gives(_) | ast::Stmt::Policy(_) => {}
        }
    }
    names.truncate(outside);
}

fn tell(subject: &Subject<'_>, span: Span, names: &[(&str, &str)], found: &mut Found) {
    let name = subject.text(span);
    if let Some((_, what)) = names.iter().rev().find(|(known, _)| *known == name) {
        found.add(
            span,
            format!("`{name}` hides {what} `{name}`"),
            "the same name again",
            "give one of the two another name",
        );
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::{check, steps};

    #[test]
    fn a_loop_variable_that_hides_a_set_a_param_or_another_loop() {
        check(
            "playbook \"p\"\nparam image: string\nstage s {\n\
             each etcd in etcd { drain etcd }\n\
             each image in [\"a\", \"b\"] { run command \"${image}\" on=local }\n\
             each node in workers { each node in control_plane { drain node }\n}\n}\n\
             task show it () { run command \"${image}\" on=local }\nstage t { show it }",
            expect![[r#"
                4:6 `etcd` warning K1001 `etcd` hides the set `etcd`
                    give one of the two another name
                5:6 `image` warning K1001 `image` hides the param `image`
                    give one of the two another name
                6:29 `node` warning K1001 `node` hides the loop variable `node`
                    give one of the two another name
                ok
            "#]],
        );
    }

    #[test]
    fn a_name_that_is_free_again_behind_its_loop_hides_nothing() {
        steps(
            "each node in control_plane { drain node }\neach node in workers { drain node }",
            expect![[r#"
                ok
            "#]],
        );
    }

    #[test]
    fn a_parameter_of_a_task_that_hides_one_of_the_playbook() {
        check(
            "playbook \"p\"\nparam line: string\nstage s { say line=line }\n\
             task say (; line: string, node: node? = here) { run command \"${line} ${node}\" on=local }",
            expect![[r#"
                4:13 `line` warning K1001 `line` hides the param `line`
                    give one of the two another name
                ok
            "#]],
        );
    }
}
