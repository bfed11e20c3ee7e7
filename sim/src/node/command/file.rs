//! What only looks at files or moves them: cat, tail, rm, mkdir, stat, sha256sum, test, df, id. The
//! same on nodes and on this machine.

use engine::port::Output;
use sha2::{Digest, Sha256, Sha512};

use crate::node::DATA;
use crate::node::files::Files;
use crate::node::process::{failed, said};

/// Runs a command on files; `None` if it is none of these.
pub(in crate::node) fn run(files: &mut Files, argv: &[&str]) -> Option<Output> {
    Some(match argv {
        ["true"] | ["mkdir", ..] => said(""),
        ["echo", words @ ..] => said(format!("{}\n", words.join(" "))),
        ["du", "-sB1", path] if !files.exists(path) => {
            failed(1, format!("du: cannot access '{path}': No such file or directory\n"))
        }
        // An etcd of a cluster that has been used for a while.
        ["du", "-sB1", path] => said(format!("180000000\t{path}\n")),
        ["false"] => failed(1, ""),
        ["cat", paths @ ..] => {
            each(files, "cat", paths, |_, content| String::from_utf8_lossy(content).into_owned())
        }
        ["sha256sum", paths @ ..] => each(files, "sha256sum", paths, |path, content| {
            let hex: String = Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect();
            format!("{hex}  {path}\n")
        }),
        ["sha512sum", paths @ ..] => each(files, "sha512sum", paths, |path, content| {
            let hex: String = Sha512::digest(content).iter().map(|b| format!("{b:02x}")).collect();
            format!("{hex}  {path}\n")
        }),
        ["tail", "-c", count, path] => {
            let count: usize = count.trim_start_matches('+').parse().unwrap_or(0);
            match files.read(path) {
                Some(content) => {
                    let from = content.len().saturating_sub(count);
                    said(String::from_utf8_lossy(&content[from..]))
                }
                None => {
                    failed(1, format!("tail: cannot open '{path}' for reading: No such file or directory\n"))
                }
            }
        }
        ["mv", args @ ..] => moved(files, args),
        ["chmod", mode, path] => match (u32::from_str_radix(mode, 8), files.get(path).cloned()) {
            (Ok(mode), Some(file)) => {
                files.write(path, file.content, mode);
                said("")
            }
            _ => failed(1, format!("chmod: cannot access '{path}': No such file or directory\n")),
        },
        ["ln", "-f", from, to] => match files.get(from).cloned() {
            Some(file) => {
                files.write(to, file.content, file.mode);
                said("")
            }
            None => failed(1, format!("ln: failed to access '{from}': No such file or directory\n")),
        },
        ["rm", paths @ ..] => {
            paths.iter().filter(|p| !p.starts_with('-')).for_each(|p| {
                files.remove(p);
            });
            said("")
        }
        ["stat", "-fc" | "-f", .., "/sys/fs/cgroup"] => said("cgroup2fs\n"),
        ["stat", "-c", "%s", path] => match files.read(path) {
            Some(content) => said(format!("{}\n", content.len())),
            None => failed(1, format!("stat: cannot statx '{path}': No such file or directory\n")),
        },
        ["test", "-e" | "-f" | "-d", path] => failed(i32::from(!files.exists(path)), ""),
        ["id", "-u"] => said("0\n"),
        ["ls", "-A" | "-At", folder] if !files.exists(folder) => {
            failed(2, format!("ls: cannot access '{folder}': No such file or directory\n"))
        }
        ["ls", flag @ ("-A" | "-At"), folder] => {
            let mut names: Vec<&str> = files
                .under(folder)
                .filter_map(|p| p[folder.len()..].trim_start_matches('/').split('/').next())
                .collect();
            names.dedup();
            if *flag == "-At" {
                names.sort_by_key(|name| std::cmp::Reverse(files.written(&format!("{folder}/{name}"))));
            }
            said(names.iter().map(|n| format!("{n}\n")).collect::<String>())
        }
        ["df", args @ ..] => df(args, 80_000_000_000),
        _ => return None,
    })
}

