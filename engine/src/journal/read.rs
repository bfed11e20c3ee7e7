//! Reads a journal: only what a crash can leave behind is forgiven, all else is told with its place.

use super::JournalError;
use super::format::{Header, Keys, WireRecord, digest, unseal};
use crate::event::Event;

/// What a journal holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Whose it is.
    pub header: Header,
    /// The events with their times in milliseconds of the run.
    pub events: Vec<(u64, Event)>,
    /// A tail that was being written when kup died; it does not count.
    pub torn: Option<Torn>,
    /// The last good record's chain.
    pub(super) chain: String,
    /// Where the good part ends.
    pub(super) end: u64,
}

/// The tail of a journal that was not written to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
}

impl Recorded {
    /// Returns the hash of the last record, which holds those of all before it.
    pub fn chain(&self) -> &str {
        &self.chain
    }

    /// Reads the bytes of a journal that was written for the plan with this digest.
    pub fn read(bytes: &[u8], keys: &Keys, plan: &str) -> Result<Recorded, JournalError> {
        let damaged = |offset: usize, reason: String| JournalError::Damaged { offset: offset as u64, reason };
        if bytes.is_empty() {
            return Err(damaged(0, "the file is empty".to_string()));
        }
        let Some(first) = bytes.iter().position(|b| *b == b'\n') else {
            return Err(damaged(0, "the header is not whole; the run had not begun".to_string()));
        };
        let line = std::str::from_utf8(&bytes[..first])
            .map_err(|_| damaged(0, "the file is not text".to_string()))?;
        let header = Header::read(line)?;
        if header.plan != plan {
            return Err(JournalError::OtherRun { found: header.plan, wanted: plan.to_string() });
        }
        let mut recorded =
            Recorded { chain: header.chain(), header, events: Vec::new(), torn: None, end: first as u64 + 1 };
        let mut offset = first + 1;
        while offset < bytes.len() {
            let rest = &bytes[offset..];
            let length = rest.iter().position(|b| *b == b'\n');
            let verified = match length {
                Some(n) => verify(&rest[..n], &recorded.chain),
                None => Err("the line is not whole".to_string()),
            };
            let (record, chain) = match verified {
                Ok(good) => good,
                Err(reason) => {
                    // A crash can only tear what was written last. Where a record follows, somebody
                    // or something changed what had been safe on disk.
                    if holds_later_record(rest) {
                        return Err(damaged(offset, format!("{reason}, and records follow")));
                    }
                    recorded.torn = Some(Torn { offset: offset as u64, bytes: rest.len() as u64 });
                    break;
                }
            };
            let expected = recorded.events.len() as u64 + 1;
            if record.seq != expected {
                return Err(damaged(
                    offset,
                    format!("record {} stands where {expected} belongs", record.seq),
                ));
            }
            let event = record.event.read(keys).map_err(|e| damaged(offset, e.to_string()))?;
            recorded.events.push((record.at, event));
            recorded.chain = chain;
            offset += length.map_or(rest.len(), |n| n + 1);
            recorded.end = offset as u64;
        }
        Ok(recorded)
    }
}

/// Reads a line and holds it against its chain.
fn verify(line: &[u8], previous: &str) -> Result<(WireRecord<'static>, String), String> {
    let line = std::str::from_utf8(line).map_err(|_| "the line is not text".to_string())?;
    let (body, chain) = unseal(line, "chain").ok_or("the line has no chain")?;
    if digest(previous, &body) != chain {
        return Err("the line does not match its chain".to_string());
    }
    let record = serde_json::from_str(&body).map_err(|e| format!("the line cannot be understood: {e}"))?;
    Ok((record, chain.to_string()))
}

/// Returns whether a record stands behind the beginning of a text, on a line of its own or glued to
/// the line before by a newline that is no more. Inside a record its quotes would be escaped.
fn holds_later_record(rest: &[u8]) -> bool {
    const START: &[u8] = b"{\"seq\":";
    let starts = rest.windows(START.len()).enumerate().skip(1).filter(|(_, window)| *window == START);
    let mut lines = starts.map(|(at, _)| rest[at..].split(|b| *b == b'\n').next().unwrap_or_default());
    lines.any(looks_like_record)
}

/// Returns whether a line could be a record, whatever its chain says.
fn looks_like_record(line: &[u8]) -> bool {
    let Some((body, _)) = std::str::from_utf8(line).ok().and_then(|line| unseal(line, "chain")) else {
        return false;
    };
    serde_json::from_str::<serde_json::Value>(&body).is_ok_and(|v| v.get("seq").is_some())
}
