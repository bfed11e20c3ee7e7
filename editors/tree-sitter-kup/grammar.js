// The grammar of kup for editors that color and fold by trees. `dsl/src/kup.pest` is the language; this
// one is a little more generous, and a test holds it to every text that the language takes.

const word = /[A-Za-z][A-Za-z0-9_-]*/;

// From loose to tight.
const LEVEL = { where: 1, or: 2, and: 3, not: 4, compare: 5, add: 6, fact: 7 };

const commas = (rule) => seq(rule, repeat(seq(",", rule)));

module.exports = grammar({
  name: "kup",

  word: ($) => $.word,
  // Lines end in the scanner: it sees whether the next one goes on.
  externals: ($) => [$._line_end, $._clause_begin],
  extras: ($) => [/\s|\uFEFF/, $.comment, $.doc_comment],
  supertypes: ($) => [$._item, $._statement, $._policy, $._expression],

  rules: {
    file: ($) => seq(repeat($._line_end), optional(seq($._item, repeat(seq(repeat1($._line_end), $._item)), repeat($._line_end)))),

    comment: (_) => token(/#[^\n]*/),
    doc_comment: (_) => token(prec(1, /##[^\n]*/)),

    // ---- items ----
    _item: ($) =>
      choice($.use, $.playbook, $.param, $.stage, $.task, $.native_task, $.handler, $.test),

    use: ($) => seq("use", commas($.path)),
    path: (_) => /[A-Za-z0-9_\-.\/]+/,
    playbook: ($) => seq("playbook", field("title", $.string), optional($.block)),
    param: ($) => seq("param", $._declaration),
    stage: ($) => seq("stage", field("name", $.word), optional($.after), $.block),
    after: ($) => seq("after", commas($.word)),
    task: ($) => seq("task", field("name", $.verb), optional($.params), choice($.block, $.script)),
    script: ($) => seq("script", $.raw_string),
    handler: ($) => seq("on", field("event", $.event), $.block),
    event: ($) => repeat1($.word),

    native_task: ($) =>
      seq("native", "task", field("name", $.verb), optional($.params), repeat(seq($._clause_begin, $._clause))),
    _clause: ($) => choice($.effect, $.claims, $.gives, $.flag, $.undo_clause, $.timeout, $.retry),
    effect: ($) => seq(choice("reads", "changes", "disrupts", "decides"), optional($.word)),
    claims: ($) => seq(choice("needs", "ensures", "follows", "ends"), commas($.claim)),
    claim: ($) => seq(field("fact", $.word), "(", commas($.word), ")", optional($.condition)),
    gives: ($) => seq("gives", $.type),
    condition: ($) => seq("if", $._expression),
    flag: (_) => choice("prepares", "preflight", "long"),
    undo_clause: ($) => seq("undo", choice("itself", seq("none", optional($.string)), $._head), optional($.condition)),

    verb: ($) => repeat1($.word),
    params: ($) => seq("(", optional(commas($.declaration)), optional(seq(";", optional(commas($.declaration)))), ")"),
    declaration: ($) => $._declaration,
    _declaration: ($) =>
      seq(field("name", $.word), ":", field("type", $.type), optional(seq("=", field("default", $._expression)))),
    type: ($) => seq(choice(seq($.word, repeat(seq("|", $.word))), seq("[", $.type, "]"), $.record_type), optional("?")),
    record_type: ($) => seq("{", optional(seq(commas($.declaration), optional(","))), "}"),

    // ---- blocks ----
    block: ($) => seq("{", repeat($._line_end), optional(seq($._statement, repeat(seq(repeat1($._line_end), $._statement)), repeat($._line_end))), "}"),

    _statement: ($) => choice($.step, $.let, $.each, $.if, $.when, $.parallel, $.result, $._policy),

    step: ($) => seq($._head, optional($.block)),
    _head: ($) => prec.right(seq(field("verb", $._piece), repeat(choice($._piece, $.argument)))),
    _piece: ($) => seq($._term, repeat(seq(",", $._term))),
    // `on=` is one token, for in a test `on` stands before a node.
    argument: ($) =>
      prec.right(
        seq(choice(seq(field("name", $.word), "="), field("name", alias("on=", $.word))), field("value", commas($._expression))),
      ),
    let: ($) => seq("let", field("name", $.word), "=", $.step),

    each: ($) =>
      seq("each", field("name", $.word), "in", field("set", $._expression), optional($.order), repeat($.argument), $.block),
    order: ($) => seq("order", "by", commas($.order_key)),
    order_key: ($) => seq($.word, optional("last")),
    if: ($) => seq("if", $._expression, $.block, repeat(seq("else", "if", $._expression, $.block)), optional(seq("else", $.block))),
    when: ($) =>
      seq("when", $._expression, $.block, repeat(seq("else", "when", $._expression, $.block)), optional(seq("else", $.block))),
    parallel: ($) => seq("parallel", $.block),
    result: ($) => seq("gives", $._expression),

    _policy: ($) =>
      choice($.timeout, $.retry, $.undo, $.name, $.long, $.allow, $.hosts, $.approve, $.window, $.before, $.after_block, $.on),
    timeout: ($) => seq("timeout", $.quantity),
    retry: ($) => seq("retry", $.quantity, optional(seq("backoff", $.quantity, "..", $.quantity))),
    undo: ($) => seq("undo", $.block),
    name: ($) => seq("name", $._text),
    long: (_) => "long",
    allow: ($) => seq("allow", field("law", $.word), $.string),
    hosts: ($) => seq("hosts", commas($.string)),
    approve: ($) => seq("approve", $._text),
    window: ($) => seq("window", $.string),
    before: ($) => seq("before", $.block),
    after_block: ($) => seq("after", $.block),
    on: ($) => seq("on", field("event", $.event), $.block),

    // ---- tests ----
    test: ($) => seq("test", field("name", $.string), $.test_block),
    test_block: ($) =>
      seq("{", repeat($._line_end), optional(seq($._test_line, repeat(seq(repeat1($._line_end), $._test_line)), repeat($._line_end))), "}"),
    _test_line: ($) =>
      choice($.tested, $.cluster, $.faults, $.set, alias($.set_step, $.step), $.expect, $.step, $.let, $.each, $.if, $.when, $.parallel),
    tested: ($) => seq("playbook", $.path),
    cluster: ($) => seq("on", "sim", "(", $.shape, ")", optional(seq("seed", $.quantity))),
    shape: (_) => /[^)\s]+/,
    faults: ($) => seq("fault", commas($.fault)),
    fault: (_) => token(prec(1, /F[0-9]+@[A-Za-z0-9][A-Za-z0-9_.\-]*/)),
    set: ($) => seq("set", repeat1($.argument)),
    // A verb that begins with the same word: `set cluster version to=v1.33.4`.
    set_step: ($) =>
      prec.right(
        seq(field("verb", alias("set", $.word)), $._piece, repeat(choice($._piece, $.argument)), optional($.block)),
      ),
    expect: ($) =>
      seq(
        "expect",
        choice(
          seq("plan", $.raw_string),
          seq($.quantity, choice("change", "changes")),
          seq("failure", $.string),
          $.end,
          seq("no", $.steps),
          seq($.steps, optional(choice($.state, seq("before", $.steps)))),
        ),
      ),
    end: ($) => seq(choice("done", "paused", "undone", "failed", "refused"), optional(choice($.string, $.code))),
    code: (_) => token(prec(1, /K[0-9]+/)),
    steps: ($) => prec.right(seq($._these, optional(seq("on", field("node", $.word))))),
    _these: ($) => prec.right(seq(field("verb", $._piece), repeat(choice($._piece, $.argument)))),
    state: (_) => choice("ran", "skipped", "failed", "undone"),

    // ---- expressions ----
    _expression: ($) => choice($._term, $.record, alias($.record_field, $.field), $.not, $.binary),
    not: ($) => prec(LEVEL.not, seq("not", $._expression)),
    binary: ($) =>
      choice(
        ...[
          [LEVEL.where, "where"],
          [LEVEL.or, "or"],
          [LEVEL.and, "and"],
          [LEVEL.compare, choice("==", "!=", "<", "<=", ">", ">=", "in")],
          [LEVEL.add, choice("+", "-")],
        ].map(([level, operator]) =>
          prec.left(level, seq(field("left", $._expression), field("operator", operator), field("right", $._expression))),
        ),
      ),
    _term: ($) => choice($.word, $.version, $.quantity, $._text, $.list, $.parenthesized, $.call, $.field),
    field: ($) =>
      prec(LEVEL.fact, seq(field("of", $._term), token.immediate("."), field("fact", alias(token.immediate(word), $.fact)))),
    list: ($) => seq("[", optional(seq(commas($._expression), optional(","))), "]"),
    record: ($) => seq("{", optional(seq(commas($.entry), optional(","))), "}"),
    // A step's block may follow a term, and so a record is none.
    record_field: ($) =>
      prec(
        LEVEL.fact,
        seq(
          field("of", choice($.record, alias($.record_field, $.field))),
          token.immediate("."),
          field("fact", alias(token.immediate(word), $.fact)),
        ),
      ),
    entry: ($) => seq(field("name", $.word), ":", field("value", $._expression)),
    parenthesized: ($) => seq("(", $._expression, ")"),
    call: ($) =>
      seq(field("function", $.word), token.immediate(prec(1, "(")), optional(commas(choice($._expression, $.argument))), ")"),

    // ---- tokens ----
    word: (_) => word,
    version: (_) => token(prec(1, /v[0-9]([A-Za-z0-9]|[.\-+][A-Za-z0-9])*/)),
    quantity: (_) => /[0-9]([A-Za-z0-9%]|\.[A-Za-z0-9])*/,
    _text: ($) => choice($.string, $.raw_string),
    raw_string: (_) => token(/"""([^"]|"[^"]|""[^"])*"""/),
    string: ($) => seq('"', repeat(choice($._content, $.escape, $.interpolation)), token.immediate('"')),
    _content: (_) => choice(token.immediate(prec(1, /[^"\\$\n]+/)), token.immediate("$")),
    escape: (_) => token.immediate(/\\[^\n]/),
    interpolation: ($) => seq(token.immediate("${"), $._expression, "}"),
  },
});
