//! Refusals in the words of the real API server.

use serde_json::{Value, json};

use super::kind::Kind;

/// A failed request: a `Status` object.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The HTTP code.
    pub code: u16,
    /// The machine-readable reason, such as `NotFound`.
    pub reason: &'static str,
    /// The message.
    pub message: String,
    /// `details`, or null.
    pub details: Value,
}

impl Refusal {
    /// Makes a refusal without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { code, reason, message: message.into(), details: Value::Null }
    }

    /// Adds details.
    pub fn with(mut self, details: Value) -> Refusal {
        self.details = details;
        self
    }

    /// There is no such path.
    pub fn no_such_path() -> Refusal {
        Refusal::new(404, "NotFound", "the server could not find the requested resource").with(json!({}))
    }

    /// The path does not know this method.
    pub fn no_such_method() -> Refusal {
        let message = "the server does not allow this method on the requested resource";
        Refusal::new(405, "MethodNotAllowed", message).with(json!({}))
    }

    /// There is no such object.
    pub fn not_found(kind: &Kind, name: &str) -> Refusal {
        about(404, "NotFound", kind, name, format!("{} \"{name}\" not found", kind.qualified()))
    }

    /// The name is taken.
    pub fn already_exists(kind: &Kind, name: &str) -> Refusal {
        about(409, "AlreadyExists", kind, name, format!("{} \"{name}\" already exists", kind.qualified()))
    }

    /// The object is not the one that the caller saw.
    pub fn conflict(kind: &Kind, name: &str, why: &str) -> Refusal {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.qualified());
        about(409, "Conflict", kind, name, message)
    }

    /// The caller's version is not the newest.
    pub fn modified(kind: &Kind, name: &str) -> Refusal {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Refusal::conflict(kind, name, why)
    }

    /// The uid is not the one that the caller wants.
    pub fn other_uid(kind: &Kind, name: &str, wanted: &str, found: &str) -> Refusal {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the UID in the precondition ({wanted}) does not match \
             the UID in record ({found}). The object might have been deleted and then recreated",
            kind.name
        );
        about(409, "Conflict", kind, name, message)
    }

    /// The body cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::new(400, "BadRequest", message)
    }

    /// The patch cannot be applied.
    pub fn unprocessable(message: impl Into<String>) -> Refusal {
        Refusal::new(422, "Invalid", message).with(json!({}))
    }

    /// The watch begins before the log.
    pub fn expired(asked: u64, oldest: u64) -> Refusal {
        Refusal::new(410, "Expired", format!("too old resource version: {asked} ({oldest})"))
    }

    /// etcd does not answer.
    pub fn etcd_timeout() -> Refusal {
        Refusal::new(500, "", "etcdserver: request timed out")
    }

    /// Returns the `Status` object.
    pub fn body(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message,
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status["code"] = json!(self.code);
        status
    }
}

fn about(code: u16, reason: &'static str, kind: &Kind, name: &str, message: String) -> Refusal {
    let mut details = json!({"name": name});
    if !kind.group.is_empty() {
        details["group"] = json!(kind.group);
    }
    details["kind"] = json!(kind.resource);
    Refusal::new(code, reason, message).with(details)
}
