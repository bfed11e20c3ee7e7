//! Writes texts that somebody could have meant: whole programs by the grammar, and real ones with mistakes.

use super::dice::Dice;

/// What a text may be torn into, and what gets into one by mistake.
const PIECES: &[&str] = &[
    "playbook \"p\"",
    "stage s {",
    "task x (",
    "native task y ()",
    "param p: version",
    "use ./a",
    "on failure {",
    "test \"t\" {",
    "each n in workers {",
    "if ",
    "else {",
    "parallel {",
    "let x = ",
    "when x {",
    "window \"Sat 02:00-05:00 UTC\"",
    "window \"",
    "approve \"q\"",
    "before {",
    "after {",
    "timeout 5m",
    "retry 3 backoff 1s..5m",
    "undo {",
    "name \"x\"",
    "long",
    "allow budget \"x\"",
    "drain",
    "wait healthy",
    "run command \"x\" on=local",
    "node=",
    "=",
    "==",
    "!=",
    "<=",
    "-",
    "+",
    "where",
    "and",
    "not",
    "in",
    "order by gpu last",
    "batch=10%",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ",",
    ";",
    ":",
    "?",
    "|",
    ".",
    "..",
    "\"",
    "\"\"\"",
    "${",
    "${x}",
    "\\",
    "\\n",
    "#",
    "##",
    "# ü",
    "10m",
    "10x",
    "v1.34.2",
    "1.2.3",
    "5%",
    "\n",
    "\r\n",
    "\t",
    " ",
    "\n\n",
    "\u{201c}",
    "\u{feff}",
    "\0",
    "ü",
    "😀",
    "e\u{301}",
    "expect done",
    "expect drain on w1 ran",
    "expect plan \"\"\"",
    "on sim(3+5@v1.33.4)",
    "fault F40@w2",
    "set p=v1.34.2",
    "- name: x",
    "${{ x }}",
    "drain(n)",
    "10 minutes",
    "script \"\"\"",
    "secret",
    "{ a: 1 }",
    "x={ a: 1, ",
    "param p: { a: string } = {",
];

/// Returns text without any sense.
pub(crate) fn noise(dice: &mut Dice) -> String {
    let length = dice.below(100);
    let mut out = String::new();
    for _ in 0..length {
        match dice.below(6) {
            0 => out.push_str(dice.word(PIECES)),
            1 => out.extend(char::from_u32(dice.below(0x11_0000) as u32)),
            _ => out.push((32 + dice.below(95) as u8) as char),
        }
    }
    out
}

/// Returns words of the language in any order.
pub(crate) fn words(dice: &mut Dice) -> String {
    let between = dice.word(&["", " ", " ", "\n"]);
    let number = dice.below(25);
    let words: Vec<&str> = (0..number).map(|_| dice.word(PIECES)).collect();
    words.join(between)
}

/// Returns some lines of a real text with some mistakes in them.
pub(crate) fn mistaken(dice: &mut Dice, texts: &[String]) -> String {
    let text = dice.one(texts);
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let from = dice.below(lines.len());
    let mut out: String = lines[from..].iter().take(1 + dice.below(8)).copied().collect();
    for _ in 0..dice.below(4) {
        edit(dice, &mut out);
    }
    out
}

/// Changes a text in one place; returns where, and what came there.
pub(crate) fn edit(dice: &mut Dice, text: &mut String) {
    let start = text.floor_char_boundary(dice.below(text.len() + 1));
    let end = text.ceil_char_boundary((start + dice.below(12)).min(text.len()));
    let piece = match dice.below(4) {
        0 => String::new(),
        1 => text[start..end].repeat(2),
        _ => dice.word(PIECES).to_string(),
    };
    text.replace_range(start..end, &piece);
}

