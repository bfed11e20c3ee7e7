//! What a playbook means: names resolved to ids, arguments complete and in the order of their
//! parameters, types known. An unresolved name cannot be written down here.

use std::collections::BTreeSet;

use crate::span::Span;
use crate::value::{Type, Value};

/// A checked playbook with every task it can reach.
#[derive(Clone, Debug)]
pub struct Program {
    /// The text behind `playbook`.
    pub title: String,
    /// The inputs.
    pub params: Vec<Param>,
    /// Every task that a step may name, native or written in kup; indexed by [`TaskId`].
    pub tasks: Vec<Task>,
    /// The stages, in the order of the text.
    pub stages: Vec<Stage>,
    /// What to do when a step has failed for good.
    pub on_failure: OnFailure,
    /// What is said, asked and decided when something happens.
    pub hooks: Vec<Hook>,
    /// The playbook's own policy, the outermost scope.
    pub policy: Policy,
}

/// Names a task of [`Program::tasks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaskId(pub u32);

/// Names a stage of [`Program::stages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StageId(pub u32);

/// An input of the playbook.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its name, as `--set NAME=VALUE` has it.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Its value when none is given. May name earlier parameters.
    pub default: Option<Expr>,
    /// The comment at the end of its line, or above it.
    pub doc: String,
    /// Its place.
    pub span: Span,
}

/// A verb.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its words, joined by one space: `kubeadm upgrade apply`.
    pub name: String,
    /// The module that declares it: `std/kubeadm`, or a file's path.
    pub module: String,
    /// The doc comment.
    pub doc: String,
    /// Its parameters, positional ones first.
    pub params: Vec<TaskParam>,
    /// What a verb says of itself. A task written in kup has the default header: what it does is
    /// what its steps do.
    pub header: Header,
    /// Where the work is.
    pub body: TaskBody,
    /// The place of its header.
    pub span: Span,
}

/// A parameter of a task.
#[derive(Clone, Debug)]
pub struct TaskParam {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Whether it may be given without its name.
    pub positional: bool,
    /// Its value when none is given; `None`: it must be given.
    pub default: Option<Expr>,
}

/// Who does the work of a task.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there are a few dozen tasks")]
pub enum TaskBody {
    /// An action in Rust, found by the task's name.
    Native,
    /// Steps. The frame's first slots are the parameters.
    Steps {
        /// The policy that stands first in the body.
        policy: Policy,
        /// The steps.
        body: Block,
        /// What it gives back.
        gives: Option<Expr>,
        /// How many slots a call needs: parameters and loop variables.
        slots: u32,
    },
    /// A script, as it stands within its quotes. It looks, says and decides; it changes nothing.
    Script(String),
}

/// What a native verb declares of itself. The plan and the laws are judged by this alone.
#[derive(Clone, Debug, Default)]
pub struct Header {
    /// What it touches.
    pub effect: Effect,
    /// What must hold before.
    pub needs: Vec<Claim>,
    /// What holds afterwards.
    pub ensures: Vec<Claim>,
    /// It has work where an earlier step that ensures one of these has work (a verb that reads: only
    /// there). Every verb that changes or disrupts a node ensures `changed(node)`.
    pub follows: Vec<Claim>,
    /// It only has work where a later step that needs what it ensures has work.
    pub prepares: bool,
    /// What it ends: a step behind it that changes the node is no reason to prepare it before.
    pub ends: Vec<Claim>,
    /// What it gives back.
    pub gives: Option<Type>,
    /// Its verdict counts already when the plan is made: a failure blocks the run.
    pub preflight: bool,
    /// How its change is taken back: the first class whose condition holds. Empty: repeatable.
    pub undo: Vec<(UndoClass, Option<Expr>)>,
    /// On a node it runs detached and is polled, so that a lost connection cannot hurt it.
    pub long: bool,
    /// Default timeout and retry.
    pub policy: Policy,
}

/// What a verb touches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Looks only.
    #[default]
    Reads,
    /// Changes its node, which stays in service.
    ChangesNode,
    /// Takes its node out of service.
    DisruptsNode,
    /// Changes something of the whole cluster.
    ChangesCluster,
    /// Changes something on this machine.
    ChangesHere,
    /// Decides how the run goes on; only in handlers.
    Decides,
}

