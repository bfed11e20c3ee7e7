//! What stands between two pieces of a line. Only what is sure to mean the same is changed; all else
//! touches if it touched.

use super::token::{Kind, Token};

/// What kind of line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// `use a, b`: may be broken behind commas.
    Uses,
    /// `param name: type = value`
    Param,
    /// The head of a task: `=` stands before a default.
    Task,
    /// `needs`, `ensures`, `follows`, `ends`: may be broken behind commas.
    Claims,
    /// Any other clause of a native task.
    Clause,
    /// Everything else: may be broken before `name=value`.
    Plain,
}

/// Words of an expression: what follows is no argument of theirs.
const OPERATORS: [&str; 7] = ["not", "and", "or", "in", "where", "if", "when"];

/// Returns whether a space stands between two tokens of a line.
pub(super) fn spaced(before: Token<'_>, token: Token<'_>, role: Role, depth: usize) -> bool {
    if matches!(before.text, "(" | "[") || matches!(token.text, ")" | "]" | "," | ";") {
        return false;
    }
    // The braces of a record; those of a block are written with it.
    match (before.text, token.text) {
        ("{", "}") | ("}", "." | "?") => return false,
        ("{", _) | (_, "}") => return true,
        (_, ":") => return false,
        (":", _) => return true,
        _ => {}
    }
    if matches!(before.text, "," | ";" | "}") || before.kind == Kind::Infix || token.kind == Kind::Infix {
        return true;
    }
    // Behind such a `=` stands a default. Deeper, one gives a value its name: `hops(to=target)`.
    let declares = match role {
        Role::Param => depth == 0,
        Role::Task => depth == 1,
        Role::Uses | Role::Claims | Role::Clause | Role::Plain => false,
    };
    if declares && (before.text == "=" || token.text == "=") {
        return true;
    }
    let head = token.is("(") && role == Role::Task && depth == 0;
    let behind_bracket = matches!(before.text, ")" | "]") && token.kind != Kind::Mark;
    let operand = token.kind == Kind::Text || matches!(token.text, "(" | "[" | "{");
    head || behind_bracket || operand && OPERATORS.contains(&before.text) || token.space
}
