//! Every call to the API ends: kube has no limit for the answer, and a control plane that is being
//! upgraded leaves connections behind that never say another word.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use kube::client::{Body, DynBody};
use tower::{BoxError, Layer, Service};

/// Limits the time of a call, its answer's body included. Watches and followed logs go on for as long
/// as they like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub(super) Duration);

/// The service of [`Deadline`].
#[derive(Clone, Debug)]
pub(super) struct Limited<S> {
    inner: S,
    limit: Duration,
}

impl<S> Layer<S> for Deadline {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited { inner, limit: self.0 }
    }
}

impl<S> Service<Request<Body>> for Limited<S>
where
    S: Service<Request<Body>, Response = Response<Box<DynBody>>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<Box<DynBody>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let endless = request
            .uri()
            .query()
            .is_some_and(|q| q.split('&').any(|p| matches!(p, "watch=true" | "watch=1" | "follow=true")));
        let what = format!("{} {}", request.method(), request.uri().path());
        let (answer, limit) = (self.inner.call(request), self.limit);
        Box::pin(async move {
            if endless {
                return answer.await;
            }
            let whole = async {
                let (head, body) = answer.await?.into_parts();
                let bytes = body.collect().await?.to_bytes();
                let body = Full::new(bytes).map_err(|never: Infallible| -> BoxError { match never {} });
                Ok(Response::from_parts(head, Box::new(body) as Box<DynBody>))
            };
            match tokio::time::timeout(limit, whole).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("no answer to {what} within {} s", limit.as_secs()).into()),
            }
        })
    }
}
