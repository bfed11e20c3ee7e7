//! Fifty hosts on this machine, one sshd each: what the same commands take with kup, journal and all, beside OpenSSH's
//! own limit, one warm shell a host, `xargs` with `ssh -S`, pyinfra and Ansible. All take turns within one round.
//!
//! - W1: ten small steps a host; three control planes one by one, then the others in batches of ten, each behind the last.
//! - W2: the same ten commands as one step, on fifty hosts at once that nobody has spoken with yet.
//! - W3: a hundred steps in sequence on one host.
//!
//! `KUP_ROUNDS` (9) says how often, `KUP_WORKS` (`W1 W2 W3`) which. Needs root, for hosts that let root in, and whose /run is in
//! memory, as systemd has it: all control sockets are there. pyinfra and ansible-playbook are measured where they are on the PATH.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{PipeReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sendfd::SendWithFd;

const HOSTS: usize = 50;
const CONTROL_PLANES: usize = 3;
const BATCH: usize = 10;
const VERSION: &str = "1.31.4";
/// Whether /run is in memory already.
const IN_MEMORY: &str = "KUP_RUN_IN_MEMORY";
/// Where each tool has its control sockets.
const SOCKETS: &str = "/run/user/0";
/// One key exchange for all, the one that every tool knows.
const KEX: &str = "curve25519-sha256,curve25519-sha256@libssh.org";

const TEN: [&str; 10] = [
    r#"test -f "$HOME/version" && test -d "$HOME/src""#,
    r#"cat "$HOME/version""#,
    r#"cp -p "$HOME/version" "$HOME/version.bak""#,
    r#"printf '%s\n' 1.31.4 > "$HOME/etc/target""#,
    r#"printf 'cordoned\n' > "$HOME/state""#,
    r#"install -m 0755 "$HOME/src/kubelet" "$HOME/bin/kubelet""#,
    r#"test -x "$HOME/bin/kubelet" && cmp -s "$HOME/src/kubelet" "$HOME/bin/kubelet""#,
    r#"install -m 0644 "$HOME/src/config.yaml" "$HOME/etc/config.yaml""#,
    r#"printf 'restart %s\n' 1.31.4 >> "$HOME/log""#,
    r#"cat "$HOME/etc/target" > "$HOME/version" && rm "$HOME/state" && cat "$HOME/version""#,
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    W1,
    W2,
    W3,
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Work::W1 => "W1",
            Work::W2 => "W2",
            Work::W3 => "W3",
        }
    }

    /// The steps of each host.
    fn steps(self) -> Vec<String> {
        match self {
            Work::W1 => TEN.map(str::to_string).to_vec(),
            Work::W2 => vec![TEN.join(" && ")],
            Work::W3 => (0..100).map(hundred).collect(),
        }
    }

    /// Which hosts go together; each group begins when the one before has ended.
    fn groups(self) -> Vec<Vec<String>> {
        let hosts: Vec<String> = (1..=HOSTS).map(|n| format!("h{n:03}")).collect();
        match self {
            Work::W1 => {
                let (first, workers) = hosts.split_at(CONTROL_PLANES);
                let one = first.iter().map(|host| vec![host.clone()]);
                one.chain(workers.chunks(BATCH).map(<[String]>::to_vec)).collect()
            }
            Work::W2 => vec![hosts],
            Work::W3 => vec![hosts[..1].to_vec()],
        }
    }

    /// As a playbook.
    fn playbook(self) -> String {
        let step = |line: &String| {
            let text = line.replace('\\', "\\\\").replace('"', "\\\"");
            format!("  run command \"{text}\"\n")
        };
        let steps: String = self.steps().iter().map(step).collect();
        let mut text = format!("playbook \"{}\" {{ allow undo-or-say-so \"a bench\" }}\n", self.name());
        text += &format!("\ntask work (node: node = here) {{\n{steps}}}\n");
        for (n, group) in self.groups().iter().enumerate() {
            let names: Vec<String> = group.iter().map(|host| format!("\"{host}\"")).collect();
            let (set, batch) = (names.join(", "), group.len());
            text += &format!(
                "\nstage group-{n} {{ each node in nodes where name in [{set}] batch={batch} {{ work }} }}\n"
            );
        }
        text
    }
}

