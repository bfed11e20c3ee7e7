//! The functions that a script is given.

use dsl::eval::parse_value;
use dsl::value::{Type, Value};
use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map};

use super::fence::{TEXT, Talk};
use super::mark::{Form, written};
use super::{Answer, Request, Verdict, value};

/// When to look again if a script does not say.
const AGAIN: u64 = 15_000;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// Gives an engine the functions, which talk through `talk`.
pub(super) fn register(engine: &mut Engine, talk: &Talk) {
    let t = talk.clone();
    engine.register_fn("say", move |text: Dynamic| t.say(&value::text(&text)));
    let t = talk.clone();
    engine.register_fn("stop", move |reason: &str| t.decide(Verdict::Stop(reason.to_string())));
    let t = talk.clone();
    engine.register_fn("wait", move |reason: &str| {
        t.decide(Verdict::Wait { reason: reason.to_string(), again: AGAIN })
    });
    let t = talk.clone();
    engine.register_fn("wait", move |reason: &str, again: &str| {
        let again = again_after(again)?;
        t.decide(Verdict::Wait { reason: reason.to_string(), again })
    });
    let t = talk.clone();
    engine.register_fn("http_get", move |url: &str| http(&t, false, url, &Map::new(), String::new()));
    let t = talk.clone();
    engine.register_fn("http_get", move |url: &str, headers: Map| {
        http(&t, false, url, &headers, String::new())
    });
    let t = talk.clone();
    engine.register_fn("http_post", move |url: &str, body: Dynamic| post(&t, url, &Map::new(), &body));
    let t = talk.clone();
    engine.register_fn("http_post", move |url: &str, body: Dynamic, headers: Map| {
        post(&t, url, &headers, &body)
    });
    let t = talk.clone();
    engine.register_fn("kube_get", move |path: &str| answer(&t.ask(Request::Kube(path.to_string()))?));
    engine.register_fn("ask", |_: Dynamic| -> Result<()> {
        // The plan names each question before the run begins, and cannot look into a script.
        Err("a script asks no person: write `approve \"question\"` at the step or the scope that waits for it".into())
    });
    engine.register_fn("from_json", |text: &str| from_json(text).map_err(Box::<EvalAltResult>::from));
    engine.register_fn("to_json", |of: Map| to_json(&of.into()));
    engine.register_fn("to_json", |of: Array| to_json(&of.into()));
    engine.register_fn("url_encode", |text: &str| -> ImmutableString {
        written(&encoded(text), Form::Url).into()
    });
}

fn again_after(text: &str) -> Result<u64> {
    match parse_value(text, &Type::Duration) {
        Ok(Value::Duration(ms)) => Ok(ms.clamp(1000, 3_600_000)),
        Ok(_) | Err(_) => {
            Err(format!("`{text}` is no time; write for example `wait(\"for what\", \"30s\")`").into())
        }
    }
}

fn post(talk: &Talk, url: &str, headers: &Map, body: &Dynamic) -> Result<Map> {
    match body.clone().into_string() {
        Ok(text) => http(talk, true, url, headers, text),
        Err(_) => {
            let mut headers = headers.clone();
            headers.entry("content-type".into()).or_insert_with(|| "application/json".into());
            http(talk, true, url, &headers, to_json(body)?.to_string())
        }
    }
}

fn http(talk: &Talk, post: bool, url: &str, headers: &Map, body: String) -> Result<Map> {
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value::text(value))).collect();
    answer(&talk.ask(Request::Http { post, url: url.to_string(), headers, body })?)
}

/// Makes a record of an answer: `ok`, `status`, `body`, `json`, `error`.
fn answer(answer: &Answer) -> Result<Map> {
    let ok = (200..300).contains(&answer.status);
    let mut body = answer.body.clone();
    if body.len() > TEXT / 2 {
        let end = (0..=TEXT / 2).rev().find(|i| body.is_char_boundary(*i)).unwrap_or(0);
        body.truncate(end);
    }
    let error = match (ok, answer.error.as_str()) {
        (true, _) => String::new(),
        (false, "") => format!("the answer is {}", answer.status),
        (false, why) => why.to_string(),
    };
    let mut map = Map::new();
    map.insert("ok".into(), ok.into());
    map.insert("status".into(), i64::from(answer.status).into());
    map.insert("json".into(), from_json(&answer.body).unwrap_or(Dynamic::UNIT));
    map.insert("body".into(), body.into());
    map.insert("error".into(), error.into());
    Ok(map)
}

fn from_json(text: &str) -> std::result::Result<Dynamic, String> {
    let json = serde_json::from_str(text).map_err(|e| format!("this is no JSON: {e}"))?;
    value::json(&json).map_err(|why| format!("the JSON {why}"))
}

fn to_json(of: &Dynamic) -> Result<ImmutableString> {
    Ok(written(&value::to_json(of)?, Form::Json).into())
}

/// Writes a text so that it can stand in the query of an address.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
