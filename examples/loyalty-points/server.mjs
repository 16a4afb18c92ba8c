// Loyalty points, as a participant of sagas over HTTP. No dependency but Node itself (18 or later).
//
//   node server.mjs            PORT (8700), HOST (127.0.0.1), POINTS_JOURNAL (points.journal), POINTS_TOKEN (none)
//
// The contract it keeps is docs/reference/remote-participants.md; how it keeps it is in ledger.mjs.

import { timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import process from "node:process";

import { Faults } from "./faults.mjs";
import { ContractError, Ledger } from "./ledger.mjs";

const ledger = new Ledger(process.env.POINTS_JOURNAL ?? "points.journal");
const faults = process.env.POINTS_FAULTS === "1" ? new Faults() : null;
const token = process.env.POINTS_TOKEN ?? "";
const BODY_LIMIT = 65_536;

/** Which operation a request is. The undo and confirm of a reservation are other methods of the same path. */
const OPERATIONS = {
  "POST /debits": "forward",
  "DELETE /debits": "compensate",
  "POST /reservations": "try",
  "PUT /reservations": "confirm",
  "DELETE /reservations": "cancel",
};

class HttpError extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

const server = createServer((request, response) => {
  handle(request, response).catch((error) => {
    if (error instanceof HttpError) return send(response, error.status, { code: error.code, detail: error.message });
    if (error instanceof ContractError) return send(response, 422, { code: "Contract", detail: error.message });
    console.error(error);
    return send(response, 500, { code: "Broken", detail: "see the log" });
  });
});

async function handle(request, response) {
  const path = new URL(request.url, "http://localhost").pathname;
  const route = `${request.method} ${path}`;
  if (route === "GET /healthz") return send(response, 200, { ok: true });
  if (faults && path.startsWith("/test/")) return handleTest(route, request, response);
  if (token && !sameSecret(request.headers.authorization ?? "", `Bearer ${token}`)) {
    throw new HttpError(401, "Unauthorized", "a bearer token is wanted");
  }
  if (path.startsWith("/accounts/")) return handleAccount(request, response, decodeURIComponent(path.slice(10)));
  if (route === "GET /operations") return answerQuery(request, response);
  const operation = OPERATIONS[route];
  if (!operation) throw new HttpError(404, "NotFound", `there is no ${route}`);
  const branch = branchOf(request, operation);
  const wanted = operation === "forward" || operation === "try" ? wish(await readJson(request)) : await drain(request);
  if (await strike(response, route, "before")) return undefined;
  const { outcome, replayed } = ledger.perform(branch, operation, wanted);
  if (await strike(response, route, "after")) return undefined;
  return sendOutcome(response, outcome, replayed);
}

/** What became of an operation whose caller does not know: by the same key with which it was asked. */
function answerQuery(request, response) {
  const [, , operation = ""] = splitKey(header(request, "idempotency-key"));
  const found = ledger.find(branchOf(request, operation));
  if (!found) throw new HttpError(404, "Unknown", "it never came");
  const { outcome, result, code, detail } = found;
  return send(response, 200, outcome === "done" ? { outcome, result } : { outcome, code, detail });
}

async function handleAccount(request, response, id) {
  if (request.method === "PUT") ledger.open(id, wish({ account: id, ...(await readJson(request)) }).points);
  else if (request.method !== "GET") throw new HttpError(405, "MethodNotAllowed", request.method);
  const account = ledger.account(id);
  if (!account) throw new HttpError(404, "NoAccount", `there is no account ${id}`);
  return send(response, 200, account);
}

/** `/test/faults`: PUT plans one, DELETE forgets all, GET says how many callers are being held. */
async function handleTest(route, request, response) {
  if (!["127.0.0.1", "::1", "::ffff:127.0.0.1"].includes(request.socket.remoteAddress)) {
    throw new HttpError(403, "Forbidden", "only from this machine");
  }
  if (route === "PUT /test/faults") faults.plan(await readJson(request));
  else if (route === "DELETE /test/faults") faults.clear();
  else if (route !== "GET /test/faults") throw new HttpError(404, "NotFound", route);
  return send(response, 200, { holding: faults.holding });
}

/** Misbehave, if that is planned. Returns whether the request has been dealt with. */
async function strike(response, route, stage) {
  const fault = faults?.take(route, stage);
  switch (fault?.do) {
    case "status":
      send(response, fault.status, fault.body ?? { detail: "on demand" }, fault.headers);
      return true;
    case "hold":
      await faults.hold();
      return false;
    case "die":
      process.kill(process.pid, "SIGKILL");
      return true;
    case "reset":
      response.socket.resetAndDestroy();
      return true;
    case "cut":
      response.writeHead(200, { "Content-Type": "application/json", "Content-Length": 1000 });
      response.write("{");
      response.socket.end();
      return true;
    case "trickle":
      response.writeHead(200, { "Content-Type": "application/json" });
      setInterval(() => response.write(" "), fault.ms ?? 50).unref();
      return true;
    case "huge":
      send(response, 200, { text: "x".repeat(fault.bytes) });
      return true;
    default:
      return false;
  }
}

function sendOutcome(response, { outcome, result, code, detail }, replayed) {
  const headers = { "Idempotency-Replayed": String(replayed) };
  return outcome === "done" ? send(response, 200, result, headers) : send(response, 409, { code, detail }, headers);
}

function send(response, status, body, headers = {}) {
  if (response.headersSent || response.destroyed) return;
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": bytes.length, ...headers });
  response.end(bytes);
}

/** Who asks, and for which operation: the three headers must say the same, and what the path says. */
function branchOf(request, operation) {
  const branch = { tx: header(request, "x-tx-id"), branch: header(request, "x-branch-id"), operation };
  const [tx, name, asked] = splitKey(header(request, "idempotency-key"));
  if (tx !== branch.tx || name !== branch.branch || asked !== operation) {
    throw new HttpError(400, "BadKey", "Idempotency-Key is <X-Tx-ID>:<X-Branch-ID>:<operation>");
  }
  return branch;
}

function splitKey(key) {
  return key.split(":");
}

function header(request, name) {
  const value = request.headers[name];
  if (!value) throw new HttpError(400, "NoHeader", `the header ${name} is wanted`);
  return value;
}

function wish({ account, points }) {
  if (typeof account !== "string" || !Number.isSafeInteger(points) || points < 0) {
    throw new HttpError(400, "BadBody", "account is a string, points a whole number, 0 or more");
  }
  return { account, points };
}

async function readJson(request) {
  let bytes = Buffer.alloc(0);
  for await (const chunk of request) {
    bytes = Buffer.concat([bytes, chunk]);
    if (bytes.length > BODY_LIMIT) throw new HttpError(413, "TooLarge", `at most ${BODY_LIMIT} bytes`);
  }
  try {
    const body = JSON.parse(bytes.toString("utf8"));
    if (body && typeof body === "object") return body;
  } catch {
    // Said below.
  }
  throw new HttpError(400, "BadBody", "a JSON object is wanted");
}

async function drain(request) {
  for await (const _ of request);
  return {};
}

function sameSecret(given, wanted) {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}

server.listen(Number(process.env.PORT ?? 8700), process.env.HOST ?? "127.0.0.1", () => {
  console.log(`points: listening on ${server.address().port}`);
});
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    server.close(() => process.exit(0));
    server.closeAllConnections?.();
  });
}
