// Takes the one component with modules out of the component `componentize-qjs` made around it.
//
//   node unwrap.mjs IN OUT
//
// The outer one gives the inner one a module loader that is only of use while it is made. Without it an instance is less work, and the
// host can take a snapshot of a script: `wasmtime-wizer` reads components whose modules are their own.
// A component is `\0asm`, a version, and sections of a byte that says what, an unsigned LEB128 length, and the content
// (component-model, Binary.md). What is wanted is the first section that is a component (4).
import { readFileSync, writeFileSync } from "node:fs";

const COMPONENT = 4;
const [from, to] = process.argv.slice(2);
const bytes = readFileSync(from);

let at = 8;
for (;;) {
  if (at >= bytes.length) throw new Error(`${from} contains no component`);
  const id = bytes[at++];
  let length = 0, shift = 0, byte;
  do {
    byte = bytes[at++];
    length += (byte & 0x7f) * 2 ** shift;
    shift += 7;
  } while (byte >= 0x80);
  if (id === COMPONENT) {
    writeFileSync(to, bytes.subarray(at, at + length));
    break;
  }
  at += length;
}
