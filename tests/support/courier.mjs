// A courier in Node that keeps the contract of remote participants in memory, and records a span of each request.
//
//   node courier.mjs      PORT, and OTEL_EXPORTER_OTLP_ENDPOINT, to which spans go as OTLP in JSON

import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import process from "node:process";

const answers = new Map();

const server = createServer(async (request, response) => {
  const began = now();
  for await (const _ of request);
  const key = request.headers["idempotency-key"];
  if (request.method === "GET") return send(response, answers.has(key) ? 200 : 404, { outcome: "done", result: {} });
  if (request.url !== "/deliveries") return send(response, 404, {});
  answers.set(key, true);
  await record(request, began);
  return send(response, 200, { courier: "node" });
});

function send(response, status, body) {
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(JSON.stringify(body));
}

const now = () => String(BigInt(Date.now()) * 1_000_000n);

async function record(request, began) {
  const [, traceId, parentSpanId, flags] = (request.headers.traceparent ?? "").split("-");
  if (!traceId || !(parseInt(flags, 16) & 1)) return;
  const span = {
    traceId,
    parentSpanId,
    spanId: randomBytes(8).toString("hex"),
    name: `${request.method} ${request.url}`,
    kind: 2,
    startTimeUnixNano: began,
    endTimeUnixNano: now(),
    attributes: [{ key: "baggage", value: { stringValue: request.headers.baggage ?? "" } }],
  };
  const resource = { attributes: [{ key: "service.name", value: { stringValue: "courier" } }] };
  const body = JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ scope: { name: "courier" }, spans: [span] }] }] });
  const headers = { "Content-Type": "application/json" };
  await fetch(`${process.env.OTEL_EXPORTER_OTLP_ENDPOINT}/v1/traces`, { method: "POST", headers, body });
}

server.listen(Number(process.env.PORT), "127.0.0.1", () => console.log("ready"));
