-- A person at work in Neovim: sees a mistake, mends it, asks, completes, goes to a definition, renames,
-- takes a fix, formats, and has the words painted.
local said = {}
local function say(...) table.insert(said, table.concat({ ... }, " ")) end
local function wait(what, is)
  if not vim.wait(100000, is, 10) then error("waited in vain for " .. what) end
end
local function ask(method, params)
  local answers = vim.lsp.buf_request_sync(0, method, params, 100000)
  for _, answer in pairs(answers or {}) do
    if answer.err then error(method .. ": " .. answer.err.message) end
    return answer.result
  end
  error(method .. ": no answer")
end
local function at(pattern, offset)
  local line = vim.fn.search(pattern, "w")
  if line == 0 then error("no " .. pattern) end
  vim.api.nvim_win_set_cursor(0, { line, vim.fn.col(".") - 1 + (offset or 0) })
  return vim.lsp.util.make_position_params(0, "utf-16")
end

local ok, why = pcall(function()
  vim.cmd("edit p.kup")
  local client = vim.lsp.start_client({ name = "kup", cmd = { vim.env.KUP_BINARY, "lsp" }, root_dir = vim.fn.getcwd() })
  vim.lsp.buf_attach_client(0, client)
  wait("a finding", function() return #vim.diagnostic.get(0) > 0 end)
  local found = vim.diagnostic.get(0)[1]
  say("finding", found.lnum .. ":" .. found.col, found.message)

  vim.api.nvim_buf_set_text(0, found.lnum, found.col, found.end_lnum, found.end_col, { "emptydir" })
  wait("its end", function() return #vim.diagnostic.get(0) == 0 end)
  say("mended", vim.api.nvim_get_current_line() and vim.fn.getline(found.lnum + 1))

  local hover = ask("textDocument/hover", at("drain", 1))
  say("hover", vim.split(hover.contents.value, "\n")[2])

  local items = ask("textDocument/completion", at("=refuse", 1))
  say("completion", items[1].label, items[2].label)

  vim.lsp.util.jump_to_location(ask("textDocument/definition", at("drain", 1)), "utf-16")
  say("definition", vim.fn.expand("%:t"), vim.api.nvim_get_current_line():sub(1, 17))
  vim.cmd("edit p.kup")

  local edit = ask("textDocument/rename", vim.tbl_extend("force", at("box"), { newName = "node" }))
  vim.lsp.util.apply_workspace_edit(edit, "utf-16")
  say("renamed", vim.fn.getline(3), vim.fn.getline(4))

  local row = vim.fn.search("drain", "w") - 1
  vim.api.nvim_buf_set_text(0, row, 4, row, 9, { "drian" })
  wait("another finding", function() return #vim.diagnostic.get(0) > 0 end)
  local asked = vim.lsp.util.make_given_range_params({ row + 1, 5 }, { row + 1, 5 }, 0, "utf-16")
  asked.context = { diagnostics = {}, only = { "quickfix" } }
  local fix = ask("textDocument/codeAction", asked)[1]
  say("offered", fix.title)
  vim.lsp.util.apply_workspace_edit(fix.edit, "utf-16")
  wait("its end", function() return #vim.diagnostic.get(0) == 0 end)
  say("fixed", vim.fn.getline(row + 1))

  local changes = ask("textDocument/formatting", vim.lsp.util.make_formatting_params({}))
  vim.lsp.util.apply_text_edits(changes, 0, "utf-16")
  local lane = vim.fn.search("each", "w")
  say("formatted", vim.fn.getline(lane), vim.fn.getline(lane + 1))

  local provider = vim.lsp.get_client_by_id(client).server_capabilities.semanticTokensProvider
  local data = ask("textDocument/semanticTokens/full", { textDocument = vim.lsp.util.make_text_document_params() }).data
  local line, from, painted = 0, 0, {}
  for i = 1, #data, 5 do
    from = data[i] == 0 and from + data[i + 1] or data[i + 1]
    line = line + data[i]
    local text = vim.fn.getline(line + 1)
    local byte = function(units) return vim.str_byteindex(text, units, true) end
    local word = text:sub(byte(from) + 1, byte(from + data[i + 2]))
    table.insert(painted, word .. ":" .. provider.legend.tokenTypes[data[i + 3] + 1])
  end
  say("tokens", unpack(painted))

  vim.lsp.stop_client(client)
  wait("the end", function() return #vim.lsp.get_active_clients() == 0 end)
end)
if not ok then say("failed", tostring(why)) end
vim.fn.writefile(said, "said.txt")
vim.cmd("qall!")
