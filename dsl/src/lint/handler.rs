//! K1011: a handler that stands above a stage, where a reader takes it for one of the steps.

use crate::ast::Item;

use super::{Found, Lint, Subject};

pub(super) const LINT: Lint = Lint { code: "K1011", look };

fn look(subject: &Subject<'_>, found: &mut Found) {
    let items = &subject.tree.items;
    let last = items.iter().rposition(|item| matches!(item, Item::Stage { .. }));
    for item in &items[..last.unwrap_or(0)] {
        if let Item::On { event, .. } = item {
            let message =
                format!("`on {}` is of the whole playbook, and stages follow it", subject.text(*event));
            found.add(*event, message, "stages stand below", "move it behind the last stage");
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::check;

    #[test]
    fn a_handler_stands_behind_the_stages() {
        let stage = "stage s { run command \"x\" on=local }\n";
        check(
            &format!("playbook \"p\"\non failure {{ rollback }}\n{stage}"),
            expect![[r#"
            2:4 `failure` warning K1011 `on failure` is of the whole playbook, and stages follow it
                move it behind the last stage
            ok
        "#]],
        );
        check(
            &format!("playbook \"p\"\n{stage}on failure {{ rollback }}\n"),
            expect![[r#"
            ok
        "#]],
        );
    }
}
