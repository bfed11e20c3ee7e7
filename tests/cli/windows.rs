//! Workers that run Windows, beside what `tests/rehearsal.rs` and the tests of std/windows try: what other playbooks do about them, what taking
//! back leaves, and what reaches a shell that is none of POSIX.

use engine::live::{Ssh, SshOptions};
use engine::port::{Command, Shells};

use crate::support::sshd::Hosts;
use crate::support::{Kup, Ran, repository};

/// A control plane, Linux workers, and two workers that run Windows.
fn shape(version: &str, linux: &str, windows: &str) -> String {
    format!(
        "version = \"{version}\"\ncontrol_plane = 1\n\
         [[pool]]\nname = \"w\"\ncount = 2\nversion = \"{linux}\"\n\
         [[pool]]\nname = \"win\"\ncount = 2\nos = \"windows\"\nversion = \"{windows}\"\n\
         taints = [\"os=windows:PreferNoSchedule\"]\n"
    )
}

/// A control plane that is upgraded, whose Windows workers lag behind.
fn behind() -> Kup {
    Kup::new().with("shape.toml", shape("v1.34.2", "v1.34.2", "v1.33.4"))
}

/// What was changed, in this order: the verb and the node.
fn changes(ran: &Ran) -> Vec<String> {
    let events = ran.json();
    let changed = events.iter().filter(|e| e["type"] == "step_done" && e["changed"] == true);
    let text = |e: &serde_json::Value, key: &str| e[key].as_str().unwrap_or_default().to_string();
    changed.map(|e| format!("{} {}", text(e, "action"), text(e, "node"))).collect()
}

#[test]
fn the_main_job_brings_them_along_behind_the_other_workers() {
    let kup = Kup::new().with("shape.toml", shape("v1.33.4", "v1.33.4", "v1.33.4"));
    let ran = kup.run("run std/kubeadm-minor --sim shape.toml --yes --json --set target=v1.34.2").exits(0);
    let all = changes(&ran);
    let place = |what: &str| {
        all.iter().position(|change| change == what).unwrap_or_else(|| panic!("{what}: {all:?}"))
    };
    assert!(place("restart kubelet w2") < place("windows install kubeadm win1"));
    assert!(place("windows upgrade kubelet win1") < place("windows upgrade kubelet win2"));
    assert!(!all.iter().any(|change| change.starts_with("install win") || change == "restart kubelet win1"));
}

#[test]
fn every_other_upgrade_looks_for_their_release_and_what_is_of_linux_alone_passes_over_them() {
    let kup = Kup::new().with("shape.toml", shape("v1.33.4", "v1.33.4", "v1.33.4"));
    for (playbook, target) in [("kubeadm-hops", "v1.34.2"), ("kubeadm-patch", "v1.33.5")] {
        let line = format!("plan std/{playbook} --sim shape.toml --set target={target}");
        kup.run(&line).prints("check windows nodes").prints("windows upgrade kubelet");
        kup.run(&format!("{line} --set windows=https://x")).says("does not find https://x/");
    }
    kup.run("run std/preflight --sim shape.toml --yes --set target=v1.34.2").exits(0);
    let ran = kup.run("plan std/os-patch --sim shape.toml");
    assert!(ran.stdout.contains("w1") && !ran.stdout.contains("win1"), "{}", ran.stdout);
    let kup = kup.with("kubeadm.yaml", "kind: KubeletConfiguration\nmaxPods: 150\n");
    let ran = kup.run("plan std/kubeadm-config --sim shape.toml --set from=kubeadm.yaml");
    assert!(ran.stdout.contains("w1") && !ran.stdout.contains("win1"), "{}", ran.stdout);
}

#[test]
fn a_windows_worker_is_never_newer_than_its_control_plane() {
    behind().run("run std/windows-workers --sim shape.toml --yes --set target=v1.35.0").exits(4);
}

