// HTML to text, as Beautiful Soup's get_text over Python's html.parser gives it. A browser's parser
// would differ on just the inputs that occur in captions: a lone "<" or "&", a tag that never ends,
// a reference cut off at the end. So this is a parser of its own, held to Python 3.11 by
// engine/testdata/markup.json. Input is lower-case already, hence so are tag names.
import { spaces, strip } from "./prompt-classes.js";
import { namedCharacter } from "./prompt-entities.js";
import { MarkupText } from "./prompt-markup-text.js";
import { windows1252Controls } from "./text-repair-charmaps.js";

/**
 * The text of some lower-case HTML. Markup that Python refuses as a whole (an unknown "<![...") is
 * taken as text.
 */
export function markupToText(markup: string): string {
  const parser = new MarkupParser(markup);
  return parser.parse() ? parser.text.finish() : markup;
}

const sticky = (source: string) => new RegExp(source.replaceAll("\\s", `[${spaces}]`), "y");
const tagStart = sticky(`([a-z][^\\t\\n\\r\\f />\\x00]*)(?:\\s|/(?!>))*`);
const attribute = sticky(
  `(?<=['"/${spaces}])[^/>${spaces}][^/=>${spaces}]*` +
    `(?:\\s*=+\\s*(?:'[^']*'|"[^"]*"|(?!['"])[^>${spaces}]*))?(?:\\s|/(?!>))*`,
);
const wholeStartTag = sticky(
  `<[a-z][^\\t\\n\\r\\f />\\x00]*(?:[/${spaces}]*` +
    `(?:(?<=['"/${spaces}])[^/>${spaces}][^/=>${spaces}]*` +
    `(?:\\s*=+\\s*(?:'[^']*'|"[^"]*"|(?!['"])[^>${spaces}]*)\\s*)?(?:\\s|/(?!>))*)*)?\\s*`,
);
const endTag = sticky("</\\s*([a-z][-.a-z0-9:_]*)\\s*>");
const numericReference = sticky("&#([0-9]+|x[0-9a-f]+)[^0-9a-f]");
const namedReference = sticky("&([a-z][-.a-z0-9]*)[^a-z0-9]");
const sectionName = sticky("([a-z][-_.a-z0-9]*)\\s*");
const commentEnd = new RegExp(`--[${spaces}]*>`, "g");
const sectionEnd = new RegExp(`\\][${spaces}]*\\][${spaces}]*>`, "g");
const conditionEnd = new RegExp(`\\][${spaces}]*>`, "g");

/** Thrown where Python's parser gives up on the whole text. */
class Refused extends Error {}

class MarkupParser {
  readonly text = new MarkupText();
  // What is left unread: a first pass stops at an incomplete construct, a second one takes it as it
  // is.
  private raw: string;
  /** Inside <script> or <style> only the end tag counts. */
  private rawElement: string | null = null;

  constructor(markup: string) {
    this.raw = markup;
  }

  /** False when the markup is refused. */
  parse(): boolean {
    try {
      this.read(false);
      this.read(true);
      return true;
    } catch (thrown) {
      if (thrown instanceof Refused) return false;
      throw thrown;
    }
  }

  private read(atEnd: boolean): void {
    let at = 0;
    while (at < this.raw.length) {
      const next = this.nextInteresting(at);
      if (next === null) break;
      if (next > at) this.text.data(this.raw.slice(at, next));
      at = next;
      if (at === this.raw.length) break;
      const step = this.raw[at] === "<" ? this.tag(at, atEnd) : this.reference(at, atEnd);
      at = step.at;
      if (step.stop) break;
    }
    if (atEnd && at < this.raw.length && this.rawElement === null)
      this.text.data(this.raw.slice(at));
    this.raw = this.raw.slice(at);
  }

  private nextInteresting(from: number): number | null {
    const source =
      this.rawElement === null ? "[&<]" : `</[${spaces}]*${this.rawElement}[${spaces}]*>`;
    const interesting = new RegExp(source, "g");
    interesting.lastIndex = from;
    const found = interesting.exec(this.raw);
    if (found) return found.index;
    return this.rawElement === null ? this.raw.length : null;
  }

  private matchAt(pattern: RegExp, at: number): RegExpExecArray | null {
    pattern.lastIndex = at;
    return pattern.exec(this.raw);
  }

  private tag(at: number, atEnd: boolean): Step {
    const end = this.construct(at);
    if (end === "lone") {
      if (at + 1 >= this.raw.length) return { at, stop: true };
      this.text.data("<");
      return { at: at + 1, stop: false };
    }
    if (end !== null) return { at: end, stop: false };
    if (!atEnd) return { at, stop: true };
    // Never closed: up to the next ">" or "<" it is text.
    const close = this.raw.indexOf(">", at + 1);
    const open = this.raw.indexOf("<", at + 1);
    const stop = close >= 0 ? close + 1 : open >= 0 ? open : at + 1;
    this.text.data(this.raw.slice(at, stop));
    return { at: stop, stop: false };
  }

