//! What was written, before anything is known of its meaning. Names and texts are spans into the
//! source, so a tree is small, owned and without a lifetime.

use crate::span::Span;

/// A file.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    /// Its items, in the order of the text.
    pub items: Vec<Item>,
    /// Names of items that could not be read, so that what names them is no second mistake.
    pub lost: Vec<Span>,
}

/// What stands at the top of a file.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// `use std/etcd, ./announce`
    Use(Vec<Span>),
    /// `playbook "title" { policy }`
    Playbook {
        /// The title, with its quotes.
        title: Expr,
        /// The block behind it.
        block: Option<Block>,
        /// The whole item.
        span: Span,
    },
    /// `param name: type = default`
    Param(Param),
    /// `stage name after a, b { }`
    Stage {
        /// Its name.
        name: Span,
        /// What `after` says, if it stands there.
        after: Option<Vec<Span>>,
        /// Its statements.
        block: Block,
    },
    /// `task name (params) { }` or `native task name (params)` and its clauses
    Task(Task),
    /// `on event { }`
    On {
        /// The words of the event.
        event: Span,
        /// What to do.
        block: Block,
    },
    /// `test "name" { }`
    Test(Box<Test>),
}

/// A parameter of a playbook or a task.
#[derive(Clone, Debug)]
pub(crate) struct Param {
    /// Its name.
    pub name: Span,
    /// Its type.
    pub ty: Type,
    /// Its default.
    pub default: Option<Expr>,
    /// The whole parameter.
    pub span: Span,
}

/// A type as written.
#[derive(Clone, Debug)]
pub(crate) struct Type {
    /// What it is.
    pub kind: TypeKind,
    /// Whether a `?` stands behind it.
    pub optional: bool,
}

/// What a written type is.
#[derive(Clone, Debug)]
pub(crate) enum TypeKind {
    /// One word: the name of a type; several: an enumeration.
    Words(Vec<Span>),
    /// `[T]`
    List(Box<Type>),
    /// `{ a: T, b: U }`
    Record(Vec<(Span, Type)>),
}

/// A verb.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// Its words.
    pub words: Vec<Span>,
    /// Parameters before the `;`.
    pub positional: Vec<Param>,
    /// Parameters behind it.
    pub named: Vec<Param>,
    /// Who does the work.
    pub body: TaskBody,
    /// Its first byte: doc comments end here.
    pub start: u32,
}

/// Who does the work of a task.
#[derive(Clone, Debug)]
pub(crate) enum TaskBody {
    /// Rust; what the verb says of itself.
    Native(Vec<Clause>),
    /// Steps.
    Block(Block),
    /// A script: what stands within its quotes.
    Script(Span),
}

/// One clause of a native verb.
#[derive(Clone, Debug)]
pub(crate) enum Clause {
    /// `reads`, `changes node`, `disrupts node`, `decides`
    Effect(Span, Option<Span>),
    /// `needs`, `ensures`, `follows` or `ends` and what.
    Claims(Span, Vec<Claim>),
    /// `gives { count: number }`, and the place of the word.
    Gives(Span, Type),
    /// `prepares`, `preflight`, `long`
    Flag(Span),
    /// `undo ... if ...`
    Undo(Undo, Option<Expr>),
    /// `timeout` or `retry`
    Policy(Policy),
}

/// What a header's `undo` says.
#[derive(Clone, Debug)]
pub(crate) enum Undo {
    /// `undo itself`
    Itself,
    /// `undo none "why"`
    None(Expr),
    /// `undo uncordon node`
    Step(Step),
}

/// `drained(node) if ...`
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    /// The fact's name.
    pub fact: Span,
    /// What it is about.
    pub of: Vec<Span>,
    /// When it counts.
    pub when: Option<Expr>,
}

/// `{ ... }`
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Its statements.
    pub stmts: Vec<Stmt>,
    /// With its braces.
    pub span: Span,
}

/// A statement.
#[derive(Clone, Debug)]
pub(crate) enum Stmt {
    /// Words, arguments, block.
    Step(Step),
    /// `let name = ` and a step.
    Let(Span, Box<Step>),
    /// `each x in set { }`
    Each(Box<Each>),
    /// `if cond { } else { }`
    If(If),
    /// `when cond { } else { }`
    When(If),
    /// `gives EXPR`: what a task gives back
    Gives(Expr),
    /// `parallel { }`
    Parallel(Block),
    /// Policy of the block's owner.
    Policy(Policy),
}

/// A call of a verb.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Words and arguments, in the order of the text.
    pub args: Vec<Arg>,
    /// The block behind it.
    pub block: Option<Block>,
    /// Its head, without the block.
    pub span: Span,
}

/// A word of the verb or an argument.
#[derive(Clone, Debug)]
pub(crate) enum Arg {
    /// A word, a value, or several joined by commas.
    Plain(Vec<Expr>),
    /// `name=value`, or several values joined by commas.
    Named(Span, Vec<Expr>),
}

