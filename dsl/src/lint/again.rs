//! K1014: a `use` of what is in scope already.

use crate::ast::Item;

use super::{Found, Lint, Subject, cut};

pub(super) const LINT: Lint = Lint { code: "K1014", look };

fn look(subject: &Subject<'_>, found: &mut Found) {
    let mut seen: Vec<&str> = Vec::new();
    for item in &subject.tree.items {
        let Item::Use(paths) = item else { continue };
        for span in paths {
            let path = subject.text(*span);
            let (message, label) = if subject.always.contains(&path) {
                (format!("the verbs of `{path}` are always in scope"), "brings nothing in")
            } else if seen.contains(&path) {
                (format!("`{path}` is in use already"), "second time")
            } else {
                seen.push(path);
                continue;
            };
            found.add_with_cut(
                *span,
                message,
                label,
                "leave it out",
                cut::module(subject.sources, subject.tree, *span),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::check;

    #[test]
    fn what_is_in_scope_needs_no_second_use() {
        check(
            "use std/node, std/etcd\nuse std/etcd\nplaybook \"p\"\nstage s { drain node=local\n etcd snapshot into=\"./s\" }",
            expect![[r#"
                1:5 `std/node` warning K1014 the verbs of `std/node` are always in scope
                    leave it out
                2:5 `std/etcd` warning K1014 `std/etcd` is in use already
                    leave it out
                ok
            "#]],
        );
    }
}
