//! What a failure on a node means: the exit code says that a command failed, `data/failures.toml`
//! says what kind of failure its words are, and what nobody has written down there is final.

use std::sync::LazyLock;

use engine::event::Failure;
use engine::port::{Output, ShellError};
use serde::Deserialize;

/// A failure that tools are known to tell.
#[derive(Debug, Deserialize)]
pub(super) struct Known {
    /// Names the kind.
    pub(super) name: String,
    /// What went wrong.
    pub(super) message: String,
    /// What a person could do next.
    pub(super) hint: String,
    tokens: Vec<String>,
    class: KnownClass,
    /// What a tool has said, word for word.
    #[cfg(test)]
    example: String,
    #[cfg(test)]
    source: String,
}

impl Known {
    /// Returns whether trying again will not help.
    pub(super) fn is_final(&self) -> bool {
        self.class == KnownClass::Final
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum KnownClass {
    Transient,
    Unknown,
    Final,
}

#[derive(Deserialize)]
struct Table {
    failure: Vec<Known>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    toml::from_str(include_str!("../../data/failures.toml"))
        // The file is compiled in, and a test reads it.
        .expect("data/failures.toml is well formed")
});

/// Returns what is known of such words.
pub(super) fn known(text: &str) -> Option<&'static Known> {
    TABLE.failure.iter().find(|known| known.tokens.iter().all(|token| text.contains(token)))
}

/// Returns the failure of a command that ended with an exit code other than 0. `what` is the command
/// in few words, e.g. `apt-get install`.
pub(super) fn classify(what: &str, output: &Output) -> Failure {
    let said = said(output);
    let tail = tail(&said);
    let Some(known) = known(&said) else {
        return Failure::last(format!("`{what}` ended with exit code {}", output.code)).with_output(tail);
    };
    let message = format!("`{what}`: {}", known.message);
    let failure = match known.class {
        KnownClass::Transient => Failure::transient(message),
        KnownClass::Unknown => Failure::unknown(message),
        KnownClass::Final => Failure::last(message),
    };
    failure.with_output(tail).with_hint(known.hint.as_str())
}

/// Returns the failure of a command that has no exit code.
pub(super) fn shell(error: &ShellError) -> Failure {
    match error {
        ShellError::Unreachable { machine, .. } => Failure::transient(error.to_string())
            .with_hint(format!("try `ssh {machine} true`; kup uses your ssh configuration")),
        ShellError::Lost { .. } => Failure::unknown(error.to_string()),
        ShellError::Refused(_) => Failure::last(error.to_string()),
    }
}

/// Returns both streams of a command, what it complained about last.
pub(super) fn said(output: &Output) -> String {
    match (output.stdout.trim_end(), output.stderr.trim_end()) {
        ("", err) => err.to_string(),
        (out, "") => out.to_string(),
        (out, err) => format!("{out}\n{err}"),
    }
}

/// Returns the last lines of a text, as much as fits a screen and printable only.
pub(super) fn tail(text: &str) -> String {
    const LINES: usize = 20;
    const CHARS: usize = 4000;
    let clean = printable(text);
    let lines: Vec<&str> = clean.lines().filter(|line| !line.trim().is_empty()).collect();
    let end = lines[lines.len().saturating_sub(LINES)..].join("\n");
    match end.char_indices().rev().nth(CHARS) {
        Some((cut, _)) => end[cut..].to_string(),
        None => end,
    }
}

/// Returns the text without what could paint a terminal: control characters and escape sequences.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.peek() == Some(&'[') => {
                chars.next();
                // A sequence ends with its first byte in `@` to `~`.
                while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            '\n' => out.push('\n'),
            '\t' => out.push(' '),
            c if c.is_control() || is_bidi(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// Returns whether a character turns the direction of the text around it.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use engine::event::Class;

    use super::*;

    fn class_of(stderr: &str) -> Class {
        classify("x", &Output { code: 100, stderr: stderr.to_string(), ..Output::default() }).class
    }

    #[test]
    fn every_known_failure_has_a_hint_and_a_source() {
        for known in &TABLE.failure {
            assert!(!known.tokens.is_empty() && !known.hint.is_empty(), "{}", known.name);
            assert!(!known.source.is_empty(), "{}", known.name);
        }
    }

    #[test]
    fn every_known_failure_has_an_example_that_is_no_other_and_has_its_class() {
        for entry in &TABLE.failure {
            let found = known(&entry.example).unwrap_or_else(|| panic!("nothing knows: {}", entry.example));
            assert!(std::ptr::eq(found, entry), "`{}` is taken for {}", entry.example, found.name);
            let class = match entry.class {
                KnownClass::Transient => Class::Transient,
                KnownClass::Unknown => Class::Unknown,
                KnownClass::Final => Class::Final,
            };
            assert_eq!(class_of(&entry.example), class, "{}", entry.name);
        }
    }

    #[test]
    fn what_tools_say_has_its_class() {
        let transient = [
            "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1 (apt)",
            "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.",
            "E: Failed to fetch http://x/Packages  503  Service Unavailable",
            "configmaps \"kubelet-config\" is forbidden: User \"system:node:n1\" cannot get resource",
            "\t[ERROR ImagePull]: failed to pull image registry.k8s.io/etcd:3.6.4-0",
            "couldn't upgrade control plane. kubeadm has tried to recover everything into the earlier state. Errors faced: static Pod hash for component etcd on Node n1 did not change after 5m0s",
        ];
        let last = [
            "E: Version '1.34.3-1.1' for 'kubeadm' was not found",
            "W: GPG error: http://x InRelease: The following signatures were invalid: EXPKEYSIG 234654DA9A296436",
            "cp: error writing 'x': No space left on device",
            "couldn't upgrade control plane. kubeadm has tried to recover everything into the earlier state. Errors faced: broken",
            "\"command failed\" err=\"failed to parse kubelet flag: unknown flag: --x\"",
            "words that nobody has seen before",
        ];
        for text in transient {
            assert_eq!(class_of(text), Class::Transient, "{text}");
        }
        for text in last {
            assert_eq!(class_of(text), Class::Final, "{text}");
        }
    }

    #[test]
    fn hostile_output_cannot_paint_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mred\u{1b}[0m\u{7}\u{202e}\rb\tc\n"), "aredb c\n");
    }

    #[test]
    fn only_the_end_of_a_long_output_is_kept() {
        let long: String = (0..100).map(|n| format!("line {n}\n")).collect();
        assert!(tail(&long).starts_with("line 80\n") && tail(&long).ends_with("line 99"));
        assert!(tail(&"x".repeat(10_000)).len() <= 4001);
    }
}
