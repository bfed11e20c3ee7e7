//! The ssh port against a real sshd on this machine. Without one the tests say so and pass.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kup_engine::live::{Ssh, SshOptions};
use kup_engine::port::{Command, Once, Output, Shell, ShellError, Shells};

/// An sshd of our own: its keys, its port, its end.
struct Sshd {
    folder: tempfile::TempDir,
    daemon: Child,
}

impl Sshd {
    fn start() -> Option<Sshd> {
        Sshd::with(&[])
    }

    /// Starts one with options of its own, as `Name=value`.
    fn with(options: &[&str]) -> Option<Sshd> {
        let program =
            ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].into_iter().find(|p| PathBuf::from(p).exists());
        let Some(program) = program else {
            eprintln!("skipped: there is no sshd on this machine");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("kup-sshd").tempdir_in("/tmp").unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        for key in ["host", "user"] {
            let made =
                Process::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &at(key)]).status();
            assert!(made.unwrap().success());
        }
        fs::copy(at("user.pub"), at("authorized")).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut sshd = Sshd { daemon: Sshd::spawn(program, &at, port, options), folder };
        fs::create_dir(sshd.path("s")).unwrap();
        let host_key = fs::read_to_string(sshd.path("host.pub")).unwrap();
        fs::write(sshd.path("known"), format!("[127.0.0.1]:{port} {host_key}")).unwrap();
        let user = String::from_utf8(Process::new("id").arg("-un").output().unwrap().stdout).unwrap();
        let config = |known: &str, port: u16, more: &str| {
            format!(
                "Host *\n HostName 127.0.0.1\n Port {port}\n User {}\n IdentityFile {}\n IdentitiesOnly yes\n UserKnownHostsFile {}\n {more}\n",
                user.trim(),
                at_in(&sshd, "user"),
                at_in(&sshd, known),
            )
        };
        fs::write(sshd.path("config"), config("known", port, "")).unwrap();
        fs::write(sshd.path("stranger"), config("nobody", port, "")).unwrap();
        fs::write(sshd.path("closed"), config("known", 1, "")).unwrap();
        for _ in 0..100 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(sshd);
            }
            if let Ok(Some(status)) = sshd.daemon.try_wait() {
                eprintln!("skipped: sshd does not start here ({status})");
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("sshd does not listen");
    }

    fn spawn(program: &str, at: &dyn Fn(&str) -> String, port: u16, options: &[&str]) -> Child {
        // Only the privileged sshd needs it, and only tests that run as root start one.
        let _ = fs::create_dir_all("/run/sshd");
        Process::new(program)
            .args(["-D", "-e", "-f", "/dev/null", "-h", &at("host"), "-p", &port.to_string()])
            .args(["-o", "ListenAddress=127.0.0.1", "-o", "StrictModes=no", "-o", "UsePAM=no"])
            .args(["-o", &format!("PidFile={}", at("pid"))])
            .args(["-o", &format!("AuthorizedKeysFile={}", at("authorized"))])
            .args(["-o", "PermitRootLogin=yes", "-o", "PasswordAuthentication=no"])
            // A key exchange that costs little: none of the tests is about it.
            .args(["-o", "KexAlgorithms=curve25519-sha256"])
            // A home without dotfiles: what somebody's .bashrc prints is not what a test is about.
            .args(["-o", &format!("SetEnv=HOME={}", at("home"))])
            .args(options.iter().flat_map(|option| ["-o", option]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(at("log")).unwrap())
            .spawn()
            .unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn shells(&self, config: &str) -> Ssh {
        Ssh::new(SshOptions { config: Some(self.path(config)), sockets: Some(self.path("s")) })
    }

    fn shell(&self) -> (Ssh, Arc<dyn Shell>) {
        let shells = self.shells("config");
        let shell = shells.on("node");
        (shells, shell)
    }

    /// Returns the processes that serve the connections.
    fn connections(&self) -> Vec<String> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.daemon.id()));
        children.unwrap().split_whitespace().map(str::to_string).collect()
    }

    /// Ends the connections as a reboot does: the processes that serve them go away.
    fn cut(&self) {
        for pid in self.connections() {
            assert!(Process::new("kill").args(["-9", &pid]).status().unwrap().success());
        }
    }
}

