// Collects the text between tags, as Beautiful Soup's tree keeps it: a run of mere white space
// becomes one space or newline, and what stands in scripts, styles, templates and ruby annotations
// is not text of the page.

const voidElements: ReadonlySet<string> = new Set(
  (
    "area base br col embed hr img input keygen link menuitem meta param source track wbr " +
    "basefont bgsound command frame image isindex nextid spacer"
  ).split(" "),
);
const hiddenElements: ReadonlySet<string> = new Set(["rt", "rp", "style", "script", "template"]);
const verbatimElements: ReadonlySet<string> = new Set(["pre", "textarea"]);

export class MarkupText {
  private readonly parts: string[] = [];
  private readonly openElements: string[] = [];
  /** End tags to ignore: their void element was closed when it was opened. */
  private readonly alreadyClosed: string[] = [];
  private run: string[] = [];

  data(text: string): void {
    this.run.push(text);
  }

  /** A CDATA section: text even where other text is hidden. */
  characterData(text: string): void {
    this.run.push(text);
    this.breakRun(false);
  }

  open(name: string): void {
    this.breakRun();
    this.openElements.push(name);
    if (!voidElements.has(name)) return;
    this.closeElement(name);
    this.alreadyClosed.push(name);
  }

  openAndClose(name: string): void {
    this.breakRun();
    this.openElements.push(name);
    this.closeElement(name);
  }

  close(name: string): void {
    const index = this.alreadyClosed.indexOf(name);
    if (index < 0) this.closeElement(name);
    else this.alreadyClosed.splice(index, 1);
  }

  /** Ends the current run of text: a tag, a comment or another piece of markup stands here. */
  breakRun(mayBeHidden = true): void {
    if (this.run.length === 0) return;
    const text = this.run.join("");
    this.run = [];
    if (mayBeHidden && this.isInside(hiddenElements)) return;
    const isBlank = /^[ \n\t\f\r]*$/.test(text) && !this.isInside(verbatimElements);
    this.parts.push(isBlank ? (text.includes("\n") ? "\n" : " ") : text);
  }

  finish(): string {
    this.breakRun();
    return this.parts.join("");
  }

  private closeElement(name: string): void {
    this.breakRun();
    const index = this.openElements.lastIndexOf(name);
    if (index >= 0) this.openElements.length = index;
  }

  private isInside(elements: ReadonlySet<string>): boolean {
    return this.openElements.some((name) => elements.has(name));
  }
}
