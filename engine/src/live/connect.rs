//! Finds the cluster as kubectl does, and connects to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use thiserror::Error;

use super::deadline::Deadline;

/// How long the API may take for one answer.
const ANSWER: Duration = Duration::from_secs(30);

/// No kubeconfig is larger; what is larger was named by mistake.
const MAX_BYTES: u64 = 16 << 20;

/// What the command line says about the cluster.
#[derive(Clone, Debug, Default)]
pub struct Connect {
    /// `--kubeconfig`; else `$KUBECONFIG`, else `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`; else the current one.
    pub context: Option<String>,
}

/// A cluster that can be talked to.
#[derive(Clone)]
pub struct Cluster {
    /// The client. It reconnects by itself and never tries a call twice.
    pub client: kube::Client,
    /// Where the API is.
    pub server: String,
    /// The context's name; empty inside of a cluster.
    pub context: String,
}

/// Why there is no cluster.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// No kubeconfig.
    #[error(
        "no kubeconfig: {0}\nhint: give one with `--kubeconfig FILE`, or plain hosts with `--hosts FILE`"
    )]
    Missing(String),
    /// A kubeconfig that cannot be read.
    #[error(
        "cannot read kubeconfig `{}`: {reason}\nhint: compare it with one that works: `kubectl config view` reads the \
         same file", path.display()
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// Why, without anything of its content.
        reason: String,
    },
    /// No context was chosen.
    #[error("the kubeconfig has no current context\nhint: choose one with `--context`: {}", list(.0))]
    NoContext(Vec<String>),
    /// There is nothing to choose from.
    #[error("the kubeconfig has no contexts\nhint: give another one with `--kubeconfig FILE`")]
    NoContexts,
    /// There is no such context.
    #[error("no context `{name}` in the kubeconfig\nhint: choose one with `--context`: {}", list(known))]
    UnknownContext {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The context names something that is not there, or a certificate is broken.
    #[error(
        "cannot use context `{context}`: {reason}\nhint: try `kubectl --context {context} version` from here"
    )]
    Unusable {
        /// The context.
        context: String,
        /// Why.
        reason: String,
    },
    /// The API does not answer.
    #[error("cannot reach the API at {server}: {reason}\nhint: try `kubectl version` from here")]
    Unreachable {
        /// Where.
        server: String,
        /// Why.
        reason: String,
    },
}

fn list(names: &[String]) -> String {
    match names.is_empty() {
        true => "none".to_string(),
        false => names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", "),
    }
}

/// Reads the kubeconfig and makes a client; asks the API nothing yet.
pub async fn connect(options: &Connect) -> Result<Cluster, ConnectError> {
    let env = std::env::var_os("KUBECONFIG");
    let paths: Vec<PathBuf> =
        env.iter().flat_map(std::env::split_paths).filter(|p| !p.as_os_str().is_empty()).collect();
    let (config, context) = match (&options.kubeconfig, paths.is_empty()) {
        (Some(path), _) => load(read(path)?, options.context.as_deref()).await?,
        (None, false) => load(read_list(&paths)?, options.context.as_deref()).await?,
        (None, true) => {
            let path = std::env::home_dir().unwrap_or_default().join(".kube/config");
            match (path.exists(), kube::Config::incluster()) {
                (false, Ok(config)) => (config, String::new()),
                _ => load(read(&path)?, options.context.as_deref()).await?,
            }
        }
    };
    client(config, context)
}

impl Cluster {
    /// Asks the API for its version.
    pub async fn reach(&self) -> Result<String, ConnectError> {
        let asked = tokio::time::timeout(Duration::from_secs(15), self.client.apiserver_version()).await;
        let unreachable = |reason: String| ConnectError::Unreachable { server: self.server.clone(), reason };
        match asked {
            Ok(Ok(version)) => Ok(version.git_version),
            Ok(Err(kube::Error::Api(status))) => {
                Err(unreachable(format!("it says {}: {}", status.code, status.message)))
            }
            Ok(Err(e)) => Err(unreachable(causes(&e))),
            Err(_) => Err(unreachable("no answer within 15 s".to_string())),
        }
    }
}

