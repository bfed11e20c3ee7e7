//! `kup explain [CODE]`: the page of a finding, or a line for each.

use dsl::page::{Page, pages};

use crate::console::{BOLD, CYAN, Console, GREEN, RED, RESET};
use crate::error::Error;
use crate::exit::Exit;

/// How many codes are offered where one is unknown.
const OFFERED: usize = 3;

/// Prints one page, or all titles.
pub(crate) fn explain(console: Console, code: Option<&str>) -> Result<Exit, Error> {
    let Some(code) = code else {
        for page in pages() {
            console.result(&format!("{BOLD}{}{RESET}  {}", page.code, page.title()));
        }
        return Ok(Exit::Done);
    };
    let wanted = code.trim().to_uppercase();
    match pages().iter().find(|p| p.code == wanted) {
        Some(page) => {
            console.result(&page_text(page));
            Ok(Exit::Done)
        }
        None => {
            let offered: Vec<String> = near(&wanted).into_iter().map(|c| format!("`{c}`")).collect();
            let error = Error::usage(format!("there is no code `{code}`"));
            Err(error
                .hint(format!("did you mean one of {}?", offered.join(", ")))
                .hint("`kup explain` lists them all"))
        }
    }
}

/// Returns the codes that are nearest to a word: those with the most of its digits in their places,
/// then those with the nearest number.
fn near(wanted: &str) -> Vec<&'static str> {
    let digits: String = wanted.chars().filter(char::is_ascii_digit).collect();
    // Codes have four digits, and the first is the one that is left out.
    let digits = format!("{digits:0>4}");
    let number: u64 = digits.parse().unwrap_or(0);
    let mut codes: Vec<(usize, u64, &str)> = pages()
        .iter()
        .map(|page| {
            let own = &page.code[1..];
            let other = own.bytes().zip(digits.bytes()).filter(|(a, b)| a != b).count();
            let length = own.len().abs_diff(digits.len());
            (other + length, own.parse().unwrap_or(0u64).abs_diff(number), page.code)
        })
        .collect();
    codes.sort_unstable();
    codes.into_iter().take(OFFERED).map(|(_, _, code)| code).collect()
}

/// Writes a page for a terminal: a heading, paragraphs, and texts set in.
fn page_text(page: &Page) -> String {
    let mut out = format!("{BOLD}{}: {}{RESET}", page.code, page.title());
    let mut inside = false;
    for line in page.text.lines().skip(1) {
        out.push('\n');
        match (line.strip_prefix("```"), inside) {
            (Some(_), true) => {
                inside = false;
                out.pop();
            }
            (Some(kind), false) => {
                inside = true;
                let kind =
                    kind.trim_start_matches("kup ").replace("wrong ", "wrong, ").replace("right ", "right, ");
                let colour = if kind.starts_with("wrong") { RED } else { GREEN };
                out.push_str(&format!("{colour}{kind}{RESET}:"));
            }
            (None, true) if line.is_empty() => {}
            (None, true) => out.push_str(&format!("    {line}")),
            (None, false) => out.push_str(line),
        }
    }
    out
}

/// Says where a finding is explained: once a run of kup, below all that was found.
pub(crate) fn way(code: &str) -> String {
    format!("{CYAN}hint{RESET}: `kup explain {code}` tells more of it, with an example")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_is_none_is_answered_with_the_nearest_ones() {
        assert_eq!(near("K0200"), ["K0201", "K0202", "K0203"]);
        assert_eq!(near("E203")[0], "K0203");
        assert_eq!(near("K9301")[0], "K0301");
        assert_eq!(near("").len(), OFFERED);
    }
}
