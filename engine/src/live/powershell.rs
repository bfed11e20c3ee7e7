//! A command on a node that runs Windows, where ssh may lead to cmd.exe, to PowerShell, or to another shell:
//! the line holds nothing but letters, digits and `+/=.-`, which all of them read as the same words.
//!
//! ```text
//! powershell.exe ... -EncodedCommand base64(utf16(
//!     try { Get-FileHash -LiteralPath (d 'base64 of a word') | Format-List ... } catch { ... } print the exit code ))
//! ```
//!
//! What a user or a node has said stands in it as base64 of its own, so there is nothing to quote. The exit code is
//! printed behind the output: PowerShell as the login shell passes on only whether it was 0. Nothing goes by standard input, which
//! PowerShell as the login shell reads itself; and all output by the console's writer, which breaks no line where a screen would.
//! <https://learn.microsoft.com/en-us/powershell/module/microsoft.powershell.core/about/about_powershell_exe>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::port::{Command, ShellError};

/// cmd.exe takes no longer line:
/// <https://learn.microsoft.com/en-us/troubleshoot/windows-client/shell-experience/command-line-string-limitation>
const LONGEST: usize = 8000;

/// So many bytes of a file go into one line: base64 in a script that is base64 of UTF-16.
const PART: usize = 600;

/// Stands behind the output, with the exit code.
const END: &str = "\nkup ended with ";

/// What stands before each script. Nothing of it may fail unseen: where there is no console, its encoding stays what it is.
const BEGIN: &str = "$ErrorActionPreference='Stop';$ProgressPreference='SilentlyContinue';$c=1;\
    try{$t=New-Object Text.UTF8Encoding $false;try{[Console]::OutputEncoding=$t}catch{};\
    function d($s){$t.GetString([Convert]::FromBase64String($s))};";

/// And what behind it.
const FINISH: &str = "}catch{[Console]::Error.WriteLine($_.Exception.Message)};\
    [Console]::Out.Write(\"`nkup ended with $c`n\");exit $c";

/// The exit code of [`read`]: the file does not exist.
pub(super) const MISSING: i32 = 66;

/// What the first word of a command calls.
enum Kind {
    /// `Get-Service`: its parameters are words of PowerShell; what it returns is printed as `Name : Value`.
    Cmdlet,
    /// `[IO.File]::Replace`
    Method,
    /// `C:\k\kubelet.exe`
    Program,
}

fn kind(program: &str) -> Option<Kind> {
    let letters = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic());
    if program.to_ascii_lowercase().ends_with(".exe") {
        return Some(Kind::Program);
    }
    if let Some((class, method)) = program.strip_prefix('[').and_then(|rest| rest.split_once("]::")) {
        return (class.split('.').all(letters) && letters(method)).then_some(Kind::Method);
    }
    let (verb, noun) = program.split_once('-')?;
    let begins = |word: &str| word.starts_with(|c: char| c.is_ascii_uppercase()) && letters(word);
    (begins(verb) && begins(noun)).then_some(Kind::Cmdlet)
}

/// Returns whether a command is one for Windows: its first word is a cmdlet, a method of .NET, or ends in `.exe`.
pub(super) fn speaks(command: &Command) -> bool {
    command.argv.first().is_some_and(|program| kind(program).is_some())
}

