// An append-only journal: one JSON record a line, on disk before anybody is told. What was read back is the state.

import { closeSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { dirname } from "node:path";

export class Journal {
  #file;

  /** Open a journal, and give `apply` every record that is whole. A torn last line, left by a crash, is cut off. */
  constructor(path, apply) {
    this.#file = openSync(path, "a+");
    syncDirectory(dirname(path));
    const bytes = readFileSync(this.#file);
    let whole = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, whole)) {
      apply(JSON.parse(bytes.subarray(whole, end).toString("utf8")));
      whole = end + 1;
    }
    if (whole < bytes.length) ftruncateSync(this.#file, whole);
    fsyncSync(this.#file);
  }

  /** Append a record. When this returns, the record survives a crash. */
  append(record) {
    const line = Buffer.from(`${JSON.stringify(record)}\n`);
    for (let written = 0; written < line.length; ) written += writeSync(this.#file, line, written);
    fsyncSync(this.#file);
  }

  close() {
    closeSync(this.#file);
  }
}

/** A file's name is durable only once its directory is. */
function syncDirectory(path) {
  const directory = openSync(path, "r");
  fsyncSync(directory);
  closeSync(directory);
}
