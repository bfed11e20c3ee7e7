//! K1003: a `batch` over control plane nodes, which go one at a time whatever is written.

use crate::program::{Expr, ExprKind, Func, Op, Set};

use super::walk::{Site, sites};
use super::{Found, Lint, Subject, cut};

pub(super) const LINT: Lint = Lint { code: "K1003", look };

/// The law that holds them to one.
const LAW: &str = "one-control-plane-at-a-time";

fn look(subject: &Subject<'_>, found: &mut Found) {
    sites(subject, &mut |site, around| {
        let Site::Each(each) = site else { return };
        let Some(batch) = &each.batch else { return };
        // In a task the caller may lift the law.
        let lifted =
            around.policies.iter().chain([&&each.policy]).any(|p| p.allow.iter().any(|(l, _)| l == LAW));
        if around.in_task || lifted || !only_control_plane(&each.over) {
            return;
        }
        let message = "control plane nodes go one at a time, whatever `batch` says".to_string();
        let cut = cut::argument(subject, "batch", batch.span);
        found.add_with_cut(batch.span, message, "counts for nothing", "leave `batch` out", cut);
    });
}

/// Returns whether a set can hold nothing but control plane nodes.
fn only_control_plane(set: &Expr) -> bool {
    match &set.kind {
        ExprKind::Set(set) => *set == Set::ControlPlane,
        ExprKind::Where(of, _) => only_control_plane(of),
        ExprKind::Call(Func::Rest | Func::First, of) => of.iter().all(only_control_plane),
        ExprKind::Binary(Op::Sub, left, _) => only_control_plane(left),
        ExprKind::Binary(Op::Add, left, right) => only_control_plane(left) && only_control_plane(right),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::steps;

    #[test]
    fn control_plane_nodes_go_one_at_a_time() {
        steps(
            "each node in rest(control_plane) batch=2 { drain }\neach node in nodes batch=2 { drain }",
            expect![[r#"
                3:40 `2` warning K1003 control plane nodes go one at a time, whatever `batch` says
                    leave `batch` out
                ok
            "#]],
        );
    }

    #[test]
    fn a_lifted_law_makes_the_batch_count() {
        steps(
            "each node in control_plane batch=2 {\n allow one-control-plane-at-a-time \"a rehearsal\"\n drain\n}",
            expect![[r#"
                ok
            "#]],
        );
    }
}
