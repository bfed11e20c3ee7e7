//! Steps: which verb the words are, and which argument goes where. A step has exactly one reading.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::ast::{self, Arg, ExprKind as Written};
use crate::diagnostic::Diagnostic;
use crate::literal::{describe, example};
use crate::nearest::{nearest, surely};
use crate::parse::program;
use crate::problem::{Problem, ticks};
use crate::program::{Effect, Expr, ExprKind, Policy, Step, TaskId};
use crate::span::Span;
use crate::value::Type;

use super::expr::{Frame, here, none};
use super::{Checker, Meaning};

impl<'a> Checker<'a> {
    /// Resolves a step, without the block behind it.
    pub(super) fn step(&mut self, frame: &Frame<'a>, step: &ast::Step) -> Result<Step, Diagnostic> {
        let leading = leading(&step.args);
        let mut readings: Vec<(u32, Vec<Expr>)> = Vec::new();
        let mut failure: Option<Diagnostic> = None;
        let mut likely = None;
        let begin = self.now.trace.mark();
        // From long to short: the failure of the longest verb is the one to tell.
        for words in (1..=leading.min(self.longest)).rev() {
            let name = self.words(&step.args[..words]);
            let Some(ids) = self.scopes[frame.module].get(&*name) else { continue };
            for id in ids.clone() {
                let mark = self.now.trace.mark();
                match self.arguments(frame, id, &step.args[words..], step.span) {
                    Ok(args) => {
                        if readings.is_empty() {
                            self.now.trace.forget(begin..mark);
                        }
                        self.trace_call(id, step, words);
                        readings.push((id, args));
                        continue;
                    }
                    Err(_) if self.torn.contains(&id) => failure = Some(self.follows(step.span)),
                    Err(why) => failure = failure.or(Some(why)),
                }
                // What is wrong is shown as the longest verb that it may be.
                if likely.is_some() || !readings.is_empty() {
                    self.now.trace.forget(mark..self.now.trace.mark());
                }
                likely = likely.or(Some((id, words)));
            }
        }
        if let [(first, _), (second, _), ..] = readings.as_slice() {
            let name = |id: u32| {
                let task = &self.tasks[id as usize];
                format!("`{}` of `{}`", task.name, task.module)
            };
            let (first, second) = (name(*first), name(*second));
            return Err(Problem::TwoReadings { first, second }.at(step.span));
        }
        if let (true, Some((id, words))) = (readings.is_empty(), likely) {
            self.trace_call(id, step, words);
        }
        let Some((id, args)) = readings.pop() else {
            return Err(failure.unwrap_or_else(|| self.unknown(frame, step, leading)));
        };
        if self.tasks[id as usize].header.effect == Effect::Decides && !frame.handler {
            let name = self.tasks[id as usize].name.clone();
            return Err(Problem::OnlyInHandlers(name).at(step.span));
        }
        match frame.task {
            // What a header names, an undo, is no call from a body.
            Some(task) => {
                if let Some(calls) = self.calls.get_mut(task as usize) {
                    calls.push((id, step.span));
                }
            }
            None => self.used_tasks[id as usize] = true,
        }
        self.pass_on(frame, id, &args);
        let text = one_line(self.text(step.span));
        Ok(Step { result: None, task: TaskId(id), args, policy: Policy::default(), text, span: step.span })
    }

    /// Notes which verb a step is, and which parameters it names.
    fn trace_call(&mut self, id: u32, step: &ast::Step, words: usize) {
        if !self.now.trace.on {
            return;
        }
        let spoken: Vec<Span> = step.args[..words].iter().filter_map(word).collect();
        if let (Some(first), Some(last)) = (spoken.first(), spoken.last()) {
            self.now.trace.note(first.to(*last), Meaning::Verb(id));
        }
        for arg in &step.args[words..] {
            let Arg::Named(name, _) = arg else { continue };
            let text = self.loaded.sources.slice(*name);
            if let Some(at) = self.tasks[id as usize].params.iter().position(|p| p.name == text) {
                self.now.trace.note(*name, Meaning::Argument(id, at as u32));
            }
        }
    }

