//! K1015: a title or a reason that says nothing to whoever has to read it.

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
            found.add(title.span, "the title says nothing".to_string(), "say what the playbook does");
        }
    }
    blocks(subject.tree, &mut |_, block| {
        for stmt in &block.stmts {
            if let Stmt::Policy(policy) = stmt
                && let PolicyKind::Allow(law, reason) = &policy.kind
                && is_empty(reason)
            {
                let message = format!("`{}` is lifted without a reason", subject.text(*law));
                found.add(reason.span, message, "say why it may be, for whoever reads the report");
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::check;

    #[test]
    fn a_title_and_a_reason_say_something() {
        check(
            "playbook \" \"\nstage s { each node in workers {\n allow no-skew \"\"\n drain { allow budget \"it is empty\" }\n}\n}",
            expect![[r#"
                1:10 `" "` warning K1015 the title says nothing
                    say what the playbook does
                3:16 `""` warning K1015 `no-skew` is lifted without a reason
                    say why it may be, for whoever reads the report
                ok
            "#]],
        );
    }
}
