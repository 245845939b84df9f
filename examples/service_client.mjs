// A client of the service, with JavaScript's own library alone: node examples/service_client.mjs clip.mp4 [URL] [TOKEN]
import { readFile } from "node:fs/promises";
import { basename } from "node:path";

const [path, url = "http://127.0.0.1:8765", token] = process.argv.slice(2);

async function call(method, address, body, headers = {}) {
  if (token) headers = { ...headers, Authorization: `Bearer ${token}` };
  const answer = await fetch(url + address, { method, body, headers });
  const said = await answer.json();
  // Errors are problems (RFC 9457) with a `code` that stays.
  if (!answer.ok) throw new Error(`${said.code}: ${said.detail ?? said.title}`);
  return said;
}

const name = basename(path);
const file = await call("PUT", `/v1/files?name=${encodeURIComponent(name)}`, await readFile(path));
let scan = await call("POST", "/v1/scans", JSON.stringify({ files: [file.id] }), {
  "Content-Type": "application/json",
  "Idempotency-Key": file.id, // the same file and options are scanned once
});
while (scan.state === "queued" || scan.state === "running") {
  await new Promise((wake) => setTimeout(wake, 500));
  scan = await call("GET", `/v1/scans/${scan.id}`);
}
if (scan.state !== "done") throw new Error(`the scan ${scan.state}: ${JSON.stringify(scan.error)}`);
const { media } = await call("GET", `/v1/scans/${scan.id}/result.json`);
console.log(`${name}: ${media[0].verdict ?? media[0].status}, p = ${media[0].p_value}`);
