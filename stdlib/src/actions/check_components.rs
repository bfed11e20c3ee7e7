//! `check binaries`: before anything is touched, every node of a self-built cluster runs its components by units of their
//! own, and reaches the release. `check components`: behind it all, each of them is of the version and is what runs.

use async_trait::async_trait;
use engine::action::Context;
use engine::event::Failure;

use super::component::{others, path_of, release, units};
use super::host::everywhere;
use super::verdict::Verdict;
use super::{argument, binary};

/// `check binaries`.
pub(super) struct CheckBinaries;

#[async_trait]
impl Verdict for CheckBinaries {
    fn name(&self) -> &'static str {
        "check binaries"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let version = argument::version(cx, "version")?;
        let nodes = everywhere(cx, |host| async move {
            for name in units(&host) {
                let binary = release(cx, &host, name, path_of(&host, name).await?)?;
                binary::reaches(&host, &binary.address, "kubernetes").await?;
            }
            Ok(())
        })
        .await?;
        Ok(format!("{} nodes reach {version}", nodes.len()))
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
        let nodes = everywhere(cx, |host| others(host, wanted.clone())).await?;
        let others = nodes.concat();
        if others.is_empty() {
            return Ok(format!("the components of {} nodes are {wanted}", nodes.len()));
        }
        Err(Failure::last(format!("not {wanted}: {}", others.join(", ")))
            .with_hint("`kup plan` shows what is left to do"))
    }
}
