// Reads commands, and tells of answers, as commands.py says: a line of JSON each.
import { createInterface } from "node:readline";

const PART_BYTES = 64 * 1024;

export function bodyOf(command) {
  return Buffer.from(command.text || " ".repeat(command.blanks || 0));
}

export function* partsOf(command) {
  const body = bodyOf(command);
  for (let start = 0; start < body.length; start += PART_BYTES) {
    yield body.subarray(start, start + PART_BYTES);
  }
}

function reasonOf(error) {
  const cause = error.cause ? `: ${error.cause.message}` : "";
  return `${error.name}: ${error.message}${cause}`;
}

export async function obey(send) {
  for await (const line of createInterface({ input: process.stdin })) {
    const told = await send(JSON.parse(line)).catch((error) => ({ error: reasonOf(error) }));
    process.stdout.write(`${JSON.stringify(told)}\n`);
  }
}
