// axios on Node, found in the folder that this runs in.
import { createRequire } from "node:module";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { bodyOf, obey, partsOf } from "./commands.mjs";

const axios = createRequire(`${process.cwd()}/`)("axios");

function dataOf(command) {
  if (command.event) return command.event;
  if (command.chunked) return Readable.from(partsOf(command));
  return command.gzip ? gzipSync(bodyOf(command)) : bodyOf(command);
}

// It takes away the header of what it has unpacked.
function cameAs(answer) {
  const raw = answer.request.res.rawHeaders;
  const at = raw.findIndex((word) => word.toLowerCase() === "content-encoding");
  return at < 0 ? {} : { "content-encoding": raw[at + 1] };
}

async function send(command) {
  const headers = { ...command.headers };
  if (command.gzip) headers["Content-Encoding"] = "gzip";
  if (command.expect) headers.Expect = "100-continue";
  const answer = await axios.request({
    method: command.method,
    url: command.url,
    params: command.query,
    headers,
    data: command.method === "GET" ? undefined : dataOf(command),
    validateStatus: () => true,
    timeout: 60_000,
  });
  const told = { ...answer.headers, ...cameAs(answer) };
  return { status: answer.status, headers: told, body: answer.data };
}

await obey(send);
