// Points of customers, and what sagas did to them. No HTTP here.
//
// Every operation of a branch of a global transaction is recorded once, with its answer, in the same journal record
// as its effect: (tx, branch, operation) is the barrier. So
//   - a repeat gets the recorded answer, and changes nothing;
//   - an undo that comes before its forward operation records both: nothing is undone (null compensation), and the
//     forward operation, should it come late, is refused (it would dangle);
//   - a crash leaves either all of an operation or none of it.

import { Journal } from "./journal.mjs";

const UNDOES = { compensate: "forward", cancel: "try" };

export class Ledger {
  #accounts = new Map(); // id -> { balance, held }
  #operations = new Map(); // barrier key -> { outcome, result | code, detail, account, points }
  #journal;

  constructor(path) {
    this.#journal = new Journal(path, (record) => this.#apply(record));
  }

  account(id) {
    const found = this.#accounts.get(id);
    return found && { ...found };
  }

  /** Open an account, or set what is on it. */
  open(id, balance) {
    this.#commit({ accounts: { [id]: { balance, held: this.#accounts.get(id)?.held ?? 0 } }, operations: {} });
  }

  /** What was answered to an operation; `undefined` if it never came. */
  find({ tx, branch, operation }) {
    return this.#operations.get(keyOf(tx, branch, operation));
  }

  /** Perform an operation once. Returns its recorded outcome, and whether it was there before. */
  perform(branch, operation, wanted) {
    const known = this.find({ ...branch, operation });
    if (known) return { outcome: known, replayed: true };
    const operations = {};
    const accounts = {};
    const put = (name, outcome) => {
      operations[keyOf(branch.tx, branch.branch, name)] = outcome;
      return outcome;
    };
    const outcome = put(operation, this.#decide(branch, operation, wanted, accounts, put));
    // One record, one line: the effect and what proves it are on disk together, or not at all.
    this.#commit({ accounts, operations });
    return { outcome, replayed: false };
  }

  #decide(branch, operation, wanted, accounts, put) {
    if (operation === "forward" || operation === "try") return this.#take(operation, wanted, accounts);
    const tried = operation === "confirm" ? "try" : UNDOES[operation];
    const forward = this.find({ ...branch, operation: tried });
    if (operation === "confirm") {
      if (forward?.outcome !== "done") throw new ContractError("there is no reservation to confirm");
      const { balance, held } = this.#accounts.get(forward.account);
      accounts[forward.account] = { balance, held: held - forward.points };
      return { outcome: "done", result: { spent: forward.points } };
    }
    if (!forward) {
      put(tried, { outcome: "rejected", code: "Undone", detail: "it was undone before it came" });
      return { outcome: "done", result: { undone: 0 } };
    }
    if (forward.outcome !== "done") return { outcome: "done", result: { undone: 0 } };
    const { balance, held } = this.#accounts.get(forward.account);
    accounts[forward.account] = {
      balance: balance + forward.points,
      held: operation === "cancel" ? held - forward.points : held,
    };
    return { outcome: "done", result: { undone: forward.points } };
  }

  #take(operation, { account, points }, accounts) {
    const found = this.#accounts.get(account);
    if (!found) return { outcome: "rejected", code: "NoAccount", detail: `there is no account ${account}` };
    if (found.balance < points) {
      return { outcome: "rejected", code: "NotEnoughPoints", detail: `${points} wanted, ${found.balance} left` };
    }
    accounts[account] = {
      balance: found.balance - points,
      held: operation === "try" ? found.held + points : found.held,
    };
    return { outcome: "done", result: { left: found.balance - points }, account, points };
  }

  #commit(record) {
    this.#journal.append(record);
    this.#apply(record);
  }

  #apply({ accounts, operations }) {
    for (const [id, account] of Object.entries(accounts)) this.#accounts.set(id, account);
    for (const [key, outcome] of Object.entries(operations)) this.#operations.set(key, outcome);
  }
}

/** The caller asked for something that no saga would: not an outcome, and not recorded. */
export class ContractError extends Error {}

function keyOf(...parts) {
  return JSON.stringify(parts);
}
