// Undoes mojibake: text that was UTF-8, was read in a single-byte encoding, and is now letters like
// "Ã©". Text that looks damaged is turned back into bytes in each encoding that could have done it;
// if these are UTF-8, that is what was meant.
import {
  type Charmap,
  charmaps,
  encodeWith,
  latinLikeCharmaps,
  windows1252Controls,
} from "./text-repair-charmaps.js";
import { looksDamaged } from "./text-repair-mojibake.js";

/** The text with its mojibake undone, as often as that takes. */
export function repairEncoding(text: string): string {
  let current = text;
  for (;;) {
    const next = repairOnce(current);
    if (next === current) return current;
    current = next;
  }
}

function repairOnce(text: string): string {
  if (!looksDamaged(text)) return text;
  return (
    asMisreadUtf8(text) ??
    withMisreadParts(text) ??
    asMisreadWindows1252(text) ??
    text.replace(
      /[\x80-\x9f]/g,
      (control) => windows1252Controls[control.charCodeAt(0) - 0x80] ?? "",
    )
  );
}

/** The first encoding in which the whole text is the bytes of UTF-8; null when there is none. */
function asMisreadUtf8(text: string): string | null {
  for (const map of charmaps) {
    const bytes = encodeWith(map, text);
    if (bytes === null) continue;
    const decoded = decodeUtf8(restoreLostBytes(map, bytes));
    if (decoded !== null) return decoded;
  }
  return null;
}

// A byte A0 that some program replaced by a space: between a lead byte and a continuation where the
// result is a likely character.
const a0AsSpace = new RegExp(
  [
    "[\\xc2\\xc3\\xc5\\xce\\xd0\\xd9] ",
    "[\\xe2\\xe3] [\\x80-\\x84\\x86-\\x9f\\xa1-\\xbf]",
    "[\\xe0-\\xe3][\\x80-\\x84\\x86-\\x9f\\xa1-\\xbf] ",
    "\\xf0 [\\x80-\\xbf][\\x80-\\xbf]",
    "\\xf0[\\x80-\\xbf] [\\x80-\\xbf]",
    "\\xf0[\\x80-\\xbf][\\x80-\\xbf] ",
  ].join("|"),
  "g",
);
// "Ã " as a word is an "à" whose no-break space fell together with the space after it; but not
// before "às" and "àquele".
const loneAGrave = /\xc3 (?! |quele|quela|quilo|s )/g;

// A sequence of UTF-8 (or CESU-8) in which at least one byte was lost: 1A stands for U+FFFD, and
// "?" may, once in a sequence.
const lossySequence = new RegExp(
  [
    "[\\xc2-\\xdf]\\x1a",
    "[\\xc2\\xc3]\\?",
    "\\xed[\\xa0-\\xaf][\\x1a?]\\xed[\\xb0-\\xbf][\\x1a?\\x80-\\xbf]",
    "\\xed[\\xa0-\\xaf][\\x1a?\\x80-\\xbf]\\xed[\\xb0-\\xbf][\\x1a?]",
    "[\\xe0-\\xef][\\x1a?][\\x1a\\x80-\\xbf]",
    "[\\xe0-\\xef][\\x1a\\x80-\\xbf][\\x1a?]",
    "[\\xf0-\\xf4][\\x1a?][\\x1a\\x80-\\xbf]{2}",
    "[\\xf0-\\xf4][\\x1a\\x80-\\xbf][\\x1a?][\\x1a\\x80-\\xbf]",
    "[\\xf0-\\xf4][\\x1a\\x80-\\xbf]{2}[\\x1a?]",
    "\\x1a",
  ].join("|"),
  "g",
);
const replacementInUtf8 = "\xef\xbf\xbd";

function restoreLostBytes(map: Charmap, bytes: string): string {
  let restored = bytes;
  // In MacRoman the same bytes are an en dash before a space.
  if (map.name !== "macroman" && restored.search(a0AsSpace) >= 0) {
    restored = restored
      .replace(loneAGrave, "\xc3\xa0 ")
      .replace(a0AsSpace, (sequence) => sequence.replaceAll(" ", "\xa0"));
  }
  return map.sloppy ? restored.replace(lossySequence, replacementInUtf8) : restored;
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// UTF-8, and where its tell-tale bytes are found also its variants: surrogate pairs encoded one by
// one (CESU-8), zero as two bytes (Java).
function decodeUtf8(bytes: string): string | null {
  const variant = /(\xc0\x80|\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf])/g;
  try {
    return bytes
      .split(variant)
      .map((part, index) =>
        index % 2 === 1 ? decodeVariant(part) : strictUtf8.decode(Buffer.from(part, "latin1")),
      )
      .join("");
  } catch {
    return null; // not UTF-8 in this encoding: the next one is tried
  }
}

function decodeVariant(bytes: string): string {
  if (bytes.length === 2) return "\0";
  const low = (index: number) => bytes.charCodeAt(index) & 0x3f;
  const high = (low(1) & 0x0f) << 6;
  return String.fromCharCode(0xd800 | high | low(2), 0xdc00 | ((low(4) & 0x0f) << 6) | low(5));
}

function charactersOf(first: number, last: number): string {
  const found = latinLikeCharmaps.flatMap((map) => map.characters.slice(first, last + 1));
  return [...new Set(found)].join("").replace(/[\]\\^-]/g, "\\$&");
}
const continuation = `[${charactersOf(0x80, 0xbf)} ]`;
// Punctuation that may stand beside a sequence in its own right is not taken for the end of an
// earlier one.
const strictContinuation = `[${charactersOf(0x80, 0xbf).replace(/[–—―‘’‚“”„•…]/g, "")}]`;
const misreadSequences = new RegExp(
  `(?<!${strictContinuation})(?:[${charactersOf(0xc2, 0xdf)}]${continuation}` +
    `|[${charactersOf(0xe0, 0xef)}]${continuation}{2}` +
    `|[${charactersOf(0xf0, 0xf0)}${charactersOf(0xf3, 0xf3)}]${continuation}{3})+`,
  "gu",
);

/** Text in which only parts were misread; null when no part can be repaired on its own. */
function withMisreadParts(text: string): string | null {
  const repaired = text.replace(misreadSequences, (part) =>
    part.length < text.length && looksDamaged(part) ? repairEncoding(part) : part,
  );
  return repaired === text ? null : repaired;
}

/**
 * Latin-1 with control characters where Windows-1252 has letters; null when it is something else.
 */
function asMisreadWindows1252(text: string): string | null {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the whole of Latin-1 is meant.
  if (!/^[\x00-\xff]*$/.test(text) || /[\x81\x8d\x8f\x90\x9d]/.test(text)) return null;
  const decoded = text.replace(
    /[\x80-\x9f]/g,
    (c) => windows1252Controls[c.charCodeAt(0) - 0x80] ?? c,
  );
  return decoded === text ? null : decoded;
}