fn at_in(sshd: &Sshd, name: &str) -> String {
    sshd.path(name).display().to_string()
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

#[tokio::test]
async fn hostile_words_arrive_as_they_are() {
    let Some(sshd) = Sshd::start() else { return };
    let (_shells, shell) = sshd.shell();
    let hostile = [
        "a b",
        "it's",
        "\"",
        "$(touch /tmp/kup-pwned)",
        "`id`",
        "",
        "\n",
        "a\nb\r",
        "ü€",
        "*",
        "~",
        "--",
        "-n",
        "\\",
        "\\'",
        "!",
        "#",
        ";id",
        "&",
        "|",
        ">x",
        "kubeadm=1.34.3-*",
        "\x1b[31m",
        "${HOME}",
        "{a,b}",
    ];
    let mut argv = vec!["printf", "<%s>"];
    argv.extend(hostile);
    let output = shell.run(&Command::read(argv.clone()).with_env("X", "$(id) 'q'")).await.unwrap();
    // What is printed is text: it ends with the end of a line.
    let printed = hostile.map(|w| format!("<{w}>")).concat() + "\n";
    assert_eq!(output.stdout, printed);
    assert_eq!(shell.run(&Command::change(argv)).await.unwrap().stdout, printed);
    let echo = Command::read(["sh", "-c", "printf '%s|%s' \"$X\" \"$LC_ALL\""]).with_env("X", "$(id) 'q'");
    assert_eq!(shell.run(&echo).await.unwrap().stdout, "$(id) 'q'|C\n");
    assert!(matches!(shell.run(&Command::read(["a\0b"])).await, Err(ShellError::Refused(_))));
}

#[tokio::test]
async fn every_exit_code_is_the_programs_own() {
    let Some(sshd) = Sshd::start() else { return };
    let (_shells, shell) = sshd.shell();
    for code in [0, 1, 66, 126, 127, 128, 254, 255] {
        let command =
            Command::read(["sh".to_string(), "-c".into(), format!("echo out; echo err >&2; exit {code}")]);
        let output = shell.run(&command).await.unwrap();
        assert_eq!((output.code, &*output.stdout, &*output.stderr), (code, "out\n", "err\n"));
    }
    let killed = shell.run(&Command::read(["sh", "-c", "kill -9 $$"])).await.unwrap();
    assert_eq!(killed.code, 137);
    assert_eq!(shell.run(&Command::read(["no-such-program"])).await.unwrap().code, 127);
}

#[tokio::test]
async fn a_command_leaves_nothing_to_the_next_one() {
    let Some(sshd) = Sshd::start() else { return };
    let (_shells, shell) = sshd.shell();
    let sh = async |line: &str| shell.run(&Command::read(["sh", "-c", line])).await.unwrap();
    let look = "pwd; umask; echo ${X-none} $-; ls /proc/$$/fd";
    let before = sh(look).await;
    for line in [
        "cd /proc; umask 077; export X=1; set -f; alias ls=false; exit 3",
        "trap 'echo end' EXIT; exec 1>&2",
        "kill -9 $$",
        "exec 5</dev/null; readonly X=1; set -e; false",
        "if true; then ((",
        "printf 'no end of line'; printf 'nor here' >&2",
    ] {
        sh(line).await;
        let after = sh(look).await;
        assert_eq!((after.code, &after.stdout, &*after.stderr), (0, &before.stdout, ""), "behind `{line}`");
    }
    let log = fs::read_to_string(sshd.path("log")).unwrap();
    assert_eq!(log.matches("Accepted publickey").count(), 1, "{log}");
}

#[tokio::test]
async fn what_a_command_left_behind_never_speaks_into_the_next_answer() {
    let Some(sshd) = Sshd::start() else { return };
    let (_shells, shell) = sshd.shell();
    let sh = async |line: &str| shell.run(&Command::read(["sh", "-c", line])).await.unwrap();
    // It is in a session of its own, has no other stream than these, and is waited for as by ssh.
    let child = "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; sleep 0.4; echo late; echo too >&2";
    let first = sh(&format!("setsid sh -c '{child}' & echo now")).await;
    assert_eq!((first.code, &*first.stdout, &*first.stderr), (0, "now\nlate\n", "too\n"));
    // Who has let go of them may go on for as long as it likes.
    let begun = std::time::Instant::now();
    let told = sh("setsid sh -c 'sleep 5; echo late' >/dev/null 2>&1 </dev/null & echo gone").await;
    assert!(told.stdout == "gone\n" && begun.elapsed() < Duration::from_secs(4));
    // Even what looks like the end of an answer is none.
    let marks = sh("for i in 1 2 3; do printf '\\n%032d end\\n' $i; done").await;
    assert_eq!(marks.stdout.matches(" end\n").count(), 3);
    assert_eq!(sh("echo next").await.stdout, "next\n");
}

#[tokio::test]
async fn a_command_that_a_file_remembers_runs_once_whoever_asks_for_it() {
    let Some(sshd) = Sshd::start() else { return };
    let (_shells, shell) = sshd.shell();
    let at = |name: &str| sshd.path(name).display().to_string();
    let (marker, log) = (at("new folder/a b.once"), at("log of it"));
    let command =
        |line: String| Command::change(["sh".to_string(), "-c".into(), line]).with_env("X", "a 'b'");
    let once = async |line: String| shell.once(&command(line), &marker).await.unwrap();
    let ended = |code: i32, stdout: &str, stderr: &str| {
        Once::Ended(Output { code, stdout: stdout.into(), stderr: stderr.into() })
    };
    assert_eq!(once("echo $X; echo no >&2; exit 3".into()).await, ended(3, "a 'b'\n", "no\n"));
    assert!(!PathBuf::from(&marker).exists(), "what failed may be run again");
    let write = format!("sleep 2; echo x >> '{log}'; cat");
    let mut fed = command(write.clone());
    fed.stdin = b"in".to_vec();
    // Two at the same time: only one of them may.
    let both = tokio::join!(shell.once(&fed, &marker), shell.once(&fed, &marker));
    let mut both = [both.0.unwrap(), both.1.unwrap()];
    both.sort_by_key(|one| matches!(one, Once::Before(_)));
    assert_eq!(both, [ended(0, "in", ""), Once::Before("begun\n".into())]);
    assert_eq!(once(write).await, Once::Before("ended\n".into()));
    assert_eq!(fs::read_to_string(&log).unwrap(), "x\n");
    // A marker that says so is none.
    fs::write(&marker, "none\n").unwrap();
    let Once::Ended(killed) = once("kill -9 $$".into()).await else { panic!("it was not run") };
    assert_eq!(killed.code, 137);
    let cannot = shell.once(&command("true".into()), "/proc/no/x").await;
    let Err(ShellError::Refused(why)) = cannot else { panic!("{cannot:?}") };
    assert!(why.starts_with("cannot keep `/proc/no/x` on node: mkdir: "), "{why}");
}

#[tokio::test]
async fn a_shell_that_is_killed_under_a_command_loses_it_and_the_next_one_has_another() {
    let Some(sshd) = Sshd::start() else { return };
    let (_shells, shell) = sshd.shell();
    // It kills whoever waits for it, or all that has to do with it on the node but for sshd.
    for kill in ["kill -9 $PPID", "kill -9 0"] {
        let lost = shell.run(&Command::read(["sh", "-c", kill])).await;
        assert!(matches!(lost, Err(ShellError::Lost { .. })), "{kill}: {lost:?}");
        assert_eq!(shell.run(&Command::read(["echo", "here"])).await.unwrap().stdout, "here\n");
    }
}

#[tokio::test]
async fn files_travel_whole() {
    let Some(sshd) = Sshd::start() else { return };
    let (_shells, shell) = sshd.shell();
    let path = sshd.path("a 'b' $c");
    let name = path.to_str().unwrap();
    assert_eq!(shell.read(name).await.unwrap(), None);
    let content: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
    shell.write(name, &content, 0o640).await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(shell.read(name).await.unwrap().unwrap(), content);
    let copy = sshd.path("copy");
    assert_eq!(shell.fetch(name, &copy).await.unwrap(), content.len() as u64);
    assert_eq!(fs::read(&copy).unwrap(), content);
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(shell.fetch("/nowhere", &sshd.path("none")).await, Err(ShellError::Refused(_))));
    assert!(!sshd.path("none").exists() && !sshd.path("none.part").exists());
    assert!(matches!(shell.read(sshd.folder.path().to_str().unwrap()).await, Err(ShellError::Refused(_))));
    shell.write(name, b"", 0o600).await.unwrap();
    assert_eq!(shell.read(name).await.unwrap().unwrap(), b"");
}