#[test]
fn what_failed_is_taken_back_to_the_programs_that_were_kept() {
    let text = std::fs::read_to_string(repository().join("playbooks/windows-workers.kup")).unwrap();
    let kup = behind().with("back.kup", text.replace("{ pause ", "{ rollback } # "));
    let ran = kup.run("run back.kup --sim shape.toml --yes --json --fault F23@win2").exits(5);
    let events = ran.json();
    let undone =
        |verb: &str| events.iter().filter(|e| e["type"] == "undo_done" && e["action"] == verb).count();
    assert_eq!((undone("windows upgrade kubelet"), undone("windows install kubeadm")), (2, 2));
    assert!(ran.stdout.contains("does not stay up: Paused"), "{}", ran.stdout);
}

/// A shell that knows PowerShell alone, as cmd.exe knows programs alone: it tells which words reached a program, keeps one file,
/// reads no standard input, and leaves every exit code at 1, as a PowerShell does that runs another one.
const SHELL: &str = r#"#!/usr/bin/env python3
import base64, os, re, sys
line = os.environ.get("SSH_ORIGINAL_COMMAND", "")
words = line.split(" ")
if words[0] != "powershell.exe" or words[-2] != "-EncodedCommand":
    sys.stderr.write("'%s' is not recognized as an internal or external command,\r\n" % words[0])
    sys.exit(1)
script = base64.b64decode(words[-1]).decode("utf-16-le")
said = [base64.b64decode(word).decode() for word in re.findall(r"\(d '([^']*)'\)", script)]
kept, code = os.path.join(os.path.dirname(sys.argv[0]), "kept"), 0
part = re.search(r"Open\(\$n,'(\w+)'\);\$b=\[Convert\]::FromBase64String\('([^']*)'\)", script)
if part:
    with open(kept + ".new", "wb" if part[1] == "Create" else "ab") as file:
        file.write(base64.b64decode(part[2]))
    whole = re.search(r"Length -ne (\d+)", script)
    if whole and os.path.getsize(kept + ".new") == int(whole[1]):
        os.rename(kept + ".new", kept)
elif "ReadAllBytes" in script:
    if os.path.exists(kept):
        print(base64.b64encode(open(kept, "rb").read()).decode(), end="\r\n")
    else:
        code = 66
elif "Format-List" in script:
    print("\r\nStatus : Running\r\n", end="")
else:
    sys.stdout.buffer.write("".join("<%s>\r\n" % word for word in said).encode())
    code = 3
sys.stdout.write("\nkup ended with %d\n" % code)
sys.exit(1 if code else 0)
"#;

#[test]
fn ssh_reaches_a_shell_that_is_none_of_posix() {
    let kup = Kup::new().with("shell.py", SHELL);
    let program = kup.path("shell.py");
    let chmod = std::process::Command::new("chmod").arg("755").arg(&program).status();
    assert!(chmod.unwrap().success());
    let Some(_hosts) = Hosts::start_with(&kup, &["win1"], Some(&program.display().to_string())) else {
        return;
    };
    let options = SshOptions { config: Some(kup.path("ssh/config")), sockets: None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let shells = Ssh::new(options);
        let shell = shells.on("win1");
        // The exit code is the program's, though the shell passes on only that it was not 0.
        let words = ["C:\\k\\kubelet.exe", "$(touch CANARY)", "'%PATH%'", "a b;&|`c`", "\u{2019}x\u{2018}"];
        let output = shell.run(&Command::change(words)).await.unwrap();
        let lines: Vec<String> = words.iter().map(|word| format!("<{word}>")).collect();
        assert_eq!((output.code, output.stdout.trim_end()), (3, lines.join("\n").as_str()));
        let service = shell.run(&Command::read(["Get-Service", "-Name", "kubelet"])).await.unwrap();
        assert_eq!((service.code, service.stdout.trim()), (0, "Status : Running"));
        let path = "C:\\var\\lib\\kubelet\\config.yaml";
        assert_eq!(shell.read(path).await.unwrap(), None);
        let content: Vec<u8> = (0..=255).cycle().take(2000).collect();
        shell.write(path, &content, 0o644).await.unwrap();
        assert_eq!(shell.read(path).await.unwrap(), Some(content));
        // What is for POSIX is not sent there, and says why.
        let error = shell.run(&Command::read(["id"])).await.unwrap_err().to_string();
        assert!(error.contains("`id -u` ended with 1") && error.contains("not recognized"), "{error}");
    });
}