/// A fact that verbs need, ensure or follow, e.g. `drained(node)`.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The fact's name.
    pub fact: String,
    /// What it is about; parameters of the task.
    pub of: Vec<Expr>,
    /// The claim holds only under this condition on the arguments.
    pub when: Option<Expr>,
}

/// How a verb's change is taken back.
#[derive(Clone, Debug, Default)]
pub enum UndoClass {
    /// There is nothing to take back, or leaving it does no harm and doing it again neither.
    #[default]
    Repeatable,
    /// The action takes it back itself: `undo itself`.
    Itself,
    /// Another verb takes it back: `undo uncordon node`.
    By(Box<Step>),
    /// It cannot be taken back; the reason is told: `one-way "reason"`.
    OneWay(String),
}

/// A stage.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// What must be done before it begins.
    pub after: Vec<StageId>,
    /// The policy that stands first in its block.
    pub policy: Policy,
    /// Its steps.
    pub body: Block,
    /// How many slots its loop variables need.
    pub slots: u32,
    /// The place of its name.
    pub span: Span,
}

/// A sequence.
#[derive(Clone, Debug, Default)]
pub struct Block(pub Vec<Stmt>);

/// One element of a sequence.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all statements are steps")]
pub enum Stmt {
    /// A verb with its arguments.
    Step(Step),
    /// A loop: one lane an element.
    Each(Box<Each>),
    /// A choice made when the plan is made.
    If(Box<If>),
    /// A choice made during the run: the steps are done, or skipped.
    When(Box<Choice>),
    /// Elements whose order is free.
    Parallel(Block),
    /// Elements that keep their order, also where that around them is free: a step between what stands
    /// before and after it.
    Sequence(Block),
}

/// A call of a task.
#[derive(Clone, Debug)]
pub struct Step {
    /// The name for what it gives back.
    pub result: Option<Binding>,
    /// The task.
    pub task: TaskId,
    /// One value a parameter, in their order; defaults are filled in.
    pub args: Vec<Expr>,
    /// The policy in the block behind the step.
    pub policy: Policy,
    /// The step as written, on one line, without its block.
    pub text: String,
    /// Its place.
    pub span: Span,
}

/// `let name =`, before a step.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The name.
    pub name: String,
    /// Its slot.
    pub slot: u32,
    /// Where the name stands.
    pub span: Span,
}

/// `when cond { } else { }`, decided during the run.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The condition.
    pub cond: Expr,
    /// The condition as written, on one line.
    pub text: String,
    /// The steps if it holds.
    pub then: Block,
    /// The steps if it does not.
    pub other: Block,
    /// The place of the condition.
    pub span: Span,
}

/// `each x in set batch=... canary=... { }`
#[derive(Clone, Debug)]
pub struct Each {
    /// The loop variable's name.
    pub name: String,
    /// Its slot.
    pub slot: u32,
    /// The set or the list.
    pub over: Expr,
    /// `order by`.
    pub order: Vec<OrderKey>,
    /// How many lanes at once; without it, one.
    pub batch: Option<Expr>,
    /// How many lanes go first and must end well before the rest.
    pub canary: Option<Expr>,
    /// How long to wait after the canaries.
    pub soak: Option<Expr>,
    /// The policy that stands first in the block.
    pub policy: Policy,
    /// One lane's steps.
    pub body: Block,
    /// The place of the head.
    pub span: Span,
}

/// One key of `order by`.
#[derive(Clone, Debug)]
pub struct OrderKey {
    /// A fact of the node.
    pub fact: String,
    /// `last`: nodes that have the fact come after those without.
    pub last: bool,
}

/// `if cond { } else { }`, decided when the plan is made.
#[derive(Clone, Debug)]
pub struct If {
    /// The condition.
    pub cond: Expr,
    /// The steps if it holds.
    pub then: Block,
    /// The steps if it does not.
    pub other: Block,
    /// The place of the condition.
    pub span: Span,
}