#[tokio::test]
async fn files_that_are_printed_come_line_by_line_and_a_missing_one_is_told() {
    let Some(sshd) = Sshd::start() else { return };
    let (_shells, shell) = sshd.shell();
    let at = |name: &str| sshd.path(name).display().to_string();
    for (name, content) in [("first of them", "a\n\n  b\\c \n"), ("second", "no end"), ("empty", "")] {
        fs::write(at(name), content).unwrap();
    }
    let cat = async |names: [&str; 3]| {
        let files = names.map(at);
        shell.run(&Command::read(["cat"].into_iter().chain(files.iter().map(String::as_str)))).await.unwrap()
    };
    let whole = cat(["first of them", "empty", "second"]).await;
    assert_eq!((whole.code, &*whole.stdout, &*whole.stderr), (0, "a\n\n  b\\c \nno end\n", ""));
    let missing = cat(["empty", "missing", "second"]).await;
    assert_eq!((missing.code, &*missing.stdout), (1, "no end\n"));
    assert!(missing.stderr.ends_with("missing: No such file or directory\n"), "{}", missing.stderr);
}

#[tokio::test]
async fn a_host_that_is_not_there_is_unreachable_and_a_stranger_is_refused() {
    let Some(sshd) = Sshd::start() else { return };
    let look = Command::read(["true"]);
    let closed = sshd.shells("closed").on("node").run(&look).await;
    let Err(ShellError::Unreachable { machine, reason }) = closed else { panic!("{closed:?}") };
    assert!(machine == "node" && reason.contains("Connection refused"), "{reason}");
    let stranger = sshd.shells("stranger").on("node").run(&look).await;
    let Err(ShellError::Unreachable { reason, .. }) = stranger else { panic!("{stranger:?}") };
    assert!(reason.contains("Host key verification failed") && reason.contains("by hand"), "{reason}");
    let option = sshd.shells("config").on("-oProxyCommand=touch /tmp/kup-pwned").run(&look).await;
    assert!(matches!(option, Err(ShellError::Refused(_))));
    assert!(!PathBuf::from("/tmp/kup-pwned").exists());
}