/// `each x in set order by key name=value { }`
#[derive(Clone, Debug)]
pub(crate) struct Each {
    /// The loop variable.
    pub name: Span,
    /// The set.
    pub over: Expr,
    /// Facts, and whether `last` stands behind them.
    pub order: Vec<(Span, bool)>,
    /// `batch=`, `canary=`, `soak=`
    pub options: Vec<(Span, Vec<Expr>)>,
    /// The lane.
    pub block: Block,
    /// The head.
    pub span: Span,
}

/// `if a { } else if b { } else { }`, or the same with `when`.
#[derive(Clone, Debug)]
pub(crate) struct If {
    /// Conditions and their blocks; never empty.
    pub arms: Vec<(Expr, Block)>,
    /// The last `else`.
    pub other: Option<Block>,
}

/// One line of policy.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// What it says.
    pub kind: PolicyKind,
    /// Its place.
    pub span: Span,
}

/// What a line of policy says.
#[derive(Clone, Debug)]
pub(crate) enum PolicyKind {
    /// `timeout 10m`
    Timeout(Span),
    /// `retry 3 backoff 5s..1m`
    Retry(Span, Option<(Span, Span)>),
    /// `undo { }`
    Undo(Block),
    /// `name "..."`
    Name(Expr),
    /// `long`
    Long,
    /// `allow law "reason"`
    Allow(Span, Expr),
    /// `approve "question"`
    Approve(Expr),
    /// `window "Sat 02:00-05:00 Europe/Berlin"`
    Window(Expr),
    /// `before { }`
    Before(Block),
    /// `after { }`
    After(Block),
    /// `hosts "prometheus:9090", "hooks.slack.com"`
    Hosts(Vec<Expr>),
}

/// An expression.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Its place.
    pub span: Span,
}

/// What a written expression is.
#[derive(Clone, Debug)]
pub(crate) enum ExprKind {
    /// A bare word.
    Word,
    /// More parts than a tree should hold.
    Endless,
    /// Digits with or without a unit.
    Quantity,
    /// `v1.34.2`, `v1.34`
    Version,
    /// A text without anything to interpolate, its escapes undone.
    Text(String),
    /// A text with `${ }` in it.
    Interpolated(Vec<Expr>),
    /// `[a, b]`
    List(Vec<Expr>),
    /// `{ a: x, b: y }`
    Record(Vec<(Span, Expr)>),
    /// `first(x)`
    Call(Span, Vec<Expr>),
    /// `to=x`, among the values of a function.
    Named(Span, Box<Expr>),
    /// `x.fact`
    Fact(Box<Expr>, Span),
    /// `not x`
    Not(Box<Expr>),
    /// `a + b`
    Binary(Op, Box<Expr>, Box<Expr>),
}

/// Infix operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `and`
    And,
    /// `or`
    Or,
    /// `in`
    In,
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `where`
    Where,
}

/// `test "name" { on sim(3+5@v1.33.4) ... expect done }`
#[derive(Clone, Debug)]
pub(crate) struct Test {
    /// The name, with its quotes.
    pub name: Expr,
    /// Its own lines, in the order of the text.
    pub lines: Vec<TestLine>,
    /// The steps that stand among them.
    pub block: Block,
}

/// A line of a test.
#[derive(Clone, Debug)]
pub(crate) struct TestLine {
    /// What it says.
    pub kind: TestKind,
    /// Its place.
    pub span: Span,
}

/// What a line of a test says.
#[derive(Clone, Debug)]
pub(crate) enum TestKind {
    /// `playbook ./upgrade`
    Playbook(Span),
    /// `on sim(3+5@v1.33.4) seed 7`
    On(Span, Option<Span>),
    /// `fault F40@w2, F26@w1`
    Faults(Vec<Span>),
    /// `set target=v1.34.2 batch=10%`
    Set(Vec<(Span, Vec<Expr>)>),
    /// `expect ...`
    Expect(Expect),
}

/// What a test expects.
#[derive(Clone, Debug)]
pub(crate) enum Expect {
    /// `plan """..."""`
    Plan(Expr),
    /// `3 changes`
    Changes(Span),
    /// `failure "connection lost"`
    Failure(Expr),
    /// `done`, `paused "why"`, `refused K0602`
    End(Span, Option<Expr>),
    /// `drain on w1`
    Planned(These),
    /// `no drain on w1`
    None(These),
    /// `drain on w1 skipped`
    Went(These, Span),
    /// `drain on w1 before uncordon on w1`
    Before(These, These),
}

/// Steps of a run: a verb with some of its arguments, and their node.
#[derive(Clone, Debug)]
pub(crate) struct These {
    /// The verb and its arguments.
    pub step: Step,
    /// The node behind `on`.
    pub node: Option<Span>,
}
