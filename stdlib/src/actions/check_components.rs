//! `check binaries`: before anything is touched, every node of a self-built cluster runs its components by units of their
//! own, and reaches the release. `check components`: behind it all, each of them is of the version and is what runs.

use async_trait::async_trait;
use engine::action::Context;
use engine::event::Failure;
use futures::StreamExt;

use super::component::{others, path_of, release, units};
use super::host::Host;
use super::verdict::Verdict;
use super::{argument, binary};

/// How many nodes are asked at once.
const AT_ONCE: usize = 32;

/// `check binaries`.
pub(super) struct CheckBinaries;

#[async_trait]
impl Verdict for CheckBinaries {
    fn name(&self) -> &'static str {
        "check binaries"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let version = argument::version(cx, "version")?;
        let count = everywhere(cx, |host| async move {
            for name in units(&host) {
                let binary = release(cx, &host, name, path_of(&host, name).await?)?;
                binary::reaches(&host, &binary.address, "kubernetes").await?;
            }
            Ok(Vec::new())
        })
        .await?
        .0;
        Ok(format!("{count} nodes reach {version}"))
    }
}

/// `check components`.
pub(super) struct CheckComponents;

#[async_trait]
impl Verdict for CheckComponents {
    fn name(&self) -> &'static str {
        "check components"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let wanted = argument::version(cx, "are")?;
        let (count, others) = everywhere(cx, |host| others(host, wanted.clone())).await?;
        if others.is_empty() {
            return Ok(format!("the components of {count} nodes are {wanted}"));
        }
        Err(Failure::last(format!("not {wanted}: {}", others.join(", ")))
            .with_hint("`kup plan` shows what is left to do"))
    }
}

/// Asks every node, many at once; returns how many there are, and all that they said.
async fn everywhere<F: Future<Output = Result<Vec<String>, Failure>>>(
    cx: &Context,
    ask: impl Fn(Host) -> F,
) -> Result<(usize, Vec<String>), Failure> {
    let hosts: Vec<Host> =
        cx.inventory.nodes.values().filter(|node| !node.beside).map(|node| Host::named(cx, node)).collect();
    let count = hosts.len();
    let asked: Vec<_> = hosts.into_iter().map(ask).collect();
    let answers: Vec<Result<Vec<String>, Failure>> =
        futures::stream::iter(asked).buffered(AT_ONCE).collect().await;
    let said = answers.into_iter().collect::<Result<Vec<_>, Failure>>()?;
    Ok((count, said.into_iter().flatten().collect()))
}
