// Reads an AsyncAPI document from stdin; prints what the official parser has to say of it, as JSON.
const { readFileSync } = require("node:fs");
const { Parser } = require("@asyncapi/parser");

new Parser().parse(readFileSync(0, "utf8")).then(({ document, diagnostics }) => {
  const findings = diagnostics.map(({ code, path, message }) => ({ code, path: path.join("."), message }));
  console.log(JSON.stringify({ valid: document !== undefined, findings }));
});
