//! Ports that cannot change anything, for planning: not because nobody asks them to, but because they
//! refuse.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, Request, Response, StatusCode};
use kube::client::Body;

use crate::port::{Command, Once, Output, Ports, Shell, ShellError, Shells};

/// Returns the same ports without the power to change anything. Needs a runtime, as every client does.
pub fn read_only(ports: Ports) -> Ports {
    Ports {
        kube: ports.kube.map(looking),
        shells: Arc::new(Looking(ports.shells)),
        clock: ports.clock,
        web: None,
    }
}

/// Wraps a client in a guard. What is refused never leaves this process.
fn looking(client: kube::Client) -> kube::Client {
    let namespace = client.default_namespace().to_string();
    let guard = tower::service_fn(move |request: Request<Body>| {
        let client = client.clone();
        async move {
            match only_looks(request.method(), request.uri()) {
                true => client.send(request).await,
                false => Ok(refusal(&request)),
            }
        }
    });
    kube::Client::new(guard, namespace)
}

fn only_looks(method: &Method, uri: &http::Uri) -> bool {
    let path = uri.path();
    let last = path.rsplit('/').next().unwrap_or_default();
    let dry = || uri.query().is_some_and(|q| q.split('&').any(|p| p == "dryRun=All"));
    match *method {
        // A websocket begins as a GET, and a proxied one does whatever stands behind it.
        Method::GET => {
            let parts: Vec<&str> = path.split('/').collect();
            !parts.windows(3).any(|w| {
                matches!(w[0], "pods" | "services" | "nodes")
                    && matches!(w[2], "exec" | "attach" | "portforward" | "proxy")
            })
        }
        Method::HEAD => true,
        Method::POST => {
            let review = path.starts_with("/apis/authorization.k8s.io/") && last.ends_with("reviews");
            let who = path.starts_with("/apis/authentication.k8s.io/") && last == "selfsubjectreviews";
            review || who || (last == "eviction" && dry())
        }
        Method::PATCH => dry(),
        _ => false,
    }
}

/// Answers as the API does when somebody may not do something.
fn refusal(request: &Request<Body>) -> Response<Body> {
    let message = format!("kup is only looking: {} {} was not sent", request.method(), request.uri().path());
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "reason": "Forbidden", "code": 403, "message": message,
    });
    let mut response = Response::new(Body::from(status.to_string().into_bytes()));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

struct Looking(Arc<dyn Shells>);

impl Shells for Looking {
    fn on(&self, ssh: &str) -> Arc<dyn Shell> {
        Arc::new(LookingAt(self.0.on(ssh)))
    }

    fn here(&self) -> Arc<dyn Shell> {
        Arc::new(LookingAt(self.0.here()))
    }
}

struct LookingAt(Arc<dyn Shell>);

