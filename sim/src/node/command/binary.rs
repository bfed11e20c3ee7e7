//! What is asked of a node that somebody built: its binaries, what its processes run, what they answer, and downloads.

use engine::port::Output;

use crate::node::binary;
use crate::node::process::{Ended, Process, failed, said};

/// Runs a command that only such a node knows; `None` if it is none of these.
pub(super) async fn run(process: &Process, argv: &[&str]) -> Option<Ended> {
    if !process.on(|n| n.by_units) {
        return None;
    }
    match argv {
        ["kubeadm" | "crictl", ..] => Some(Ok(super::not_found(argv))),
        ["curl", args @ ..] => Some(curl(process, args).await),
        ["stat", "-L", "-c", "%d:%i", paths @ ..] => Some(Ok(stat(process, paths))),
        [program, "--version"] => version(process, program).map(Ok),
        [program, "version", "--client"] => version(process, program).map(Ok),
        _ => None,
    }
}

/// Returns what a binary says of itself; kubectl has words of its own for it.
fn version(process: &Process, program: &str) -> Option<Output> {
    let (name, version) = process.on(|n| binary::version_of(n, program))?;
    Some(said(match name.as_str() {
        "kubectl" => format!("Client Version: {version}\nKustomize Version: v5.7.1\n"),
        _ => format!("Kubernetes {version}\n"),
    }))
}

fn stat(process: &Process, paths: &[&str]) -> Output {
    let mut output = Output::default();
    for path in paths {
        match process.world(|w| binary::inode(w, &process.node, path)) {
            Some(identity) => output.stdout.push_str(&format!("{identity}\n")),
            None => {
                output.code = 1;
                output.stderr.push_str(&format!("stat: cannot statx '{path}': No such file or directory\n"));
            }
        }
    }
    output
}

/// Asks a component how it is, or fetches files: pairs of `--output PATH URL`, or one to standard output.
async fn curl(process: &Process, args: &[&str]) -> Ended {
    let urls: Vec<&str> = args.iter().copied().filter(|arg| arg.contains("://")).collect();
    if let Some(code) = urls.first().and_then(|url| process.world(|w| binary::probe(w, &process.node, url))) {
        process.busy(10, 40).await?;
        return Ok(match code {
            0 => Output { code: 7, stdout: "000".to_string(), ..Output::default() },
            code => said(code.to_string()),
        });
    }
    process.busy(100, 400).await?;
    let mut into = args.windows(2).filter(|pair| pair[0] == "--output").map(|pair| pair[1]);
    let mut stdout = String::new();
    for url in urls {
        let Some(content) = process.on(|n| binary::released(n, url)) else {
            return Ok(failed(22, "curl: (22) The requested URL returned error: 404\n"));
        };
        match into.next() {
            _ if args.contains(&"--head") => stdout.push_str("HTTP/2 200 \r\n\r\n"),
            Some(path) => {
                process.busy(1000, 3000).await?;
                process.on(|n| n.files.write(path, content, 0o644));
            }
            None => stdout.push_str(&String::from_utf8_lossy(&content)),
        }
    }
    Ok(said(stdout))
}