#[tokio::test]
async fn a_connection_that_dies_under_a_command_loses_it_and_the_next_command_reconnects() {
    let Some(sshd) = Sshd::start() else { return };
    let (_shells, shell) = sshd.shell();
    assert!(shell.run(&Command::read(["true"])).await.unwrap().ok());
    let sleep = Command::read(["sleep", "30"]);
    let cut = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        sshd.cut();
    };
    let (lost, ()) =
        tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(shell.run(&sleep), cut) })
            .await
            .unwrap();
    assert!(matches!(lost, Err(ShellError::Lost { .. })), "{lost:?}");
    assert!(shell.run(&Command::read(["true"])).await.unwrap().ok());
}

#[tokio::test]
async fn thirty_commands_at_once_share_one_connection() {
    let Some(sshd) = Sshd::start() else { return };
    let (_shells, shell) = sshd.shell();
    let commands = (0..30).map(|i| {
        let shell = shell.clone();
        async move { shell.run(&Command::read(["echo".to_string(), i.to_string()])).await.unwrap().stdout }
    });
    let outputs = futures::future::join_all(commands).await;
    assert!(outputs.iter().enumerate().all(|(i, o)| *o == format!("{i}\n")));
    let log = fs::read_to_string(sshd.path("log")).unwrap();
    assert_eq!(log.matches("Accepted publickey").count(), 1, "{log}");
}

#[tokio::test]
async fn an_sshd_that_allows_one_session_a_connection_is_served_one_command_after_the_other() {
    let Some(sshd) = Sshd::with(&["MaxSessions=1"]) else { return };
    let (_shells, shell) = sshd.shell();
    let commands = (0..12).map(|i| {
        let shell = shell.clone();
        async move { shell.run(&Command::read(["echo".to_string(), i.to_string()])).await.unwrap().stdout }
    });
    let outputs = futures::future::join_all(commands).await;
    assert!(outputs.iter().enumerate().all(|(i, o)| *o == format!("{i}\n")));
}