/// Policy is data on the step or the scope. The nearest one counts, field by field. What few have is in a box: each step has
/// a policy.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// How long one attempt may take, in milliseconds.
    pub timeout: Option<u64>,
    /// How often and when to try again.
    pub retry: Option<Retry>,
    /// Steps that take the change back, instead of what the verb's header says.
    pub undo: Option<Block>,
    /// What to call the step or scope in reports.
    pub name: Option<Box<Expr>>,
    /// `long`: the step runs detached on its node and is polled.
    pub long: bool,
    /// Laws that are lifted here, with the reason.
    pub allow: Vec<(String, String)>,
    /// What somebody must say yes to before the step or the scope begins; of an `each` with canaries,
    /// before the lanes behind them begin.
    pub approve: Option<Box<Expr>>,
    /// When nodes, and stages and steps outside of them, may begin; a text that [`crate::window`] reads.
    pub window: Option<String>,
    /// `hosts`: whom scripts may talk to over HTTP. Only the playbook's own policy has any.
    pub hosts: Vec<String>,
}

/// `retry N backoff A..B`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How many further attempts.
    pub times: u32,
    /// The first upper bound of the delay, in milliseconds.
    pub min: u64,
    /// The last upper bound of the delay, in milliseconds.
    pub max: u64,
}

/// What to do when a step has failed for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Hold where things are, and say what to look at.
    Pause(String),
    /// Take back what was done, in reverse order.
    Rollback,
    /// Stop; nothing is taken back.
    Abort,
    /// Go on with the other lanes while no more than so many lanes have failed.
    Continue(u32),
}

/// `on stage workers done { }`: its steps only say, ask, measure and decide.
#[derive(Clone, Debug)]
pub struct Hook {
    /// To what it happens.
    pub on: Thing,
    /// To which stage; `None`: to any.
    pub stage: Option<StageId>,
    /// What happens.
    pub when: When,
    /// The steps. The frame's first slots are what [`Hook::NAMES`] says.
    pub body: Block,
    /// How many slots it needs.
    pub slots: u32,
    /// The event as written: `stage workers done`.
    pub text: String,
    /// The place of the event.
    pub span: Span,
}

impl Program {
    /// Returns the native verbs that may be performed: by the stages, by what takes them back, by handlers and hooks.
    pub fn verbs(&self) -> BTreeSet<&str> {
        let mut found = (BTreeSet::new(), BTreeSet::new());
        for body in self.stages.iter().map(|s| &s.body).chain(self.hooks.iter().map(|h| &h.body)) {
            self.verbs_of(body, &mut found);
        }
        found.1
    }

    fn verbs_of<'p>(&'p self, block: &'p Block, found: &mut (BTreeSet<u32>, BTreeSet<&'p str>)) {
        for stmt in &block.0 {
            match stmt {
                Stmt::Step(step) => {
                    self.verbs_of_task(step.task, found);
                    if let Some(undo) = &step.policy.undo {
                        self.verbs_of(undo, found);
                    }
                }
                Stmt::Each(each) => self.verbs_of(&each.body, found),
                Stmt::If(choice) => {
                    self.verbs_of(&choice.then, found);
                    self.verbs_of(&choice.other, found);
                }
                Stmt::When(choice) => {
                    self.verbs_of(&choice.then, found);
                    self.verbs_of(&choice.other, found);
                }
                Stmt::Parallel(block) | Stmt::Sequence(block) => self.verbs_of(block, found),
            }
        }
    }

    fn verbs_of_task<'p>(&'p self, id: TaskId, found: &mut (BTreeSet<u32>, BTreeSet<&'p str>)) {
        if !found.0.insert(id.0) {
            return;
        }
        let task = &self.tasks[id.0 as usize];
        match &task.body {
            TaskBody::Native => {
                found.1.insert(&task.name);
                for (undo, _) in &task.header.undo {
                    if let UndoClass::By(step) = undo {
                        self.verbs_of_task(step.task, found);
                    }
                }
            }
            TaskBody::Steps { body, .. } => self.verbs_of(body, found),
            TaskBody::Script(_) => {}
        }
    }
}

impl Hook {
    /// What the steps of a hook may name, in the order of the slots.
    pub const NAMES: [&'static str; 4] = ["node", "reason", "stage", "step"];
}

/// To what something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Thing {
    /// The run.
    Run,
    /// A stage.
    Stage,
    /// A node: its lane of an `each`.
    Node,
    /// A step, with all its attempts.
    Step,
    /// An attempt of a step.
    Attempt,
}

