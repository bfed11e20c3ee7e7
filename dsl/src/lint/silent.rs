//! K1015: a title, a reason or a question that says nothing to whoever has to read it.

use crate::ast::{Expr, ExprKind, Item, PolicyKind, Stmt};

use super::walk::blocks;
use super::{Found, Lint, Subject};

pub(super) const LINT: Lint = Lint { code: "K1015", look };

fn look(subject: &Subject<'_>, found: &mut Found) {
    let is_empty = |text: &Expr| matches!(&text.kind, ExprKind::Text(text) if text.trim().is_empty());
    for item in &subject.tree.items {
        if let Item::Playbook { title, .. } = item
            && is_empty(title)
        {
            found.add(
                title.span,
                "the title says nothing".to_string(),
                "empty",
                "say what the playbook does",
            );
        }
    }
    blocks(subject.tree, &mut |_, block| {
        for stmt in &block.stmts {
            let Stmt::Policy(policy) = stmt else { continue };
            match &policy.kind {
                PolicyKind::Allow(law, reason) if is_empty(reason) => {
                    let message = format!("`{}` is lifted without a reason", subject.text(*law));
                    found.add(
                        reason.span,
                        message,
                        "empty",
                        "say why it may be, for whoever reads the report",
                    );
                }
                PolicyKind::Approve(question) if is_empty(question) => {
                    let message = "nobody can say yes to this question".to_string();
                    found.add(question.span, message, "empty", "ask what somebody must have looked at");
                }
                PolicyKind::Allow(..)
                | PolicyKind::Approve(_)
                | PolicyKind::Window(_)
                | PolicyKind::Timeout(_)
                | PolicyKind::Retry(..)
                | PolicyKind::Undo(_)
                | PolicyKind::Name(_)
                | PolicyKind::Long
                | PolicyKind::Before(_)
                | PolicyKind::After(_)
                | PolicyKind::Hosts(_) => {}
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::check;

    #[test]
    fn a_title_a_reason_and_a_question_say_something() {
        check(
            "playbook \" \"\nstage s {\n approve \"  \"\n each node in workers {\n allow no-skew \"\"\n drain { allow budget \"it is empty\" }\n}\n}",
            expect![[r#"
                1:10 `" "` warning K1015 the title says nothing
                    say what the playbook does
                3:10 `"  "` warning K1015 nobody can say yes to this question
                    ask what somebody must have looked at
                5:16 `""` warning K1015 `no-skew` is lifted without a reason
                    say why it may be, for whoever reads the report
                ok
            "#]],
        );
    }
}
