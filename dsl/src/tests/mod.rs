//! What the language says to a text: one test a construct, one a mistake. Findings are drawn as
//! `line:column code message` with the underlined text, the program as `ok`.

mod ask;
mod format;
mod mends;
mod mistakes;
mod never;
mod newcomer;
mod pages;
mod shipped;
mod words;

use expect_test::Expect;

use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{BadScript, LoadError, Loader, Sources};
use crate::{Checked, check as check_program};

/// The shipped modules, and files of a test.
pub(crate) struct Files<'t>(pub(crate) &'t [(&'t str, &'t str)]);

pub(crate) const STD: [(&str, &str); 11] = [
    ("std/run", include_str!("../../../stdlib/kup/run.kup")),
    ("std/node", include_str!("../../../stdlib/kup/node.kup")),
    ("std/preflight", include_str!("../../../stdlib/kup/preflight.kup")),
    ("std/etcd", include_str!("../../../stdlib/kup/etcd.kup")),
    ("std/kubeadm", include_str!("../../../stdlib/kup/kubeadm.kup")),
    ("std/windows", include_str!("../../../stdlib/kup/windows.kup")),
    ("std/addon", include_str!("../../../stdlib/kup/addon.kup")),
    ("std/os", include_str!("../../../stdlib/kup/os.kup")),
    ("std/validate", include_str!("../../../stdlib/kup/validate.kup")),
    ("std/gate", include_str!("../../../stdlib/kup/gate.kup")),
    ("std/notify", include_str!("../../../stdlib/kup/notify.kup")),
];

pub(crate) const PRELUDE: [&str; 2] = ["std/run", "std/node"];

impl Loader for Files<'_> {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        let all = self.0.iter().chain(&STD);
        all.clone()
            .find(|(name, _)| *name == path)
            .map(|(_, text)| (*text).to_string())
            .ok_or(LoadError::NotFound)
    }

    fn shipped(&self) -> Vec<&'static str> {
        STD.iter().map(|(name, _)| *name).collect()
    }

    /// Knows of scripts only that brackets must be closed.
    fn script(&self, text: &str, _: &[&str]) -> Result<(), BadScript> {
        let open = text.matches('(').count().checked_sub(text.matches(')').count());
        match (open, text.find(';')) {
            (Some(1..), Some(at)) => Err(BadScript { at, message: "`)` is missing".to_string() }),
            _ => Ok(()),
        }
    }
}

pub(crate) fn run(files: &[(&str, &str)]) -> Checked {
    check_program(files[0].0, &Files(files), &PRELUDE)
}

/// Checks one file and compares what is said.
pub(crate) fn check(text: &str, expect: Expect) {
    expect.assert_eq(&draw(&run(&[("test.kup", text)])));
}

/// Checks statements within a stage.
pub(crate) fn steps(text: &str, expect: Expect) {
    check(&format!("playbook \"p\"\nstage s {{\n{text}\n}}\n"), expect);
}

pub(crate) fn draw(checked: &Checked) -> String {
    let mut out: String = checked.diagnostics.iter().map(|d| line(&checked.sources, d)).collect();
    if checked.program.is_some() {
        out.push_str("ok\n");
    }
    out
}

fn line(sources: &Sources, d: &Diagnostic) -> String {
    let mut out = match d.span {
        Some(span) => {
            let (line, column) = sources.line_col(span.file, span.start);
            let file = if span.file.0 == 0 { String::new() } else { format!("{}:", sources.path(span.file)) };
            let under = sources.slice(span).lines().next().unwrap_or_default();
            format!("{file}{line}:{column} `{under}` ")
        }
        None => String::new(),
    };
    if d.severity == Severity::Warning {
        out.push_str("warning ");
    }
    out.push_str(&format!("{} {}\n", d.code, d.message));
    for hint in &d.hints {
        out.push_str(&format!("    {hint}\n"));
    }
    out
}
