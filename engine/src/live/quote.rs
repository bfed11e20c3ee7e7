//! The one place where a command becomes a line of shell. ssh joins arguments with spaces and hands
//! one string to the login shell, so everything that reaches it is quoted here.

use crate::port::{Command, Once, Output, ShellError};

/// Runs its arguments and passes the exit code on. The explicit exit keeps the shell from becoming the
/// program, so that death by a signal arrives as 128 + n and not as a lost connection.
const WRAP: &str = r#""$@"; exit $?"#;

/// Returns the words that run a command, with sudo and environment. The first one is a program.
pub(super) fn words(command: &Command, is_root: bool) -> Result<Vec<String>, ShellError> {
    let refuse = |why: String| Err(ShellError::Refused(why));
    let Some(program) = command.argv.first() else {
        return refuse("a command needs a program".to_string());
    };
    // `env` and `sudo` take a first word with `=` for a variable, and one with `-` for an option.
    if program.is_empty() || program.contains('=') || program.starts_with('-') {
        return refuse(format!("`{}` is not the name of a program", program.escape_debug()));
    }
    let mut words = Vec::with_capacity(command.argv.len() + 4);
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
    match words.iter().any(|word| word.contains('\0')) {
        true => refuse("a word holds a NUL byte".to_string()),
        false => Ok(words),
    }
}

/// What a shell is to run: a program with its arguments.
pub(super) struct Run {
    words: Vec<String>,
    how: How,
}

enum How {
    /// What it prints is text.
    Text,
    /// What it prints are bytes.
    Bytes,
    /// As text, and at most once: a file remembers it.
    Once(String),
}

impl Run {
    /// A command, with sudo and environment.
    pub(super) fn of(command: &Command, is_root: bool) -> Result<Run, ShellError> {
        Ok(Run { words: words(command, is_root)?, how: How::Text })
    }

    /// The same, with every byte of what it prints. A shell keeps no byte of zero, and needs another process for them.
    pub(super) fn bytes(command: &Command, is_root: bool) -> Result<Run, ShellError> {
        Ok(Run { words: words(command, is_root)?, how: How::Bytes })
    }

    /// A command that runs at most once, as [`Shell::once`](crate::port::Shell::once) says.
    pub(super) fn once(command: &Command, marker: &str, is_root: bool) -> Result<Run, ShellError> {
        let marker = absolute(marker)?.to_string();
        let run = words(&Command { root: false, ..command.clone() }, true)?;
        if is_root || !command.root {
            return Ok(Run { words: run, how: How::Once(marker) });
        }
        // Only root may write the marker.
        let argv = remembered(marker, run);
        Run::of(&Command { argv, env: Vec::new(), ..command.clone() }, is_root)
    }

    /// Returns one line for the login shell of a node.
    pub(super) fn line(self) -> Result<String, ShellError> {
        let words = match self.how {
            How::Once(marker) => remembered(marker, self.words),
            How::Text | How::Bytes => self.words,
        };
        join(["sh", "-c", WRAP, "sh", "env", "LC_ALL=C"].into_iter().chain(words.iter().map(String::as_str)))
    }

    /// Returns one line for a shell that stays: it runs the command with streams of its own, tells its exit code behind what it
    /// printed and a mark behind its errors, and ends its answer on both. As long as anybody holds a stream of the command it
    /// does not end. Each write wakes sshd and whoever stands between: text takes one for each stream.
    pub(super) fn fed(&self, mark: &str) -> Result<String, ShellError> {
        let words = join(self.words.iter().map(String::as_str))?;
        let (ended, end) = (format!("\\n{mark} %d\\n"), format!("\\n{mark} end\\n"));
        let heard = |run: String| format!("{{ {run}; printf '%s{ended}{end}' \"$said\" $? >&4; }} 2>&1");
        let told = match &self.how {
            How::Text if self.is_cat() => heard(format!("kup_{words}")),
            How::Text => heard(format!("kup_run {words}")),
            How::Once(marker) => heard(format!("kup_once {} {words}", join([marker.as_str()].into_iter())?)),
            How::Bytes => {
                let run = format!("{{ (exec {words}); printf '{ended}' $?; }} 2>&3 3>&- 4>&-");
                format!("{{ {run} | cat >&4; printf '{end}' >&4; }} 3>&1")
            }
        };
        // Whatever ends that shell, the one that stays goes on.
        let errors = format!("$({told} < /dev/null; printf '\\n{mark} errors\\n') || printf '{end}'");
        Ok(format!("errors={errors}; printf '%s\\n{end}' \"$errors\" >&2\n"))
    }