/// Returns a program that can be read: every line of it is of the grammar.
pub(crate) fn program(dice: &mut Dice) -> String {
    let mut out = String::new();
    for _ in 0..1 + dice.below(3) {
        match dice.below(7) {
            0 => out.push_str(&format!("playbook \"{}\" {{ retry 2 }}\n", name(dice))),
            1 => {
                let ty = dice.word(&[
                    "version",
                    "number",
                    "[node]",
                    "refuse | delete",
                    "duration?",
                    "batch",
                    "{ a: number, b: [string]? }",
                ]);
                out.push_str(&format!("param {}: {ty}{}\n", name(dice), spaces(dice)));
            }
            2 => {
                out.push_str(&format!(
                    "##  Says {}.\ntask {} {} (a: node = here; b: number = 3) ",
                    name(dice),
                    name(dice),
                    name(dice)
                ));
                block(dice, 3, &mut out);
                out.push('\n');
            }
            3 => {
                out.push_str(&format!(
                    "test \"{}\" {{\n  on sim(1+2@v1.33.4)\n  expect done\n  expect {} on w1 ran\n}}\n",
                    name(dice),
                    name(dice)
                ));
            }
            4 => out.push_str("on failure { pause \"look\" }\n"),
            _ => {
                out.push_str(&format!("stage{}{} ", spaces(dice), name(dice)));
                block(dice, 3, &mut out);
                out.push('\n');
            }
        }
        if dice.below(4) == 0 {
            out.push_str("# between\n\n");
        }
    }
    out
}

fn name(dice: &mut Dice) -> &'static str {
    dice.word(&["alpha", "be-ta", "gamma_1", "x", "drain", "kubelet", "plan"])
}

fn spaces(dice: &mut Dice) -> &'static str {
    dice.word(&[" ", "  ", "\t", "   "])
}

fn block(dice: &mut Dice, depth: usize, out: &mut String) {
    out.push('{');
    let lines = dice.below(4);
    for _ in 0..lines {
        out.push_str(dice.word(&["\n", "\n\n", "  # why\n", "\n      "]));
        statement(dice, depth, out);
    }
    out.push_str(if lines == 0 { " }" } else { "\n}" });
}

fn statement(dice: &mut Dice, depth: usize, out: &mut String) {
    match if depth == 0 { 5 } else { dice.below(9) } {
        0 => {
            out.push_str(&format!("each {} in {} batch=10% canary=1 ", name(dice), expression(dice, 2)));
            block(dice, depth - 1, out);
        }
        1 => {
            out.push_str(&format!("if {} ", expression(dice, 3)));
            block(dice, depth - 1, out);
            out.push_str(" else ");
            block(dice, depth - 1, out);
        }
        2 => {
            out.push_str("parallel ");
            block(dice, depth - 1, out);
        }
        3 => out.push_str(dice.word(&[
            "timeout 5m",
            "retry 3 backoff 5s..1m",
            "long",
            "name \"a ${b} c\"",
            "allow budget \"so\"",
        ])),
        4 => {
            out.push_str("undo ");
            block(dice, depth - 1, out);
        }
        _ => {
            out.push_str(&format!("go {}", name(dice)));
            for _ in 0..dice.below(3) {
                let before = dice.word(&[" ", "  ", "\n    "]);
                out.push_str(&format!("{before}{}={}", name(dice), expression(dice, 2)));
            }
        }
    }
}

fn expression(dice: &mut Dice, depth: usize) -> String {
    match if depth == 0 { dice.below(5) } else { dice.below(12) } {
        0 => name(dice).to_string(),
        1 => "v1.34.2".to_string(),
        2 => (dice.word(&["3", "10%", "5m", "2GiB"])).to_string(),
        3 => "\"text ${x} \\n\"".to_string(),
        4 => format!("{}.gpu", name(dice)),
        5 => format!("({})", expression(dice, depth - 1)),
        6 => format!("[{}, {}]", expression(dice, depth - 1), expression(dice, depth - 1)),
        7 => format!("first({})", expression(dice, depth - 1)),
        8 => format!("not {}", expression(dice, depth - 1)),
        9 => format!("{{ {}: {} }}", name(dice), expression(dice, depth - 1)),
        10 => {
            let (a, b) = (expression(dice, depth - 1), expression(dice, depth - 1));
            format!("{{{}{}: {a},{}b: {b},}}", spaces(dice), name(dice), dice.word(&[" ", "\n", " # why\n"]))
        }
        _ => {
            let op = dice.word(&["==", "!=", "<", "<=", "and", "or", "in", "+", "-", "where"]);
            format!("{} {op} {}", expression(dice, depth - 1), expression(dice, depth - 1))
        }
    }
}
