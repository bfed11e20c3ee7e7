//! The API server: an axum router without a socket under a real `kube::Client`.
//!
//! ```text
//!   client -> connect (is an apiserver up?) -> router -> answer -> Store
//!                                                 |-> watch  (its log)
//!                                                 `-> evict  (its budgets)
//! ```

mod answer;
mod apply;
mod discovery;
mod evict;
mod kind;
mod patch;
mod select;
mod status;
mod store;
mod watch;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::Value;
use tower::{BoxError, ServiceExt, service_fn};

pub(crate) use apply::owned_by;
pub(crate) use evict::{end_pod, finish};
pub use kind::{KINDS, Kind, Target};
pub(crate) use select::selects;
pub use status::Refusal;
pub use store::{Change, ChangeKind, Image, Key, Store};

use crate::world::{Shared, lock};

/// How long an answer takes, so that no loop of requests is free of time.
const LATENCY: Duration = Duration::from_millis(3);

/// How long an apiserver tries before it gives up on an etcd without a quorum.
const ETCD_TIMEOUT: Duration = Duration::from_secs(7);

/// What a handler knows: the world and the control plane node whose apiserver took the request.
#[derive(Clone)]
struct Server {
    world: Shared,
    node: String,
}

/// Makes a client of the simulated cluster. Requests go in turn to the apiservers that run, as a load
/// balancer would send them.
pub fn client(world: &Shared) -> kube::Client {
    // The routes of an apiserver are made once; a request is served by a clone of them, which is cheap.
    let routers: Vec<(String, Router)> = lock(world)
        .control_plane()
        .map(|node| (node.to_string(), router(Server { world: world.clone(), node: node.to_string() })))
        .collect();
    let (world, routers) = (world.clone(), Arc::new(routers));
    let turn = Arc::new(AtomicUsize::new(0));
    let service = service_fn(move |request: http::Request<kube::client::Body>| {
        let (world, turn, routers) = (world.clone(), turn.clone(), routers.clone());
        async move {
            tokio::time::sleep(LATENCY).await;
            let (clock, router) = {
                let world = lock(&world);
                let live: Vec<&Router> = routers
                    .iter()
                    .filter(|(node, _)| world.component_up(node, "kube-apiserver"))
                    .map(|(_, router)| router)
                    .collect();
                let turn = turn.fetch_add(1, Ordering::Relaxed);
                (world.clock, live.get(turn % live.len().max(1)).map(|r| (*r).clone()))
            };
            let Some(router) = router else {
                let error = io::Error::new(
                    io::ErrorKind::ConnectionRefused,
                    "tcp connect error: Connection refused (os error 111)",
                );
                return Err(BoxError::from(error));
            };
            let answer = router.oneshot(request.map(Body::new)).await;
            let mut answer = answer.map_err(|never| match never {})?;
            // Clients hold leases against the server's time and not against their own.
            if let Ok(date) = HeaderValue::from_str(&clock.date()) {
                answer.headers_mut().insert(header::DATE, date);
            }
            Ok(answer)
        }
    });
    kube::Client::new(service, "default")
}

/// Returns the routes of one apiserver.
fn router(server: Server) -> Router {
    Router::new()
        .route("/version", any(version))
        .route("/livez", any(alive))
        .route("/livez/{*check}", any(alive))
        .route("/readyz", any(health))
        .route("/readyz/{*check}", any(health))
        .route("/healthz", any(health))
        .route("/api", any(discovery::root))
        .route("/apis", any(discovery::groups))
        .route("/api/v1", any(discovery::core))
        .route("/apis/{group}/{version}", any(discovery::group))
        .fallback(objects)
        .with_state(server)
}

async fn version(State(server): State<Server>) -> Response {
    let world = lock(&server.world);
    let image = world.static_pods.get(&(server.node.clone(), "kube-apiserver".to_string()));
    let version = image.and_then(|p| p.image.rsplit_once(':')).map_or("", |(_, tag)| tag);
    let version = crate::node::version_of_tag(version);
    let version = world.shape.managed.map_or(version.clone(), |provider| provider.version(&version));
    let minor = crate::shape::minor(&version).unwrap_or_default().to_string();
    json(
        StatusCode::OK,
        &serde_json::json!({
            "major": "1", "minor": minor, "gitVersion": version, "gitCommit": "0000000000000000000000000000000000000000",
            "gitTreeState": "clean", "buildDate": "2025-08-13T14:15:20Z", "goVersion": "go1.24.5", "compiler": "gc",
            "platform": "linux/amd64", "emulationMajor": "1", "emulationMinor": minor,
            "minCompatibilityMajor": "1", "minCompatibilityMinor": minor,
        }),
    )
}

/// A live process says ok even without etcd; `livez` of the real one fails on etcd only after a while.
async fn alive() -> &'static str {
    "ok"
}

/// `?verbose` lists the checks, as does any failure.
async fn health(State(server): State<Server>, request: Request) -> Response {
    let etcd = lock(&server.world).etcd.quorum();
    let verbose = request.uri().query().is_some_and(|q| q.split('&').any(|p| p.starts_with("verbose")));
    let path = request.uri().path().trim_start_matches('/').split('/').next().unwrap_or("").to_string();
    if etcd && !verbose {
        return "ok".into_response();
    }
    let store = |name: &str| {
        if etcd { format!("[+]{name} ok") } else { format!("[-]{name} failed: reason withheld") }
    };
    let (code, end) =
        if etcd { (StatusCode::OK, "passed") } else { (StatusCode::INTERNAL_SERVER_ERROR, "failed") };
    let checks = [store("etcd"), store("etcd-readiness")].join("\n");
    let text =
        format!("[+]ping ok\n[+]log ok\n{checks}\n[+]informer-sync ok\n[+]shutdown ok\n{path} check {end}\n");
    (code, text).into_response()
}

async fn objects(State(server): State<Server>, request: Request) -> Response {
    if !lock(&server.world).etcd.quorum() {
        tokio::time::sleep(ETCD_TIMEOUT).await;
        return refuse(&Refusal::etcd_timeout());
    }
    match answer::answer(&server, request).await {
        Ok(response) => response,
        Err(refusal) => refuse(&refusal),
    }
}

fn refuse(refusal: &Refusal) -> Response {
    let code = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(code, &refusal.body());
    if let Some(seconds) = refusal.details["retryAfterSeconds"].as_u64() {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn json(code: StatusCode, value: &Value) -> Response {
    bytes(code, value.to_string().into_bytes())
}

fn bytes(code: StatusCode, body: Vec<u8>) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], Bytes::from(body)).into_response()
}

#[cfg(test)]
mod tests;
