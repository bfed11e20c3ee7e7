//! K1007: a `soak` or a `canary` that has no effect, because no lane goes first.

use crate::program::ExprKind;
use crate::value::Value;

use super::walk::{Site, sites};
use super::{Found, Lint, Subject, cut};

pub(super) const LINT: Lint = Lint { code: "K1007", look };

fn look(subject: &Subject<'_>, found: &mut Found) {
    sites(subject, &mut |site, _| {
        let Site::Each(each) = site else { return };
        match (&each.canary, &each.soak) {
            (None, Some(soak)) => {
                let message = "`soak` waits behind the canaries, and there are none".to_string();
                found.add(soak.span, message, "waits for nothing", "add `canary=1`, or leave `soak` out");
            }
            (Some(canary), _) if matches!(canary.kind, ExprKind::Literal(Value::Number(0))) => {
                let message = "no lane goes first with `canary=0`, and so it is without it".to_string();
                let cut = cut::argument(subject, "canary", canary.span);
                let hint = "write `canary=1`, or leave it out";
                found.add_with_cut(canary.span, message, "none of them", hint, cut);
            }
            (Some(_) | None, _) => {}
        }
    });
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::steps;

    #[test]
    fn a_soak_waits_for_canaries() {
        steps(
            "each node in workers soak=5m { drain }\neach node in workers canary=0 soak=5m { drain }\n\
             each node in workers canary=1 soak=5m { drain }",
            expect![[r#"
                3:27 `5m` warning K1007 `soak` waits behind the canaries, and there are none
                    add `canary=1`, or leave `soak` out
                4:29 `0` warning K1007 no lane goes first with `canary=0`, and so it is without it
                    write `canary=1`, or leave it out
                ok
            "#]],
        );
    }
}