fn client(mut config: kube::Config, context: String) -> Result<Cluster, ConnectError> {
    // kube would try 429 and 503 again for minutes, silently, evictions among them. Retrying is the
    // machine's work, where it is told and can be stopped.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(10));
    let server = config.cluster_url.to_string().trim_end_matches('/').to_string();
    let plugin = config.auth_info.exec.as_ref().and_then(|exec| exec.command.clone());
    let unusable = |e: kube::Error| {
        let reason = match &plugin {
            Some(plugin) => format!("the credential plugin `{plugin}`: {}", causes(&e)),
            None => causes(&e),
        };
        ConnectError::Unusable { context: context.clone(), reason }
    };
    let builder = ClientBuilder::try_from(config).map_err(unusable)?;
    Ok(Cluster { client: builder.with_layer(&Deadline(ANSWER)).build(), server, context })
}

async fn load(kubeconfig: Kubeconfig, wanted: Option<&str>) -> Result<(kube::Config, String), ConnectError> {
    let known: Vec<String> = kubeconfig.contexts.iter().map(|c| c.name.clone()).collect();
    if known.is_empty() {
        return Err(ConnectError::NoContexts);
    }
    let current = kubeconfig.current_context.clone().filter(|c| !c.is_empty());
    let Some(name) = wanted.map(str::to_string).or(current) else {
        return Err(ConnectError::NoContext(known));
    };
    if !known.contains(&name) {
        return Err(ConnectError::UnknownContext { name, known });
    }
    let options = KubeConfigOptions { context: Some(name.clone()), ..KubeConfigOptions::default() };
    match kube::Config::from_custom_kubeconfig(kubeconfig, &options).await {
        Ok(config) => Ok((config, name)),
        Err(e) => Err(ConnectError::Unusable { context: name, reason: causes(&e) }),
    }
}

/// Merges the files of a list; like kubectl it passes over those that do not exist.
fn read_list(paths: &[PathBuf]) -> Result<Kubeconfig, ConnectError> {
    let mut merged: Option<Kubeconfig> = None;
    for path in paths.iter().filter(|p| p.exists()) {
        let next = read(path)?;
        let broken = |e: KubeconfigError| ConnectError::Broken { path: path.clone(), reason: e.to_string() };
        merged = Some(merged.map_or(Ok(next.clone()), |m| m.merge(next)).map_err(broken)?);
    }
    merged.ok_or_else(|| {
        let names: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        ConnectError::Missing(format!("$KUBECONFIG names {}, not one of which exists", list(&names)))
    })
}

fn read(path: &Path) -> Result<Kubeconfig, ConnectError> {
    let broken = |reason: String| ConnectError::Broken { path: path.to_path_buf(), reason };
    if std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() > MAX_BYTES) {
        return Err(broken(format!("it is larger than {} MiB", MAX_BYTES >> 20)));
    }
    // kube panics where a text in UTF-16 breaks off in the middle of a character.
    if let Ok([0xff, 0xfe, rest @ ..] | [0xfe, 0xff, rest @ ..]) = std::fs::read(path).as_deref()
        && rest.len() % 2 == 1
    {
        return Err(broken("it is not text".to_string()));
    }
    match Kubeconfig::read_from(path) {
        Ok(kubeconfig) => Ok(kubeconfig),
        Err(KubeconfigError::ReadConfig(e, _)) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(ConnectError::Missing(format!("`{}` does not exist", path.display())))
        }
        Err(KubeconfigError::ReadConfig(e, _)) => Err(broken(causes(&e))),
        // What the parser says may quote the file, and there are tokens in it.
        Err(KubeconfigError::Parse(e)) => Err(broken(match e.location() {
            Some(place) => {
                format!("it is not a kubeconfig at line {}, column {}", place.line(), place.column())
            }
            None => "it is not a kubeconfig".to_string(),
        })),
        Err(e) => Err(broken(causes(&e))),
    }
}

/// Returns an error with what caused it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(e) = next {
        let more = e.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = e.source();
    }
    // Where in the client it happened says nothing to a user, nor does the number of an error.
    for layer in ["ServiceError: ", "client error (Connect): ", "client error (SendRequest): "] {
        text = text.replace(layer, "");
    }
    while let Some((start, end)) = text.find(" (os error ").and_then(|i| Some((i, i + text[i..].find(')')?)))
    {
        text.replace_range(start..=end, "");
    }
    text
}

#[cfg(test)]
mod tests;