#[async_trait]
impl Shell for LookingAt {
    async fn run(&self, command: &Command) -> Result<Output, ShellError> {
        match command.changes {
            false => self.0.run(command).await,
            true => Err(refused(&format!("`{}`", command.argv.join(" ").escape_debug()))),
        }
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ShellError> {
        self.0.read(path).await
    }

    async fn write(&self, path: &str, _content: &[u8], _mode: u32) -> Result<(), ShellError> {
        Err(refused(&format!("writing `{path}`")))
    }

    async fn fetch(&self, path: &str, _into: &Path) -> Result<u64, ShellError> {
        Err(refused(&format!("fetching `{path}`")))
    }

    async fn once(&self, command: &Command, _marker: &str) -> Result<Once, ShellError> {
        Err(refused(&format!("`{}`", command.argv.join(" ").escape_debug())))
    }
}

fn refused(what: &str) -> ShellError {
    ShellError::Refused(format!("kup is only looking: {what} was not begun"))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use k8s_openapi::api::core::v1::{Node, Pod};
    use kube::api::{Api, DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams};

    use super::*;
    use crate::live::{Local, SystemClock};

    struct Here;
    impl Shells for Here {
        fn on(&self, _: &str) -> Arc<dyn Shell> {
            Arc::new(Local)
        }
        fn here(&self) -> Arc<dyn Shell> {
            Arc::new(Local)
        }
    }

    /// Returns read-only ports, and what reached the API behind them.
    fn ports() -> (Ports, Arc<Mutex<Vec<String>>>) {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let seen = sent.clone();
        let api = tower::service_fn(move |request: Request<Body>| {
            seen.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
            let body = Body::from(br#"{"metadata":{},"items":[]}"#.to_vec());
            async move { Ok::<_, std::convert::Infallible>(Response::new(body)) }
        });
        let kube = Some(kube::Client::new(api, "default"));
        (
            read_only(Ports {
                kube,
                shells: Arc::new(Here),
                clock: Arc::new(SystemClock::default()),
                web: None,
            }),
            sent,
        )
    }

    #[tokio::test]
    async fn the_api_only_hears_questions() {
        let (ports, sent) = ports();
        let client = ports.kube.unwrap();
        let (nodes, pods): (Api<Node>, Api<Pod>) =
            (Api::all(client.clone()), Api::namespaced(client, "shop"));
        nodes.list(&ListParams::default()).await.unwrap();
        let patch = Patch::Merge(serde_json::json!({"spec": {"unschedulable": true}}));
        nodes.patch("w1", &PatchParams { dry_run: true, ..PatchParams::default() }, &patch).await.unwrap();
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let _ = pods.evict("db-1", &EvictParams { post_options: dry, ..EvictParams::default() }).await;
        let asked = sent.lock().unwrap().clone();
        assert_eq!(asked.len(), 3, "{asked:?}");

        let error = nodes.patch("w1", &PatchParams::default(), &patch).await.unwrap_err();
        assert!(matches!(&error, kube::Error::Api(s) if s.code == 403 && s.message.contains("only looking")));
        assert!(pods.evict("db-1", &EvictParams::default()).await.is_err());
        assert!(pods.delete("db-1", &DeleteParams::default()).await.is_err());
        assert!(pods.create(&PostParams::default(), &Pod::default()).await.is_err());
        assert_eq!(*sent.lock().unwrap(), asked);
    }

    #[test]
    fn a_question_that_opens_a_door_is_refused() {
        let check = |method: Method, uri: &str| only_looks(&method, &uri.parse().unwrap());
        assert!(!check(Method::GET, "/api/v1/namespaces/kube-system/pods/etcd-a/exec?command=rm"));
        assert!(!check(Method::GET, "/api/v1/nodes/w1/proxy/run/x"));
        assert!(check(Method::GET, "/api/v1/namespaces/shop/pods?watch=true"));
        assert!(check(Method::GET, "/api/v1/namespaces/proxy/pods/exec"));
        assert!(check(Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"));
        assert!(!check(Method::POST, "/apis/authorization.k8s.io/v1/roles"));
        assert!(!check(Method::PATCH, "/api/v1/nodes/w1?x=dryRun=All"));
        assert!(!check(Method::PUT, "/api/v1/nodes/w1?dryRun=All"));
    }

    #[tokio::test]
    async fn a_shell_only_looks() {
        let (ports, _) = ports();
        let shell = ports.shells.on("w1");
        assert!(shell.run(&Command::read(["true"])).await.unwrap().ok());
        let refused = |r: Result<(), ShellError>| matches!(r, Err(ShellError::Refused(_)));
        assert!(refused(shell.run(&Command::change(["touch", "/tmp/kup-x"])).await.map(drop)));
        assert!(refused(shell.write("/tmp/kup-x", b"", 0o600).await));
        assert!(refused(ports.shells.here().fetch("/etc/hosts", Path::new("/tmp/kup-x")).await.map(drop)));
        assert!(!Path::new("/tmp/kup-x").exists());
    }
}