/// Moves a file or a folder over another name; a folder over one that is not empty is refused.
fn moved(files: &mut Files, args: &[&str]) -> Output {
    let paths: Vec<&str> = args.iter().copied().filter(|a| !a.starts_with('-')).collect();
    let [from, to] = paths.as_slice() else { return failed(1, "mv: missing destination file operand\n") };
    if !files.exists(from) {
        return failed(1, format!("mv: cannot stat '{from}': No such file or directory\n"));
    }
    if *from == DATA {
        // A disk of its own, as etcd should have.
        return failed(1, format!("mv: cannot move '{from}' to '{to}': Device or resource busy\n"));
    }
    if files.get(from).is_none() && files.exists(to) {
        return failed(1, format!("mv: cannot move '{from}' to '{to}': Directory not empty\n"));
    }
    files.rename(from, to);
    said("")
}

fn each(files: &Files, program: &str, paths: &[&str], show: impl Fn(&str, &[u8]) -> String) -> Output {
    let mut output = Output::default();
    for path in paths.iter().filter(|p| !p.starts_with('-')) {
        match files.read(path) {
            Some(content) => output.stdout.push_str(&show(path, content)),
            None => {
                output.code = 1;
                output.stderr.push_str(&format!("{program}: {path}: No such file or directory\n"));
            }
        }
    }
    output
}

/// Every disk has 100 GB, of which 20 are used, and six million inodes.
pub(super) fn df(args: &[&str], available: u64) -> Output {
    let paths = args.iter().filter(|a| !a.starts_with('-'));
    if args.contains(&"-Pi") {
        let head = "Filesystem      Inodes  IUsed   IFree IUse% Mounted on\n".to_string();
        return said(paths.fold(head, |text, _| text + "/dev/sda1      6553600 412000 6141600    7% /\n"));
    }
    if args.iter().any(|a| a.starts_with("--output=avail")) {
        return said(paths.fold("       Avail\n".to_string(), |text, _| text + &format!("{available}\n")));
    }
    let head = "Filesystem        1-blocks        Used   Available Capacity Mounted on\n".to_string();
    said(paths.fold(head, |text, _| {
        let used = 100_000_000_000 - available;
        text + &format!("/dev/sda1     100000000000 {used} {available}      {}% /\n", used / 1_000_000_000)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(argv: &[&str], code: i32, stdout: &str, stderr: &str) {
        let mut files = Files::default();
        files.write("/etc/machine-id", "abc\n", 0o444);
        let output = run(&mut files, argv).unwrap();
        assert_eq!(
            (output.code, output.stdout.as_str(), output.stderr.as_str()),
            (code, stdout, stderr),
            "{argv:?}"
        );
    }

    #[test]
    fn the_newest_is_listed_first_by_its_time() {
        let mut files = Files::default();
        for path in ["/t/b/x", "/t/a", "/t/c", "/t/b/y"] {
            files.write(path, "", 0o600);
        }
        assert_eq!(run(&mut files, &["ls", "-At", "/t"]).unwrap().stdout, "b\nc\na\n");
    }

    #[test]
    fn files_are_shown_measured_and_missed() {
        check(&["cat", "/etc/machine-id"], 0, "abc\n", "");
        check(&["cat", "/etc/machine-id", "/no"], 1, "abc\n", "cat: /no: No such file or directory\n");
        check(&["stat", "-c", "%s", "/etc/machine-id"], 0, "4\n", "");
        check(&["tail", "-c", "2", "/etc/machine-id"], 0, "c\n", "");
        check(&["test", "-e", "/etc"], 0, "", "");
        check(&["test", "-e", "/no"], 1, "", "");
        check(&["ls", "-A", "/etc"], 0, "machine-id\n", "");
        check(&["ls", "-At", "/no"], 2, "", "ls: cannot access '/no': No such file or directory\n");
        check(&["mv", "-T", "/etc", "/old"], 0, "", "");
        check(&["mv", "-T", "/no", "/old"], 1, "", "mv: cannot stat '/no': No such file or directory\n");
        let sum = "edeaaff3f1774ad2888673770c6d64097e391bc362d7d6fb34982ddf0efd18cb  /etc/machine-id\n";
        check(&["sha256sum", "/etc/machine-id"], 0, sum, "");
    }
}
