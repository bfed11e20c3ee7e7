//! The control socket of a run that goes on: a line of JSON in, a line of JSON out, for those who may
//! enter the run's folder. What was ordered is done when it stands in the journal.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use engine::event::Event;
use engine::journal::{Folder, Keys};
use engine::machine::Input;
use engine::plan::{Gate, Plan};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader as AsyncReader};
use tokio::net::UnixListener;
use tokio::sync::mpsc::Sender;

use crate::error::Error;
use crate::exit::Exit;
use crate::record::Record;
use crate::simulation::quiet;

const SOCKET: &str = "control.sock";
/// No order is longer.
const LONGEST: usize = 64 * 1024;
/// A run takes an order between two events; it is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a run is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Order {
    /// Begin nothing new.
    Pause {
        by: String,
        #[serde(default)]
        why: String,
    },
    /// Take back what was done.
    Rollback { by: String, why: String },
    /// End for good.
    Abort { by: String, why: String },
    /// Leave a step out.
    Skip { step: String, by: String, why: String },
    /// Try a step again.
    Retry { step: String, by: String, why: String },
    /// Say yes to all that is asked at a step or a scope.
    Approve {
        gate: String,
        by: String,
        when: String,
        #[serde(default)]
        why: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Reply {
    /// What is wrong with the order; nothing: it was handed on.
    #[serde(default)]
    error: Option<String>,
}

impl Order {
    fn input(self, plan: &Plan) -> Result<Input, String> {
        let step = |key: &str| Keys::new(plan).find_step(key).ok_or(format!("there is no step `{key}`"));
        Ok(match self {
            Order::Pause { by, why } => Input::Interrupt { by, why },
            Order::Rollback { by, why } => Input::Rollback { by, why },
            Order::Abort { by, why } => Input::Abort { by, why },
            Order::Skip { step: key, by, why } => Input::Waive { step: step(&key)?, by, why },
            Order::Retry { step: key, by, why } => Input::Retry { step: step(&key)?, by, why },
            Order::Approve { gate, by, when, why } => {
                let asked = plan.approvals.keys().find(|g| plan.gate_key(**g) == gate);
                let gate: Gate = *asked.ok_or(format!("nothing is asked at `{gate}`"))?;
                Input::Answer { gate, yes: true, by, when, why }
            }
        })
    }

    /// Returns whether an event says that the order was taken.
    fn is_taken_by(&self, plan: &Plan, event: &Event) -> bool {
        let is = |id: &engine::plan::StepId, key: &String| plan.step(*id).key == *key;
        match (self, event) {
            (Order::Pause { by, .. } | Order::Rollback { by, .. }, Event::Stopping { by: who, .. }) => {
                by == who
            }
            (Order::Rollback { .. }, Event::RollbackStarted { .. }) => true,
            (Order::Abort { .. }, Event::RunAborted { .. }) => true,
            (Order::Skip { step, .. }, Event::StepWaived { step: id, .. }) => is(id, step),
            (Order::Retry { step, .. }, Event::RetryAsked { step: id, .. }) => is(id, step),
            (Order::Approve { gate, .. }, Event::ApprovalGiven { gate: given, .. }) => {
                plan.gate_key(*given) == gate
            }
            _ => false,
        }
    }
}

/// A socket that is there as long as its run.
pub(crate) struct Control {
    path: PathBuf,
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Takes orders for a run. `None`, with the reason, where there can be no socket: a path that is too long,
/// a file system without sockets.
pub(crate) fn listen(
    folder: &Folder,
    plan: &Plan,
    inputs: Sender<Input>,
    simulated: bool,
) -> Result<Control, String> {
    let path = folder.path().join(SOCKET);
    // One is left over of a kup that was killed; we hold the journal's lock.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(|e| e.to_string())?;
    let private = std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600));
    let control = Control { path };
    private.map_err(|e| e.to_string())?;
    let plan = std::sync::Arc::new(plan.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (plan, inputs) = (plan.clone(), inputs.clone());
            tokio::spawn(async move {
                let (reader, mut writer) = stream.into_split();
                let mut line = String::new();
                let mut reader = AsyncReader::new(tokio::io::AsyncReadExt::take(reader, LONGEST as u64));
                if reader.read_line(&mut line).await.is_err() {
                    return;
                }
                let order = serde_json::from_str::<Order>(&line).map_err(|e| e.to_string());
                let error = match order.and_then(|order| order.input(&plan)) {
                    Ok(input) => {
                        if simulated {
                            quiet().await;
                        }
                        inputs.send(input).await.err().map(|_| "the run is over".to_string())
                    }
                    Err(why) => Some(why),
                };
                let reply = serde_json::to_string(&Reply { error }).unwrap_or_default();
                let _ = writer.write_all(format!("{reply}\n").as_bytes()).await;
            });
        }
    });
    Ok(control)
}

/// Tells a run that goes on, and waits until its journal says that it was heard.
pub(crate) fn tell(record: &Record, order: &Order) -> Result<(), Error> {
    let name = record.folder.run();
    let before = record.recorded.events.len();
    let path = record.folder.path().join(SOCKET);
    let unheard = |why: String| {
        Error::new(Exit::Locked, format!("run {name} goes on, and cannot be told: {why}"))
            .hint("Ctrl-C where it runs pauses it; then say it again")
    };
    let mut stream = UnixStream::connect(&path).map_err(|e| unheard(e.to_string()))?;
    let said = serde_json::to_string(order).map_err(|e| unheard(e.to_string()))?;
    let mut line = String::new();
    let spoken = stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.write_all(format!("{said}\n").as_bytes()))
        .and_then(|()| BufReader::new(&stream).read_line(&mut line));
    spoken.map_err(|e| unheard(e.to_string()))?;
    let reply: Reply = serde_json::from_str(&line).map_err(|e| unheard(e.to_string()))?;
    if let Some(error) = reply.error {
        return Err(Error::usage(error).hint(format!("look at it with `kup status {name}`")));
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let recorded = record.folder.read(&record.stored)?;
        let plan = &record.stored.plan;
        if recorded.events.iter().skip(before).any(|(_, event)| order.is_taken_by(plan, event)) {
            return Ok(());
        }
        if Instant::now() > deadline || !record.is_alive() {
            return Err(Error::usage(format!("run {name} has heard it, and it changes nothing there now"))
                .hint(format!("look at it with `kup status {name}`")));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