fn hundred(i: usize) -> String {
    let k = i - i % 4;
    match i % 4 {
        0 => format!(r#"printf '%s\n' {k} > "$HOME/f{k}""#),
        1 => format!(r#"test -f "$HOME/f{k}""#),
        2 => format!(r#"cat "$HOME/f{k}""#),
        _ => format!(r#"install -m 0600 "$HOME/f{k}" "$HOME/g{k}""#),
    }
}

/// The hosts, as long as this lives.
struct Fleet {
    folder: PathBuf,
    daemons: Vec<Child>,
}

impl Fleet {
    fn start() -> Fleet {
        // The path of a control socket is short.
        let folder = PathBuf::from(format!("/tmp/kup-fleet-{}", std::process::id()));
        for part in ["keys", "hosts", "work", "state"] {
            done(fs::create_dir_all(folder.join(part)));
        }
        done(fs::create_dir_all(SOCKETS));
        done(fs::create_dir_all("/run/sshd")); // the privileged sshd needs it
        let mut fleet = Fleet { folder, daemons: Vec::new() };
        for key in ["host", "user"] {
            let options = ["-q", "-t", "ed25519", "-N", "", "-f", &fleet.at(&format!("keys/{key}"))];
            assert!(done(Command::new("ssh-keygen").args(options).status()).success());
        }
        let host_key = done(fs::read_to_string(fleet.path("keys/host.pub")));
        let (mut config, mut known, mut toml) = (String::new(), String::new(), String::new());
        let mut ini = String::from("[all]\n");
        let key = fleet.at("keys/user");
        for (n, host) in Work::W2.groups().concat().iter().enumerate() {
            let port = done(done(TcpListener::bind("127.0.0.1:0")).local_addr()).port();
            fleet.daemons.push(fleet.daemon(host, port));
            known += &format!("[127.0.0.1]:{port} {host_key}");
            config += &format!("Host {host}\n  Port {port}\n");
            let role = if n < CONTROL_PLANES { "control-plane" } else { "worker" };
            toml += &format!("[[host]]\nname = \"{host}\"\nroles = [\"{role}\"]\n");
            ini += &format!("{host}\n");
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                thread::sleep(Duration::from_millis(20));
            }
        }
        config += &format!(
            "Host *\n  HostName 127.0.0.1\n  User root\n  IdentityFile {key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  \
             GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n  UpdateHostKeys no\n  BatchMode yes\n  LogLevel ERROR\n",
            fleet.at("known")
        );
        // Who works on one host has one in the file.
        let one: String = toml.split_inclusive("]\n").take(2).collect();
        // To kup a set with control planes is one for one at a time, and W2 is for all at once.
        let workers = toml.replace("control-plane", "worker");
        let files = [
            ("known", known),
            ("config", config),
            ("hosts.toml", toml),
            ("workers.toml", workers),
            ("one.toml", one),
            ("inventory.ini", ini),
        ];
        for (name, text) in files {
            done(fs::write(fleet.path(name), text));
        }
        for work in [Work::W1, Work::W2, Work::W3] {
            done(fs::write(fleet.path(&format!("work/{}.kup", work.name())), work.playbook()));
            fleet.write_script(work);
            fleet.write_ansible(work);
            fleet.write_pyinfra(work);
        }
        fleet
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn at(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn daemon(&self, host: &str, port: u16) -> Child {
        // Each host has a home of its own, though all share one disk; nobody's dotfiles are read.
        let home = self.at(&format!("hosts/{host}"));
        let options = [
            "ListenAddress=127.0.0.1".to_string(),
            "StrictModes=no".to_string(),
            "UsePAM=no".to_string(),
            "PermitRootLogin=yes".to_string(),
            "PasswordAuthentication=no".to_string(),
            "PrintMotd=no".to_string(),
            "PrintLastLog=no".to_string(),
            "MaxSessions=1000".to_string(),
            "MaxStartups=1000".to_string(),
            "Subsystem=sftp internal-sftp".to_string(),
            format!("KexAlgorithms={KEX}"),
            format!("SetEnv=HOME={home} SHLVL=5"),
            format!("PidFile={}", self.at(&format!("{host}.pid"))),
            format!("AuthorizedKeysFile={}", self.at("keys/user.pub")),
        ];
        done(
            Command::new("/usr/sbin/sshd")
                .args(["-D", "-e", "-f", "/dev/null", "-h", &self.at("keys/host"), "-p", &port.to_string()])
                .args(options.iter().flat_map(|option| ["-o", option.as_str()]))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn(),
        )
    }

    /// Puts every host into its first state.
    fn reset(&self) {
        for host in Work::W2.groups().concat() {
            let home = self.path("hosts").join(host);
            let _ = fs::remove_dir_all(&home);
            for part in ["src", "etc", "bin"] {
                done(fs::create_dir_all(home.join(part)));
            }
            done(fs::write(home.join("src/kubelet"), vec![7; 65536]));
            done(fs::write(home.join("src/config.yaml"), "kind: Config\nversion: 1.31.4\n"));
            done(fs::write(home.join("version"), "1.30.8\n"));
        }
    }

    /// Whether all the work has been done.
    fn is_done(&self, work: Work) -> bool {
        let home = |host: &String| self.path("hosts").join(host);
        let well = |host: &String| match work {
            Work::W1 | Work::W2 => {
                let log = fs::read_to_string(home(host).join("log")).unwrap_or_default();
                let version = fs::read_to_string(home(host).join("version")).unwrap_or_default();
                version.trim() == VERSION && log.lines().count() == 1 && !home(host).join("state").exists()
            }
            Work::W3 => {
                (0..100).step_by(4).all(|k| fs::read_to_string(home(host).join(format!("g{k}"))).is_ok())
            }
        };
        work.groups().concat().iter().all(well)
    }

    /// Opens a control socket to each host, all at once.
    fn masters(&self, work: Work) {
        let opened: Vec<Child> = work
            .groups()
            .concat()
            .iter()
            .map(|host| {
                let socket = format!("ControlPath={SOCKETS}/{host}");
                let options =
                    ["-o", "ControlMaster=yes", "-o", &socket, "-o", "ControlPersist=yes", "-fN", host];
                let mut ssh = Command::new("ssh");
                ssh.args(["-F", &self.at("config")]).args(options);
                done(ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn())
            })
            .collect();
        for mut ssh in opened {
            assert!(done(ssh.wait()).success(), "a host does not answer");
        }
    }

    /// Ends all connections, those too that stay a few seconds behind a kup that has ended: nobody pays for another's end.
    fn close_masters(&self) {
        for socket in done(fs::read_dir(SOCKETS)).flatten() {
            let _ = Command::new("ssh")
                .args(["-S", &socket.path().display().to_string(), "-O", "exit", "any"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
        for daemon in &self.daemons {
            let children = format!("/proc/{0}/task/{0}/children", daemon.id());
            let since = Instant::now();
            while let Ok(pids) = fs::read_to_string(&children)
                && !pids.is_empty()
            {
                assert!(since.elapsed() < Duration::from_secs(30), "a connection does not end: {pids}");
                let _ = Command::new("kill").args(pids.split_whitespace()).stderr(Stdio::null()).status();
                thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn write_script(&self, work: Work) {
        let mut text = format!(
            "#!/bin/sh\nset -e\nr() {{ ssh -F {} -S {SOCKETS}/$h $h \"$1\"; }}\nh=$1\n",
            self.at("config")
        );
        for step in work.steps() {
            text += &format!("r '{}'\n", step.replace('\'', r"'\''"));
        }
        let path = self.path(&format!("work/{}.sh", work.name()));
        done(fs::write(&path, text));
        done(fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
    }

    fn write_ansible(&self, work: Work) {
        let tasks: String = work
            .steps()
            .iter()
            .map(|step| {
                let text = step.replace('\\', "\\\\").replace('"', "\\\"");
                format!("    - ansible.builtin.raw: \"{text}\"\n")
            })
            .collect();
        let play = |group: &Vec<String>| {
            format!("- hosts: {}\n  gather_facts: false\n  tasks:\n{tasks}", group.join(","))
        };
        let plays: String = work.groups().iter().map(play).collect();
        done(fs::write(self.path(&format!("work/{}.yml", work.name())), plays));
    }

    fn write_pyinfra(&self, work: Work) {
        let data = format!(
            "_d = {{'ssh_config_file': '{}', 'ssh_known_hosts_file': '{}', 'ssh_strict_host_key_checking': 'yes', 'ssh_key': '{}', \
             'ssh_allow_agent': False, 'ssh_look_for_keys': False}}\n",
            self.at("config"),
            self.at("known"),
            self.at("keys/user")
        );
        let list = |of: &[String]| of.iter().map(|h| format!("('{h}', _d)")).collect::<Vec<_>>().join(", ");
        let mut inventory = data;
        for (n, group) in work.groups().iter().enumerate() {
            inventory += &format!("group{n} = [{}]\n", list(group));
        }
        done(fs::write(self.path(&format!("work/inv_{}.py", work.name())), inventory));
        let mut deploy = String::from("from pyinfra.operations import server\n");
        for step in work.steps() {
            deploy += &format!("server.shell(commands=[r'''{step}'''])\n");
        }
        done(fs::write(self.path(&format!("work/{}.py", work.name())), deploy));
    }

    /// A command of kup, with a folder of its own for its journal.
    fn kup(&self, work: Work, round: usize) {
        let name = work.name();
        let mut kup = Command::new(env!("CARGO_BIN_EXE_kup"));
        let hosts = match work {
            Work::W1 => "hosts.toml",
            Work::W2 => "workers.toml",
            Work::W3 => "one.toml",
        };
        kup.args(["run", &format!("work/{name}.kup"), "--hosts", hosts, "--no-cluster"]);
        kup.args(["--yes", "--plain", "--ssh-config", "config"]);
        kup.args(["--state-dir", &self.at(&format!("state/{name}-{round}"))]).env("XDG_RUNTIME_DIR", SOCKETS);
        self.run(&mut kup);
    }

    fn run(&self, command: &mut Command) {
        let log = done(File::create(self.path("log")));
        command.current_dir(&self.folder).stdin(Stdio::null());
        command.stdout(done(log.try_clone())).stderr(log);
        let status = done(command.status());
        let said = || fs::read_to_string(self.path("log")).unwrap_or_default();
        assert!(status.success(), "{command:?} ended with {status}:\n{}", said());
    }

    fn xargs(&self, work: Work) {
        self.masters(work);
        for group in work.groups() {
            let line =
                format!("printf '%s\\n' {} | xargs -P {HOSTS} -n 1 work/{}.sh", group.join(" "), work.name());
            self.run(Command::new("sh").args(["-c", &line]));
        }
    }

    fn ansible(&self, work: Work) {
        let ssh = format!("-F {} -o ControlMaster=auto -o ControlPersist=60s", self.at("config"));
        let mut play = Command::new("ansible-playbook");
        play.args(["-i", "inventory.ini", &format!("work/{}.yml", work.name())]);
        play.env("ANSIBLE_HOME", self.path("ansible")).env("ANSIBLE_FORKS", HOSTS.to_string());
        play.env("ANSIBLE_PIPELINING", "on").env("ANSIBLE_NOCOLOR", "1").env("ANSIBLE_SSH_ARGS", ssh);
        play.env("ANSIBLE_SSH_CONTROL_PATH_DIR", SOCKETS);
        self.run(&mut play);
    }

    fn pyinfra(&self, work: Work) {
        for n in 0..work.groups().len() {
            let mut pyinfra = Command::new("pyinfra");
            pyinfra.args(["-y", "--parallel", &HOSTS.to_string(), "--limit", &format!("group{n}")]);
            pyinfra.args([format!("work/inv_{}.py", work.name()), format!("work/{}.py", work.name())]);
            self.run(&mut pyinfra);
        }
    }

    /// Every step is sent when the one before has ended, through `send`, made once a host.
    fn each<C: Send>(
        &self,
        work: Work,
        connect: impl Fn(&str) -> C,
        send: impl Fn(&mut C, &str) -> i32 + Sync,
    ) {
        let steps = work.steps();
        let mut hosts: BTreeMap<String, C> =
            work.groups().concat().into_iter().map(|host| (host.clone(), connect(&host))).collect();
        for group in work.groups() {
            thread::scope(|scope| {
                for (host, connection) in hosts.iter_mut().filter(|(host, _)| group.contains(host)) {
                    let (steps, send) = (&steps, &send);
                    scope.spawn(move || {
                        for step in steps {
                            assert_eq!(send(connection, step), 0, "{host}: {step}");
                        }
                    });
                }
            });
        }
    }

    /// The limit: commands over control sockets by OpenSSH's own protocol, without a process for each.
    fn mux(&self, work: Work) {
        self.masters(work);
        self.each(work, |host| Path::new(SOCKETS).join(host), |socket, step| done(through(socket, step)));
    }

    /// What is below it: one remote shell a host that is fed line by line.
    fn pipe(&self, work: Work) {
        self.each(work, |host| Pipe::open(self, host), Pipe::send);
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.close_masters();
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn done<T>(result: std::io::Result<T>) -> T {
    result.unwrap_or_else(|e| panic!("{e}"))
}

/// One command through a control socket, by OpenSSH's PROTOCOL.mux: returns its exit code.
fn through(socket: &Path, command: &str) -> std::io::Result<i32> {
    const HELLO: u32 = 1;
    const NEW_SESSION: u32 = 0x1000_0002;
    const EXIT_MESSAGE: u32 = 0x8000_0004;
    let number = |n: u32| n.to_be_bytes().to_vec();
    let text = |text: &str| [number(text.len() as u32), text.as_bytes().to_vec()].concat();
    let packet = |body: Vec<u8>| [number(body.len() as u32), body].concat();
    let mut master = UnixStream::connect(socket)?;
    let ((output, out), (errors, err)) = (std::io::pipe()?, std::io::pipe()?);
    // No terminal, no forwarding, no escape character.
    let flags = [0, 0, 0, 0, u32::MAX].map(number).concat();
    let session = [number(NEW_SESSION), number(1), text(""), flags, text(""), text(command)].concat();
    master.write_all(&[packet([number(HELLO), number(4)].concat()), packet(session)].concat())?;
    let null = File::open("/dev/null")?;
    for fd in [null.as_raw_fd(), out.as_raw_fd(), err.as_raw_fd()] {
        master.send_with_fd(&[0], &[fd])?;
    }
    drop((out, err));
    let code = loop {
        let mut length = [0; 4];
        master.read_exact(&mut length)?;
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        master.read_exact(&mut body)?;
        let at = |i: usize| body.get(i..i + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
        if at(0) == EXIT_MESSAGE {
            break at(8) as i32;
        }
    };
    let all = |mut pipe: PipeReader| pipe.read_to_end(&mut Vec::new());
    all(output)?;
    all(errors)?;
    Ok(code)
}

/// A remote shell that is fed line by line.
struct Pipe {
    _ssh: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Pipe {
    fn open(fleet: &Fleet, host: &str) -> Pipe {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", &fleet.at("config"), "-o", "ControlPath=none", "-T", host, "exec sh"]);
        let mut ssh = done(ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn());
        let (input, output) = (ssh.stdin.take(), ssh.stdout.take());
        Pipe { _ssh: ssh, input, output: output.unwrap_or_else(|| panic!("no output")) }
    }

    fn send(&mut self, step: &str) -> i32 {
        let line = format!("({step}\n) </dev/null 2>&1; printf '\\n\\001 %d\\n' $?\n");
        if let Some(input) = &mut self.input {
            done(input.write_all(line.as_bytes()));
        }
        let (mut said, mut more) = (Vec::new(), [0; 4096]);
        loop {
            let n = done(self.output.read(&mut more));
            assert!(n > 0, "the shell is gone");
            said.extend_from_slice(&more[..n]);
            if let Some(at) = said.windows(3).position(|w| w == b"\n\x01 ")
                && said.ends_with(b"\n")
            {
                return String::from_utf8_lossy(&said[at + 3..]).trim().parse().unwrap_or(-1);
            }
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.input = None;
        let _ = self._ssh.wait();
    }
}

/// Begins once more where /run is in memory, for this program alone.
fn with_a_run_in_memory() -> ! {
    let script = "mount -t tmpfs tmpfs /run && exec \"$@\"";
    let this = std::env::current_exe().unwrap_or_else(|e| panic!("{e}"));
    let mut again = Command::new("unshare");
    again.args(["--mount", "sh", "-c", script, "sh"]).arg(this).args(std::env::args().skip(1));
    panic!("no namespace of its own: {}", again.env(IN_MEMORY, "yes").exec());
}

fn main() {
    if std::env::var_os(IN_MEMORY).is_none() {
        with_a_run_in_memory();
    }
    let given = |name: &str, or: &str| std::env::var(name).unwrap_or_else(|_| or.to_string());
    let rounds: usize = given("KUP_ROUNDS", "9").parse().unwrap_or(9);
    let wanted = given("KUP_WORKS", "W1 W2 W3");
    let is_there =
        |program: &str| Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
    let (has_pyinfra, has_ansible) = (is_there("pyinfra"), is_there("ansible-playbook"));
    let fleet = Fleet::start();
    println!("{HOSTS} hosts, medians of {rounds} rounds: seconds, and times the limit of the same round");
    for work in [Work::W1, Work::W2, Work::W3].into_iter().filter(|w| wanted.contains(w.name())) {
        type Tool<'f> = (&'f str, bool, Box<dyn Fn(usize) + 'f>);
        let tools: [Tool<'_>; 6] = [
            ("limit: mux protocol", true, Box::new(|_| fleet.mux(work))),
            ("kup run", true, Box::new(|round| fleet.kup(work, round))),
            ("one remote shell", true, Box::new(|_| fleet.pipe(work))),
            ("xargs + ssh -S", true, Box::new(|_| fleet.xargs(work))),
            ("pyinfra", has_pyinfra, Box::new(|_| fleet.pyinfra(work))),
            ("ansible raw", has_ansible, Box::new(|_| fleet.ansible(work))),
        ];
        let mut times: Vec<Vec<f64>> = vec![Vec::new(); tools.len()];
        // The first round only warms what is cached.
        for round in 0..=rounds {
            for ((name, is_there, run), times) in tools.iter().zip(&mut times) {
                if !is_there {
                    continue;
                }
                fleet.reset();
                let began = Instant::now();
                run(round);
                let took = began.elapsed().as_secs_f64();
                assert!(fleet.is_done(work), "{name} has not done the work of {}", work.name());
                fleet.close_masters();
                if round > 0 {
                    times.push(took);
                }
            }
        }
        let limit = times[0].clone();
        let median = |mut of: Vec<f64>| {
            of.sort_by(f64::total_cmp);
            of[of.len() / 2]
        };
        for ((name, ..), times) in tools.iter().zip(times).filter(|(_, times)| !times.is_empty()) {
            let ratios = times.iter().zip(&limit).map(|(time, limit)| time / limit).collect();
            println!("{} {name:<20} {:>8.3} s {:>7.2}", work.name(), median(times.clone()), median(ratios));
        }
    }
}
