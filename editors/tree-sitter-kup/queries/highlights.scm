(comment) @comment
(doc_comment) @comment.documentation
(string) @string
(raw_string) @string
(escape) @string.escape
(interpolation ["${" "}"] @punctuation.special)
[(quantity) (version)] @number
(type) @type
(path) @namespace
(shape) @constant
(fault) @constant
(code) @constant

(stage name: (word) @namespace)
(after (word) @namespace)
(task name: (verb) @function)
(native_task name: (verb) @function)
(step verb: (word) @function)
(steps verb: (word) @function)
(declaration name: (word) @variable.parameter)
(param name: (word) @variable.parameter)
(each name: (word) @variable)
(let name: (word) @variable)
(argument name: (word) @variable.parameter)
(call function: (word) @function.builtin)
(field fact: (fact) @property)
(allow law: (word) @constant)
(claim fact: (word) @property)
(entry name: (word) @property)

[
  "use" "playbook" "param" "stage" "after" "task" "native" "script" "on" "test"
  "each" "in" "order" "by" "last" "if" "else" "when" "parallel" "let"
  "timeout" "retry" "backoff" "undo" "name" "allow" "hosts" "approve" "window" "before"
  "reads" "changes" "disrupts" "decides" "needs" "ensures" "follows" "ends" "gives" "prepares" "preflight" "itself" "none"
  "sim" "seed" "fault" "set" "expect" "plan" "failure" "no"
  "done" "paused" "undone" "failed" "refused" "ran" "skipped"
] @keyword
(long) @keyword
["and" "or" "not" "where"] @keyword.operator
["=" "==" "!=" "<" "<=" ">" ">=" "+" "-" ".."] @operator
["(" ")" "[" "]" "{" "}"] @punctuation.bracket
["," ";" ":" "." "|" "?"] @punctuation.delimiter
