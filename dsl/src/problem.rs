//! Every finding of the language, with its code, its text and its hints, so that the tone can be
//! read in one sitting. K01 is about syntax, K02 names, K03 types, K04 structure, K05 tests, K07 scripts
//! and hooks.

use std::fmt;

use crate::diagnostic::{Diagnostic, Severity};
use crate::span::Span;

/// What is found where a line ends too early.
pub(crate) const END_OF_LINE: &str = "the end of the line";

/// What is wrong.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Problem {
    /// A mistake that only follows from another one, which is told. Nobody sees it.
    Follows,
    // K01: syntax
    Expected {
        expected: String,
        found: String,
    },
    MissingClose,
    StrayClose,
    UnclosedText,
    NotAnItem {
        word: String,
        near: Option<&'static str>,
        is_step: bool,
    },
    NotAClause {
        word: String,
        near: Option<&'static str>,
    },
    NotAQuantity {
        text: String,
        why: String,
    },
    TooDeep,
    TooLong,
    BadEscape(char),
    BadInterpolation(String),
    Habit {
        what: &'static str,
        instead: String,
    },
    Binary,
    TooLarge {
        bytes: usize,
        limit: usize,
    },
    Empty,
    Unreadable {
        path: String,
        why: String,
    },
    // K02: names
    UnknownVerb {
        words: String,
        near: Option<String>,
        /// The shipped module that has it, if it is not in use.
        module: Option<String>,
    },
    UnknownName {
        name: String,
        near: Option<String>,
        /// What to do if nothing is near.
        instead: String,
    },
    UnknownArgument {
        name: String,
        task: String,
        near: Option<String>,
        known: String,
    },
    UnknownType {
        name: String,
        near: Option<&'static str>,
    },
    UnknownStage {
        name: String,
        near: Option<String>,
        known: String,
    },
    UnknownModule {
        path: String,
        why: String,
        near: Option<String>,
    },
    UnknownFact {
        name: String,
        near: Option<&'static str>,
    },
    UnknownFunction {
        name: String,
        near: Option<&'static str>,
    },
    UnknownLaw {
        name: String,
        near: Option<&'static str>,
    },
    UnknownField {
        name: String,
        near: Option<String>,
        known: String,
    },
    UnknownEvent {
        event: String,
        near: Option<String>,
    },
    Twice {
        what: &'static str,
        name: String,
    },
    TwoReadings {
        first: String,
        second: String,
    },
    Reserved {
        word: String,
    },
    Taken {
        name: String,
        what: &'static str,
    },
    UnusedParam(String),
    UnusedTask(String),
    UnusedUse(String),
    // K03: types
    WrongType {
        expected: String,
        found: String,
        example: String,
    },
    NotAMember {
        word: String,
        members: Vec<String>,
        near: Option<String>,
    },
    MissingArgument {
        name: String,
        ty: String,
        task: String,
        example: String,
        here: bool,
    },
    TooManyArguments {
        task: String,
        takes: usize,
    },
    PositionalAfterNamed,
    NamedOnly {
        task: String,
        name: String,
    },
    Operands {
        op: &'static str,
        left: String,
        right: String,
    },
    NotACondition(String),
    NotASet(String),
    Here,
    OutOfRange(String),
    Arity {
        func: &'static str,
        takes: &'static str,
    },
    NotIterable(String),
    LabelOutsideWhere,
    SecretInText,
    NoWay(String),
    MissingField {
        name: String,
        ty: String,
        example: String,
    },
    EmptyList,
    EmptySet,
    NotLiteral(&'static str),
    // K04: structure
    NoPlaybook,
    TwoPlaybooks,
    NotInAModule(&'static str),
    PolicyNotFirst,
    NoPolicyHere,
    StepInStepBlock,
    Recursion(String),
    UseCycle(String),
    StageCycle(String),
    OnlyInHandlers(String),
    HandlerNeedsDecision,
    NoEffect(String),
    BadEffect,
    NoStages,
    UndoOfNothing,
    OnlyDuringTheRun {
        name: String,
        /// What needs to know it earlier.
        what: String,
    },
    OutOfReach {
        name: String,
        why: &'static str,
    },
    GivesNothing(String),
    GivesElsewhere,
    NotInAnUndo(&'static str),
    NobodyIsAsked,
    BadWindow {
        why: String,
        hint: String,
    },
    WindowInNode,
    NoWindowHere,
    // K05: tests
    NothingToTest,
    NothingExpected,
    TwoSubjects,
    BrokenPlaybook {
        path: String,
        why: String,
    },
    NotSet {
        name: String,
        ty: String,
        example: String,
    },
    // K07: scripts and hooks
    BadScript(String),
    BadHost(String),
    HostsElsewhere,
    ChangesInHook(String),
}

impl Problem {
    /// Makes it a diagnostic at a place.
    pub(crate) fn at(self, span: Span) -> Diagnostic {
        Diagnostic { span: Some(span), ..self.of_the_whole() }
    }

    /// Makes it a diagnostic about the text as a whole.
    pub(crate) fn of_the_whole(self) -> Diagnostic {
        Diagnostic {
            code: self.code(),
            severity: self.severity(),
            message: self.to_string(),
            span: None,
            label: self.label(),
            hints: self.hints(),
            patch: None,
        }
    }

    fn severity(&self) -> Severity {
        match self {
            Problem::UnusedParam(_) | Problem::UnusedTask(_) | Problem::UnusedUse(_) => Severity::Warning,
            _ => Severity::Error,
        }
    }

    pub(crate) fn code(&self) -> &'static str {
        use Problem::*;
        match self {
            Follows => "",
            Expected { .. } => "K0101",
            MissingClose => "K0102",
            StrayClose => "K0103",
            UnclosedText => "K0104",
            NotAnItem { .. } => "K0105",
            NotAClause { .. } => "K0106",
            NotAQuantity { .. } => "K0107",
            TooDeep => "K0108",
            TooLong => "K0109",
            BadEscape(_) => "K0110",
            BadInterpolation(_) => "K0111",
            Habit { .. } => "K0112",
            Binary => "K0113",
            TooLarge { .. } => "K0114",
            Empty => "K0115",
            Unreadable { .. } => "K0116",
            UnknownVerb { .. } => "K0201",
            UnknownName { .. } => "K0202",
            UnknownArgument { .. } => "K0203",
            UnknownType { .. } => "K0204",
            UnknownStage { .. } => "K0205",
            UnknownModule { .. } => "K0206",
            UnknownFact { .. } => "K0207",
            UnknownFunction { .. } => "K0208",
            UnknownLaw { .. } => "K0209",
            UnknownEvent { .. } => "K0210",
            Twice { .. } => "K0211",
            TwoReadings { .. } => "K0212",
            Reserved { .. } => "K0213",
            Taken { .. } => "K0214",
            UnusedParam(_) => "K0215",
            UnusedTask(_) => "K0216",
            UnusedUse(_) => "K0217",
            UnknownField { .. } => "K0218",
            WrongType { .. } => "K0301",
            NotAMember { .. } => "K0302",
            MissingArgument { .. } => "K0303",
            TooManyArguments { .. } => "K0304",
            PositionalAfterNamed => "K0305",
            NamedOnly { .. } => "K0306",
            Operands { .. } => "K0307",
            NotACondition(_) => "K0308",
            NotASet(_) => "K0309",
            Here => "K0310",
            OutOfRange(_) => "K0311",
            Arity { .. } => "K0312",
            NotIterable(_) => "K0313",
            LabelOutsideWhere => "K0314",
            SecretInText => "K0319",
            NoWay(_) => "K0318",
            MissingField { .. } => "K0320",
            EmptyList => "K0315",
            EmptySet => "K0316",
            NotLiteral(_) => "K0317",
            NoPlaybook => "K0401",
            TwoPlaybooks => "K0402",
            NotInAModule(_) => "K0403",
            PolicyNotFirst => "K0404",
            StepInStepBlock => "K0405",
            Recursion(_) => "K0406",
            UseCycle(_) => "K0407",
            StageCycle(_) => "K0408",
            OnlyInHandlers(_) => "K0409",
            HandlerNeedsDecision => "K0410",
            NoEffect(_) => "K0411",
            BadEffect => "K0412",
            NoStages => "K0414",
            UndoOfNothing => "K0415",
            NoPolicyHere => "K0416",
            OnlyDuringTheRun { .. } => "K0417",
            OutOfReach { .. } => "K0418",
            GivesNothing(_) => "K0419",
            GivesElsewhere => "K0425",
            NotInAnUndo(_) => "K0420",
            NobodyIsAsked => "K0421",
            BadWindow { .. } => "K0422",
            WindowInNode => "K0423",
            NoWindowHere => "K0424",
            NothingToTest => "K0501",
            NothingExpected => "K0502",
            TwoSubjects => "K0503",
            BrokenPlaybook { .. } => "K0504",
            NotSet { .. } => "K0505",
            BadScript(_) => "K0701",
            BadHost(_) => "K0702",
            HostsElsewhere => "K0703",
            ChangesInHook(_) => "K0704",
        }
    }

    /// Says what stands at the place, in a few words.
    fn label(&self) -> String {
        use Problem::*;
        let label = match self {
            Expected { expected, .. } | WrongType { expected, .. } => return format!("expected {expected}"),
            MissingClose => "this block is never closed",
            StrayClose => "no block is open here",
            UnclosedText => "this text is never closed",
            NotAnItem { is_step: true, .. } => "a step outside of every stage",
            NotAnItem { .. } => "no item begins with this",
            NotAClause { .. } => "not a clause of a header",
            NotAQuantity { .. } => "not a value that can be read",
            TooDeep => "one level too many",
            TooLong => "beyond what is read",
            BadEscape(_) => "a backslash begins an escape",
            BadInterpolation(_) => "`${` begins a value",
            Habit { .. } => "not the way of kup",
            UnknownVerb { module: Some(module), near: None, .. } => return format!("a verb of `{module}`"),
            UnknownVerb { .. } => "no verb begins with this",
            UnknownName { .. } => "nothing here has this name",
            UnknownArgument { .. } => "not one of its arguments",
            UnknownType { .. } => "not a type",
            UnknownStage { .. } => "no stage has this name",
            UnknownModule { .. } => "nothing can be read from here",
            UnknownFact { .. } => "not a fact",
            UnknownFunction { .. } => "not a function",
            UnknownLaw { .. } => "not a law",
            UnknownField { .. } => "not one of its fields",
            UnknownEvent { .. } => "nothing of this name happens",
            Twice { .. } => "second time",
            TwoReadings { .. } => "both verbs fit",
            Reserved { .. } => "begins something else",
            Taken { .. } => "means something already",
            UnusedParam(_) | UnusedTask(_) | UnusedUse(_) => "never used",
            NotAMember { .. } => "not one of these words",
            MissingArgument { here: true, .. } => "about which node?",
            MissingArgument { name, .. } | MissingField { name, .. } => {
                return format!("`{name}` is missing");
            }
            TooManyArguments { .. } => "one too many",
            PositionalAfterNamed => "too late for one without a name",
            NamedOnly { .. } => "its name is missing",
            Operands { .. } => "these two do not go together",
            NotACondition(_) => "neither true nor false",
            NotASet(_) => "not a set of nodes",
            Here => "which node would it be?",
            OutOfRange(_) => "out of range",
            Arity { .. } => "called with something else",
            NotIterable(_) => "nothing to go over",
            LabelOutsideWhere => "the label of which node?",
            SecretInText => "this is secret",
            NoWay(_) => "no hops lead there",
            EmptyList => "nothing in it",
            EmptySet => "no node of this cluster is in it",
            NotLiteral(_) => "not written out",
            TwoPlaybooks => "the second one",
            NotInAModule(_) => "only a playbook has this",
            PolicyNotFirst => "a step stands before it",
            NoPolicyHere => "counts for nothing here",
            StepInStepBlock => "a step in the block of another",
            Recursion(_) | UseCycle(_) => "the circle closes here",
            StageCycle(_) => "waits for itself",
            OnlyInHandlers(_) => "not in a handler",
            HandlerNeedsDecision => "decides nothing",
            NoEffect(_) => "no clause says it",
            BadEffect => "not one of the effects",
            UndoOfNothing => "no step in it",
            OnlyDuringTheRun { .. } => "a result of the run",
            OutOfReach { .. } => "not known at this place",
            GivesNothing(_) => "no result to name",
            GivesElsewhere => "not at the end of a task",
            NotInAnUndo(_) => "not a step",
            NobodyIsAsked => "never asked",
            BadWindow { .. } => "not a time that comes again",
            WindowInNode => "within the lane of a node",
            NoWindowHere => "never waited for",
            NothingToTest => "neither steps nor a playbook",
            NothingExpected => "no `expect` in it",
            TwoSubjects => "beside steps of its own",
            BrokenPlaybook { .. } => "not sound itself",
            NotSet { name, .. } => return format!("does not set `{name}`"),
            BadScript(_) => "this part of the script",
            BadHost(_) => "not the name of a host",
            HostsElsewhere => "not the block of the playbook",
            ChangesInHook(_) => "belongs into a stage",
            // About the text as a whole, so that there is no place to write at; and `Follows` is never said.
            Follows | Binary | TooLarge { .. } | Empty | Unreadable { .. } | NoPlaybook | NoStages => "",
        };
        label.to_string()
    }

    fn hints(&self) -> Vec<String> {
        use Problem::*;
        let did_you_mean = |near: Option<&str>| near.map(|n| format!("did you mean `{n}`?"));
        let hint = match self {
            NothingToTest => Some("write steps into it, or `playbook ./FILE`".to_string()),
            NothingExpected => Some("write for example `expect done`".to_string()),
            TwoSubjects => Some("make two tests of it".to_string()),
            BrokenPlaybook { path, .. } => Some(format!("look at it: `kup check {path}`")),
            NotSet { name, example, .. } => Some(format!("add `set {name}={example}`")),
            MissingClose => Some("add a `}` where the block ends".to_string()),
            StrayClose => Some("remove it, or look for a `{` that is missing above".to_string()),
            UnclosedText => {
                Some("end it with `\"` on the same line; text of many lines stands in `\"\"\"`".to_string())
            }
            NotAnItem { near: Some(near), .. } => did_you_mean(Some(near)),
            NotAnItem { is_step: true, .. } => {
                Some("put steps into a stage: `stage NAME { ... }`".to_string())
            }
            NotAnItem { .. } => {
                Some("a file holds `use`, `playbook`, `param`, `stage`, `task`, `on` and `test`".to_string())
            }
            NotAClause { near, .. } => did_you_mean(*near).or_else(|| {
                Some(
                    "a native task says reads, changes, disrupts, decides, needs, ensures, follows, ends, gives, \
                     prepares, preflight, undo, long, timeout or retry"
                        .to_string(),
                )
            }),
            TooDeep => Some("name the inner part: make it a task".to_string()),
            TooLong => Some("cut it into parts with names".to_string()),
            BadEscape(_) => Some("escapes are `\\n`, `\\t`, `\\\"`, `\\\\` and `\\$`".to_string()),
            BadInterpolation(_) => Some("write `${name}`, or `\\$` for a dollar".to_string()),
            Habit { instead, .. } => Some(instead.clone()),
            Binary => Some("give the path of a `.kup` file".to_string()),
            Empty => Some(
                "begin with `playbook \"what it does\"` and a `stage`".to_string(),
            ),
            Unreadable { .. } => Some("give the path of a `.kup` file that you may read".to_string()),
            UnknownVerb { near, module, .. } => match (near, module) {
                (Some(near), Some(module)) => {
                    Some(format!("did you mean `{near}`? then write `use {module}` at the top of the file"))
                }
                (Some(near), None) => did_you_mean(Some(near)),
                (None, Some(module)) => Some(format!("write `use {module}` at the top of the file")),
                (None, None) => Some("`kup doc` lists the verbs; `use` brings in those of a module".to_string()),
            },
            UnknownName { near: Some(near), .. } => did_you_mean(Some(near)),
            UnknownName { instead, .. } => Some(instead.clone()),
            UnknownArgument { near: Some(near), .. } => did_you_mean(Some(near)),
            UnknownArgument { task, known, .. } if known.is_empty() => {
                Some(format!("`{task}` takes no arguments"))
            }
            UnknownArgument { task, known, .. } => Some(format!("`{task}` takes {known}")),
            UnknownType { near, .. } => did_you_mean(*near).or_else(|| {
                Some(format!("types are {}, `a | b`, `[T]`, `{{ name: T }}` and `T?`", crate::check::TYPES.join(", ")))
            }),
            UnknownStage { near, known, .. } => {
                did_you_mean(near.as_deref()).or_else(|| Some(format!("the stages are {known}")))
            }
            UnknownModule { near: None, path, .. } if !path.starts_with(['.']) && !path.starts_with("std/") => {
                Some(format!("a file beside this one is `./{path}`; the folder of a library is given by `--path`"))
            }
            UnknownModule { near, .. } => did_you_mean(near.as_deref()),
            UnknownFact { near, .. } => did_you_mean(*near).or_else(|| {
                let names: Vec<_> = crate::check::FACTS.iter().map(|(name, _)| *name).collect();
                Some(format!("facts of a node are {}", names.join(", ")))
            }),
            UnknownFunction { near, .. } => did_you_mean(*near)
                .or_else(|| Some(format!("functions are {}", crate::check::FUNCTIONS.join(", ")))),
            UnknownLaw { near, .. } => did_you_mean(*near)
                .or_else(|| Some(format!("the laws are {}", crate::check::LAWS.join(", ")))),
            UnknownField { near, known, .. } => {
                did_you_mean(near.as_deref()).or_else(|| Some(format!("its fields are {known}")))
            }
            OnlyDuringTheRun { what, .. } if what.ends_with("`if`") => {
                Some("use `when`: it is decided during the run, and its steps are done or skipped".to_string())
            }
            OnlyDuringTheRun { .. } => Some(
                "a result may stand in arguments, in texts and in `when`; the shape of the plan does not depend on one: \
                 use `when`"
                    .to_string(),
            ),
            OutOfReach { .. } => Some(
                "a result is known from the line behind its `let` to the end of that block, and in the blocks within"
                    .to_string(),
            ),
            GivesElsewhere => Some("put it on the last line of the task: `gives { count: todo.count }`".to_string()),
            GivesNothing(_) => Some("leave `let` out; `kup doc VERB` shows what a verb gives".to_string()),
            NotInAnUndo(_) => Some("put it before the step that the `undo` belongs to".to_string()),
            UnknownEvent { near: Some(near), .. } => Some(format!("did you mean `on {near}`?")),
            UnknownEvent { .. } => Some(
                "write `failure`, or `run`, `stage NAME`, `node`, `step` or `attempt` and then `started`, `done`, `failed` or `waiting`"
                    .to_string(),
            ),
            ChangesInHook(_) => {
                Some("what changes is a step: put it into a stage, or into `before { }` or `after { }`".to_string())
            }
            TwoReadings { .. } => {
                Some("rename one of the two tasks, or leave out the `use` of one module".to_string())
            }
            Reserved { .. } => Some("begin the verb with another word".to_string()),
            Taken { .. } => Some("choose another name".to_string()),
            UnusedParam(_) | UnusedTask(_) | UnusedUse(_) => Some("remove it, or use it".to_string()),
            WrongType { expected, found, .. } if expected == "a version" && found == "a minor version" => {
                Some("a version has its patch release too, such as `v1.34.2`".to_string())
            }
            WrongType { expected, found, .. } if *found == format!("{expected}, or none") => {
                Some("leave out the `?` behind its type, and give it a default if nobody need say it".to_string())
            }
            WrongType { example, .. } if !example.is_empty() => Some(format!("write for example `{example}`")),
            NotAMember { near, members, .. } => did_you_mean(near.as_deref())
                .or_else(|| Some(format!("choose one of {}", ticks(members.iter().map(String::as_str))))),
            // `on=local` is the usual answer of a step that is about no node.
            MissingArgument { here: true, name, .. } if name == "on" => {
                Some("put the step into `each node in workers { }`, or run it here: `on=local`".to_string())
            }
            MissingArgument { here: true, name, .. } => Some(format!(
                "put the step into `each node in workers {{ }}`, or give the node: `{name}=...`"
            )),
            MissingArgument { name, example, .. } => Some(format!("add `{name}={example}`")),
            MissingField { name, example, .. } => Some(format!("add `{name}: {example}`")),
            PositionalAfterNamed => Some("put it before the first `name=value`".to_string()),
            NamedOnly { name, .. } => Some(format!("write `{name}=...`")),
            // What a command printed is text, also where it is a number.
            Operands { op: "==" | "!=", left, right }
                if (left == "text") != (right == "text") && !format!("{left}{right}").contains("secret") =>
            {
                Some("put the other into a text as well: `\"${name}\"`".to_string())
            }
            NotACondition(found) if found.starts_with("a record") => {
                Some("name one of its fields: `result.field`".to_string())
            }
            NotACondition(_) => Some("compare it with something: `==`, `!=`, `<`, `in`".to_string()),
            Here => Some("use it inside `each node in ... { }`, or name a node".to_string()),
            NotIterable(_) => Some("give a set such as `workers`, or a list such as `[a, b]`".to_string()),
            NoWay(_) => Some("look at the versions: `kubectl get nodes`, `kubectl version`".to_string()),
            SecretInText => Some("hand it to a verb: `run command \"...\" stdin=token`".to_string()),
            LabelOutsideWhere => Some("write `nodes where label(\"pool\") == \"gpu\"`".to_string()),
            NoPlaybook => Some("add `playbook \"what it does\"` before the stages".to_string()),
            TwoPlaybooks => Some("keep one title, or make two files".to_string()),
            NotInAModule(_) => Some("a module holds `use` and `task`; the rest belongs in a playbook".to_string()),
            PolicyNotFirst => Some("move it up, before the first step".to_string()),
            NoPolicyHere => Some("put it into the block of a stage, a task, an `each` or a step".to_string()),
            StepInStepBlock => Some(
                "the block behind a step holds policy: timeout, retry, undo, name, long, allow, approve, window, before, after".to_string(),
            ),
            BadWindow { hint, .. } => Some(hint.clone()),
            WindowInNode => Some("put it first into the block of the `each`, of its stage or of the playbook".to_string()),
            NoWindowHere => Some("put it first into the block of a stage or of an `each`".to_string()),
            NobodyIsAsked => Some("put it behind the step that changes something".to_string()),
            UseCycle(_) => Some("move what both need into a third file".to_string()),
            StageCycle(_) => Some("say with `after` which of them comes first".to_string()),
            OnlyInHandlers(_) => Some("write it in `on failure { ... }`".to_string()),
            HandlerNeedsDecision => {
                Some("write one of `pause \"...\"`, `rollback`, `abort`, `continue failures=N`".to_string())
            }
            NoEffect(_) | BadEffect => Some(
                "say `reads`, `changes node`, `changes cluster`, `changes here`, `disrupts node` or `decides`"
                    .to_string(),
            ),
            NoStages => Some("add `stage NAME { ... }`".to_string()),
            BadHost(_) => Some("write the name, and a port if it is not that of the scheme: `prometheus.example:9090`".to_string()),
            HostsElsewhere => Some("put it into the block of the playbook: `playbook \"...\" { hosts ... }`".to_string()),
            Expected { expected, found } if expected == "`{`" && found == END_OF_LINE => {
                Some("put the `{` at the end of this line".to_string())
            }
            Follows
            | Expected { .. }
            | NotAQuantity { .. }
            | TooLarge { .. }
            | Twice { .. }
            | WrongType { .. }
            | TooManyArguments { .. }
            | Operands { .. }
            | NotASet(_)
            | OutOfRange(_)
            | Arity { .. }
            | EmptyList
            | EmptySet
            | NotLiteral(_)
            | Recursion(_)
            | UndoOfNothing
            | BadScript(_) => None,
        };
        hint.into_iter().collect()
    }
}

/// Lists words for people: `a`, `b` or `c`.
pub(crate) fn ticks<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let words: Vec<String> = words.into_iter().map(|w| format!("`{w}`")).collect();
    match words.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Problem::*;
        match self {
            Follows => f.write_str("something that is told elsewhere"),
            Expected { expected, found } => write!(f, "expected {expected}, found {found}"),
            MissingClose => f.write_str("a `}` is missing"),
            StrayClose => f.write_str("this `}` closes nothing"),
            UnclosedText => f.write_str("this text has no end"),
            NotAnItem { word, is_step: true, .. } => {
                write!(f, "`{word}` is a step, and steps do not stand at the top of a file")
            }
            NotAnItem { word, .. } => write!(f, "`{word}` does not begin anything at the top of a file"),
            NotAClause { word, .. } => write!(f, "`{word}` is nothing that a native task can say of itself"),
            NotAQuantity { text, why } => write!(f, "`{text}` {why}"),
            TooDeep => f.write_str("brackets are nested too deeply"),
            TooLong => f.write_str("this expression is too long"),
            BadEscape(c) => write!(f, "`\\{}` is no escape", c.escape_debug()),
            BadInterpolation(text) => write!(f, "`{text}` cannot be read as `${{...}}`"),
            Habit { what, .. } => f.write_str(what),
            Binary => f.write_str("this is not text"),
            TooLarge { bytes, limit } => {
                write!(f, "the file has {bytes} bytes, and a playbook may have {limit}")
            }
            Empty => f.write_str("the file is empty"),
            Unreadable { path, why } => write!(f, "cannot read `{path}`: {why}"),
            UnknownVerb { words, .. } => write!(f, "unknown verb `{words}`"),
            UnknownName { name, .. } => write!(f, "unknown name `{name}`"),
            UnknownArgument { name, task, .. } => write!(f, "`{task}` has no argument `{name}`"),
            UnknownType { name, .. } => write!(f, "unknown type `{name}`"),
            UnknownStage { name, .. } => write!(f, "unknown stage `{name}`"),
            UnknownModule { path, why, .. } => write!(f, "cannot use `{path}`: {why}"),
            UnknownFact { name, .. } => write!(f, "a node has no fact `{name}`"),
            UnknownFunction { name, .. } => write!(f, "unknown function `{name}`"),
            UnknownLaw { name, .. } => write!(f, "unknown law `{name}`"),
            UnknownField { name, .. } => write!(f, "this record has no field `{name}`"),
            UnknownEvent { event, .. } => write!(f, "unknown event `{event}`"),
            Twice { what, name } => write!(f, "{what} `{name}` stands here twice"),
            TwoReadings { first, second } => {
                write!(f, "this step can be read in two ways: as {first}, and as {second}")
            }
            Reserved { word } => write!(f, "`{word}` is a word of the language, and no verb begins with it"),
            Taken { name, what } => write!(f, "`{name}` is already {what}"),
            UnusedParam(name) => write!(f, "the parameter `{name}` is never used"),
            UnusedTask(name) => write!(f, "the task `{name}` is never used"),
            UnusedUse(path) => write!(f, "nothing of `{path}` is used"),
            WrongType { expected, found, .. } => write!(f, "expected {expected}, found {found}"),
            NotAMember { word, members, .. } => {
                write!(f, "`{word}` is not one of `{}`", members.join(" | "))
            }
            MissingArgument { here: true, name, task, .. } => {
                write!(f, "`{task}` needs `{name}`, and there is no `each` over nodes around it")
            }
            MissingArgument { name, ty, task, .. } => write!(f, "`{task}` needs `{name}`, {ty}"),
            TooManyArguments { task, takes: 0 } => write!(f, "`{task}` takes no argument without a name"),
            TooManyArguments { task, takes } => {
                write!(f, "`{task}` takes {takes} without a name, and this is one more")
            }
            PositionalAfterNamed => f.write_str("an argument without a name stands after one with a name"),
            NamedOnly { task, name } => write!(f, "`{task}` takes `{name}` only by its name"),
            Operands { op, left, right } => write!(f, "`{op}` does not go with {left} and {right}"),
            NotACondition(found) => write!(f, "a condition is true or false, and this is {found}"),
            NotASet(found) => write!(f, "expected a set of nodes, found {found}"),
            Here => f.write_str("`here` is no node outside an `each` over nodes"),
            OutOfRange(why) => f.write_str(why),
            Arity { func, takes } => write!(f, "`{func}` takes {takes}"),
            NotIterable(found) => write!(f, "`each` cannot go over {found}"),
            NoWay(why) => write!(f, "there is no way: {why}"),
            SecretInText => f.write_str("a secret cannot stand in a text, for texts are shown"),
            LabelOutsideWhere => {
                f.write_str("`label` looks at the node of a `where` or of an `each`, and there is none")
            }
            MissingField { name, ty, .. } => write!(f, "this record needs `{name}`, {ty}"),
            EmptyList => f.write_str("the list is empty"),
            EmptySet => f.write_str("this set has no node"),
            NotLiteral(what) => write!(f, "{what} must be written out: it cannot depend on anything"),
            NoPlaybook => f.write_str("this file has no `playbook`, so it is a module and cannot run"),
            TwoPlaybooks => f.write_str("a file has one `playbook`"),
            NotInAModule(what) => write!(f, "`{what}` does not stand in a module"),
            PolicyNotFirst => f.write_str("policy stands first in its block"),
            NoPolicyHere => f.write_str("this block is no scope and has no policy"),
            StepInStepBlock => f.write_str("a step has no steps of its own"),
            Recursion(way) => write!(f, "a task calls itself: {way}"),
            UseCycle(way) => write!(f, "files use each other in a circle: {way}"),
            StageCycle(way) => write!(f, "stages wait for each other in a circle: {way}"),
            OnlyInHandlers(verb) => {
                write!(f, "`{verb}` decides how a run goes on, and only handlers do that")
            }
            HandlerNeedsDecision => f.write_str("`on failure` holds one step that decides"),
            NoEffect(task) => write!(f, "the native task `{task}` does not say what it touches"),
            BadEffect => f.write_str("this is no effect"),
            NoStages => f.write_str("the playbook has no stage, so it would do nothing"),
            OnlyDuringTheRun { name, what } => {
                write!(f, "`{name}` is known only during the run; {what} must be known when the plan is made")
            }
            OutOfReach { name, why } => write!(f, "the result `{name}` is not known here: {why}"),
            GivesElsewhere => f.write_str("`gives` is the last line of a task, outside of its inner blocks"),
            GivesNothing(task) => write!(f, "`{task}` gives nothing back"),
            NotInAnUndo(what) => write!(f, "an `undo` holds steps, and no {what}"),
            BadWindow { why, .. } => f.write_str(why),
            WindowInNode => {
                f.write_str("a node that was begun is brought to its end: no window holds a part of it")
            }
            NoWindowHere => f.write_str("nothing waits for a window in an `undo`, a handler or a hook"),
            NobodyIsAsked => f.write_str("nobody is asked in an `undo`, a handler or a hook"),
            NothingToTest => {
                f.write_str("this tests nothing: the file has no playbook, and the test no steps")
            }
            NothingExpected => f.write_str("this test expects nothing"),
            TwoSubjects => f.write_str("a test has its own steps or a playbook, not both"),
            BrokenPlaybook { path, why } => write!(f, "cannot test `{path}`: {why}"),
            NotSet { name, ty, .. } => write!(f, "the playbook needs `{name}`, {ty}"),
            UndoOfNothing => f.write_str("an `undo` block without a step takes nothing back"),
            BadHost(host) => write!(f, "`{host}` is no host"),
            HostsElsewhere => f.write_str("`hosts` counts for the whole playbook"),
            ChangesInHook(verb) => {
                write!(f, "`{verb}` changes something, and a hook only says, asks, measures and decides")
            }
            BadScript(why) => write!(f, "the script cannot be read: {why}"),
        }
    }
}
