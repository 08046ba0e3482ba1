// A disk under a traced server, as a power cut would leave it. Data of a file is sure once an fsync
// that began after its writing has ended. Names are sure by one of two rules:
//
// - journal (ext4, XFS): changes of names and sizes are logged in their order, and an fsync brings
//   the log to disk up to the last change of what it was called on;
// - strict (POSIX alone): a name is sure once its folder was fsynced.
//
// What is not sure may be there all the same, so a rebuilt folder can also hold more than that.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Call, Moment } from "./nats-trace.js";

type FileChange =
  | { readonly kind: "write"; readonly offset: number; readonly bytes: Buffer }
  | { readonly kind: "resize"; readonly size: number; readonly logged: number };

/** A file or a folder, whatever its name. */
interface Inode {
  /** Names in it now; null = a file. */
  readonly entries: Map<string, Inode> | null;
  /** As of the newest fsync of the folder. */
  entriesSynced: ReadonlyMap<string, Inode>;
  readonly changes: FileChange[];
  changesSynced: number;
  size: number;
  /** Entries of the disk's log up to its newest change of name or size. */
  logged: number;
}

interface NameChange {
  readonly folder: Inode;
  readonly name: string;
  /** null = the name goes. */
  readonly inode: Inode | null;
}

interface OpenFile {
  readonly inode: Inode;
  readonly append: boolean;
  /** Every write is an fsync too. */
  readonly sync: boolean;
  position: number;
}

/** How much more than what is sure is kept: shares of the names and of each file's changes. */
export interface Luck {
  readonly names: number;
  readonly data: number;
}

export class Disk {
  readonly #rootPath: string;
  readonly #root: Inode = newInode(true);
  readonly #open = new Map<number, OpenFile | null>();
  readonly #log: (readonly NameChange[])[] = [];
  #logSynced = 0;
  readonly #syncing = new Map<Call, () => void>();
  readonly #onSent: (bytes: Buffer) => void;

  /** `onSent` gets what the server writes to a socket. */
  constructor(rootPath: string, onSent: (bytes: Buffer) => void) {
    this.#rootPath = rootPath;
    this.#onSent = onSent;
  }

  apply({ at, call }: Moment): void {
    if (at === "begin") this.#begin(call);
    else if (call.result !== null && call.result >= 0) this.#end(call, call.result);
  }

  /** Writes the folder as it is after a power cut at this moment. */
  rebuild(target: string, rule: "journal" | "strict", luck: Luck): void {
    const sure = this.#logSynced;
    const kept = sure + Math.floor(luck.names * (this.#log.length - sure));
    const entriesOf = rule === "strict" ? (inode: Inode) => inode.entriesSynced : this.#names(kept);
    const write = (folder: Inode, to: string): void => {
      mkdirSync(to, { recursive: true, mode: 0o700 });
      for (const [name, inode] of entriesOf(folder)) {
        if (inode.entries) write(inode, path.join(to, name));
        else writeFileSync(path.join(to, name), content(inode, kept, luck), { mode: 0o600 });
      }
    };
    write(this.#root, target);
  }

  /** The names in each folder once so many entries of the log are done. */
  #names(count: number): (folder: Inode) => ReadonlyMap<string, Inode> {
    const folders = new Map<Inode, Map<string, Inode>>();
    for (const { folder, name, inode } of this.#log.slice(0, count).flat()) {
      const entries = folders.get(folder) ?? new Map<string, Inode>();
      folders.set(folder, entries);
      entries.delete(name);
      if (inode) entries.set(name, inode);
    }
    return (folder) => folders.get(folder) ?? new Map();
  }

  #begin(call: Call): void {
    const descriptor = Number.parseInt(call.args, 10);
    const file = this.#open.get(descriptor);
    switch (call.name) {
      case "close":
        this.#open.delete(descriptor); // another thread may get the number before this call ends
        return;
      case "fsync":
      case "fdatasync":
        if (file) this.#syncing.set(call, this.#syncOf(file.inode));
        return;
      case "write":
      case "writev":
        if (file === undefined) this.#onSent(Buffer.concat(call.bytes));
        return;
    }
  }

  #end(call: Call, result: number): void {
    switch (call.name) {
      case "close":
        return;
      case "fsync":
      case "fdatasync":
        this.#syncing.get(call)?.();
        this.#syncing.delete(call);
        return;
      case "openat":
        this.#open.set(result, this.#opened(call));
        return;
      case "mkdir":
      case "mkdirat":
        this.#create(this.#place(call, 0), true);
        return;
      case "unlink":
      case "rmdir":
      case "unlinkat":
        this.#remove(this.#place(call, 0));
        return;
      case "rename":
      case "renameat":
      case "renameat2":
        this.#rename(this.#place(call, 0), this.#place(call, 1));
        return;
      default:
        this.#endOnFile(call, result);
    }
  }

