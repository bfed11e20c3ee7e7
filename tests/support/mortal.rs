//! Ports whose user dies behind a change that it made: the change is there, and nobody heard of it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use engine::port::{Command, Once, Output, Ports, Seal, Shell, ShellError, Shells};
use http::{Method, Request};
use kube::client::Body;
use tokio::sync::Notify;

/// The life of a user, told in changes. It has no end unless it is given one.
#[derive(Clone, Default)]
pub(crate) struct Life(Arc<Inner>);

#[derive(Default)]
struct Inner {
    made: AtomicUsize,
    /// None if it is zero.
    last: AtomicUsize,
    over: Notify,
}

impl Life {
    /// Lets it end behind so many changes.
    pub(crate) fn ends(&self, last: usize) {
        self.0.last.store(last, Ordering::Relaxed);
    }

    /// Lets it begin anew.
    pub(crate) fn begins(&self) {
        self.ends(0);
    }

    /// Ports for such a user. Its lease is no change: it is renewed as long as a run takes.
    pub(crate) fn ports(&self, ports: &Ports) -> Ports {
        Ports {
            kube: ports.kube.clone().map(|client| self.client(client)),
            shells: Arc::new(Mortals(ports.shells.clone(), self.clone())),
            clock: ports.clock.clone(),
            web: ports.web.clone(),
        }
    }

    /// Returns how many changes there were.
    pub(crate) fn made(&self) -> usize {
        self.0.made.load(Ordering::Relaxed)
    }

    /// Ends when the life does.
    pub(crate) async fn over(&self) {
        self.0.over.notified().await;
    }

    /// Does something, and counts it if it is a change. Who made the last one hears nothing of it, and nobody else does
    /// anything any more.
    async fn does<T>(&self, is_change: bool, doing: impl Future<Output = T>) -> T {
        self.alive().await;
        let answer = doing.await;
        if is_change && self.0.made.fetch_add(1, Ordering::Relaxed) + 1 == self.0.last.load(Ordering::Relaxed)
        {
            self.0.over.notify_one();
        }
        self.alive().await;
        answer
    }

    async fn alive(&self) {
        let last = self.0.last.load(Ordering::Relaxed);
        if last > 0 && self.made() >= last {
            std::future::pending::<()>().await;
        }
    }

    fn client(&self, client: kube::Client) -> kube::Client {
        let (namespace, life) = (client.default_namespace().to_string(), self.clone());
        let counted = tower::service_fn(move |request: Request<Body>| {
            let (client, life) = (client.clone(), life.clone());
            async move {
                let looks = matches!(*request.method(), Method::GET | Method::HEAD);
                let is_change = !looks && !request.uri().path().contains("/leases");
                life.does(is_change, client.send(request)).await
            }
        });
        kube::Client::new(counted, namespace)
    }
}

struct Mortals(Arc<dyn Shells>, Life);

impl Shells for Mortals {
    fn on(&self, ssh: &str) -> Arc<dyn Shell> {
        Arc::new(Mortal(self.0.on(ssh), self.1.clone()))
    }

    fn here(&self) -> Arc<dyn Shell> {
        Arc::new(Mortal(self.0.here(), self.1.clone()))
    }
}

struct Mortal(Arc<dyn Shell>, Life);

#[async_trait]
impl Shell for Mortal {
    async fn run(&self, command: &Command) -> Result<Output, ShellError> {
        self.1.does(command.changes, self.0.run(command)).await
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ShellError> {
        self.1.does(false, self.0.read(path)).await
    }

    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<(), ShellError> {
        self.1.does(true, self.0.write(path, content, mode)).await
    }

    async fn fetch(&self, path: &str, into: &Path) -> Result<u64, ShellError> {
        self.1.does(true, self.0.fetch(path, into)).await
    }

    async fn fetch_sealed(&self, path: &str, into: &Path, seal: &dyn Seal) -> Result<u64, ShellError> {
        self.1.does(true, self.0.fetch_sealed(path, into, seal)).await
    }

    async fn once(&self, command: &Command, marker: &str) -> Result<Once, ShellError> {
        self.1.does(true, self.0.once(command, marker)).await
    }
}