impl Thing {
    /// All of them, with their words.
    pub const ALL: [(&'static str, Thing); 5] = [
        ("run", Thing::Run),
        ("stage", Thing::Stage),
        ("node", Thing::Node),
        ("step", Thing::Step),
        ("attempt", Thing::Attempt),
    ];
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum When {
    /// It begins. A run, a stage or a node begins nothing before its hooks have said go on.
    Started,
    /// It ended well.
    Done,
    /// It, or something in it, failed for good; an attempt: it failed.
    Failed,
    /// Something in it waits; a run: it holds.
    Waiting,
}

impl When {
    /// All of them, with their words.
    pub const ALL: [(&'static str, When); 4] = [
        ("started", When::Started),
        ("done", When::Done),
        ("failed", When::Failed),
        ("waiting", When::Waiting),
    ];
}

/// An expression with its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Its type.
    pub ty: Type,
    /// Its place.
    pub span: Span,
}

impl Expr {
    /// Returns whether this expression or any part of it is so; the first that is ends the search.
    pub fn any<'a>(&'a self, is: &mut dyn FnMut(&'a Expr) -> bool) -> bool {
        if is(self) {
            return true;
        }
        match &self.kind {
            ExprKind::Literal(_)
            | ExprKind::Param(_)
            | ExprKind::Local(_)
            | ExprKind::Result(..)
            | ExprKind::Here
            | ExprKind::Set(_)
            | ExprKind::It => false,
            ExprKind::Fact(of, _) | ExprKind::Field(of, _) | ExprKind::Not(of) => of.any(is),
            ExprKind::Call(_, of) | ExprKind::Text(of) | ExprKind::List(of) => of.iter().any(|of| of.any(is)),
            ExprKind::Record(of) => of.iter().any(|(_, of)| of.any(is)),
            ExprKind::Binary(_, left, right) | ExprKind::Where(left, right) => left.any(is) || right.any(is),
        }
    }
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A literal.
    Literal(Value),
    /// A parameter of the playbook, by its place in [`Program::params`].
    Param(u32),
    /// A parameter of the task, a loop variable or a result, by its slot in the frame.
    Local(u32),
    /// What a step of a plan gives back, by the step's place, and the name that the text has for it.
    /// Only plans have it: in a program it is a local.
    Result(u32, String),
    /// A field of a record: `todo.count`.
    Field(Box<Expr>, String),
    /// The node of the innermost `each`.
    Here,
    /// A set of the inventory.
    Set(Set),
    /// A fact of a node: `node.zone`.
    Fact(Box<Expr>, String),
    /// A function of the language.
    Call(Func, Vec<Expr>),
    /// `not x`
    Not(Box<Expr>),
    /// `a OP b`
    Binary(Op, Box<Expr>, Box<Expr>),
    /// A string with `${...}` in it.
    Text(Vec<Expr>),
    /// `[a, b]`, or words joined by commas.
    List(Vec<Expr>),
    /// `{ a: x, b: y }`
    Record(Vec<(String, Expr)>),
    /// `set where condition`; the condition sees the facts of [`ExprKind::It`].
    Where(Box<Expr>, Box<Expr>),
    /// The node that `where` is looking at.
    It,
}

/// Sets that every inventory has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// All nodes.
    Nodes,
    /// Nodes with an apiserver.
    ControlPlane,
    /// Nodes without one.
    Workers,
    /// Nodes with an etcd member.
    Etcd,
}

/// Functions of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Func {
    /// `first(nodes) -> node`
    First,
    /// `rest(nodes) -> nodes`
    Rest,
    /// `count(nodes) -> number`
    Count,
    /// `label("name") -> string`, of the node that `where` looks at, or of a second argument
    Label,
    /// `minor(version) -> minor`
    Minor,
    /// `pools(nodes) -> [{ name: string, nodes: nodes }]`
    Pools,
    /// `hops(to=version) -> [{ version: version, kubelets: bool, first: bool, last: bool }]`
    Hops,
    /// `env("NAME") -> secret`
    Env,
    /// `file("PATH") -> secret`
    File,
    /// `command("LINE") -> secret`
    Command,
}

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
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
    /// `-`, of numbers, durations and node sets
    Sub,
}