    /// Returns words with one space between them.
    fn words(&self, args: &[Arg]) -> Cow<'a, str> {
        let spans: Vec<Span> = args.iter().filter_map(word).collect();
        let near = spans.windows(2).all(|w| w[0].end + 1 == w[1].start);
        let written = spans.first().zip(spans.last()).map(|(first, last)| self.text(first.to(*last)));
        match written {
            Some(written) if near && !written.contains(['\t', '\r']) => Cow::Borrowed(written),
            _ => Cow::Owned(spans.iter().map(|s| self.text(*s)).collect::<Vec<_>>().join(" ")),
        }
    }

    /// Brings arguments in the order of the parameters of a task.
    fn arguments(
        &mut self,
        frame: &Frame<'a>,
        id: u32,
        args: &[Arg],
        step: Span,
    ) -> Result<Vec<Expr>, Diagnostic> {
        let count = self.tasks[id as usize].params.len();
        let takes = self.tasks[id as usize].params.iter().filter(|p| p.positional).count();
        let mut given: Vec<Option<Expr>> = vec![None; count];
        let (mut plain, mut named) = (0, false);
        for (i, arg) in args.iter().enumerate() {
            match arg {
                Arg::Plain(values) => {
                    let span = values[0].span;
                    if named {
                        return Err(Problem::PositionalAfterNamed.at(span));
                    }
                    if plain >= takes {
                        return Err(self.too_many(id, &given, takes, span));
                    }
                    let ty = self.tasks[id as usize].params[plain].ty.clone();
                    given[plain] = Some(self.joined(frame, values, &ty)?);
                    plain += 1;
                }
                Arg::Named(name, values) => {
                    named = true;
                    let text = self.text(*name);
                    let params = &self.tasks[id as usize].params;
                    let Some(at) = params.iter().position(|p| p.name == text) else {
                        return Err(self.no_argument(id, text, *name));
                    };
                    if given[at].is_some() {
                        let problem = Problem::Twice { what: "the argument", name: text.to_string() };
                        return Err(problem.at(*name));
                    }
                    let ty = params[at].ty.clone();
                    if let Some(habit) = self.unit_apart(values, args.get(i + 1)) {
                        return Err(habit);
                    }
                    given[at] = Some(self.joined(frame, values, &ty)?);
                }
            }
        }
        let task = &self.tasks[id as usize];
        let mut complete = Vec::with_capacity(count);
        for (param, given) in task.params.iter().zip(given) {
            let missing = |here| {
                let problem = Problem::MissingArgument {
                    name: param.name.clone(),
                    ty: describe(&param.ty),
                    task: task.name.clone(),
                    example: example(&param.ty),
                    here,
                };
                problem.at(step)
            };
            complete.push(match (given, &param.default) {
                (Some(given), _) => given,
                (None, Some(default)) if matches!(default.kind, ExprKind::Here) => {
                    let optional = matches!(param.ty, Type::Optional(_));
                    let mut node = here(frame.here, step, optional).ok_or_else(|| missing(true))?;
                    // Where nobody knows yet whether there is a node, the type keeps saying so.
                    if optional && matches!(node.kind, ExprKind::Here) {
                        node.ty = param.ty.clone();
                    }
                    node
                }
                (None, Some(default)) => default.clone(),
                (None, None) if matches!(param.ty, Type::Optional(_)) => none(&param.ty, step),
                (None, None) => return Err(missing(false)),
            });
        }
        Ok(complete)
    }

    /// Recognizes `grace=10 minutes`.
    fn unit_apart(&self, values: &[ast::Expr], next: Option<&Arg>) -> Option<Diagnostic> {
        let number = values.last().filter(|v| matches!(v.kind, Written::Quantity))?;
        let unit = next.and_then(word)?;
        let short = crate::parse::unit(self.text(unit))?;
        let whole = format!("{}{short}", self.text(number.span));
        let instead = format!("write `{whole}`");
        let what = "the unit stands right behind its number";
        Some(Problem::Habit { what, instead }.at(number.span.to(unit)).rather(Some(&whole)))
    }

    fn too_many(&self, id: u32, given: &[Option<Expr>], takes: usize, span: Span) -> Diagnostic {
        let task = &self.tasks[id as usize];
        let open = task.params.iter().zip(given);
        let open: Vec<&str> =
            open.filter(|(p, g)| p.default.is_none() && g.is_none()).map(|(p, _)| p.name.as_str()).collect();
        match open.as_slice() {
            [name] => Problem::NamedOnly { task: task.name.clone(), name: (*name).to_string() }.at(span),
            _ => Problem::TooManyArguments { task: task.name.clone(), takes }.at(span),
        }
    }

    fn no_argument(&self, id: u32, name: &str, span: Span) -> Diagnostic {
        let task = &self.tasks[id as usize];
        let names: Vec<&str> = task.params.iter().map(|p| p.name.as_str()).collect();
        let near = nearest(name, names.iter().copied()).map(str::to_string);
        let sure = surely(name, names.iter().copied());
        let known = ticks(names).replace(" or ", " and ");
        let problem =
            Problem::UnknownArgument { name: name.to_string(), task: task.name.clone(), near, known };
        problem.at(span).rather(sure)
    }

    /// Explains words that are no verb.
    fn unknown(&self, frame: &Frame<'a>, step: &ast::Step, leading: usize) -> Diagnostic {
        let scope = &self.scopes[frame.module];
        // `drain(node)`
        if let Some(Arg::Plain(values)) = step.args.first()
            && let [ast::Expr { kind: Written::Call(name, args), .. }] = values.as_slice()
        {
            let verb = self.text(*name);
            let args: Vec<&str> = args.iter().map(|a| self.text(a.span)).collect();
            let whole = [&[verb], args.as_slice()].concat().join(" ");
            let instead = format!("write `{whole}`");
            let told = Problem::Habit { what: "a step has no parentheses", instead }.at(values[0].span);
            // Of several arguments nobody knows which goes by its name.
            let sure = args.len() <= 1 && scope.contains_key(verb);
            return told.rather(sure.then_some(&whole));
        }
        if leading == 0 {
            let span = match step.args.first() {
                Some(Arg::Plain(values)) => values[0].span,
                Some(Arg::Named(name, _)) => *name,
                None => step.span,
            };
            let found = format!("`{}`", self.text(span));
            let problem = Problem::Expected { expected: "a verb such as `drain`".to_string(), found };
            return problem.at(span);
        }
        let written = self.words(&step.args[..leading]);
        let spoken: Vec<&str> = written.split(' ').collect();
        // Compare each verb with as many words as it has.
        let near = scope
            .keys()
            .filter_map(|verb| {
                let words = (verb.matches(' ').count() + 1).min(spoken.len());
                let spoken = spoken[..words].join(" ");
                nearest(&spoken, [verb.as_str()]).map(|v| (verb.len().abs_diff(spoken.len()), v))
            })
            .min();
        // Which of the words is the wrong one: those that no verb begins with.
        let known = |n: usize| {
            let start = spoken[..n].join(" ");
            scope.keys().any(|v| v.strip_prefix(&start).is_some_and(|rest| rest.starts_with(' ')))
        };
        let good = (1..=spoken.len()).take_while(|n| known(*n)).count();
        let all: Vec<Span> = step.args[..leading].iter().filter_map(word).collect();
        let words = match &near {
            Some((_, near)) => (near.matches(' ').count() + 1).min(all.len()),
            None => (good + 1).min(all.len()),
        };
        let first = all[good.min(words - 1)];
        let span = first.to(all[words - 1]);
        if LOOPS.contains(&spoken[0]) {
            let what = "a loop over nodes is an `each`";
            let instead = "write `each node in workers { ... }`".to_string();
            let sure = spoken.get(2) == Some(&"in");
            return Problem::Habit { what, instead }.at(all[0]).rather(sure.then_some("each"));
        }
        if let Some((_, what, instead, sure)) = FOREIGN.iter().find(|(word, ..)| *word == spoken[0]) {
            return Problem::Habit { what, instead: (*instead).to_string() }.at(all[0]).rather(*sure);
        }
        if good == 0
            && let Some(problem) = program(&written)
        {
            // What the program is to do may be a verb of its own.
            let mut verbs = (1..spoken.len()).rev().map(|end| spoken[1..=end].join(" "));
            return match verbs.find(|verb| scope.contains_key(verb)) {
                Some(verb) => {
                    let what = "a program is run by a verb";
                    Problem::Habit { what, instead: format!("kup has the verb `{verb}`") }.at(all[0])
                }
                None => problem.at(all[0]),
            };
        }
        let near = near.map(|(_, near)| near.to_string());
        // The verb may be one of those that could not be read.
        let unread = self.loaded.modules[frame.module]
            .uses
            .iter()
            .any(|(_, used)| used.is_none_or(|used| !self.loaded.modules[used].ast.lost.is_empty()));
        if self.lost.contains(spoken[0]) || (unread && near.is_none()) {
            return self.follows(span);
        }
        if let Some((verb, module)) = self.shipped(&spoken, near.is_none()) {
            let words = (verb.matches(' ').count() + 1).min(all.len());
            let written = spoken[..words].join(" ");
            let near = (verb != written).then(|| verb.to_string());
            let problem = Problem::UnknownVerb { words: written, near, module: Some(module.to_string()) };
            return problem.at(all[0].to(all[words - 1]));
        }
        // A verb that is longer than what stands there: tell what could follow.
        let near = near.or_else(|| {
            let start = spoken[..good].join(" ") + " ";
            let mut longer: Vec<&String> =
                scope.keys().filter(|v| good > 0 && v.starts_with(&start)).collect();
            longer.sort_unstable();
            longer.first().map(|v| (*v).clone())
        });
        let problem = Problem::UnknownVerb { words: spoken[..words].join(" "), near, module: None };
        match self.sure_verb(scope, &spoken) {
            Some((verb, words)) => problem.at(span).mended(all[0].to(all[words - 1]), verb),
            None => problem.at(span),
        }
    }

    /// Returns the only verb that mistyped words can have been, and how many words it replaces.
    fn sure_verb<'s>(
        &self,
        scope: &'s HashMap<String, Vec<u32>>,
        spoken: &[&str],
    ) -> Option<(&'s str, usize)> {
        let mut sure = None;
        for verb in scope.keys() {
            let words = verb.matches(' ').count() + 1;
            let Some(said) = spoken.get(..words).map(|said| said.join(" ")) else { continue };
            // What begins a longer verb may be that one, cut short.
            let begins = |v: &String| v.strip_prefix(&said).is_some_and(|rest| rest.starts_with(' '));
            if surely(&said, [verb.as_str()]).is_none() || scope.keys().any(begins) {
                continue;
            }
            if sure.replace((verb.as_str(), words)).is_some() {
                return None;
            }
        }
        sure
    }

    /// Returns the verb of a shipped module that is not in use, and the module: the one that stands
    /// there, or if it may be so the nearest one.
    fn shipped(&self, spoken: &[&str], may_be_near: bool) -> Option<(&str, &'static str)> {
        let said = |verb: &str| spoken[..(verb.matches(' ').count() + 1).min(spoken.len())].join(" ");
        let verbs = || self.loaded.unused.iter().map(|(verb, module)| (verb.as_str(), *module));
        verbs()
            .find(|(verb, _)| said(verb) == *verb)
            .or_else(|| verbs().find(|(verb, _)| may_be_near && nearest(&said(verb), [*verb]).is_some()))
    }
}

