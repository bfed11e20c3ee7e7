// Where a line ends: not before `name=`, which goes on with the arguments of the line above, and not
// before `else`. The clauses of a native task are the lines below it that are set in.

#include "tree_sitter/parser.h"

enum Token { LINE_END, CLAUSE_BEGIN };

void *tree_sitter_kup_external_scanner_create(void) { return NULL; }
void tree_sitter_kup_external_scanner_destroy(void *payload) {}
unsigned tree_sitter_kup_external_scanner_serialize(void *payload, char *buffer) { return 0; }
void tree_sitter_kup_external_scanner_deserialize(void *payload, const char *buffer, unsigned length) {}

static bool is_letter(int32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static bool is_word(int32_t c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-'; }

static bool is_blank(int32_t c) { return c == ' ' || c == '\t' || c == '\r'; }

static void advance(TSLexer *lexer) { lexer->advance(lexer, false); }

bool tree_sitter_kup_external_scanner_scan(void *payload, TSLexer *lexer, const bool *valid) {
  if (!valid[LINE_END] && !valid[CLAUSE_BEGIN]) return false;
  while (is_blank(lexer->lookahead)) lexer->advance(lexer, true);
  if (lexer->lookahead != '\n') return false;
  advance(lexer);
  lexer->mark_end(lexer);
  // Over empty lines and comments to what stands first in the next line.
  bool set_in = false;
  for (;;) {
    set_in = is_blank(lexer->lookahead);
    while (is_blank(lexer->lookahead)) advance(lexer);
    if (lexer->lookahead == '#') {
      while (lexer->lookahead != '\n' && !lexer->eof(lexer)) advance(lexer);
    }
    if (lexer->lookahead != '\n') break;
    advance(lexer);
  }
  if (valid[CLAUSE_BEGIN] && set_in && is_letter(lexer->lookahead)) {
    lexer->result_symbol = CLAUSE_BEGIN;
    return true;
  }
  if (!valid[LINE_END]) return false;
  if (is_letter(lexer->lookahead)) {
    char begin[5] = {0};
    unsigned length = 0;
    while (is_word(lexer->lookahead)) {
      if (length < 5) begin[length] = (char)lexer->lookahead;
      length++;
      advance(lexer);
    }
    if (length == 4 && begin[0] == 'e' && begin[1] == 'l' && begin[2] == 's' && begin[3] == 'e') return false;
    if (lexer->lookahead == '=') {
      advance(lexer);
      if (lexer->lookahead != '=') return false;
    }
  }
  lexer->result_symbol = LINE_END;
  return true;
}
