//! A text of kup as HTML, colored by what the checker knows of it, as in an editor.

use std::cell::RefCell;

use dsl::ask::{Class, Page};
use dsl::source::{LoadError, Loader};

use super::site::escaped;

/// Hands in one text, and what is shipped beside it.
struct One<'t>(&'t str);

const NAME: &str = "shown.kup";

impl Loader for One<'_> {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        match path {
            NAME => Ok(self.0.to_string()),
            path => stdlib::modules()
                .iter()
                .find(|(name, _)| *name == path)
                .map(|(_, text)| (*text).to_string())
                .ok_or(LoadError::NotFound),
        }
    }
}

thread_local! {
    // It keeps what it has read of the shipped modules for the next text.
    static PAGE: RefCell<Page> = RefCell::new(Page::new(NAME, stdlib::PRELUDE));
}

/// Returns a text, whole or a part of one, with a `span` around what has a color.
pub(super) fn painted(text: &str) -> String {
    PAGE.with_borrow_mut(|page| {
        page.read(&One(text));
        colored(page, text)
    })
}

fn colored(page: &Page, text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    let mut done = 0;
    for piece in page.colors() {
        out.push_str(&escaped(&text[done..piece.start]));
        let class = match piece.class {
            Class::Keyword => "k",
            Class::Function => "f",
            Class::Parameter | Class::Property => "p",
            Class::Variable | Class::Namespace => "v",
            Class::EnumMember | Class::Number | Class::Type => "n",
            Class::String => "s",
            Class::Comment => "c",
        };
        out.push_str(&format!("<span class={class}>{}</span>", escaped(&text[piece.start..piece.end])));
        done = piece.end;
    }
    out.push_str(&escaped(&text[done..]));
    out
}
