import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";

import { Journal, JournalBroken } from "../journal.mjs";

let folder;
let path;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "points-"));
  path = join(folder, "journal");
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Open the journal, and give what it has. */
function open() {
  const found = [];
  return { journal: new Journal(path, (record) => found.push(record)), found };
}

test("what was appended is there again, in order", () => {
  const { journal, found } = open();
  assert.deepEqual(found, []);
  for (const record of [{ a: 1 }, { text: "line\nbreak" }, { text: "点数" }]) journal.append(record);
  journal.close();
  assert.deepEqual(open().found, [{ a: 1 }, { text: "line\nbreak" }, { text: "点数" }]);
});

const torn = { "in a name": '{"a"', "before its end of line": '{"a":2}', "in a character": Buffer.from([0x22, 0xe7, 0x82]) };
for (const [where, bytes] of Object.entries(torn)) {
  test(`a last line that was torn ${where} is cut off, and the next record stands alone`, () => {
    const { journal } = open();
    journal.append({ a: 1 });
    journal.close();
    const whole = statSync(path).size;
    appendFileSync(path, bytes);

    const { journal: again, found } = open();
    assert.deepEqual(found, [{ a: 1 }]);
    assert.equal(statSync(path).size, whole);
    again.append({ a: 3 });
    again.close();
    assert.deepEqual(open().found, [{ a: 1 }, { a: 3 }]);
  });
}

test("a line in the middle that is no record is not passed over in silence", () => {
  appendFileSync(path, '{"a":1}\nnonsense\n{"a":2}\n');
  assert.throws(open, SyntaxError);
});

test("once an append has failed nothing is written behind it", () => {
  const { journal } = open();
  journal.append({ a: 1 });
  journal.close(); // An append to a closed file fails, as one to a full disk does.
  assert.throws(() => journal.append({ a: 2 }), JournalBroken);
  assert.throws(() => journal.append({ a: 3 }), JournalBroken);
  assert.equal(readFileSync(path, "utf8"), '{"a":1}\n');
});