  /** Where the construct at "<" ends; null when it does not, "lone" when it is a mere "<". */
  private construct(at: number): number | null | "lone" {
    const rest = this.raw.slice(at, at + 9);
    if (/^<[a-z]/.test(rest)) return this.startTag(at);
    if (rest.startsWith("</")) return this.endTag(at);
    if (rest.startsWith("<!--")) return this.skipTo(commentEnd, at + 4);
    if (rest.startsWith("<?")) return this.skipToClose(at + 2);
    if (rest.startsWith("<![")) return this.markedSection(at);
    if (rest.startsWith("<!doctype")) return this.skipToClose(at + 9);
    if (rest.startsWith("<!")) return this.skipToClose(at + 2);
    return "lone";
  }

  private skipToClose(from: number): number | null {
    const close = this.raw.indexOf(">", from);
    if (close < 0) return null;
    this.text.breakRun();
    return close + 1;
  }

  private skipTo(pattern: RegExp, from: number): number | null {
    const found = this.matchAt(pattern, from);
    if (!found) return null;
    this.text.breakRun();
    return found.index + found[0].length;
  }

  private markedSection(at: number): number | null {
    if (at + 3 === this.raw.length) return null;
    const name = this.matchAt(sectionName, at + 3);
    if (!name) throw new Refused();
    if (at + 3 + name[0].length === this.raw.length) return null;
    const isCondition = ["if", "else", "endif"].includes(name[1] ?? "");
    const isSection = ["temp", "cdata", "ignore", "include", "rcdata"].includes(name[1] ?? "");
    if (!isCondition && !isSection) throw new Refused();
    const end = this.matchAt(isSection ? sectionEnd : conditionEnd, at + 3);
    if (!end) return null;
    const body = this.raw.slice(at + 3, end.index);
    this.text.breakRun();
    if (body.startsWith("cdata[")) this.text.characterData(body.slice("cdata[".length));
    return end.index + end[0].length;
  }

  private startTag(at: number): number | null {
    const end = this.startTagEnd(at);
    if (end === null) return null;
    const start = this.matchAt(tagStart, at + 1);
    let position = at + 1 + (start?.[0].length ?? 0);
    while (position < end) {
      const found = this.matchAt(attribute, position);
      if (!found) break;
      position += found[0].length;
    }
    const closing = strip(this.raw.slice(position, end));
    const name = start?.[1] ?? "";
    if (closing === ">") {
      this.text.open(name);
      if (name === "script" || name === "style") this.rawElement = name;
    } else if (closing === "/>") {
      this.text.openAndClose(name);
    } else {
      this.text.data(this.raw.slice(at, end));
    }
    return end;
  }

  private startTagEnd(at: number): number | null {
    const found = this.matchAt(wholeStartTag, at);
    const end = at + (found?.[0].length ?? 0);
    const next = this.raw.charAt(end);
    if (next === ">") return end + 1;
    if (next === "/") return this.raw.charAt(end + 1) === ">" ? end + 2 : null;
    return next === "" || /[a-zA-Z=]/.test(next) ? null : end;
  }

  private endTag(at: number): number | null {
    const close = this.raw.indexOf(">", at + 1);
    if (close < 0) return null;
    const found = this.matchAt(endTag, at);
    if (this.rawElement !== null && found?.[1] !== this.rawElement) {
      this.text.data(this.raw.slice(at, close + 1));
      return close + 1;
    }
    if (found) {
      this.text.close(found[1] ?? "");
      this.rawElement = null;
      return close + 1;
    }
    const name = this.matchAt(tagStart, at + 2);
    if (!name) return this.raw.startsWith("</>", at) ? at + 3 : this.skipToClose(at + 2);
    this.text.close(name[1] ?? "");
    return this.raw.indexOf(">", at + 2 + name[0].length) + 1;
  }

  private reference(at: number, atEnd: boolean): Step {
    if (this.raw.startsWith("&#", at)) return this.numericReference(at);
    const found = this.matchAt(namedReference, at);
    if (found) {
      const name = found[1] ?? "";
      this.text.data(namedCharacter(name) ?? `&${name}`);
      return { at: this.afterReference(at, found), stop: false };
    }
    const rest = this.raw.slice(at, at + 3);
    if (/^&[a-z]/.test(rest)) {
      // Cut off at the end; an "&" before a single last letter is lost.
      return { at: atEnd && rest.length === 2 ? at + 1 : at, stop: true };
    }
    if (rest.length === 1) return { at, stop: true };
    this.text.data("&");
    return { at: at + 1, stop: false };
  }

  private numericReference(at: number): Step {
    const found = this.matchAt(numericReference, at);
    if (found) {
      this.text.data(numberedCharacter(Number((found[1] ?? "").replace("x", "0x"))));
      return { at: this.afterReference(at, found), stop: false };
    }
    if (!this.raw.includes(";", at)) return { at, stop: true };
    this.text.data("&#");
    return { at: at + 2, stop: true };
  }

  // The character that ended the reference is part of it only when it is a semicolon.
  private afterReference(at: number, found: RegExpExecArray): number {
    const end = at + found[0].length;
    return this.raw.charAt(end - 1) === ";" ? end : end - 1;
  }
}

interface Step {
  readonly at: number;
  /** Nothing more can be read in this pass. */
  readonly stop: boolean;
}

/**
 * Beautiful Soup's reading of a number: HTML's, except that it keeps odd code points as they are.
 */
function numberedCharacter(code: number): string {
  if (code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return "\ufffd";
  if (code >= 0x80 && code <= 0x9f) return windows1252Controls[code - 0x80] ?? "";
  return String.fromCodePoint(code);
}
