//! HTTP for scripts: one request, one answer, a deadline, no redirects. A certificate is held to the
//! roots of this machine.

use std::io::Cursor;
use std::time::Duration;

use async_trait::async_trait;
use http::header::{HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::hook::Answer;
use crate::port::Web;

/// A webhook or a metrics server that needs longer is of no use to a gate.
const DEADLINE: Duration = Duration::from_secs(10);

/// No script can hold more.
const LARGEST: usize = 1 << 20;

type Body = Full<Cursor<Vec<u8>>>;

/// The way to the hosts that a playbook lists.
#[derive(Clone, Copy, Debug, Default)]
pub struct Http;

#[async_trait]
impl Web for Http {
    async fn send(&self, post: bool, url: &str, headers: &[(String, String)], body: &str) -> Answer {
        let sent = tokio::time::timeout(DEADLINE, exchange(post, url, headers, body)).await;
        let late = || Err(format!("no answer within {} s", DEADLINE.as_secs()));
        sent.unwrap_or_else(|_| late()).unwrap_or_else(|error| Answer { error, ..Answer::default() })
    }
}

async fn exchange(post: bool, url: &str, headers: &[(String, String)], body: &str) -> Result<Answer, String> {
    let body: Body = Full::new(Cursor::new(body.as_bytes().to_vec()));
    let method = if post { Method::POST } else { Method::GET };
    let mut request = Request::builder().method(method).uri(url).body(body).map_err(|e| e.to_string())?;
    let agent = HeaderValue::from_static(concat!("kup/", env!("CARGO_PKG_VERSION")));
    request.headers_mut().insert(USER_AGENT, agent);
    for (name, value) in headers {
        let wrong = || format!("`{name}` is no header, or its value is none");
        let name = HeaderName::try_from(name.as_str()).map_err(|_| wrong())?;
        request.headers_mut().insert(name, HeaderValue::try_from(value.as_str()).map_err(|_| wrong())?);
    }
    let answer = client()?.request(request).await.map_err(|e| innermost(&e))?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), LARGEST).collect().await.map_err(|e| e.to_string())?;
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    Ok(Answer { status, body, error: String::new() })
}

/// Makes a client. Requests are minutes apart, so nothing is kept open for the next one.
fn client() -> Result<Client<HttpsConnector<HttpConnector>, Body>, String> {
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
        .map_err(|e| format!("the certificates of this machine cannot be read: {e}"))?
        .https_or_http()
        .enable_http1()
        .build();
    Ok(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
}

/// Returns what an error is about: `client error (Connect)` says nothing.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}
