// Cleans a prompt as the captions were cleaned that the text encoder learnt from (DeepFloyd's
// rules, used by PixArt and Open-Sora). What looks odd here, such as dropping file names or Chinese
// characters, is what the model has seen; test/golden/prompt-cleaning holds it.
import { pythonPattern, spaces, strip, wordCharacters } from "./prompt-classes.js";
import { unescapeHtml } from "./prompt-entities.js";
import { markupToText } from "./prompt-markup.js";
import { repairText } from "./text-repair.js";

/** One pass. Training applied it twice, and the second pass can change the result of the first. */
export function cleanOnce(prompt: string): string {
  let text = strip(decodeUrl(prompt)).toLowerCase();
  text = markupToText(apply(addresses, text));
  text = withoutSeparators(apply(beforeRepair, text));
  text = strip(unescapeHtml(unescapeHtml(repairText(text))));
  return strip(apply(afterRepair, text));
}

/** Percent escapes as UTF-8, "+" as a space; bytes that are no UTF-8 become U+FFFD. */
function decodeUrl(text: string): string {
  return text
    .replaceAll("+", " ")
    .replace(/(?:%[0-9a-fA-F]{2})+/g, (escapes) =>
      utf8.decode(Buffer.from(escapes.replaceAll("%", ""), "hex")),
    );
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Names written-like-this-one-here, with more than three hyphens or underscores in all, are taken
 * apart.
 */
function withoutSeparators(text: string): string {
  const separators = text.match(/[-_]/g)?.length ?? 0;
  return separators > 3 ? text.replace(/[-_]/g, " ") : text;
}

type Rule = readonly [pattern: RegExp, replacement: string];

function apply(rules: readonly Rule[], text: string): string {
  return rules.reduce(
    (current, [pattern, replacement]) => current.replace(pattern, replacement),
    text,
  );
}

const all = pythonPattern("g");
const once = pythonPattern("");

// A bare host name, with its path; not the left part of something that goes on with "@".
const boundary = all`\b`.source;
const domain = "(?:com|co|ru|net|org|edu|gov|it)";
const host = `[a-zA-Z0-9.\\-]+[.]${domain}[${wordCharacters}/\\-]*${boundary}/?(?!@)`;
const address = (scheme: string) =>
  new RegExp(`${boundary}(?:${scheme}:(?:/{1,3}|[a-zA-Z0-9%])|${host})`, "gu");

const addresses: readonly Rule[] = [
  [/<person>/g, "person"],
  [address("https?"), ""],
  [address("www"), ""],
];

const dashes =
  "\\u002d\\u058a\\u05be\\u1400\\u1806\\u2010-\\u2015\\u2e17\\u2e1a\\u2e3a\\u2e3b\\u2e40" +
  "\\u301c\\u3030\\u30a0\\ufe31\\ufe32\\ufe58\\ufe63\\uff0d";
const fileName = new RegExp(`[^${spaces}]+\\.(?:png|jpg|jpeg|bmp|webp|eps|pdf|apk|mp4)`, "gu");

const beforeRepair: readonly Rule[] = [
  [all`@\w+\b`, ""],
  // Strokes, phonetic extensions, enclosed and compatibility forms, ideographs: one stretch of code
  // points.
  [/[\u31c0-\u9fff]/g, ""],
  [new RegExp(`[${dashes}]+`, "g"), "-"],
  [/[`´«»“”¨]/g, '"'],
  [/[‘’]/g, "'"],
  [/&quot;?/g, ""],
  [/&amp/g, ""],
  [all`\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}`, " "],
  [once`\d:\d\d\s+$`, ""],
  [/\\n/g, " "],
  [all`#\d{1,3}\b`, ""],
  [all`#\d{5,}\b`, ""],
  [all`\b\d{6,}\b`, ""],
  [fileName, ""],
  [/["']{2,}/g, '"'],
  [/\.{2,}/g, " "],
  [/[#®•©™&@·º½¾¿¡§~)(\][}{|\\/*]+/g, " "],
  [all`\s+\.\s+`, " "],
];

const afterRepair: readonly Rule[] = [
  // Article numbers: abc1234, ab12cd, 12ab34.
  [all`\b[a-zA-Z]{1,3}\d{3,15}\b`, ""],
  [all`\b[a-zA-Z]+\d+[a-zA-Z]+\b`, ""],
  [all`\b\d+[a-zA-Z]+\d+\b`, ""],
  // Words of shops and stock archives.
  [all`(?:worldwide\s+)?(?:free\s+)?shipping`, ""],
  [all`(?:free\s)?download(?:\sfree)?`, ""],
  [all`\bclick\b\s(?:for|on)\s\w+`, ""],
  [all`\b(?:png|jpg|jpeg|bmp|webp|eps|pdf|apk|mp4)(?:\simages?)?`, ""],
  [all`\bpage\s+\d+\b`, ""],
  [all`\b\d*[a-zA-Z]+\d+[a-zA-Z]+\d+[a-zA-Z\p{Nd}]*\b`, " "],
  // Sizes, with a Latin or Cyrillic x or a multiplication sign.
  [all`\b\d+\.?\d*[xх×]\d+\.?\d*\b`, ""],
  [all`\b\s+:\s+`, ": "],
  // After a digit the dot stays as it is: "6.5" is a number.
  [all`(\D[,./])\b`, "$1 "],
  [all`\s+`, " "],
  [/^["']([\s\S]+)["']$/, "$1"],
  [/^['_,\-:;]/, ""],
  [/['_,\-:+]$/, ""],
  [once`^\.\S+$`, ""],
];
