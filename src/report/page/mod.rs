//! `kup report`: a run as one page of HTML that needs nothing but itself. It reads the journal as the other
//! reports do, and its log is what the one for pipes writes.

mod story;

use std::fmt::Write;

use engine::event::Event;
use engine::plan::{Plan, StepId};

use self::story::{How, Span, Story, Told, What};
use super::plain::Plain;
use super::{Report, clock, count, took};
use crate::printable::{one_line, printable};
use crate::record::Record;
use crate::why::Cause;

const STYLE: &str = include_str!("page.css");
/// More rows than this make no picture: the rest is in the table.
const ROWS: usize = 300;
/// Waits that are shorter are no rows of their own, in milliseconds.
const SHORT: u64 = 5000;

/// Writes the page of a run; `state` says how it stands, `why` what holds it, `next` what to type.
pub(crate) fn page(record: &Record, state: &str, why: &Cause, next: &[String]) -> String {
    let plan = &record.stored.plan;
    let story = Story::of(&record.recorded.events, plan);
    let mut out = String::new();
    let title = text(&plan.title);
    // A page that may load nothing and run nothing, whatever stands in it.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}: {state}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n\
         <h1>{title}</h1>\n<p class=\"state s-{class}\">{state}</p>\n",
        class = state.replace(' ', "-"),
    );
    facts(&mut out, record, &story);
    out.push_str("</header>\n<main>\n");
    if !why.causes.is_empty() || !next.is_empty() {
        out.push_str("<section>\n<h2>Where it stands</h2>\n");
        let _ = writeln!(out, "<div class=\"why\"><p>{}</p>", text(&why.text));
        causes(&mut out, &why.causes);
        out.push_str("</div>\n");
        for command in next {
            let _ = writeln!(out, "<p class=\"next\">next: <code>{}</code></p>", text(command));
        }
        out.push_str("</section>\n");
    }
    timeline(&mut out, plan, &story);
    steps(&mut out, plan, &story);
    waits(&mut out, plan, &story);
    failures(&mut out, plan, &story);
    decisions(&mut out, record);
    log(&mut out, record);
    hashes(&mut out, record);
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

