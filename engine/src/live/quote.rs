//! The one place where a command becomes a line of shell. ssh joins arguments with spaces and hands
//! one string to the login shell, so everything that reaches it is quoted here.

use crate::port::{Command, ShellError};

/// Runs its arguments and passes the exit code on. The explicit exit keeps the shell from becoming the
/// program, so that death by a signal arrives as 128 + n and not as a lost connection.
const WRAP: &str = r#""$@"; exit $?"#;

/// Returns the words that run a command, with sudo and environment.
pub(super) fn words(command: &Command, is_root: bool) -> Result<Vec<String>, ShellError> {
    let refuse = |why: String| Err(ShellError::Refused(why));
    let Some(program) = command.argv.first() else {
        return refuse("a command needs a program".to_string());
    };
    // `env` and `sudo` take a first word with `=` for a variable, and one with `-` for an option.
    if program.is_empty() || program.contains('=') || program.starts_with('-') {
        return refuse(format!("`{}` is not the name of a program", program.escape_debug()));
    }
    let mut words = vec!["env".to_string(), "LC_ALL=C".to_string()];
    if command.root && !is_root {
        words.extend(["sudo", "-n", "--"].map(String::from));
    }
    if !command.env.is_empty() {
        words.push("env".to_string()); // behind sudo, which drops the environment
    }
    for (name, value) in &command.env {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !plain || name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
            return refuse(format!("`{}` is not the name of a variable", name.escape_debug()));
        }
        words.push(format!("{name}={value}"));
    }
    words.extend(command.argv.iter().cloned());
    Ok(words)
}

/// Returns one line for the login shell of a node.
pub(super) fn line(words: &[String]) -> Result<String, ShellError> {
    let wrapped = ["sh", "-c", WRAP, "sh"].into_iter().chain(words.iter().map(String::as_str));
    shlex::try_join(wrapped).map_err(|_| ShellError::Refused("a word holds a NUL byte".to_string()))
}

/// Exit code of the scripts below: the file does not exist.
pub(super) const MISSING: i32 = 66;

/// Prints a file.
pub(super) fn cat(path: &str) -> Result<Command, ShellError> {
    let script = format!(r#"test -e "$1" || exit {MISSING}; exec cat -- "$1""#);
    Ok(Command::read(["sh", "-c", &script, "sh", absolute(path)?]).as_root())
}

/// Replaces a file by what comes from standard input.
pub(super) fn replace(path: &str, content: &[u8], mode: u32) -> Result<Command, ShellError> {
    let script = r#"umask 077; cat > "$1.kup-new" && chmod -- "$2" "$1.kup-new" && mv -f -- "$1.kup-new" "$1" || { rm -f -- "$1.kup-new"; exit 1; }"#;
    let mode = format!("{mode:04o}");
    let mut command = Command::change(["sh", "-c", script, "sh", absolute(path)?, &mode]);
    command.stdin = content.to_vec();
    Ok(command)
}

fn absolute(path: &str) -> Result<&str, ShellError> {
    match path.starts_with('/') {
        true => Ok(path),
        false => Err(ShellError::Refused(format!("`{}` is not an absolute path", path.escape_debug()))),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(command: Command, is_root: bool, expected: Expect) {
        expected
            .assert_eq(&words(&command, is_root).and_then(|w| line(&w)).unwrap_or_else(|e| e.to_string()));
    }

    #[test]
    fn the_environment_stands_behind_sudo() {
        let install =
            Command::change(["apt-get", "install", "kubeadm=1.34.*"]).with_env("DEBIAN_FRONTEND", "a b");
        check(
            install.clone(),
            false,
            expect![[
                r#"sh -c '"$@"; exit $?' sh env 'LC_ALL=C' sudo -n -- env 'DEBIAN_FRONTEND=a b' apt-get install 'kubeadm=1.34.*'"#
            ]],
        );
        check(
            install,
            true,
            expect![[
                r#"sh -c '"$@"; exit $?' sh env 'LC_ALL=C' env 'DEBIAN_FRONTEND=a b' apt-get install 'kubeadm=1.34.*'"#
            ]],
        );
    }

    #[test]
    fn two_thousand_hostile_words_reach_a_program_as_they_are() {
        let all = crate::hostile::strings(2000, 5);
        for some in all.chunks(100) {
            let argv = ["printf", "%s\\0"].into_iter().chain(some.iter().map(String::as_str));
            let line = line(&words(&Command::read(argv), true).unwrap()).unwrap();
            let ran = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            let said = String::from_utf8(ran.stdout).unwrap();
            let arrived: Vec<&str> = said.split_terminator('\0').collect();
            assert_eq!(arrived, some);
        }
        assert!(!std::path::Path::new(crate::hostile::CANARY).exists(), "something was executed");
    }

    #[test]
    fn no_word_becomes_an_option_a_variable_or_a_second_command() {
        check(Command::read(["-x"]), true, expect!["`-x` is not the name of a program"]);
        check(Command::read(["A=b", "id"]), true, expect!["`A=b` is not the name of a program"]);
        check(Command::read([""; 0]), true, expect!["a command needs a program"]);
        check(Command::read(["a\0b"]), true, expect!["a word holds a NUL byte"]);
        check(
            Command::read(["id"]).with_env("a;b", ""),
            true,
            expect!["`a;b` is not the name of a variable"],
        );
        assert!(cat("etc/passwd").is_err());
    }
}