/// Returns whether a path is one of Windows.
pub(super) fn is_path(path: &str) -> bool {
    matches!(path.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
}

/// Returns one line for whatever shell the node has.
pub(super) fn line(command: &Command) -> Result<String, ShellError> {
    let Some((program, args)) = command.argv.split_first() else {
        return refuse("a command needs a program");
    };
    let Some(kind) = kind(program) else {
        return refuse(format!("`{}` is no command of Windows", program.escape_debug()));
    };
    if !command.stdin.is_empty() {
        return refuse("a command of Windows reads no standard input");
    }
    let mut script = String::new();
    for (name, value) in &command.env {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !plain || name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
            return refuse(format!("`{}` is not the name of a variable", name.escape_debug()));
        }
        script.push_str(&format!("$env:{name}={};", text(value)));
    }
    match kind {
        Kind::Cmdlet => {
            let words: Vec<String> = args.iter().map(|word| parameter(word)).collect();
            let (words, width) = (words.join(" "), 4096); // else it breaks lines where a screen would
            script.push_str(&format!(
                "[Console]::Out.Write(({program} {words}|Format-List|Out-String -Width {width}));$c=0"
            ));
        }
        Kind::Method => {
            let words: Vec<String> = args.iter().map(|word| text(word)).collect();
            script.push_str(&format!("{program}({});$c=0", words.join(",")));
        }
        Kind::Program => {
            if let Some(word) = command.argv.iter().find(|word| !arrives(word)) {
                let word = word.escape_debug();
                return refuse(format!("PowerShell hands `{word}` to no program as it is"));
            }
            let words: Vec<String> = args.iter().map(|word| text(word)).collect();
            script.push_str(&format!(
                "& {} {}|ForEach-Object{{[Console]::Out.WriteLine($_)}};$c=$LASTEXITCODE",
                text(program),
                words.join(" ")
            ));
        }
    }
    encoded(&script)
}

/// Prints a file as base64.
pub(super) fn read(path: &str) -> Result<String, ShellError> {
    let path = text(path);
    encoded(&format!(
        "$p={path};if([IO.File]::Exists($p)){{[Console]::Out.Write([Convert]::ToBase64String([IO.File]::ReadAllBytes($p)));$c=0}}\
         else{{$c={MISSING}}}"
    ))
}

/// Returns the lines that replace a file, one after the other: its content grows beside it, and takes its name once it is whole.
/// Who may read it, its folder says.
pub(super) fn write(path: &str, content: &[u8]) -> Result<Vec<String>, ShellError> {
    let (to, part) = (text(path), text(&format!("{path}.kup-new")));
    let mut parts: Vec<&[u8]> = content.chunks(PART).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    let last = parts.len() - 1;
    let lines = parts.into_iter().enumerate().map(|(at, bytes)| {
        let mode = if at == 0 { "Create" } else { "Append" };
        let (bytes, whole) = (STANDARD.encode(bytes), content.len());
        let place = match at == last {
            true => format!(
                "$p={to};if(([IO.FileInfo]$n).Length -ne {whole}){{throw 'it has not come whole'}};\
                 if([IO.File]::Exists($p)){{[IO.File]::Replace($n,$p,[NullString]::Value)}}else{{[IO.File]::Move($n,$p)}};"
            ),
            false => String::new(),
        };
        encoded(&format!(
            "$n={part};$f=[IO.File]::Open($n,'{mode}');$b=[Convert]::FromBase64String('{bytes}');\
             $f.Write($b,0,$b.Length);$f.Close();{place}$c=0"
        ))
    });
    lines.collect()
}

/// Takes apart what a line printed: the exit code and the output. `None`: it did not come to its end.
pub(super) fn ended(stdout: &[u8]) -> Option<(i32, Vec<u8>)> {
    let stdout = String::from_utf8_lossy(stdout).replace("\r\n", "\n");
    let (said, code) = stdout.trim_end().rsplit_once(END)?;
    Some((code.parse().ok()?, said.as_bytes().to_vec()))
}

/// Takes apart what [`read`] printed.
pub(super) fn content(said: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = said.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(digits).ok()
}

/// A word as an expression of PowerShell, whatever is in it.
fn text(word: &str) -> String {
    format!("(d '{}')", STANDARD.encode(word))
}

/// The name of a parameter stays what it is; a word that only looks like one is one, as everywhere.
fn parameter(word: &str) -> String {
    let is_name = word
        .strip_prefix('-')
        .is_some_and(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic()));
    if is_name { word.to_string() } else { text(word) }
}