  #endOnFile(call: Call, result: number): void {
    const file = this.#open.get(Number.parseInt(call.args, 10));
    if (!file) return; // a socket, or a file elsewhere
    const { inode } = file;
    const [, last = ""] = /, (\d+)$/.exec(call.args) ?? [];
    switch (call.name) {
      case "lseek":
        file.position = result;
        return;
      case "ftruncate":
        this.#resize(inode, Number(last));
        break;
      case "write":
      case "writev":
        if (file.append) file.position = inode.size;
        this.#write(inode, file.position, Buffer.concat(call.bytes).subarray(0, result));
        file.position += result;
        break;
      case "pwrite64":
        this.#write(inode, Number(last), Buffer.concat(call.bytes).subarray(0, result));
        break;
      default:
        throw new Error(`this disk does not know ${call.name}(${call.args})`);
    }
    if (file.sync) this.#syncOf(inode)();
  }

  /** What is sure once an fsync that begins now has ended. */
  #syncOf(inode: Inode): () => void {
    const changes = inode.changes.length;
    const entries = new Map(inode.entries ?? []);
    const { logged } = inode;
    return () => {
      inode.changesSynced = Math.max(inode.changesSynced, changes);
      inode.entriesSynced = entries;
      this.#logSynced = Math.max(this.#logSynced, logged);
    };
  }

  #opened(call: Call): OpenFile | null {
    const place = this.#place(call, 0);
    if (place === null) return null;
    const has = (flag: string) => call.args.includes(flag);
    if (!place.inode && !has("O_CREAT")) {
      if (place.folder === this.#root) return null; // it was there before the server
      throw new Error(`${place.name} is opened and was never made`);
    }
    const inode = place.inode ?? this.#create(place, false);
    if (has("O_TRUNC") && inode.size > 0) this.#resize(inode, 0);
    const sync = has("O_SYNC") || has("O_DSYNC");
    return { inode, append: has("O_APPEND"), sync, position: 0 };
  }

  #create(place: Place | null, isFolder: boolean): Inode {
    const inode = newInode(isFolder);
    if (place) this.#record([{ ...place, inode }]);
    return inode;
  }

  #remove(place: Place | null): void {
    if (place?.inode) this.#record([{ ...place, inode: null }], [place.inode]);
  }

  #rename(from: Place | null, to: Place | null): void {
    if (!from?.inode || !to) return;
    this.#record([
      { ...from, inode: null },
      { ...to, inode: from.inode },
    ]);
  }

  /** One entry of the disk's log: all of it is done, or nothing. */
  #record(changes: readonly NameChange[], others: readonly Inode[] = []): void {
    this.#log.push(changes);
    for (const { folder, name, inode } of changes) {
      if (inode) folder.entries?.set(name, inode);
      else folder.entries?.delete(name);
      for (const changed of [folder, inode, ...others]) if (changed) this.#touch(changed);
    }
  }

  #touch(inode: Inode): void {
    inode.logged = this.#log.length;
  }

  #write(inode: Inode, offset: number, bytes: Buffer): void {
    inode.changes.push({ kind: "write", offset, bytes });
    if (offset + bytes.length <= inode.size) return;
    inode.size = offset + bytes.length;
    this.#log.push([]);
    this.#touch(inode);
  }

  #resize(inode: Inode, size: number): void {
    this.#log.push([]);
    this.#touch(inode);
    inode.changes.push({ kind: "resize", size, logged: inode.logged });
    inode.size = size;
  }

  /** Where the call's nth name lies; null when that is outside of the folder. */
  #place(call: Call, nth: number): Place | null {
    const name = call.bytes[nth]?.toString() ?? "";
    const relative = path.isAbsolute(name) ? path.relative(this.#rootPath, name) : name;
    if (relative.startsWith("..")) return null;
    const start = path.isAbsolute(name) ? this.#root : this.#startOf(call, nth);
    if (start === null) return null;
    let folder = start;
    const parts = relative.split("/").filter((part) => part !== "");
    const last = parts.pop();
    if (last === undefined) return { folder, name: "", inode: folder };
    for (const part of parts) {
      const next = folder.entries?.get(part);
      if (!next) throw new Error(`${call.name} in a folder that is not there: ${name}`);
      folder = next;
    }
    return { folder, name: last, inode: folder.entries?.get(last) ?? null };
  }

  /** The folder that a relative name begins from. */
  #startOf(call: Call, nth: number): Inode | null {
    const descriptors = call.args.match(/AT_FDCWD|(?<=^|, )\d+(?=, "")/g) ?? [];
    return this.#open.get(Number(descriptors[nth]))?.inode ?? null;
  }
}

interface Place {
  readonly folder: Inode;
  readonly name: string;
  readonly inode: Inode | null;
}

function newInode(isFolder: boolean): Inode {
  return {
    entries: isFolder ? new Map() : null,
    entriesSynced: new Map(),
    changes: [],
    changesSynced: 0,
    size: 0,
    logged: 0,
  };
}

/** What a file holds: the changes that are sure, a truncation that was logged, and luck. */
function content(inode: Inode, logKept: number, luck: Luck): Buffer {
  const { changes, changesSynced } = inode;
  const lucky = changesSynced + Math.floor(luck.data * (changes.length - changesSynced));
  const ends = changes.map((it) => (it.kind === "write" ? it.offset + it.bytes.length : it.size));
  const bytes = Buffer.alloc(Math.max(0, ...ends));
  let size = 0;
  for (const [index, change] of changes.entries()) {
    if (change.kind === "resize") {
      if (index >= lucky && change.logged > logKept) continue;
      bytes.fill(0, change.size); // what is cut off does not come back when the file grows again
      size = change.size;
    } else if (index < lucky) {
      change.bytes.copy(bytes, change.offset);
      size = Math.max(size, change.offset + change.bytes.length);
    }
  }
  return bytes.subarray(0, size);
}
