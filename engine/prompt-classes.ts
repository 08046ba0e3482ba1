// Character classes as Python's `re` and `str` see them. The text encoder was trained on captions
// cleaned by a Python program, so a word character, a digit, white space and a word boundary must
// be Python's: JavaScript's own \w, \d and \b know only ASCII, and its \s and trim() hold U+FEFF
// but not U+001C to U+001F and U+0085.

/** For use inside brackets: white space (29 characters). */
export const spaces =
  "\\t-\\r\\x1c-\\x1f \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
/** For use inside brackets: letters, numbers and the underscore; combining marks are none. */
export const wordCharacters = "\\p{L}\\p{N}_";

const space = `[${spaces}]`;
const word = `[${wordCharacters}]`;
const boundary = `(?:(?<=${word})(?!${word})|(?<!${word})(?=${word}))`;

const classes: Readonly<Record<string, string>> = {
  s: space,
  S: `[^${spaces}]`,
  w: word,
  d: "\\p{Nd}",
  D: "\\P{Nd}",
  b: boundary,
};

/**
 * A regular expression over code points in which \s \S \w \d \D \b, outside brackets, mean what
 * they mean in Python. The template is taken raw: no escape is doubled.
 */
export function pythonPattern(flags: string): (source: TemplateStringsArray) => RegExp {
  return (source) => {
    const text = source.raw[0] ?? "";
    const translated = text.replace(
      /\\([\s\S])/g,
      (sequence, name: string) => classes[name] ?? sequence,
    );
    return new RegExp(translated, `${flags}u`);
  };
}

const leadingSpace = new RegExp(`^${space}+`, "u");
const trailingSpace = new RegExp(`(?<!${space})${space}+$`, "u");

/** Python's `str.strip()`. */
export function strip(text: string): string {
  return text.replace(leadingSpace, "").replace(trailingSpace, "");
}
