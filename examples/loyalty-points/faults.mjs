// Misbehaviour on demand, for tests: only with POINTS_FAULTS=1 in the environment, and only from this machine.

export class Faults {
  #planned = [];
  #held = [];

  /** Plan `{ do, on, times, ms, status, after }`: `on` is "METHOD /path", without which every operation is meant. */
  plan(fault) {
    this.#planned.push({ times: 1, ...fault });
  }

  clear() {
    this.#planned = [];
    for (const release of this.#held.splice(0)) release();
  }

  get holding() {
    return this.#held.length;
  }

  /** The first planned fault that fits; one of its times is used up. */
  take(on, stage) {
    const fault = this.#planned.find((each) => each.times > 0 && (each.on ?? on) === on && stageOf(each) === stage);
    if (fault) fault.times -= 1;
    return fault;
  }

  /** Wait until somebody clears the faults. */
  hold() {
    return new Promise((release) => this.#held.push(release));
  }
}

/** Whether it strikes before the operation is performed, or after. */
function stageOf(fault) {
  return fault.stage ?? (fault.do === "status" ? "before" : "after");
}
