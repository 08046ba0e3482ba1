// Repairs what programs do to text on its way: mojibake, stray entities, ligatures, full-width
// forms, curled quotes, odd line breaks, control characters. The behaviour is that of ftfy 6.3.1's
// fix_text with its defaults, which cleaned the captions the text encoders were trained on;
// engine/testdata/text-repair.json holds it to that. Code of our own, after its documentation.
import { namedCharacter, unescapeHtml } from "./prompt-entities.js";
import { windows1252Controls } from "./text-repair-charmaps.js";
import { repairEncoding } from "./text-repair-encoding.js";

/** Lines are repaired on their own, since one may be damaged and the next not. */
export function repairText(text: string): string {
  let unescaping = true;
  return text.replace(/[^\n]*\n|[^\n]+$/gu, (line) => {
    // A "<" says that the text is HTML from here on, whose entities are meant.
    unescaping &&= !line.includes("<");
    return repairLine(line, unescaping);
  });
}

function repairLine(line: string, unescaping: boolean): string {
  let text = line;
  for (;;) {
    const before = text;
    if (unescaping) text = unescapeStrictly(text);
    text = tidyCharacters(repairEncoding(text)).normalize("NFC");
    if (text === before) return text;
  }
}

function tidyCharacters(text: string): string {
  return text
    .replace(/[\x80-\x9f]/g, (control) => windows1252Controls[control.charCodeAt(0) - 0x80] ?? "")
    .replace(ligature, (character) => ligatures.get(character) ?? character)
    .replace(/[\u3000\uff01-\uffef]/g, (wide) => wide.normalize("NFKC"))
    .replace(/[\u201c-\u201f]/g, '"')
    .replace(/[\u02bc\u2018-\u201b]/g, "'")
    .replace(/\r\n|[\r\u2028\u2029\x85]/g, "\n")
    .replace(/\p{Surrogate}/gu, "\ufffd")
    .replace(terminalEscape, "")
    .replace(uselessControl, "");
}

// Typographic ligatures of Latin letters, and digraphs that exist for the sake of old encodings.
const ligatures: ReadonlyMap<string, string> = new Map(
  (
    "Ĳ=IJ ĳ=ij ŉ=ʼn Ǳ=DZ ǲ=Dz ǳ=dz Ǆ=DŽ ǅ=Dž ǆ=dž Ǉ=LJ ǈ=Lj ǉ=lj Ǌ=NJ ǋ=Nj ǌ=nj " +
    "ﬀ=ff ﬁ=fi ﬂ=fl ﬃ=ffi ﬄ=ffl ﬅ=ſt ﬆ=st"
  )
    .split(" ")
    .map((pair): [string, string] => [pair.slice(0, 1), pair.slice(2)]),
);
const ligature = new RegExp(`[${[...ligatures.keys()].join("")}]`, "gu");

// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is meant.
const terminalEscape = /\x1b\[(?:\p{Nd}|;)*[a-zA-Z]/gu;
const uselessControl =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are the subject.
  /[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g;

/**
 * Only references that end in a semicolon; also names in capitals, as databases make them
 * ("&EACUTE;" is "É").
 */
function unescapeStrictly(text: string): string {
  return text.replace(/&#?[0-9A-Za-z]{1,24};/g, (reference) => {
    if (reference.startsWith("&#")) {
      const unescaped = unescapeHtml(reference);
      return unescaped.includes(";") ? reference : unescaped;
    }
    const name = reference.slice(1, -1);
    return namedCharacter(name) ?? capitalisedCharacter(name) ?? reference;
  });
}

function capitalisedCharacter(name: string): string | null {
  if (name !== name.toUpperCase() || unescapeHtml(`&${name};`) !== `&${name};`) return null;
  return namedCharacter(name.toLowerCase())?.toUpperCase() ?? null;
}
