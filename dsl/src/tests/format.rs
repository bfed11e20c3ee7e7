//! The one style: what it looks like, and that it changes nothing but the looks.

use std::fmt::Debug;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{STD, run};
use crate::format::laid_out;
use crate::parse::parse;
use crate::span::{FileId, Span};

/// A real playbook, to be laid out anew.
const PLAYBOOK: &str = include_str!("../../../playbooks/kubeadm-minor.kup");

fn format(text: &str) -> String {
    match crate::format("test.kup", text) {
        Ok(text) => text,
        Err(refused) => {
            let said: String = refused.diagnostics.iter().map(|d| super::line(&refused.sources, d)).collect();
            panic!("{said}\n{text}")
        }
    }
}

/// Formats a text and demands all that holds of every text.
fn check(text: &str, expect: Expect) {
    let formatted = format(text);
    expect.assert_eq(&formatted);
    sound(text, &formatted);
}

fn sound(text: &str, formatted: &str) {
    assert_eq!(laid_out(formatted), formatted, "formatted twice:\n{text}");
    assert_eq!(comments(text), comments(formatted), "comments of:\n{text}\nbecame:\n{formatted}");
    assert_eq!(tree(text), tree(formatted), "tree of:\n{text}\nbecame:\n{formatted}");
}

/// Returns the comments of a text, without what the style says of them.
fn comments(text: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find(['"', '#']) {
        rest = &rest[at..];
        let end = if let Some(raw) = rest.strip_prefix("\"\"\"") {
            raw.find("\"\"\"").map_or(rest.len(), |end| end + 6)
        } else if rest.starts_with('"') {
            let mut escaped = true;
            let end = rest.find(|c| {
                let ends = c == '\n' || (c == '"' && !escaped);
                escaped = c == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |end| end + 1)
        } else {
            let end = rest.find('\n').unwrap_or(rest.len());
            found.push(rest[..end].split_whitespace().collect::<Vec<_>>().concat());
            end
        };
        rest = &rest[end..];
    }
    found
}

/// Draws the tree of a text with words in the place of spans, so that two texts can be compared.
fn tree(text: &str) -> String {
    let (file, found) = parse(FileId(0), text);
    assert!(found.is_empty(), "{found:?}\n{text}");
    without_spans(&file, |span| {
        let piece = &text[span.start as usize..span.end as usize];
        // What holds other pieces is compared piece by piece.
        match piece.contains(['"', '{', '#', '(', '[', '=', ',']) {
            true => "_".to_string(),
            false => piece.split_whitespace().collect::<Vec<_>>().concat(),
        }
    })
}

fn without_spans(value: &impl Debug, name: impl Fn(Span) -> String) -> String {
    let drawn = format!("{value:?}");
    let mut out = String::new();
    let mut rest = drawn.as_str();
    while let Some((before, behind)) = rest.split_once("Span { file: FileId(") {
        let (numbers, more) = behind.split_once(" }").expect("a span ends");
        let numbers: Vec<u32> =
            numbers.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
        out.push_str(before);
        out.push_str(&name(Span { file: FileId(numbers[0]), start: numbers[1], end: numbers[2] }));
        rest = more;
    }
    out.push_str(rest);
    // Where a task begins is no part of what it says.
    let mut pieces = out.split(", start: ");
    let first = pieces.next().unwrap_or_default().to_string();
    pieces.fold(first, |out, piece| out + piece.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// Draws the program of a text without the places of its parts.
fn program(text: &str) -> String {
    let checked = run(&[("test.kup", text)]);
    let program = without_spans(&checked.program.expect("a sound playbook"), |_| String::new());
    // A step is also kept as it was written.
    program
        .split(' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .concat()
        .replace(",]", "]")
        .replace(",}", "}")
}

#[test]
fn tabs_become_spaces_and_stay_within_quotes() {
    check(
        "playbook\t\"a\tb\"\nstage s {\n\teach node in workers {\n\t\tdrain\tgrace=2m\t# why\n\t}\n}\n",
        expect![[r#"
            playbook "a	b"

            stage s {
              each node in workers {
                drain grace=2m  # why
              }
            }
        "#]],
    );
}

#[test]
fn items_stand_apart_and_short_ones_may_stand_together() {
    check(
        "# What it is.\nuse std/etcd,std/run\nplaybook \"p\"\nparam a:number=1\nparam long_name : refuse|delete = refuse# which\n\n\n\n\
         stage a{drain}\nstage b { drain }\nstage c {\ndrain\n}\n# of d\nstage d {}\non failure{abort}",
        expect![[r#"
            # What it is.
            use std/etcd, std/run

            playbook "p"

            param a:         number          = 1
            param long_name: refuse | delete = refuse  # which

            stage a { drain }
            stage b { drain }

            stage c {
              drain
            }

            # of d
            stage d {}

            on failure { abort }
        "#]],
    );
}

#[test]
fn comments_stay_where_they_belong() {
    check(
        "#!/usr/bin/kup\n#one\n\n# of the stage\nstage a {#first\n      # above\n drain   # behind\n uncordon grace=1s # too\n\n\n\
         # last\n}# end\n# after\n\nstage b { each n in nodes where a == 1 and b == 2 and c == 3 and d == 4 and eeeeeeeee == 5 { # far\n x # near\n } }\n# the end",
        expect![[r#"
            #!/usr/bin/kup
            # one

            # of the stage
            stage a {  # first
              # above
              drain              # behind
              uncordon grace=1s  # too

              # last
            }  # end
            # after

            stage b {
              each n in nodes where a == 1 and b == 2 and c == 3 and d == 4 and eeeeeeeee == 5 {  # far
                x  # near
              }
            }
            # the end
        "#]],
    );
}

#[test]
fn a_call_that_is_too_long_is_broken_before_its_arguments() {
    let name = "a_rather_long_value_that_takes_its_room";
    check(
        &format!(
            "stage s {{\n  wait healthy {name}\n  grace=10s   limit=20m\n  wait healthy one={name} two={name} three={name}\n\
             \x20 wait healthy one={name} two={name} three={name} {{ timeout 3m }}\n  say one=1 # why\n\n # more\n two=2\n}}"
        ),
        expect![[r#"
            stage s {
              wait healthy a_rather_long_value_that_takes_its_room grace=10s limit=20m
              wait healthy
                  one=a_rather_long_value_that_takes_its_room
                  two=a_rather_long_value_that_takes_its_room
                  three=a_rather_long_value_that_takes_its_room
              wait healthy
                  one=a_rather_long_value_that_takes_its_room
                  two=a_rather_long_value_that_takes_its_room
                  three=a_rather_long_value_that_takes_its_room {
                timeout 3m
              }
              say
                  one=1  # why
                  # more
                  two=2
            }
        "#]],
    );
}

#[test]
fn else_stands_behind_the_brace() {
    check(
        "stage s {\nif a { b }\nelse if not(c) {\n}\nelse { d }\nif a { b } else { c }\nif a {\n b\n} # why\nelse {\n c }\n}",
        expect![[r#"
            stage s {
              if a {
                b
              } else if not (c) {} else {
                d
              }
              if a { b } else { c }
              if a {
                b
              }  # why
              else {
                c
              }
            }
        "#]],
    );
}

#[test]
fn operators_have_room_and_brackets_have_none() {
    check(
        "stage s {\n each n in nodes-x where a==1 and(b<=v1.34 or not c)and(d+e)- f!=2 batch=[ 1,5 , 20%, ] { x }\n\
         if label( \"a\" )in[ \"b\" ] { each n in first( x ) { y n.zone, w } }\n each n in a { x { retry 2  backoff 2.5s..1m } } }",
        expect![[r#"
            stage s {
              each n in nodes-x where a == 1 and (b <= v1.34 or not c) and (d + e) - f != 2 batch=[1, 5, 20%] { x }
              if label("a") in ["b"] { each n in first(x) { y n.zone, w } }
              each n in a { x { retry 2 backoff 2.5s..1m } }
            }
        "#]],
    );
}

#[test]
fn a_value_that_has_its_name_has_it_without_room_also_in_a_default() {
    check(
        "playbook \"p\"\nparam target: version=first(hops(to=v1.34.2))\ntask go (node: node=here; to: version=first(hops(to=v1.34.2))) { run command \"a\" }\n",
        expect![[r#"
            playbook "p"

            param target: version = first(hops(to=v1.34.2))

            task go (node: node = here; to: version = first(hops(to=v1.34.2))) { run command "a" }
        "#]],
    );
}

#[test]
fn what_is_in_brackets_is_broken_last() {
    let name = "a_rather_long_value_that_takes_its_room";
    check(
        &format!(
            "task do it(node:node=here,list:[string]={name};a:refuse|delete=refuse,b:duration?,c:string=\"x\"){{ x }}\n\
             param l: [string] = [\"{name}\", \"{name}\", # second\n \"{name}\"]\n\
             stage s {{ each x in [\"{name}\", \"{name}\", \"{name}\"] batch=2 {{ y }} }}\n\
             use ./{name}, ./{name},./{name}, # why\n ./x"
        ),
        expect![[r#"
            task do it (
              node: node = here,
              list: [string] = a_rather_long_value_that_takes_its_room;
              a: refuse | delete = refuse,
              b: duration?,
              c: string = "x"
            ) {
              x
            }

            param l: [string] = [
              "a_rather_long_value_that_takes_its_room",
              "a_rather_long_value_that_takes_its_room",  # second
              "a_rather_long_value_that_takes_its_room",
            ]

            stage s {
              each x in [
                "a_rather_long_value_that_takes_its_room",
                "a_rather_long_value_that_takes_its_room",
                "a_rather_long_value_that_takes_its_room",
              ] batch=2 {
                y
              }
            }

            use ./a_rather_long_value_that_takes_its_room, ./a_rather_long_value_that_takes_its_room,
                ./a_rather_long_value_that_takes_its_room,  # why
                ./x
        "#]],
    );
}

#[test]
fn a_result_has_room_around_its_equals_sign() {
    // Laid out by its pieces, whether this kup has a meaning for it or not.
    let text = "stage s {\nlet x=run command \"a\" unless=\"b\"\nwhen x.wanted{ reboot }\n}\ntest \"t\" { on sim(3+5@v1.33.4)\n}\n";
    let formatted = laid_out(text);
    expect![[r#"
        stage s {
          let x = run command "a" unless="b"
          when x.wanted { reboot }
        }

        test "t" {
          on sim(3+5@v1.33.4)
        }
    "#]]
    .assert_eq(&formatted);
    assert_eq!(laid_out(&formatted), formatted);
}

#[test]
fn a_native_task_has_its_clauses_under_each_other() {
    check(
        "native task x y(;a:b=here)\n changes node # what\n\n    # of needs\n needs a(b),c(d,e) if not f in g,\n  h(node)\n undo none \"no\" if a==b\n prepares\n preflight\n \
         # below\n\nnative task z () # none\n reads",
        expect![[r#"
            native task x y (; a: b = here)
              changes  node  # what
              # of needs
              needs    a(b), c(d, e) if not f in g, h(node)
              undo     none "no" if a == b
              prepares
              preflight
            # below

            native task z ()  # none
              reads
        "#]],
    );
}

#[test]
fn text_of_many_lines_moves_along() {
    check(
        "stage s {\nrun command \"\"\"\n  a\n    b\n\n  c\n\"\"\" on=local {long}\n\trun command \"\"\"x\n y\"\"\"\n}",
        expect![[r#"
            stage s {
              run command """
                a
                  b

                c
              """ on=local { long }
              run command """x
             y"""
            }
        "#]],
    );
}

#[test]
fn lines_of_windows_end_as_others() {
    check(
        "\u{feff}playbook \"p\"\r\n\r\n\r\nstage s {\r\n\tx # why\r\n}\r\n",
        expect![[r#"
        playbook "p"

        stage s {
          x  # why
        }
    "#]],
    );
    check("", expect![""]);
    check(
        "\n\n# only this",
        expect![[r#"
        # only this
    "#]],
    );
}

#[test]
fn a_text_that_cannot_be_read_is_refused_with_its_findings() {
    let refused = crate::format("test.kup", "playbook \"p\"\nstage s {\n  drain @\n").unwrap_err();
    let said: String = refused.diagnostics.iter().map(|d| super::line(&refused.sources, d)).collect();
    expect![[r#"
        3:9 `@` K0101 expected the end of the line, `{`, an argument or a value, found `@`
        2:9 `{` K0102 a `}` is missing
            add a `}` where the block ends
    "#]]
    .assert_eq(&said);
}

#[test]
fn a_long_text_takes_no_longer_a_line() {
    // Were anything quadratic, a run of this test would take minutes.
    let comments = "# c\n".repeat(20_000);
    let steps = "run command \"x\" on=local # c\n".repeat(20_000);
    laid_out(&format!("{comments}stage s {{\n{comments}{steps}}}\n"));
    laid_out(&format!("stage s {{ {} }}", "x ".repeat(20_000)));
    laid_out(&format!("stage s {{ each n in [{}] {{ x }} }}", "a, ".repeat(20_000)));
    laid_out(&format!("stage s {{\n x a=({}) }}", "(a,\n".repeat(60) + &")".repeat(60)));
}

/// Chances, drawn from bytes so that they can be shrunk; after the last byte, always the first choice.
struct Dice<'d>(std::slice::Iter<'d, u8>);

impl Dice<'_> {
    fn roll(&mut self, sides: usize) -> usize {
        self.0.next().map_or(0, |b| *b as usize % sides)
    }

    fn one<'p>(&mut self, pieces: &[&'p str]) -> &'p str {
        pieces[self.roll(pieces.len())]
    }

    /// What may stand between two pieces of a line that need nothing between them.
    fn s(&mut self) -> &'static str {
        self.one(&["", " ", "", "   ", "\t"])
    }

    /// The end of a line: blanks, a comment, empty lines, more comments, an indent.
    fn nl(&mut self) -> String {
        let mut out = self.one(&["", "", " ", " # behind", "#behind", "  ## behind \t"]).to_string();
        for _ in 0..=self.roll(3) {
            out += self.one(&["\n", "\n", "\n\n\n", "\n  # on its own", "\n\n## one\n# two\n", "\r\n"]);
        }
        out + "\n" + self.one(&["  ", "", " ", "\t", "      "])
    }

    /// White space of any kind, where a line may end.
    fn w(&mut self) -> String {
        if self.roll(4) == 1 { self.nl() } else { self.s().to_string() }
    }
}

/// Lays a text out anew: other blanks, indents, empty lines and comments between the same pieces.
fn shuffled(text: &str, dice: &mut Dice<'_>) -> String {
    let (mut out, mut rest, mut brackets) = (String::new(), text, 0);
    while let Some(c) = rest.chars().next() {
        let blanks = rest.len() - rest.trim_start_matches([' ', '\n']).len();
        if c == '"' {
            let end = if let Some(raw) = rest.strip_prefix("\"\"\"") {
                raw.find("\"\"\"").unwrap() + 6
            } else {
                rest[1..].find('"').unwrap() + 2
            };
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        } else if c == '#' {
            let end = rest.find('\n').unwrap();
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        } else if blanks > 0 {
            let indented = rest[..blanks].ends_with(' ');
            if rest[..blanks].contains('\n') {
                let nl = dice.nl();
                // A clause of a native task is told by its indent.
                out.push_str(if indented { &nl } else { nl.trim_end_matches([' ', '\t']) });
                if indented {
                    out.push(' ');
                }
            } else {
                out.push_str(dice.one(&[" ", " ", "  ", "\t"]));
            }
            rest = &rest[blanks..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            // Parameters stand apart from the name of their task; a line may end beside their commas.
            let depth = if out[..out.len() - 1].ends_with(char::is_alphanumeric) { 2 } else { 1 };
            match c {
                '(' => brackets += depth,
                ')' => brackets = 0,
                _ => {}
            }
            if c == '{' || (brackets == 1 && matches!(c, '(' | ',' | ';')) {
                out.push_str(&dice.w());
            }
        }
    }
    out
}

/// Writes a random program: any items, statements and expressions that the grammar knows.
struct Author<'d>(Dice<'d>);

impl Author<'_> {
    fn file(&mut self) -> String {
        let mut out = self.0.one(&["", "\n", "# head", "\u{feff}", "#!/bin/kup\n\n# head"]).to_string();
        if !matches!(out.as_str(), "" | "\u{feff}") {
            out += "\n";
        }
        for _ in 0..=self.0.roll(7) {
            out += &self.item();
            out += self.0.nl().trim_end_matches([' ', '\t']);
        }
        out
    }

    fn item(&mut self) -> String {
        let s = self.0.s();
        match self.0.roll(8) {
            0 => format!("stage {}{s}{}", self.0.one(&["a", "b after c", "d after e,f , g"]), self.block(3)),
            1 => {
                let more = self.0.one(&["./a", "../b-c/d", "std/kubeadm"]);
                format!("use std/etcd{s},{}{more}", self.0.w())
            }
            2 => format!(
                "playbook \"x ${{y}}\"{}",
                if s.is_empty() { String::new() } else { format!("{s}{}", self.block(0)) }
            ),
            3 => format!("param {}", self.param()),
            4 => format!("task {}{s}({}){s}{}", self.0.one(&["x", "x y z"]), self.params(), self.block(2)),
            5 => {
                let mut out = format!("native task x{s}({})", self.params());
                for _ in 0..self.0.roll(4) {
                    out += &self.0.nl();
                    out += " ";
                    out += &self.clause();
                }
                out
            }
            6 => format!("on {}{s}{}", self.0.one(&["failure", "stage  s done"]), self.block(1)),
            _ => format!("param {}", self.param()),
        }
    }

    fn params(&mut self) -> String {
        let mut out = self.0.w();
        for i in 0..self.0.roll(4) {
            if i > 0 {
                out += if i == 1 { ";" } else { "," };
                out += &self.0.w();
            }
            out += &self.param();
            out += &self.0.w();
        }
        out
    }

    fn param(&mut self) -> String {
        let s = self.0.s();
        let ty = self.0.one(&["node", "[string]", "refuse|delete", "a | b |c?", "[ [x] ]?"]);
        let default = match self.0.roll(2) {
            0 => String::new(),
            _ => format!("{s}={}{}", self.0.s(), self.expr(2, false)),
        };
        format!("{}{s}:{}{ty}{default}", self.0.one(&["p", "some_name", "v2"]), self.0.s())
    }

    fn clause(&mut self) -> String {
        let claim = self.0.one(&["drained(node)", "a( b ,c ) if x in y", "done()"]);
        match self.0.roll(6) {
            0 => self
                .0
                .one(&["reads", "changes node", "disrupts   node", "prepares", "long", "timeout 5m"])
                .to_string(),
            1 => format!("needs {claim}"),
            2 => format!("ensures  {claim},{}{claim}", self.0.w()),
            3 => format!("undo none \"x\" if {}", self.expr(2, false)),
            4 => format!("undo {}", self.0.one(&["itself", "uncordon node", "x y=z if a"])),
            _ => "retry 3 backoff 1s..2.5m".to_string(),
        }
    }

    fn block(&mut self, depth: usize) -> String {
        let count = self.0.roll(4);
        if count == 1 && self.0.roll(2) == 0 {
            return format!("{{{}{}{}}}", self.0.s(), self.stmt(depth), self.0.s());
        }
        let mut out = format!("{{{}", self.0.w());
        for _ in 0..count {
            out += &self.stmt(depth);
            out += &self.0.nl();
        }
        out + "}"
    }

    fn stmt(&mut self, depth: usize) -> String {
        let s = self.0.s();
        match self.0.roll(if depth == 0 { 3 } else { 7 }) {
            0 => self.step(),
            1 => {
                let policy = [
                    "timeout 10m",
                    "retry 3",
                    "retry  2 backoff 1s..1m",
                    "long",
                    "name \"x\"",
                    "allow no-skew \"y\"",
                ];
                self.0.one(&policy).to_string()
            }
            2 => {
                format!("{} {}", self.step(), if depth == 0 { "{ long }".to_string() } else { self.block(0) })
            }
            3 => {
                let order = self.0.one(&["", " order by gpu last", " order  by gpu last,zone"]);
                let mut head = format!("each n in {}{order}", self.expr(2, false));
                for name in ["batch", "canary"].into_iter().take(self.0.roll(3)) {
                    head += &self.gap();
                    head += &format!("{name}={}", self.expr(1, true));
                }
                format!("{head}{s}{}", self.block(depth - 1))
            }
            4 => {
                let mut out = format!("if {}{s}{}", self.expr(2, false), self.block(depth - 1));
                if self.0.roll(2) == 1 {
                    let w = self.0.w();
                    out += &format!("{w}else if {}{s}{}", self.expr(1, false), self.block(depth - 1));
                }
                if self.0.roll(2) == 1 {
                    out += &format!("{}else{s}{}", self.0.w(), self.block(depth - 1));
                }
                out
            }
            5 => format!("parallel{s}{}", self.block(depth - 1)),
            _ => format!("undo{s}{}", self.block(depth - 1)),
        }
    }

    /// What stands before `name=value`: blanks, or the end of a line.
    fn gap(&mut self) -> String {
        if self.0.roll(3) == 1 { self.0.nl() } else { self.0.one(&[" ", "  "]).to_string() }
    }

    fn step(&mut self) -> String {
        let verbs = [
            "drain",
            "wait healthy",
            "install kubelet,kubectl",
            "x , y",
            "run command node.zone",
            "kube-proxy",
        ];
        let mut out = self.0.one(&verbs).to_string();
        if self.0.roll(3) == 1 {
            out += &format!(" {}", self.text());
        }
        for name in ["to", "node", "a_rather_long_name_of_an_argument"].into_iter().take(self.0.roll(4)) {
            out += &self.gap();
            out += &format!("{name}={}", self.expr(1, true));
            if self.0.roll(4) == 1 {
                out += &format!("{},{}{}", self.0.s(), self.0.s(), self.expr(0, true));
            }
        }
        out
    }

    fn text(&mut self) -> String {
        let texts = [
            "\"x\"",
            "\"a # b \\\" ${c + 1} {\"",
            "\"\"\"\n    a\n\n      b # c\n  \"\"\"",
            "\"\"\"raw \"x\" \"\"\"",
            "\"\"\"\n\ta\n b\n     \"\"\"",
            "\"some text that is so long that a line has hardly any room for more of it\"",
        ];
        self.0.one(&texts).to_string()
    }

    /// An expression; `tight`: one that is not followed by operators.
    fn expr(&mut self, depth: usize, tight: bool) -> String {
        let s = self.0.s();
        let plain = ["x", "10%", "v1.34.2-rc.1+k3s", "node.zone", "2.5s", "first(x)", "true"];
        match self.0.roll(if depth == 0 { 2 } else { 6 }) {
            0 => self.0.one(&plain).to_string(),
            1 => self.text(),
            2 => {
                let mut out = format!("[{}", self.0.w());
                for i in 0..self.0.roll(4) {
                    if i > 0 {
                        out += &format!("{},{}", self.0.w(), self.0.w());
                    }
                    out += &self.wide(depth - 1);
                }
                out + &self.0.w() + "]"
            }
            3 => format!("f({}{}{},{}y)", self.0.w(), self.wide(depth - 1), self.0.w(), self.0.w()),
            4 if !tight => {
                // A version would take a tight `+` for its own.
                let op = self.0.one(&["==", "!=", "<=", "<", " and ", " in ", " where not ", " +", " - "]);
                format!("{}{s}{op}{s}{}", self.expr(depth - 1, false), self.expr(0, true))
            }
            _ => format!("({}{}{})", self.0.w(), self.wide(depth - 1), self.0.w()),
        }
    }

    /// An expression in brackets, where lines may end beside operators.
    fn wide(&mut self, depth: usize) -> String {
        match self.0.roll(3) {
            1 => format!("{}{} or {}{}", self.expr(depth, false), self.0.w(), self.0.w(), self.expr(0, true)),
            _ => self.expr(depth, false),
        }
    }
}

#[test]
fn records_have_spaces_within_their_braces_and_a_line_a_field_where_they_are_long() {
    let one =
        "playbook \"p\"\n\nparam registry: { host: string, port: number? } = { host: \"a\", port: 5000 }\n";
    assert_eq!(format(one), one);
    check(
        "playbook \"p\"\nparam a:{x:number,y:{z:[string]}?}={x:1,y:{z:[\"a\"],},}\nparam b: {} = {  }\n\
         stage s {\n  if {a:1}.a=={a:2}.a { go of={ a :1 }, {a:2} x=[{a:1}] { timeout 1m } }\n  each x in {a:nodes}.a {}\n}\n",
        expect![[r#"
            playbook "p"

            param a: { x: number, y: { z: [string] }? } = { x: 1, y: { z: ["a"] } }
            param b: {}                                 = {}

            stage s {
              if { a: 1 }.a == { a: 2 }.a { go of={ a: 1 }, { a: 2 } x=[{ a: 1 }] { timeout 1m } }
              each x in { a: nodes }.a {}
            }
        "#]],
    );
    check(
        "playbook \"p\"\nstage s {\n  go of={ first: \"a text that is not short\", second: \"another one, and it is longer than that\", third: 3, fourth: [4] } { timeout 1m }\n}\n",
        expect![[r#"
            playbook "p"

            stage s {
              go
                  of={
                    first: "a text that is not short",
                    second: "another one, and it is longer than that",
                    third: 3,
                    fourth: [4],
                  } {
                timeout 1m
              }
            }
        "#]],
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_playbook_laid_out_anew_keeps_its_tree(bytes in prop::collection::vec(any::<u8>(), 0..900)) {
        let text = shuffled(PLAYBOOK, &mut Dice(bytes.iter()));
        sound(&text, &laid_out(&text));
    }

    #[test]
    fn a_module_laid_out_anew_keeps_its_tree(which in 0..STD.len(), bytes in prop::collection::vec(any::<u8>(), 0..900)) {
        let text = shuffled(STD[which].1, &mut Dice(bytes.iter()));
        sound(&text, &laid_out(&text));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_playbook_laid_out_anew_keeps_its_program(bytes in prop::collection::vec(any::<u8>(), 0..900)) {
        let text = shuffled(PLAYBOOK, &mut Dice(bytes.iter()));
        prop_assert_eq!(program(&text), program(&laid_out(&text)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_random_program_keeps_its_tree_and_its_comments(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let text = Author(Dice(bytes.iter())).file();
        sound(&text, &laid_out(&text));
    }
}