/// Writes what came from elsewhere: it neither steers nor is it taken for markup.
fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in printable(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn line(of: &str) -> String {
    text(&one_line(of))
}

fn facts(out: &mut String, record: &Record, story: &Story) {
    let (header, plan) = (&record.recorded.header, &record.stored.plan);
    let of = |wanted: &dyn Fn(How) -> bool| story.steps.iter().filter(|step| wanted(step.how)).count();
    let tally = [
        (of(&|how| how == How::Changed), "changed something"),
        (of(&|how| how == How::Looked), "found it done, or only looked"),
        (of(&|how| how == How::Skipped), "not needed or left out"),
        (of(&|how| how == How::Failed || how == How::NotUndone), "failed"),
        (of(&|how| how == How::Undone), "taken back"),
    ];
    let tally: Vec<String> =
        tally.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let cluster = match (record.is_simulated(), record.stored.inventory.cluster.as_str()) {
        (true, _) => "simulated".to_string(),
        (false, "") => "plain hosts".to_string(),
        (false, id) => id.to_string(),
    };
    let params = plan.params.iter().map(|(name, value)| {
        let origin = plan.origins.get(name).map(|origin| format!(" ({origin})")).unwrap_or_default();
        format!("{name} = {value}{origin}")
    });
    let mut rows = vec![
        ("run", header.run.clone()),
        ("begun", format!("{} by {} on {}", header.started, header.user, header.host)),
        ("took", took(story.end)),
        ("cluster", format!("{cluster}, {}", count(record.stored.inventory.nodes.len(), "node"))),
        ("steps", format!("{} in the plan: {}", plan.steps.len(), tally.join(", "))),
    ];
    let params: Vec<String> = params.collect();
    if !params.is_empty() {
        rows.push(("parameters", params.join("; ")));
    }
    out.push_str("<dl>\n");
    for (name, value) in rows {
        let _ = writeln!(out, "<dt>{name}</dt><dd>{}</dd>", line(&value));
    }
    out.push_str("</dl>\n");
}

fn causes(out: &mut String, all: &[Cause]) {
    if all.is_empty() {
        return;
    }
    out.push_str("<ul>\n");
    for cause in all {
        let _ = write!(out, "<li>{}", line(&cause.text));
        if !cause.hint.is_empty() {
            let _ = write!(out, " <span class=\"hint\">hint: {}</span>", line(&cause.hint));
        }
        causes(out, &cause.causes);
        out.push_str("</li>\n");
    }
    out.push_str("</ul>\n");
}

/// Draws a row a node: when its steps were under way, waited, were tried again or taken back.
fn timeline(out: &mut String, plan: &Plan, story: &Story) {
    let mut rows: Vec<(&str, Vec<&Told>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for step in story.steps.iter().filter(|step| !step.spans.is_empty()) {
        let node = plan.step(step.id).node.as_deref().unwrap_or("-");
        let place = *places.entry(node).or_insert_with(|| {
            rows.push((node, Vec::new()));
            rows.len() - 1
        });
        rows[place].1.push(step);
    }
    if rows.is_empty() {
        return;
    }
    let end = story.end.max(1);
    let share = |at: u64| at as f64 * 100.0 / end as f64;
    out.push_str("<section>\n<h2>Timeline</h2>\n<p class=\"legend\">");
    for (class, word) in [
        ("changed", "changed something"),
        ("looked", "looked"),
        ("failed", "failed"),
        ("waits", "waits"),
        ("backs-off", "until it is tried again"),
        ("takes-back", "taken back"),
    ] {
        let _ = write!(out, "<span><i class=\"{class}\"></i>{word}</span>");
    }
    out.push_str("</p>\n<div class=\"timeline\">\n<div class=\"row axis\"><b></b><div>");
    for tick in 0..=4 {
        let at = end * tick / 4;
        let _ = write!(out, "<span style=\"left:{:.2}%\">{}</span>", share(at), clock(at));
    }
    out.push_str("</div></div>\n");
    for (node, steps) in rows.iter().take(ROWS) {
        let _ = write!(out, "<div class=\"row\"><b>{}</b><div>", line(node));
        for at in &story.resumed {
            let _ = write!(out, "<i class=\"resumed\" style=\"left:{:.2}%\"></i>", share(*at));
        }
        // What waits lies upon what works.
        for top in [false, true] {
            for (step, span) in steps.iter().flat_map(|step| step.spans.iter().map(move |span| (step, span)))
            {
                if (span.what != What::Works) == top {
                    bar(out, plan, step, span, end);
                }
            }
        }
        out.push_str("</div></div>\n");
    }
    out.push_str("</div>\n");
    if rows.len() > ROWS {
        let _ = writeln!(out, "<p>{} more nodes are in the table.</p>", rows.len() - ROWS);
    }
    out.push_str("</section>\n");
}

fn bar(out: &mut String, plan: &Plan, step: &Told, span: &Span, end: u64) {
    let to = span.to.unwrap_or(end);
    let (left, width) = (span.from as f64, to.saturating_sub(span.from) as f64);
    let class = match (span.what, step.how) {
        (What::Works, _) if step.failed => "failed",
        (What::Works, how) => class(how),
        (What::Waits, _) => "waits",
        (What::BacksOff, _) => "backs-off",
        (What::TakesBack, _) => "takes-back",
    };
    let what = match span.what {
        What::Works => String::new(),
        What::Waits => format!(" waits: {}", span.reason),
        What::BacksOff => format!(" failed: {}", span.reason),
        What::TakesBack => " is taken back".to_string(),
    };
    let told =
        format!("{}{what} ({} from {})", plan.step(step.id).text, took(to - span.from), clock(span.from));
    let _ = write!(
        out,
        "<i class=\"{class}\" style=\"left:{:.3}%;width:{:.3}%\" title=\"{}\"></i>",
        left * 100.0 / end as f64,
        width * 100.0 / end as f64,
        line(&told)
    );
}

fn class(how: How) -> &'static str {
    match how {
        How::Changed => "changed",
        How::Looked => "looked",
        How::Failed | How::NotUndone => "failed",
        How::UnderWay => "under-way",
        How::Skipped => "skipped",
        How::Undone => "undone",
    }
}

fn word(step: &Told) -> &'static str {
    match step.how {
        How::Changed => "done",
        How::Looked => "ok",
        How::Failed => "failed",
        How::NotUndone => "not taken back",
        How::UnderWay => "under way",
        How::Skipped => "skipped",
        How::Undone if step.failed => "failed, taken back",
        How::Undone => "taken back",
    }
}

fn table(out: &mut String, title: &str, heads: &[&str], rows: &[Vec<String>]) {
    if rows.is_empty() {
        return;
    }
    let _ = write!(out, "<section>\n<h2>{title}</h2>\n<div class=\"scroll\"><table>\n<tr>");
    for head in heads {
        let _ = write!(out, "<th>{head}</th>");
    }
    out.push_str("</tr>\n");
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            let _ = write!(out, "<td>{cell}</td>");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table></div>\n</section>\n");
}

fn node(plan: &Plan, id: StepId) -> String {
    line(plan.step(id).node.as_deref().unwrap_or("-"))
}

fn steps(out: &mut String, plan: &Plan, story: &Story) {
    let row = |step: &Told| {
        let began = step.spans.first().map_or(String::new(), |span| clock(span.from));
        let attempts = if step.attempts > 1 { step.attempts.to_string() } else { String::new() };
        let waited = step.took(What::Waits, story.end);
        let works = step.took(What::Works, story.end);
        vec![
            began,
            node(plan, step.id),
            line(&plan.step(step.id).text),
            format!("<span class=\"how h-{}\">{}</span>", class(step.how), word(step)),
            line(&step.outcome),
            if step.spans.is_empty() { String::new() } else { took(works) },
            if waited >= 1000 { took(waited) } else { String::new() },
            attempts,
        ]
    };
    let rows: Vec<Vec<String>> = story.steps.iter().map(row).collect();
    let heads = ["at", "node", "step", "result", "what", "took", "waited", "attempts"];
    table(out, "Steps", &heads, &rows);
}

