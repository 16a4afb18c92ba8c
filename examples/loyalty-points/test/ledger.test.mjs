import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";

import { ContractError, Ledger } from "../ledger.mjs";

const WANTED = { account: "mei", points: 10 };
let folder;
let ledger;
let count = 0;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "points-"));
  ledger = read();
  ledger.open("mei", 100);
});
afterEach(() => rmSync(folder, { recursive: true }));

/** The ledger as its journal has it: what a process that was killed finds when it starts again. */
function read() {
  return new Ledger(join(folder, "journal"));
}

const branch = () => ({ tx: `tx-${(count += 1)}`, branch: "debit" });

function perform(of, operation, wanted = WANTED) {
  return ledger.perform(of, operation, wanted).outcome;
}

for (const [forward, undo] of [
  ["forward", "compensate"],
  ["try", "cancel"],
]) {
  describe(`${forward} and ${undo}`, () => {
    test("take points, and give them back, once each", () => {
      const one = branch();
      const first = ledger.perform(one, forward, WANTED);
      assert.deepEqual([first.outcome.outcome, first.replayed], ["done", false]);
      assert.deepEqual(ledger.perform(one, forward, WANTED), { ...first, replayed: true });
      assert.equal(ledger.account("mei").balance, 90);
      assert.equal(perform(one, undo).result.undone, 10);
      assert.equal(perform(one, undo).result.undone, 10);
      assert.deepEqual(ledger.account("mei"), { balance: 100, held: 0 });
    });

    test("an undo that comes first undoes nothing, and refuses what comes late", () => {
      const one = branch();
      assert.deepEqual(perform(one, undo), { outcome: "done", result: { undone: 0 } });
      assert.equal(perform(one, forward).code, "Undone");
      assert.equal(ledger.account("mei").balance, 100);
    });

    test("a refusal is final, and there is nothing to give back", () => {
      const one = branch();
      assert.equal(perform(one, forward, { account: "mei", points: 101 }).code, "NotEnoughPoints");
      ledger.open("mei", 1000);
      assert.equal(perform(one, forward, { account: "mei", points: 101 }).code, "NotEnoughPoints");
      assert.equal(perform(one, undo).result.undone, 0);
      assert.equal(ledger.account("mei").balance, 1000);
    });

    test("branches of one transaction do not know each other", () => {
      const one = branch();
      const other = { ...one, branch: "another" };
      perform(one, forward);
      perform(other, forward);
      perform(one, undo);
      assert.equal(ledger.account("mei").balance, 90);
      assert.equal(ledger.find({ ...other, operation: forward }).outcome, "done");
    });
  });
}

test("a confirm spends what is held, once; with nothing held it is refused, and that is not recorded", () => {
  const one = branch();
  perform(one, "try");
  assert.deepEqual(ledger.account("mei"), { balance: 90, held: 10 });
  perform(one, "confirm");
  perform(one, "confirm");
  assert.deepEqual(ledger.account("mei"), { balance: 90, held: 0 });
  const none = branch();
  assert.throws(() => perform(none, "confirm"), ContractError);
  assert.equal(ledger.find({ ...none, operation: "confirm" }), undefined);
});

for (const id of ["__proto__", "constructor", "toString", ""]) {
  test(`an account may be called ${JSON.stringify(id)}`, () => {
    ledger.open(id, 5);
    assert.equal(perform(branch(), "forward", { account: id, points: 5 }).outcome, "done");
    assert.deepEqual(ledger.account(id), { balance: 0, held: 0 });
    assert.deepEqual(read().account(id), { balance: 0, held: 0 });
  });
}

test("parts of a barrier's key do not run into each other", () => {
  perform({ tx: "a", branch: "b:forward" }, "forward");
  assert.equal(ledger.find({ tx: "a:b", branch: "forward", operation: "forward" }), undefined);
  assert.equal(ledger.find({ tx: "a", branch: "b", operation: "forward:forward" }), undefined);
});

test("whatever comes in whatever order, with crashes in between, points are taken or not, and none are lost", () => {
  let seed = 7;
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below; // The same story each time.
  for (let round = 0; round < 100; round += 1) {
    const before = ledger.account("mei").balance;
    const one = branch();
    const asked = Array.from({ length: 1 + random(5) }, () => ["forward", "compensate", "crash"][random(3)]);
    for (const what of asked) {
      if (what === "crash") ledger = read();
      else perform(one, what);
    }
    const taken = asked.includes("forward") && !asked.includes("compensate");
    const after = ledger.account("mei").balance;
    assert.equal(before - after, taken && before >= 10 ? 10 : 0, asked.join());
  }
});
