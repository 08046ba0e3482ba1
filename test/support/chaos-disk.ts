// A small disk of its own: memory that is mounted for one test, which can be filled to the last
// byte and emptied again. Mounting takes root.
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { TestContext } from "node:test";

const chunk = Buffer.alloc(4096, "x");

export class SmallDisk {
  readonly folder: string;

  /** A disk that is gone after the test; null, and the test skipped, where none can be mounted. */
  static of(t: TestContext, mebibytes: number): SmallDisk | null {
    const folder = mkdtempSync(path.join(tmpdir(), "tocafarm-disk-"));
    t.after(() => {
      // What still has files open there is ended by another hook.
      spawnSync("umount", ["--lazy", folder]);
      rmSync(folder, { recursive: true, force: true });
    });
    const mounted = spawnSync("mount", [
      "-t",
      "tmpfs",
      "-o",
      `size=${mebibytes}m`,
      "tmpfs",
      folder,
    ]);
    if (mounted.status === 0) return new SmallDisk(folder);
    t.skip("a small disk cannot be mounted: it takes root");
    return null;
  }

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Takes all the space that is left. */
  fill(): void {
    const file = openSync(this.#filler, "a");
    try {
      for (;;) writeSync(file, chunk);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
    } finally {
      closeSync(file);
    }
  }

  /** Gives it back. */
  empty(): void {
    rmSync(this.#filler, { force: true });
  }

  get #filler(): string {
    return path.join(this.folder, "filler");
  }
}