#[tokio::test]
async fn an_sshd_that_turns_away_who_comes_when_it_is_crowded_is_asked_again() {
    let Some(sshd) = Sshd::with(&["MaxStartups=4:100:4"]) else { return };
    let shells = sshd.shells("config");
    let commands = (0..24).map(|i| {
        let shell = shells.on(&format!("node-{i}"));
        async move { shell.run(&Command::read(["echo", "here"])).await.unwrap().stdout }
    });
    assert!(futures::future::join_all(commands).await.iter().all(|said| said == "here\n"));
    let log = fs::read_to_string(sshd.path("log")).unwrap();
    assert!(log.contains("MaxStartups"), "nobody was turned away:\n{log}");
}

#[tokio::test]
async fn a_login_without_a_shell_of_posix_is_reached_all_the_same() {
    let force = "ForceCommand=case \"$SSH_ORIGINAL_COMMAND\" in *exec\\ sh*) exit 1;; *) eval \"$SSH_ORIGINAL_COMMAND\";; esac";
    let Some(sshd) = Sshd::with(&[force]) else { return };
    let (_shells, shell) = sshd.shell();
    for _ in 0..2 {
        assert_eq!(shell.run(&Command::read(["echo", "here"])).await.unwrap().stdout, "here\n");
    }
}

#[tokio::test]
async fn who_gives_up_waiting_leaves_a_session_that_works() {
    let Some(sshd) = Sshd::start() else { return };
    let (shells, shell) = sshd.shell();
    for _ in 0..5 {
        let sleep = Command::read(["sleep", "1"]);
        assert!(tokio::time::timeout(Duration::from_millis(100), shell.run(&sleep)).await.is_err());
    }
    assert!(shell.run(&Command::read(["true"])).await.unwrap().ok());
    let sockets = || fs::read_dir(sshd.path("s")).unwrap().count();
    assert_eq!(sockets(), 1, "it is where it was wanted");
    drop((shell, shells));
    assert_eq!(sockets(), 0, "the last one to leave takes it away");
}

#[tokio::test]
async fn a_connection_waits_for_commands_as_long_as_somebody_may_have_one_and_not_much_longer() {
    let Some(sshd) = Sshd::start() else { return };
    let gone = async || {
        let since = std::time::Instant::now();
        while !sshd.connections().is_empty() {
            assert!(since.elapsed() < Duration::from_secs(30), "it is still there");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    // The one by which its start was seen.
    gone().await;
    let (shells, shell) = sshd.shell();
    assert!(shell.run(&Command::read(["true"])).await.unwrap().ok());
    let first = sshd.connections();
    assert_eq!(first.len(), 1);
    // What was given up leaves no shell that stays, which would hold the connection too.
    let sleep = Command::read(["sleep", "1"]);
    assert!(tokio::time::timeout(Duration::from_millis(100), shell.run(&sleep)).await.is_err());
    // Longer than a connection stays that nobody holds.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(shell.run(&Command::read(["true"])).await.unwrap().ok());
    assert_eq!(sshd.connections(), first);
    drop((shell, shells));
    gone().await;
}

#[tokio::test]
async fn a_long_path_is_no_place_for_a_socket_and_nothing_is_left_in_tmp() {
    let Some(sshd) = Sshd::start() else { return };
    let long = sshd.path("a-folder-of-a-run-with-a-name-that-no-socket-can-have-behind-it");
    let shells = Ssh::new(SshOptions { config: Some(sshd.path("config")), sockets: Some(long.clone()) });
    let ours = format!("kup-{}-", std::process::id());
    let there = || {
        let names = fs::read_dir("/tmp").unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|n| n.starts_with(&ours)).count()
    };
    // Another with this number may have been killed.
    let before = there();
    let shell = shells.on("node");
    assert!(shell.run(&Command::read(["true"])).await.unwrap().ok());
    assert!(there() == before + 1 && !long.exists());
    drop((shells, shell));
    assert_eq!(there(), before);
}
