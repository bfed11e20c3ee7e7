//! Watches: the changes after a version, through the caller's selectors, until their apiserver goes away.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

use super::Server;
use super::answer::{Params, present};
use super::kind::{Kind, Target};
use super::select::Select;
use super::status::Refusal;
use super::store::{Change, ChangeKind};
use crate::pod;
use crate::world::{World, lock};

/// How long the server keeps a watch whose caller names no limit.
const LIMIT: Duration = Duration::from_secs(30 * 60);

struct Watch {
    server: Server,
    kind: &'static Kind,
    namespace: String,
    select: Select,
    revision: u64,
    ready: VecDeque<Bytes>,
    changes: Receiver<u64>,
    machines: Receiver<u64>,
    deadline: Instant,
    ended: bool,
}

/// Begins a watch.
pub(super) fn watch(
    server: &Server,
    world: &World,
    target: &Target,
    params: &Params,
) -> Result<Response, Refusal> {
    let asked = params.resource_version.parse::<u64>().unwrap_or(0);
    let mut watch = Watch {
        server: server.clone(),
        kind: target.kind,
        namespace: target.namespace.clone(),
        select: Select::parse(&params.label_selector, &params.field_selector)?,
        revision: asked,
        ready: VecDeque::new(),
        changes: world.store.watch(),
        machines: world.watch_machines(),
        deadline: Instant::now() + params.timeout_seconds.map_or(LIMIT, Duration::from_secs),
        ended: false,
    };
    if asked == 0 || params.send_initial_events {
        watch.revision = world.store.revision();
        let objects = world.store.list(target.kind.resource).filter(|o| watch.wants(o));
        let events: VecDeque<Bytes> =
            objects.map(|o| event("ADDED", &present(world, target.kind, o))).collect();
        watch.ready = events;
        if params.send_initial_events {
            watch.ready.push_back(watch.bookmark());
        }
    } else if world.store.changes_after(asked).is_none() {
        let refusal = Refusal::expired(asked, world.store.oldest());
        watch.ready.push_back(event("ERROR", &refusal.body()));
        watch.ended = true;
    }
    let events =
        stream::unfold(watch, |mut watch| async move { watch.next().await.map(|event| (event, watch)) });
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], Body::from_stream(events))
        .into_response())
}

impl Watch {
    fn wants(&self, object: &Value) -> bool {
        (self.namespace.is_empty() || pod::namespace(object) == self.namespace) && self.select.wants(object)
    }

    /// Returns the next line; `None` at the end of the watch.
    async fn next(&mut self) -> Option<Result<Bytes, io::Error>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            if let Some(error) = self.collect() {
                self.ended = true;
                return Some(Err(error));
            }
            if !self.ready.is_empty() || self.ended {
                continue;
            }
            tokio::select! {
                biased;
                _ = self.changes.changed() => (),
                _ = self.machines.changed() => (),
                () = tokio::time::sleep_until(self.deadline) => self.ended = true,
            }
        }
    }

    /// Moves what happened since into `ready`. An apiserver that stops cuts its watches.
    fn collect(&mut self) -> Option<io::Error> {
        let shared = self.server.world.clone();
        let world = lock(&shared);
        self.changes.mark_unchanged();
        self.machines.mark_unchanged();
        if !world.component_up(&self.server.node, "kube-apiserver") {
            return Some(io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer"));
        }
        let Some(changes) = world.store.changes_after(self.revision) else {
            let refusal = Refusal::expired(self.revision, world.store.oldest());
            self.ready.push_back(event("ERROR", &refusal.body()));
            self.ended = true;
            return None;
        };
        let events: Vec<Bytes> = changes.filter_map(|c| self.seen(&world, c)).collect();
        self.ready.extend(events);
        self.revision = world.store.revision();
        None
    }

    /// A change as this watch sees it: an object that no longer fits the selectors is a deletion.
    fn seen(&self, world: &World, change: &Change) -> Option<Bytes> {
        if change.resource != self.kind.resource {
            return None;
        }
        let now = change.kind != ChangeKind::Deleted && self.wants(&change.object);
        let before = change.before.as_ref().is_some_and(|o: &Arc<Value>| self.wants(o));
        let name = match (before, now) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return None,
        };
        Some(event(name, &present(world, self.kind, &change.object)))
    }

    fn bookmark(&self) -> Bytes {
        let object = json!({
            "kind": self.kind.name, "apiVersion": self.kind.api_version(),
            "metadata": {
                "resourceVersion": self.revision.to_string(), "creationTimestamp": null,
                "annotations": {"k8s.io/initial-events-end": "true"},
            },
        });
        event("BOOKMARK", &object)
    }
}

fn event(name: &str, object: &Value) -> Bytes {
    let mut line = format!("{{\"type\":\"{name}\",\"object\":{object}}}");
    line.push('\n');
    Bytes::from(line)
}
