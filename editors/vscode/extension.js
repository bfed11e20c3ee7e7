// Starts `kup lsp` for the texts of kup, and starts it anew when its path changes.
"use strict";

const vscode = require("vscode");
const { LanguageClient, TransportKind } = require("vscode-languageclient/node");

/** @type {LanguageClient | undefined} */
let client;

async function start() {
  const command = vscode.workspace.getConfiguration("kup").get("path") || "kup";
  const server = { command, args: ["lsp"], transport: TransportKind.stdio };
  client = new LanguageClient("kup", "kup", server, {
    documentSelector: [{ language: "kup" }],
    synchronize: { fileEvents: vscode.workspace.createFileSystemWatcher("**/*.kup") },
  });
  try {
    await client.start();
  } catch (error) {
    client = undefined;
    vscode.window.showErrorMessage(`kup: cannot start \`${command} lsp\`: ${error}. Set kup.path to the binary.`);
  }
}

async function stop() {
  const running = client;
  client = undefined;
  await running?.stop();
}

/** @param {vscode.ExtensionContext} context */
async function activate(context) {
  const again = async () => {
    await stop();
    await start();
  };
  context.subscriptions.push(
    vscode.commands.registerCommand("kup.restart", again),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration("kup.path")) {
        void again();
      }
    }),
  );
  await start();
}

module.exports = { activate, deactivate: stop };
