//! The same as pages: static, each whole in itself, without a request to anywhere. The first page has a
//! list of everything and a small script that narrows it while one types.

use std::fmt::Write;

use dsl::page::pages;
use pulldown_cmark::{CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

use super::paint::painted;
use super::{Module, Param, Playbook, Reference, Verb};

const STYLE: &str = include_str!("style.css");
const SEARCH: &str = include_str!("search.js");
const LANGUAGE: &str = include_str!("../../dsl/reference.md");

/// Returns the files of the site: name and content.
pub(crate) fn files(reference: &Reference) -> Vec<(String, String)> {
    let mut files = vec![
        ("index.html".to_string(), index(reference)),
        ("language.html".to_string(), page("The language", &markdown(LANGUAGE))),
        ("codes.html".to_string(), codes()),
    ];
    files.extend(
        reference
            .modules
            .iter()
            .map(|module| (file_of(module.name), page(module.name, &self::module(module)))),
    );
    files.extend(reference.playbooks.iter().map(|p| (playbook_file(p), page(&p.name, &playbook(p)))));
    files
}

/// Returns the file of a module: `std-node.html`.
fn file_of(module: &str) -> String {
    format!("{}.html", module.replace('/', "-"))
}

/// A playbook may be called like a module, so its file has a mark of its own.
fn playbook_file(playbook: &Playbook) -> String {
    format!("playbook-{}", file_of(&playbook.name))
}

/// Returns where a verb is explained.
fn place_of(verb: &Verb) -> String {
    format!("{}#{}", file_of(verb.module), anchor(&verb.name))
}

fn anchor(name: &str) -> String {
    let mut anchor = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            anchor.push(c.to_ascii_lowercase());
        } else if !anchor.is_empty() && !anchor.ends_with('-') {
            anchor.push('-');
        }
    }
    anchor.trim_end_matches('-').to_string()
}

/// Writes text so that a browser shows it and nothing else.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn page(title: &str, body: &str) -> String {
    let title = escaped(title);
    let links = [
        ("index.html", "kup"),
        ("language.html", "Language"),
        ("index.html#verbs", "Verbs"),
        ("index.html#playbooks", "Playbooks"),
        ("codes.html", "Findings"),
    ];
    let links: String = links.iter().map(|(to, name)| format!("<a href=\"{to}\">{name}</a>")).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} - kup</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<nav>{links}</nav>\n<main>\n{body}</main>\n\
         <footer>kup {version}</footer>\n</body>\n</html>\n",
        version = env!("CARGO_PKG_VERSION"),
    )
}

fn index(reference: &Reference) -> String {
    let mut out = String::from(
        "<h1>kup</h1>\n<p class=lead>Upgrades Kubernetes clusters from a playbook that reads like the runbook on your whiteboard.</p>\n\
         <p><input id=search type=search placeholder=\"a verb, a word, a code\" aria-label=\"search\" autocomplete=off></p>\n",
    );
    let row = |out: &mut String, to: &str, name: &str, said: &str| {
        let (name, said) = (escaped(name), inline(said));
        // Writing to a string cannot fail.
        let _ = writeln!(out, "<li><a href=\"{to}\"><code>{name}</code></a> <span>{said}</span></li>");
    };
    out.push_str("<h2 id=verbs>Verbs</h2>\n");
    for module in &reference.modules {
        let about = module.about.lines().next().unwrap_or_default();
        let (file, name) = (file_of(module.name), module.name);
        let _ = writeln!(
            out,
            "<section><h3><a href=\"{file}\">{name}</a></h3>\n<p>{}</p>\n<ul class=list>",
            inline(about)
        );
        for verb in &module.verbs {
            row(&mut out, &place_of(verb), &verb.name, &verb.first_sentence());
        }
        out.push_str("</ul></section>\n");
    }
    out.push_str("<section><h2 id=playbooks>Playbooks</h2>\n<ul class=list>\n");
    for playbook in &reference.playbooks {
        row(&mut out, &playbook_file(playbook), &playbook.name, &playbook.title);
    }
    out.push_str("</ul></section>\n<section><h2 id=words>Words of the language</h2>\n<ul class=list>\n");
    for word in dsl::ask::words() {
        row(&mut out, "language.html", word.name, &word.doc);
    }
    out.push_str("</ul></section>\n<section><h2 id=findings>Findings</h2>\n<ul class=list>\n");
    for page in pages() {
        row(&mut out, &format!("codes.html#{}", anchor(page.code)), page.code, page.title());
    }
    let _ = write!(out, "</ul></section>\n<script>\n{SEARCH}</script>\n");
    page("Reference", &out)
}