fn waits(out: &mut String, plan: &Plan, story: &Story) {
    let all = story.steps.iter().flat_map(|step| step.spans.iter().map(move |span| (step, span)));
    let long = all.filter_map(|(step, span)| {
        let time = span.to.unwrap_or(story.end).saturating_sub(span.from);
        (span.what == What::Waits && time >= SHORT).then_some((time, step, span))
    });
    let row = |(time, step, span): (u64, &Told, &Span)| {
        let step_text = line(&plan.step(step.id).text);
        vec![clock(span.from), took(time), node(plan, step.id), step_text, line(&span.reason)]
    };
    let rows: Vec<Vec<String>> = long.map(row).collect();
    table(out, "Waits", &["at", "for", "node", "step", "reason"], &rows);
}

fn failures(out: &mut String, plan: &Plan, story: &Story) {
    let all = story.steps.iter().flat_map(|step| step.failures.iter().map(move |failed| (step, failed)));
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(_, failed)| failed.at);
    let row = |(step, failed): &(&Told, &story::Failed)| {
        let step_text = line(&plan.step(step.id).text);
        vec![clock(failed.at), node(plan, step.id), step_text, line(&failed.what), line(&failed.message)]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    table(out, "Failures", &["at", "node", "step", "which", "why"], &rows);
}

/// Tells what people decided, and when the run went on, held or went back.
fn decisions(out: &mut String, record: &Record) {
    let plan = &record.stored.plan;
    let row = |(at, event): &(u64, Event)| {
        let (what, about, by, why) = match event {
            Event::RunResumed { by, why } => ("resumed", String::new(), by.as_str(), why.as_str()),
            Event::StepWaived { step, by, why } => {
                ("to be skipped", plan.step(*step).key.clone(), by.as_str(), why.as_str())
            }
            Event::RetryAsked { step, by, why } => {
                ("to be tried again", plan.step(*step).key.clone(), by.as_str(), why.as_str())
            }
            Event::RunAborted { by, why } => ("ended for good", String::new(), by.as_str(), why.as_str()),
            Event::LockTaken { by, from, why } => {
                ("lock taken", format!("from {from}"), by.as_str(), why.as_str())
            }
            Event::ApprovalAsked { gate, question } => {
                ("asked", plan.gate_key(*gate).to_string(), "", question.as_str())
            }
            Event::ApprovalGiven { gate, by, when, why } => {
                let why = if why.is_empty() { when } else { why };
                ("approved", plan.gate_key(*gate).to_string(), by.as_str(), why.as_str())
            }
            Event::ApprovalRefused { gate, by, when } => {
                ("refused", plan.gate_key(*gate).to_string(), by.as_str(), when.as_str())
            }
            Event::RunPaused(why) => ("paused", String::new(), "", why.as_str()),
            Event::RollbackStarted { by, why } => ("taken back", String::new(), by.as_str(), why.as_str()),
            Event::Stopping { by, why } => ("stopping", String::new(), by.as_str(), why.as_str()),
            _ => return None,
        };
        Some(vec![clock(*at), what.to_string(), line(&about), line(by), line(why)])
    };
    let rows: Vec<Vec<String>> = record.recorded.events.iter().filter_map(row).collect();
    table(out, "Decisions", &["at", "what", "about", "by", "why"], &rows);
}

fn log(out: &mut String, record: &Record) {
    let mut plain = Plain::default();
    out.push_str("<section>\n<h2>Log</h2>\n<details><summary>");
    let _ = write!(out, "{}</summary>\n<pre>", count(record.recorded.events.len(), "event"));
    for (at, event) in &record.recorded.events {
        let lines = plain.event(&record.stored.plan, *at, event);
        if !lines.is_empty() {
            let _ = writeln!(out, "{}", text(&lines));
        }
    }
    out.push_str("</pre></details>\n</section>\n");
}

fn hashes(out: &mut String, record: &Record) {
    let rows = [
        ("plan", record.stored.digest.as_str()),
        ("journal", record.recorded.chain()),
        ("kup", env!("CARGO_PKG_VERSION")),
    ];
    out.push_str("<section>\n<h2>Hashes</h2>\n<dl>\n");
    for (name, value) in rows {
        let _ = writeln!(out, "<dt>{name}</dt><dd><code>{}</code></dd>", line(value));
    }
    let _ = writeln!(
        out,
        "</dl>\n<p>The journal's hash is that of its last record, which holds those of all before it: {}.</p>\n</section>",
        count(record.recorded.events.len(), "record")
    );
}
