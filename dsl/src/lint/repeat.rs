//! K1009: a `retry` behind a verb whose header says that its work is long, cannot be taken back, and
//! is not tried again.

use crate::ast::PolicyKind;
use crate::program::{TaskBody, UndoClass};

use super::walk::{Site, sites};
use super::{Found, Lint, Subject, cut};

pub(super) const LINT: Lint = Lint { code: "K1009", look };

fn look(subject: &Subject<'_>, found: &mut Found) {
    sites(subject, &mut |site, _| {
        let Site::Step(step) = site else { return };
        let task = &subject.tasks[step.task.0 as usize];
        let header = &task.header;
        let one_way = matches!(header.undo.as_slice(), [(UndoClass::OneWay(_), None)]);
        let retried = step.policy.retry.is_some_and(|retry| retry.times > 0);
        let native = matches!(task.body, TaskBody::Native);
        let again = header.policy.retry.is_some() || step.policy.undo.is_some();
        if native && retried && one_way && header.long && !again {
            let message =
                format!("`{}` cannot be taken back, and its header does not try it again", task.name);
            let hint = "leave `retry` out, so that a failure pauses the run";
            let cut = cut::policy(subject, step.span, |kind| matches!(kind, PolicyKind::Retry(..)));
            found.add_with_cut(step.span, message, "not to be done twice", hint, cut);
        }
    });
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::tests::check;

    #[test]
    fn what_is_long_and_has_no_way_back_is_not_repeated() {
        check(
            "playbook \"p\"\nuse std/kubeadm\nstage s { each node in workers { flash firmware { retry 3 }\n\
             flash firmware { retry 0 }\n kubeadm upgrade apply to=v1.34.2 { retry 3 }\n\
             run command \"x\" { retry 3 }\n}\n}\n\
             native task flash firmware (node: node = here)\n  disrupts node\n  undo none \"there is no old firmware\"\n  long\n  \
             timeout 1h\n",
            expect![[r#"
                3:34 `flash firmware` warning K1009 `flash firmware` cannot be taken back, and its header does not try it again
                    leave `retry` out, so that a failure pauses the run
                4:1 `flash firmware` warning K1010 this step is not tried again anyway
                    leave `retry 0` out, or say how often to try again
                ok
            "#]],
        );
    }
}