fn module(module: &Module) -> String {
    let mut out = format!("<h1>{}</h1>\n{}", module.name, markdown(&module.about));
    let always = stdlib::PRELUDE.contains(&module.name);
    let used = match always {
        true => String::new(),
        false => format!("<pre>{}</pre>\n", painted(&format!("use {}", module.name))),
    };
    out.push_str(&used);
    for verb in &module.verbs {
        out.push_str(&self::verb(verb));
    }
    let _ = write!(out, "<h2 id=text>The text</h2>\n<pre>{}</pre>\n", painted(module.text.trim_end()));
    out
}

fn verb(verb: &Verb) -> String {
    let (name, anchor) = (escaped(&verb.name), anchor(&verb.name));
    let mut out = format!("<h2 id=\"{anchor}\"><a href=\"#{anchor}\"><code>{name}</code></a>");
    if !verb.effect.is_empty() {
        let _ = write!(out, " <small>{}</small>", verb.effect);
    }
    let _ = write!(out, "</h2>\n{}", markdown(&verb.doc.join("\n")));
    out.push_str(&params(&verb.params, false));
    let _ = writeln!(out, "<pre>{}</pre>", painted(&verb.header.join("\n")));
    out
}

fn params(params: &[Param], with_doc: bool) -> String {
    if params.is_empty() {
        return String::new();
    }
    let mut out = String::from("<div class=wide><table><tr><th>parameter<th>type<th>default");
    out.push_str(if with_doc { "<th>what it is for</tr>\n" } else { "</tr>\n" });
    for param in params {
        let name = if param.named { format!("{}=", param.name) } else { param.name.clone() };
        let default = match &param.default {
            Some(default) => format!("<code>{}</code>", escaped(default)),
            None => "must be given".to_string(),
        };
        let _ =
            write!(out, "<tr><td><code>{name}</code><td><code>{}</code><td>{default}", escaped(&param.ty));
        if with_doc {
            let _ = write!(out, "<td>{}", inline(&param.doc));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table></div>\n");
    out
}

fn playbook(playbook: &Playbook) -> String {
    format!(
        "<h1>{}</h1>\n<p class=lead>{}</p>\n{}{}<h2 id=text>The text</h2>\n<pre>{}</pre>\n",
        escaped(&playbook.name),
        escaped(&playbook.title),
        markdown(&about(&playbook.about)),
        params(&playbook.params, true),
        painted(playbook.text.trim_end()),
    )
}

/// Lines of a head that are set in are commands.
fn about(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in text.lines() {
        let is_command = line.starts_with("   ");
        if is_command != inside {
            out.push_str(if is_command { "\n```sh\n" } else { "```\n\n" });
            inside = is_command;
        }
        out.push_str(line.trim());
        out.push('\n');
    }
    if inside {
        out.push_str("```\n");
    }
    out
}

fn codes() -> String {
    let mut out = String::from("<h1>Findings</h1>\n");
    for page in pages() {
        let anchor = anchor(page.code);
        let body = page.text.split_once('\n').map_or("", |(_, body)| body);
        let _ = write!(
            out,
            "<h2 id=\"{anchor}\"><a href=\"#{anchor}\">{}</a> {}</h2>\n{}",
            page.code,
            inline(page.title()),
            markdown(body)
        );
    }
    page("Findings", &out)
}

/// Writes one line of Markdown without a paragraph around it.
fn inline(text: &str) -> String {
    let html = markdown(text);
    let html = html.trim();
    html.strip_prefix("<p>").and_then(|h| h.strip_suffix("</p>")).unwrap_or(html).to_string()
}

/// Writes Markdown as HTML: headings have anchors, and blocks of kup their colors.
fn markdown(text: &str) -> String {
    let mut events = Vec::new();
    let mut code: Option<(String, String)> = None;
    let mut heading: Option<(HeadingLevel, String, Vec<Event<'_>>)> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match (event, &mut code, &mut heading) {
            (Event::Start(Tag::CodeBlock(kind)), ..) => {
                let language = match kind {
                    CodeBlockKind::Fenced(language) => language.to_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                code = Some((language, String::new()));
            }
            (Event::Text(text), Some((_, block)), _) => block.push_str(&text),
            (Event::End(TagEnd::CodeBlock), Some((language, block)), _) => {
                let (kind, note) = language.split_once(' ').unwrap_or((language.as_str(), ""));
                let shown = if kind == "kup" { painted(block.trim_end()) } else { escaped(block.trim_end()) };
                let class = if note.starts_with("wrong") { " class=wrong" } else { "" };
                events.push(Event::Html(CowStr::from(format!("<pre{class}>{shown}</pre>\n"))));
                code = None;
            }
            (Event::Start(Tag::Heading { level, .. }), ..) => {
                heading = Some((level, String::new(), Vec::new()))
            }
            (Event::End(TagEnd::Heading(_)), _, Some((level, name, inner))) => {
                let anchor = anchor(name);
                events.push(Event::Html(CowStr::from(format!("<{level} id=\"{anchor}\">"))));
                events.append(inner);
                events.push(Event::Html(CowStr::from(format!("</{level}>\n"))));
                heading = None;
            }
            // A text of ours is no page of somebody else's: what looks like HTML is shown.
            (Event::Html(html) | Event::InlineHtml(html), ..) => events.push(Event::Text(html)),
            (event, _, Some((_, name, inner))) => {
                if let Event::Text(text) | Event::Code(text) = &event {
                    name.push_str(text);
                }
                inner.push(event);
            }
            (event, ..) => events.push(event),
        }
    }
    let mut out = String::with_capacity(text.len() * 2);
    html::push_html(&mut out, events.into_iter());
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Returns what stands between two marks, everywhere.
    fn between<'t>(text: &'t str, from: &str, to: &str) -> Vec<&'t str> {
        text.split(from).skip(1).filter_map(|rest| rest.split(to).next()).collect()
    }

    #[test]
    fn every_verb_playbook_word_and_code_has_its_place_and_every_link_leads_somewhere() {
        let reference = Reference::shipped();
        let files = files(&reference);
        let mut places = BTreeSet::new();
        for (name, html) in &files {
            assert!(places.insert(name.clone()), "{name} is there twice");
            for id in between(html, " id=\"", "\"") {
                assert!(places.insert(format!("{name}#{id}")), "{name}#{id} is there twice");
            }
            for id in between(html, " id=", ">").into_iter().filter(|id| !id.starts_with('"')) {
                places.insert(format!("{name}#{}", id.split(' ').next().unwrap()));
            }
        }
        for verb in reference.verbs() {
            assert!(places.contains(&place_of(verb)), "{}", verb.name);
        }
        for playbook in &reference.playbooks {
            assert!(places.contains(&playbook_file(playbook)), "{}", playbook.name);
        }
        let mut links = 0;
        for (name, html) in &files {
            for link in between(html, "<a href=\"", "\"") {
                links += 1;
                if link.starts_with("https://") {
                    continue;
                }
                let whole = if link.starts_with('#') { format!("{name}{link}") } else { link.to_string() };
                assert!(places.contains(&whole), "{name}: {link}");
            }
        }
        assert!(links > 200, "{links}");
    }

    #[test]
    fn a_page_asks_nobody_for_anything() {
        for (name, html) in files(&Reference::shipped()) {
            for mark in ["src=", "@import", "url(", "<link", "fetch(", "XMLHttp", "<iframe"] {
                assert!(!html.contains(mark), "{name} has `{mark}`");
            }
            assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"), "{name}");
        }
    }

    #[test]
    fn what_looks_like_html_is_shown_and_code_has_its_colors() {
        assert_eq!(inline("a <b> `<c>`"), "a &lt;b&gt; <code>&lt;c&gt;</code>");
        assert_eq!(
            markdown("```kup\ndrain # <x>\n```"),
            "<pre>drain <span class=c># &lt;x&gt;</span></pre>\n"
        );
        assert_eq!(markdown("## A `b` c\n"), "<h2 id=\"a-b-c\">A <code>b</code> c</h2>\n");
    }
}
