//! What PowerShell of a Windows worker knows: its own cmdlets, one method of .NET, and the programs of Windows and of Kubernetes.
//! What a cmdlet returns is shown as `Format-List` shows it.

use engine::port::Output;

use super::{kubeadm, systemctl};
use crate::node::process::{Ended, Process, failed, said};
use crate::node::windows;

/// Runs a command.
pub(super) async fn windows(process: &Process, argv: &[&str]) -> Ended {
    match argv {
        ["hostname.exe"] => Ok(said(format!("{}\n", process.node))),
        ["where.exe", file] => {
            let Some(file) = file.strip_prefix("$PATH:") else {
                return Ok(super::not_known("where.exe", &argv[1..]));
            };
            let path = format!("{}\\{file}", windows::FOLDER);
            Ok(match process.on(|n| windows::version_of(n, &path)) {
                Some(_) => said(format!("{path}\n")),
                None => failed(1, "INFO: Could not find files for the given pattern(s).\n"),
            })
        }
        ["Get-FileHash", "-Algorithm", "SHA256", "-LiteralPath", path] => {
            process.busy(300, 900).await?;
            Ok(match process.on(|n| n.files.read(&windows::file(n, path)).map(windows::hash)) {
                Some(hash) => said(format!(
                    "\nAlgorithm : SHA256\nHash      : {}\nPath      : {path}\n\n",
                    hash.to_uppercase()
                )),
                None => failed(1, format!("Cannot find path '{path}' because it does not exist.\n")),
            })
        }
        ["[IO.File]::Replace", from, to, kept] => Ok(process.on(|n| {
            let refused = |why: &str| {
                failed(1, format!("Exception calling \"Replace\" with \"3\" argument(s): \"{why}\"\n"))
            };
            let [from, to, kept] = [from, to, kept].map(|path| windows::file(n, path));
            // kubelet.exe runs, and Windows locks what runs.
            if n.kubelet_active && to.ends_with("/kubelet.exe") {
                return refused(
                    "The process cannot access the file because it is being used by another process.",
                );
            }
            let (Some(new), Some(old)) = (n.files.text(&from), n.files.text(&to)) else {
                return refused("Unable to find the specified file.");
            };
            n.files.write(&kept, old, 0o755);
            n.files.write(&to, new, 0o755);
            n.files.remove(&from);
            windows::see(n);
            said("")
        })),
        ["Get-Service", "-Name", "kubelet"] => {
            // nssm: service.cpp, throttle_restart: the service of a program that ends at once is paused.
            let status = process.on(|n| match (n.kubelet_active, &n.kubelet_failure) {
                (true, _) => "Running",
                (false, Some(_)) => "Paused",
                (false, None) => "Stopped",
            });
            let yes = if status == "Stopped" { "False" } else { "True" };
            Ok(said(format!(
                "\n\nName                : kubelet\nDisplayName         : kubelet\nStatus              : {status}\n\
                 DependentServices   : {{}}\nServicesDependedOn  : {{containerd}}\nCanPauseAndContinue : {yes}\n\
                 CanShutdown         : {yes}\nCanStop             : {yes}\nServiceType         : Win32OwnProcess\n\n\n"
            )))
        }
        ["Stop-Service", "-Name", "kubelet"] => {
            process.busy(400, 1200).await?;
            systemctl::stop_kubelet(process);
            Ok(said(""))
        }
        ["Restart-Service", "-Name", "kubelet"] => {
            process.busy(800, 2000).await?;
            systemctl::restart_kubelet(process);
            Ok(said(""))
        }
        ["curl.exe", args @ ..] => curl(process, args).await,
        [path, args @ ..] if path.starts_with("C:") => match process.on(|n| windows::version_of(n, path)) {
            Some((name, version)) => program(process, &name, &version, args).await,
            None => Ok(not_recognized(path)),
        },
        other => Ok(not_recognized(other.first().unwrap_or(&""))),
    }
}

async fn program(process: &Process, name: &str, version: &str, args: &[&str]) -> Ended {
    match (name, args) {
        ("kubelet", ["--version"]) => Ok(said(format!("Kubernetes {version}\n"))),
        ("kubeadm", ["version", "-o", "short"]) => Ok(said(format!("{version}\n"))),
        ("kubeadm", ["upgrade", "node"]) => kubeadm::kubeadm(process, args).await,
        _ => Ok(super::not_known(name, args)),
    }
}

