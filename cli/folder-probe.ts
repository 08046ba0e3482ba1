// Files with a version, for the test of a shared folder: each text says which it is and whether it
// is all there.

/** Larger than a page and than what a network file system moves at once. */
const linesOfText = 8_192;

/** The text of one version: 64 KiB of it, again and again. */
export function versionText(version: number): string {
  return `${String(version).padStart(7, "0")}\n`.repeat(linesOfText);
}

/** Whether it is all of one version's text. */
export function isWhole(text: string): boolean {
  return text === versionText(versionOf(text));
}

export function versionOf(text: string): number {
  return Number.parseInt(text, 10);
}

/** "ESTALE: stale file handle, read": the system's name first. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
