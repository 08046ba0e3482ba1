// Character references in text, by the rules of Python's `html.unescape`: names with or without a
// semicolon, the longest known name at the start of an unknown one, and the numbers that HTML maps
// elsewhere. The table of names is the standard's, from `entities`.
import { decodeHTML, decodeHTMLStrict } from "entities";
import { windows1252Controls } from "./text-repair-charmaps.js";

/** The characters of a named reference such as "eacute", or null when HTML knows no such name. */
export function namedCharacter(name: string): string | null {
  const reference = `&${name};`;
  const decoded = decodeHTMLStrict(reference);
  return decoded === reference ? null : decoded;
}

/** The character of a numeric reference; "" when HTML makes nothing of it. */
function numberedCharacter(code: number): string {
  if (code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return "\ufffd";
  if (code >= 0x80 && code <= 0x9f) return windows1252Controls[code - 0x80] ?? "";
  return isUnusable(code) ? "" : String.fromCodePoint(code);
}

// Control characters that are no white space, and the code points that Unicode promises never to
// use.
function isUnusable(code: number): boolean {
  if (code < 0x20) return !(code === 9 || code === 10 || code === 12 || code === 13);
  return code === 0x7f || (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) === 0xfffe;
}

const reference = /&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)/gu;

/** Every character reference replaced; text that is none stays. */
export function unescapeHtml(text: string): string {
  return text.replace(reference, (whole, body: string) => {
    if (!body.startsWith("#")) return decodeHTML(whole);
    const digits = body.slice(1).replace(";", "");
    return numberedCharacter(/^[xX]/.test(digits) ? Number(`0${digits}`) : Number(digits));
  });
}