/// Fetches one file into another one or to standard output, or only asks whether it is there.
async fn curl(process: &Process, args: &[&str]) -> Ended {
    let Some(url) = args.iter().find(|arg| arg.contains("://")) else {
        return Ok(super::not_known("curl.exe", args));
    };
    process.busy(100, 400).await?;
    let Some(content) = process.on(|n| windows::released(n, url)) else {
        return Ok(failed(22, "curl: (22) The requested URL returned error: 404\n"));
    };
    if args.contains(&"--head") {
        return Ok(said("HTTP/1.1 200 OK\n\n"));
    }
    match args.iter().position(|arg| *arg == "--output").and_then(|at| args.get(at + 1)) {
        Some(path) => {
            process.busy(2000, 6000).await?;
            process.on(|n| n.files.write(&windows::file(n, path), content, 0o755));
            Ok(said(""))
        }
        None => Ok(said(String::from_utf8_lossy(&content))),
    }
}

fn not_recognized(program: &str) -> Output {
    failed(
        1,
        format!(
            "The term '{program}' is not recognized as the name of a cmdlet, function, script file, or operable program. \
             Check the spelling of the name, or if a path was included, verify that the path is correct and try again.\n"
        ),
    )
}

#[cfg(test)]
mod tests {
    use engine::port::{Command, Shells};

    use crate::cluster::Cluster;
    use crate::node::Machines;
    use crate::shape::Shape;

    #[test]
    fn a_kubelet_that_runs_is_locked_and_its_successor_reports_itself() {
        crate::runtime().block_on(async {
            let shape = "version = \"v1.33.4\"\ncontrol_plane = 1\n[[pool]]\nname = \"win\"\ncount = 1\nos = \"windows\"\n";
            let cluster = Cluster::start(Shape::from_toml(shape).unwrap(), 7, Vec::new());
            let shell = Machines::new(&cluster.world).on("win1");
            let run = async |line: &str| shell.run(&Command::change(line.split(' '))).await.unwrap();
            assert_eq!(run("where.exe $PATH:kubelet.exe").await.stdout, "C:\\k\\kubelet.exe\n");
            assert_eq!(run("sh -c id").await.code, 1);
            let url = "https://dl.k8s.io/release/v1.33.5/bin/windows/amd64/kubelet.exe";
            assert_eq!(run("where.exe $PATH:kubectl.exe").await.code, 1);
            assert!(run(&format!("curl.exe -fsSL --output C:\\k\\kubelet.kup.exe {url}")).await.ok());
            let hash = run("Get-FileHash -Algorithm SHA256 -LiteralPath C:\\k\\kubelet.kup.exe").await.stdout;
            let told = run(&format!("curl.exe -fsSL {url}.sha256")).await.stdout;
            assert!(hash.to_lowercase().contains(&told), "{hash} {told}");
            let replace = "[IO.File]::Replace C:\\k\\kubelet.kup.exe C:\\k\\kubelet.exe C:\\k\\kubelet.previous.exe";
            assert!(run(replace).await.stderr.contains("used by another process"));
            assert!(run("Stop-Service -Name kubelet").await.ok());
            assert!(run("Get-Service -Name kubelet").await.stdout.contains("Stopped"));
            assert!(run(replace).await.ok());
            assert!(run("Restart-Service -Name kubelet").await.ok());
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            assert!(run("Get-Service -Name kubelet").await.stdout.contains("Running"));
            let nodes: kube::Api<k8s_openapi::api::core::v1::Node> = kube::Api::all(cluster.client());
            let info = nodes.get("win1").await.unwrap().status.unwrap().node_info.unwrap();
            assert_eq!((info.kubelet_version.as_str(), info.operating_system.as_str()), ("v1.33.5", "windows"));
            assert_eq!(run("C:\\k\\kubelet.previous.exe --version").await.stdout, "Kubernetes v1.33.4\n");
            assert!(shell.read("C:\\var\\lib\\kubelet\\config.yaml").await.unwrap().is_some());
        });
    }
}