    /// Returns whether it prints files, and nothing else.
    fn is_cat(&self) -> bool {
        matches!(self.words.as_slice(), [cat, files @ ..] if cat == "cat" && files.iter().all(|file| file.starts_with('/')))
    }
}

/// The words of a shell that runs others at most once.
fn remembered(marker: String, words: Vec<String>) -> Vec<String> {
    let script = format!("{SPOKEN}\n{ONCE}\nkup_once \"$@\"");
    ["sh".to_string(), "-c".into(), script, "sh".into(), marker].into_iter().chain(words).collect()
}

fn join<'w>(words: impl Iterator<Item = &'w str>) -> Result<String, ShellError> {
    shlex::try_join(words).map_err(|_| ShellError::Refused("a word holds a NUL byte".to_string()))
}

/// The number of the user: as Linux says it without a process (proc(5), the second of `Uid`), or as `id` does.
const USER: &str = r#"user=; while read -r key _ user _; do [ "$key" != Uid: ] || break; done 2> /dev/null < /proc/self/status
echo "${user:-$(id -u)}""#;

/// How a shell prints a line and runs its arguments.
const SPOKEN: &str = r#"kup_say() { echo "$1"; }
kup_run() { (exec "$@"); }"#;

/// How it only remembers what is printed, which is lines of text; those of a file it reads without a process.
const HEARD: &str = r#"said=
kup_say() { said="$said$1
"; }
kup_run() {
output=$(exec "$@" 4>&-); code=$?
[ -z "$output" ] || kup_say "$output"
return $code
}
kup_cat() {
for file; do [ -f "$file" ] && [ -r "$file" ] || { kup_run cat "$@"; return; }; done
for file; do while IFS= read -r line || [ -n "$line" ]; do kup_say "$line"; done < "$file"; done
}"#;

/// Returns the first lines for a shell that stays: its output is its fourth stream from here on. Its answer is the number of
/// the user, behind [`began`].
pub(super) fn awake(mark: &str) -> String {
    let hello = format!("printf '\\n{mark} begin\\n'; {USER}; printf '\\n{mark} end\\n'");
    format!("exec 4>&1; export LC_ALL=C\n{HEARD}\n{ONCE}\n{hello}; printf '\\n{mark} end\\n' >&2\n")
}

/// What stands before the answer of such a shell; whatever a login printed stands before that.
pub(super) fn began(mark: &str) -> String {
    format!("\n{mark} begin\n")
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

/// Runs its arguments unless the file that is the first of them is there; the first line that it says tells which. Whoever
/// makes the file first may go on: `set -C` lets only one, and writes into it a moment later.
const ONCE: &str = r#"kup_once() {
m=$1; shift
if [ -e "$m" ]; then IFS= read -r word < "$m"; [ "$word" != none ] || rm -f -- "$m"; fi
[ -d "${m%/*}" ] || mkdir -p -m 0700 -- "${m%/*}" || return
set -C; { echo begun > "$m"; } 2> /dev/null; made=$?; set +C
if [ $made != 0 ]; then
  [ -e "$m" ] || { true > "$m"; return 1; }
  kup_say was
  [ -s "$m" ] || sleep 1
  kup_run cat -- "$m"; return
fi
kup_say new; kup_run "$@"; code=$?
if [ $code = 0 ]; then echo ended > "$m"; else rm -f -- "$m"; fi
return $code
}"#;

/// Takes apart what such a command printed. `None`: it was neither run nor had been.
pub(super) fn of_once(output: Output) -> Option<Once> {
    match output.stdout.split_once('\n')? {
        ("new", said) => Some(Once::Ended(Output { stdout: said.to_string(), ..output })),
        ("was", said) if output.ok() => Some(Once::Before(said.to_string())),
        _ => None,
    }
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
    use crate::port::{BEGUN, ENDED, NEVER};

    fn check(command: Command, is_root: bool, expected: Expect) {
        expected.assert_eq(&Run::of(&command, is_root).and_then(Run::line).unwrap_or_else(|e| e.to_string()));
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
    fn a_shell_that_stays_gives_a_command_streams_of_its_own_and_tells_how_it_ended() {
        let (echo, cat) = (Command::read(["echo", "a b"]), Command::read(["cat", "/a b", "/c"]));
        let fed = |run: Run| run.fed("MARK").unwrap();
        expect![[r#"
            errors=$({ kup_run echo 'a b'; printf '%s\nMARK %d\n\nMARK end\n' "$said" $? >&4; } 2>&1 < /dev/null; printf '\nMARK errors\n') || printf '\nMARK end\n'; printf '%s\n\nMARK end\n' "$errors" >&2
            errors=$({ kup_once '/m n' echo 'a b'; printf '%s\nMARK %d\n\nMARK end\n' "$said" $? >&4; } 2>&1 < /dev/null; printf '\nMARK errors\n') || printf '\nMARK end\n'; printf '%s\n\nMARK end\n' "$errors" >&2
            errors=$({ kup_cat '/a b' /c; printf '%s\nMARK %d\n\nMARK end\n' "$said" $? >&4; } 2>&1 < /dev/null; printf '\nMARK errors\n') || printf '\nMARK end\n'; printf '%s\n\nMARK end\n' "$errors" >&2
            errors=$({ { (exec cat '/a b' /c); printf '\nMARK %d\n' $?; } 2>&3 3>&- 4>&- | cat >&4; printf '\nMARK end\n' >&4; } 3>&1 < /dev/null; printf '\nMARK errors\n') || printf '\nMARK end\n'; printf '%s\n\nMARK end\n' "$errors" >&2
        "#]]
        .assert_eq(
            &[Run::of(&echo, true), Run::once(&echo, "/m n", true), Run::of(&cat, true), Run::bytes(&cat, true)]
                .map(|run| fed(run.unwrap()))
                .concat(),
        );
    }

    #[test]
    fn the_script_on_a_node_and_the_shells_of_others_write_the_same_words() {
        for (word, what) in [(BEGUN, "echo W > "), (ENDED, "echo W > "), (NEVER, "!= W ]")] {
            assert!(ONCE.contains(&what.replace('W', word)), "{word}");
        }
    }

    #[test]
    fn two_thousand_hostile_words_reach_a_program_as_they_are() {
        let all = crate::hostile::strings(2000, 5);
        let folder = tempfile::tempdir().unwrap();
        let marker = folder.path().join("a 'b' $(c)").display().to_string();
        for some in all.chunks(100) {
            let argv = ["printf", "%s|\\n"].into_iter().chain(some.iter().map(String::as_str));
            let command = Command::read(argv);
            let all: String = some.iter().map(|word| format!("{word}|\n")).collect();
            let plain = || Run::of(&command, true).unwrap();
            let once = || Run::once(&command, &marker, true).unwrap();
            // By a login shell, and by one that stays.
            let fed = |run: Run| awake("M") + &run.fed("M").unwrap();
            let scripts = [
                plain().line().unwrap(),
                fed(plain()),
                fed(Run::bytes(&command, true).unwrap()),
                once().line().unwrap(),
                fed(once()),
            ];
            for script in scripts {
                let _ = std::fs::remove_file(&marker);
                let ran = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
                let said = String::from_utf8(ran.stdout).unwrap();
                // A shell that stays says who it is before, and how it ended behind.
                let said = match said.split_once(&began("M")) {
                    Some((_, answers)) => {
                        let (hello, said) = answers.split_once("\nM end\n").unwrap();
                        assert!(hello.trim().parse::<u32>().is_ok(), "{hello}");
                        said.strip_suffix("\nM 0\n\nM end\n").unwrap()
                    }
                    None => &said,
                };
                assert_eq!(said.strip_prefix("new\n").unwrap_or(said), all);
            }
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
