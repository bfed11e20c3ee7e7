//! K1016: a loop over a list whose lanes all do the same, because none looks at its element.

use crate::value::Type;

use super::walk::{Site, mentions, policy_mentions, sites};
use super::{Found, Lint, Subject};

pub(super) const LINT: Lint = Lint { code: "K1016", look };

fn look(subject: &Subject<'_>, found: &mut Found) {
    sites(subject, &mut |site, _| {
        let Site::Each(each) = site else { return };
        // A lane of a node is about it, also where nobody names it.
        let Type::List(of) = &each.over.ty else { return };
        if **of == Type::Node || each.body.0.is_empty() {
            return;
        }
        if !mentions(&each.body, each.slot) && !policy_mentions(&each.policy, each.slot) {
            let message = format!("no step looks at `{}`, so every lane does the same", each.name);
            found.add(
                each.span,
                message,
                "every lane is the same",
                "use the loop variable, or leave the loop out",
            );
        }
    });
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::steps;

    #[test]
    fn lanes_that_all_do_the_same() {
        steps(
            "each x in [\"a\", \"b\"] { run command \"date\" on=local }\n\
             each x in [\"a\", \"b\"] { run command \"date\" on=local { name \"${x}\" } }\n\
             each x in [\"a\", \"b\"] { each node in workers where zone == x { drain } }\n\
             each node in workers { run command \"date\" on=local }",
            expect![[r#"
                3:1 `each x in ["a", "b"]` warning K1016 no step looks at `x`, so every lane does the same
                    use the loop variable, or leave the loop out
                ok
            "#]],
        );
    }
}
