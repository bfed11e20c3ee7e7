//! A script as an action: it is run, what it asks is asked, and its verdict is the step's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dsl::value::{Secret, Value};
use http::Uri;
use indexmap::IndexMap;

use crate::action::{Action, Check, Context, Progress};
use crate::event::Failure;
use crate::hook::{self, Answer, Ended, Marks, Request, Verdict, masked};
use crate::port::Ports;
use crate::secret::Secrets;

/// A script with all that it sees.
pub(super) struct Script {
    pub(super) text: Arc<str>,
    pub(super) sees: IndexMap<String, Value>,
    pub(super) hosts: Arc<[String]>,
    /// What stands for secrets in what it sees.
    pub(super) marks: Marks,
    pub(super) secrets: Arc<Secrets>,
}

/// What a script has come to, and what it said.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    /// What is to be done; or why it broke off.
    pub(super) verdict: Result<Verdict, String>,
    pub(super) said: Vec<String>,
}

impl Script {
    /// Runs it until it has decided. No mark of a secret leaves it.
    pub(super) async fn decide(&self, ports: &Ports) -> Told {
        let Told { verdict, said } = self.decided(ports).await;
        let verdict = match verdict {
            Ok(Verdict::Go(saw)) => Ok(Verdict::Go(masked(&saw))),
            Ok(Verdict::Wait { reason, again }) => Ok(Verdict::Wait { reason: masked(&reason), again }),
            Ok(Verdict::Stop(why)) => Ok(Verdict::Stop(masked(&why))),
            Err(why) => Err(masked(&why)),
        };
        Told { verdict, said: said.iter().map(|text| masked(text)).collect() }
    }

    async fn decided(&self, ports: &Ports) -> Told {
        let mut answers: Vec<Answer> = Vec::new();
        loop {
            let (text, sees, given) = (self.text.clone(), self.sees.clone(), answers.clone());
            let look = move || hook::run(&text, &sees, &given);
            // A simulated run is the same each time: nobody overtakes a script in it.
            let ended = match &ports.web {
                None => Ok(look()),
                Some(_) => tokio::task::spawn_blocking(look).await,
            };
            let request = match ended.unwrap_or_else(|_| Ended::Broken("a bug in kup".to_string())) {
                Ended::Decided { verdict, said } => return Told { verdict: Ok(verdict), said },
                Ended::Broken(why) => return Told { verdict: Err(why), said: Vec::new() },
                Ended::Wants(request) => request,
            };
            match self.ask(ports, &request).await {
                Ok(answer) => answers.push(answer),
                Err(told) => return told,
            }
        }
    }

    /// Asks for a script; or says that this is its end.
    async fn ask(&self, ports: &Ports, request: &Request) -> Result<Answer, Told> {
        let broken = |why: String| Told { verdict: Err(why), said: Vec::new() };
        match request {
            Request::Kube(path) => Ok(read(ports, &masked(path)).await),
            Request::Http { post, url, headers, body } => {
                let Some(web) = &ports.web else {
                    // A simulation reads no secret, and so does not know the host of an address that is one.
                    if self.marks.of(authority(url)).is_empty() {
                        self.allowed(url, url).map_err(broken)?;
                    }
                    // Whoever answers here would be made up, so this is where it ends.
                    let method = if *post { "POST" } else { "GET" };
                    let what = if body.is_empty() { String::new() } else { format!(": {body}") };
                    let said = format!("simulated, so not sent: {method} {url}{what}");
                    return Err(Told { verdict: Ok(Verdict::Go(said)), said: Vec::new() });
                };
                let texts = || headers.iter().map(|(_, value)| value).chain([url, body]);
                let known = self.reveal(texts()).await.map_err(broken)?;
                let fill = |text: &str| self.marks.fill(text, |secret| known[secret].clone());
                let address = fill(url);
                self.allowed(url, &address).map_err(broken)?;
                let headers: Vec<(String, String)> =
                    headers.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
                let answer = web.send(*post, &address, &headers, &fill(body)).await;
                // Whoever says it again says it to nobody.
                let (body, error) = (self.secrets.hide(answer.body), self.secrets.hide(answer.error));
                Ok(Answer { body, error, ..answer })
            }
        }
    }

