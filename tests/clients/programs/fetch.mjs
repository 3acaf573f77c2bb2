// Node's own fetch.
import { bodyOf, obey, partsOf } from "./commands.mjs";

function streamOf(command) {
  const parts = ReadableStream.from(partsOf(command));
  return command.gzip ? parts.pipeThrough(new CompressionStream("gzip")) : parts;
}

async function send(command) {
  const headers = { ...command.headers };
  if (command.gzip) headers["Content-Encoding"] = "gzip";
  if (command.expect) headers.Expect = "100-continue";
  let body = bodyOf(command);
  if (command.event) {
    body = JSON.stringify(command.event);
    headers["Content-Type"] = "application/json";
  } else if (command.gzip || command.chunked) {
    body = streamOf(command);
  }
  const query = new URLSearchParams(command.query || {}).toString();
  const answer = await fetch(query ? `${command.url}?${query}` : command.url, {
    method: command.method,
    headers,
    body: command.method === "GET" ? undefined : body,
    duplex: "half",
    signal: AbortSignal.timeout(60_000),
  });
  const told = Object.fromEntries(answer.headers);
  return { status: answer.status, headers: told, body: await answer.json() };
}

await obey(send);