/// Returns whether PowerShell 5.1 hands a word to a program as it is: it drops an empty one, does not escape quotation marks,
/// and puts a word with blanks between such, where a backslash at its end would escape the last one.
/// <https://learn.microsoft.com/en-us/powershell/module/microsoft.powershell.core/about/about_parsing>
fn arrives(word: &str) -> bool {
    let blank = word.contains(char::is_whitespace);
    !(word.is_empty() || word.contains(['"', '\0']) || blank && word.ends_with('\\'))
}

fn encoded(script: &str) -> Result<String, ShellError> {
    let script = format!("{BEGIN}{script}{FINISH}");
    // Some cmdlets, such as `Get-FileHash`, are scripts themselves, which a policy may forbid to run.
    let wide: Vec<u8> = script.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let line = format!(
        "powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -OutputFormat Text -EncodedCommand {}",
        STANDARD.encode(wide)
    );
    match line.len() > LONGEST {
        true => refuse(format!("a command of {} characters is too long for Windows", line.len())),
        false => Ok(line),
    }
}

fn refuse<T>(why: impl Into<String>) -> Result<T, ShellError> {
    Err(ShellError::Refused(why.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What PowerShell would read.
    fn script(line: &str) -> String {
        let wide = STANDARD.decode(line.rsplit(' ').next().unwrap()).unwrap();
        let units: Vec<u16> = wide.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        String::from_utf16(&units).unwrap()
    }

    /// What is tried, with each word as PowerShell would decode it.
    fn tried(line: &str) -> (String, Vec<String>) {
        let script = script(line);
        let inner = script.strip_prefix(BEGIN).unwrap().strip_suffix(FINISH).unwrap();
        let mut words = Vec::new();
        let mut frame = String::new();
        let mut rest = inner;
        while let Some((before, behind)) = rest.split_once("(d '") {
            let (word, behind) = behind.split_once("')").unwrap();
            words.push(String::from_utf8(STANDARD.decode(word).unwrap()).unwrap());
            frame = format!("{frame}{before}_");
            rest = behind;
        }
        (frame + rest, words)
    }

    #[test]
    fn a_cmdlet_a_method_and_a_program_are_called_each_in_its_way() {
        let of = |argv: &[&str]| tried(&line(&Command::read(argv.iter().copied())).unwrap());
        let (frame, words) = of(&["Get-FileHash", "-Algorithm", "SHA256", "-LiteralPath", r"C:\k\a b.exe"]);
        assert_eq!(
            frame,
            "[Console]::Out.Write((Get-FileHash -Algorithm _ -LiteralPath _|Format-List|Out-String -Width 4096));$c=0"
        );
        assert_eq!(words, ["SHA256", r"C:\k\a b.exe"]);
        let (frame, words) = of(&["[IO.File]::Replace", "a", "b", "c"]);
        assert_eq!((frame.as_str(), words.len()), ("[IO.File]::Replace(_,_,_);$c=0", 3));
        let (frame, words) = of(&[r"C:\k\kubeadm.exe", "upgrade", "-x"]);
        assert_eq!(frame, "& _ _ _|ForEach-Object{[Console]::Out.WriteLine($_)};$c=$LASTEXITCODE");
        assert_eq!(words, [r"C:\k\kubeadm.exe", "upgrade", "-x"]);
    }

    #[test]
    fn two_thousand_hostile_words_are_in_the_line_and_no_shell_sees_any_of_them() {
        let harmless = |line: &str| line.bytes().all(|b| b.is_ascii_alphanumeric() || b" +/=.-".contains(&b));
        for word in crate::hostile::strings(2000, 5) {
            let made = line(&Command::read(["Get-Item", "-LiteralPath", &word]).with_env("A", &word));
            // The name of a parameter of PowerShell is nothing that anybody executes.
            let Ok(made) = made else {
                assert!(word.len() > 500, "{word:?}");
                continue;
            };
            assert!(harmless(&made), "{made}");
            let (frame, words) = tried(&made);
            assert!(words.iter().all(|found| *found == word) && !words.is_empty(), "{word:?}");
            assert!(frame.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{frame}");
            // And to a program it comes as it is, or not at all.
            match line(&Command::read(["a.exe", &word])) {
                Ok(line) => assert_eq!(tried(&line).1[1], word),
                Err(_) => assert!(!arrives(&word) || word.len() > 500, "{word:?}"),
            }
            let file = write(&format!("C:\\{word}"), word.as_bytes());
            let all_harmless = |lines: Vec<String>| lines.iter().all(|line| harmless(line));
            assert!(file.is_ok_and(all_harmless) || word.len() > 500, "{word:?}");
        }
    }

    #[test]
    fn a_shell_of_posix_reads_the_words_of_a_line_as_they_are() {
        let line = line(&Command::read(["Get-Item", "-LiteralPath", "$(touch CANARY)'\";`x`"])).unwrap();
        let words = std::process::Command::new("sh")
            .args(["-c", &format!("printf '%s\\n' {line}")])
            .output()
            .unwrap();
        let said = String::from_utf8(words.stdout).unwrap();
        assert_eq!(said.lines().collect::<Vec<_>>(), line.split(' ').collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_command_of_windows_is_not_sent_there() {
        for argv in [&["sh", "-c", "id"][..], &["cat"], &["get-it"], &["[a;b]::c"], &["A-B;c"], &["x.exe;y"]]
        {
            assert!(line(&Command::read(argv.iter().copied())).is_err(), "{argv:?}");
            assert!(!speaks(&Command::read(argv.iter().copied())), "{argv:?}");
        }
        let mut fed = Command::read(["Get-Item"]);
        fed.stdin = b"x".to_vec();
        assert!(line(&fed).unwrap_err().to_string().contains("no standard input"));
        assert!(line(&Command::read(["Get-Item"]).with_env("1", "x")).is_err());
        let long = "x".repeat(4000);
        assert!(line(&Command::read(["a.exe", &long])).unwrap_err().to_string().contains("too long"));
        for word in ["", "a\"b", "a b\\"] {
            assert!(line(&Command::read(["a.exe", word])).is_err(), "{word}");
        }
        assert!(is_path(r"C:\k") && is_path("c:/k") && !is_path("/k") && !is_path("C:k"));
    }

    #[test]
    fn the_exit_code_is_read_behind_the_output() {
        assert_eq!(ended(b"a\r\nb\r\n\nkup ended with 3\n"), Some((3, b"a\nb\n".to_vec())));
        assert_eq!(ended(b"\nkup ended with 0\r\n"), Some((0, Vec::new())));
        assert_eq!(ended(b"a\nkup ended with"), None);
        assert_eq!(content(b"aGVsbG8=\n"), Some(b"hello".to_vec()));
        assert_eq!(content(b"aGVs\nbG8=\n"), Some(b"hello".to_vec()), "a screen may break it");
    }

    #[test]
    fn a_file_goes_there_in_parts_and_takes_its_name_once_it_is_whole() {
        let content: Vec<u8> = (0..=255).cycle().take(2 * PART + 1).collect();
        let lines = write(r"C:\a b", &content).unwrap();
        let frames: Vec<String> = lines.iter().map(|line| tried(line).0).collect();
        assert!(frames[0].contains("'Create'") && frames[1..].iter().all(|frame| frame.contains("'Append'")));
        assert!(frames[..2].iter().all(|frame| !frame.contains("Replace")));
        assert!(frames[2].contains("Length -ne 1201") && frames[2].contains("[IO.File]::Replace($n,$p,"));
        let bytes = |frame: &String| {
            let digits = frame.split("FromBase64String('").nth(1).unwrap().split('\'').next().unwrap();
            STANDARD.decode(digits).unwrap()
        };
        assert_eq!(frames.iter().flat_map(bytes).collect::<Vec<u8>>(), content);
        assert_eq!(write(r"C:\a", b"").unwrap().len(), 1);
        assert!(lines.iter().all(|line| line.len() < LONGEST));
    }
}
