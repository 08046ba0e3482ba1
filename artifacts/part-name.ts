// Names of what is not an artifact yet: hidden, so that no key can name it, and with a random part,
// so that no two writers share it.
import { randomBytes } from "node:crypto";

export function partName(name: string): string {
  return `.${name}.${randomBytes(6).toString("hex")}.part`;
}

export function isPartName(name: string): boolean {
  return /^\..*\.[0-9a-f]{12}\.part$/.test(name);
}