    /// Reads the secrets whose marks stand in some texts.
    async fn reveal<'t>(
        &self,
        texts: impl Iterator<Item = &'t String>,
    ) -> Result<HashMap<Secret, String>, String> {
        let mut known = HashMap::new();
        for secret in texts.flat_map(|text| self.marks.of(text)) {
            if !known.contains_key(secret) {
                let content = self.secrets.reveal(secret).await.map_err(|failure| failure.message)?;
                known.insert(secret.clone(), content);
            }
        }
        Ok(known)
    }

    /// Says whether an address is on a host that the playbook lists. Of one that is secret not even the host
    /// is told.
    fn allowed(&self, written: &str, address: &str) -> Result<(), String> {
        match listed(address, &self.hosts) {
            Err(_) if !self.marks.of(written).is_empty() => Err(
                "the address is on no host that the playbook lists: add it to the `hosts` of its `playbook`"
                    .to_string(),
            ),
            listed => listed,
        }
    }
}

/// Returns an address without its path.
fn authority(url: &str) -> &str {
    let begin = url.find("://").map_or(0, |at| at + 3);
    let end = url[begin..].find(['/', '?', '#']).map_or(url.len(), |at| begin + at);
    &url[..end]
}

/// Says whether an address is on a host that the playbook lists.
fn listed(url: &str, hosts: &[String]) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|_| format!("`{url}` is no address"))?;
    let (scheme, host) = (uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default());
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return Err(format!("`{url}` does not begin with `http://` or `https://`")),
    };
    let port = uri.port_u16().unwrap_or(usual);
    let named = if port == usual { host.to_string() } else { format!("{host}:{port}") };
    let is_listed = hosts.iter().any(|listed| {
        listed.eq_ignore_ascii_case(&named) || listed.eq_ignore_ascii_case(&format!("{host}:{port}"))
    });
    match is_listed {
        true => Ok(()),
        false => Err(format!(
            "the playbook does not list the host `{named}`; add `hosts \"{named}\"` to the block of its `playbook`"
        )),
    }
}

/// Reads a path of the API server. Secrets are nothing for scripts: what they see may be shown.
async fn read(ports: &Ports, path: &str) -> Answer {
    let not = |error: String| Answer { error, ..Answer::default() };
    let Some(kube) = &ports.kube else { return not("this run has no cluster, only hosts".to_string()) };
    if path.split(['/', '?']).any(|part| part == "secrets") {
        return not("scripts do not read secrets".to_string());
    }
    let request = match http::Request::get(path).body(Vec::new()) {
        Ok(request) if path.starts_with('/') => request,
        Ok(_) | Err(_) => return not(format!("`{path}` is no path of the API server")),
    };
    match kube.request_text(request).await {
        Ok(body) => Answer { status: 200, body, error: String::new() },
        Err(kube::Error::Api(status)) => {
            Answer { status: status.code, body: String::new(), error: status.message.clone() }
        }
        Err(e) => not(e.to_string()),
    }
}

#[async_trait]
impl Action for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    async fn check(&self, _: &Context) -> Result<Check, Failure> {
        Ok(Check::Needs { now: String::new(), then: String::new(), before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        self.poll(cx, &Value::None).await
    }

    async fn poll(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let Told { verdict, said } = self.decide(&cx.ports).await;
        let spoken = |last: String| {
            let all = said.iter().cloned().chain(Some(last));
            all.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ")
        };
        match verdict {
            Ok(Verdict::Go(saw)) => Ok(Progress::Done(Value::Text(spoken(saw)))),
            Ok(Verdict::Wait { reason, again }) => Ok(Progress::Pending {
                handle: Value::None,
                reason: spoken(reason),
                again: Duration::from_millis(again),
            }),
            Ok(Verdict::Stop(reason)) => Err(Failure::last(spoken(reason))),
            Err(why) => Err(Failure::last(format!("its script broke off: {why}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_reaches_only_hosts_that_are_listed() {
        let hosts = ["hooks.slack.com".to_string(), "prom:9090".to_string()];
        let said = |url: &str| listed(url, &hosts).err().unwrap_or_default();
        assert_eq!(said("https://hooks.slack.com/services/x"), "");
        assert_eq!(said("http://hooks.slack.com:80/"), "");
        assert_eq!(said("http://PROM:9090/api"), "");
        let add = |host: &str| {
            format!(
                "the playbook does not list the host `{host}`; add `hosts \"{host}\"` to the block of its `playbook`"
            )
        };
        assert_eq!(said("http://prom/api"), add("prom"));
        assert_eq!(said("https://hooks.slack.com:8443/"), add("hooks.slack.com:8443"));
        assert_eq!(said("https://hooks.slack.com@evil.example/"), add("evil.example"));
        assert_eq!(said("https://evil.example/?hooks.slack.com"), add("evil.example"));
        assert_eq!(
            said("ftp://prom:9090/"),
            "`ftp://prom:9090/` does not begin with `http://` or `https://`"
        );
    }
}