/// Words that begin a statement elsewhere: what is said, what to write, and the word instead if there
/// is one.
const FOREIGN: [(&str, &str, &str, Option<&str>); 9] = [
    ("elif", "a second condition is an `else if`", "write `else if CONDITION { ... }`", Some("else if")),
    ("elsif", "a second condition is an `else if`", "write `else if CONDITION { ... }`", Some("else if")),
    ("elseif", "a second condition is an `else if`", "write `else if CONDITION { ... }`", Some("else if")),
    ("fi", ENDS, "remove it", None),
    ("end", ENDS, "remove it", None),
    ("done", ENDS, "remove it", None),
    ("endif", ENDS, "remove it", None),
    ("then", ENDS, "remove it", None),
    ("do", ENDS, "remove it", None),
];

const ENDS: &str = "a block stands between `{` and `}`";

/// How loops begin elsewhere.
const LOOPS: [&str; 5] = ["for", "foreach", "loop", "while", "with_items"];

/// Returns how many plain words stand at the beginning.
fn leading(args: &[Arg]) -> usize {
    args.iter().take_while(|a| word(a).is_some()).count()
}

fn word(arg: &Arg) -> Option<Span> {
    match arg {
        Arg::Plain(values) => match values.as_slice() {
            [ast::Expr { kind: Written::Word | Written::Version, span }] => Some(*span),
            _ => None,
        },
        Arg::Named(..) => None,
    }
}

/// Joins what is written over several lines.
pub(super) fn one_line(text: &str) -> String {
    if !text.contains(['\n', '\t', '#']) && !text.contains("  ") {
        return text.to_string();
    }
    // Comments go; white space within quotes stays.
    let mut out = String::with_capacity(text.len());
    let (mut quoted, mut chars) = (false, text.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => {
                out.push(c);
                out.extend(chars.next());
            }
            '"' => {
                quoted = !quoted;
                out.push(c);
            }
            '#' if !quoted => while chars.next_if(|c| *c != '\n').is_some() {},
            c if !quoted && c.is_whitespace() => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.trim_end().to_string()
}
