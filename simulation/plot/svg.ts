// A small writer of SVG and HTML: elements as text, with everything escaped that has to be.

export type Attributes = Readonly<Record<string, string | number>>;

export function element(name: string, attributes: Attributes, ...children: string[]): string {
  const written = Object.entries(attributes)
    .map(([key, value]) => ` ${key}="${escaped(typeof value === "number" ? short(value) : value)}"`)
    .join("");
  return children.length === 0
    ? `<${name}${written}/>`
    : `<${name}${written}>${children.join("")}</${name}>`;
}

/** A line of text; `attributes` place it. */
export function label(text: string, attributes: Attributes): string {
  return element("text", attributes, escaped(text));
}

/** What a reader's program calls the drawing. */
export function titleOf(text: string): string {
  return element("title", {}, escaped(text));
}

/** A path through points. */
export function pathOf(points: readonly (readonly [x: number, y: number])[]): string {
  return points
    .map(([x, y], index) => `${index === 0 ? "M" : "L"}${short(x)} ${short(y)}`)
    .join("");
}

function short(value: number): string {
  return `${Math.round(value * 100) / 100}`;
}

/** Text that is no mark-up, in an element or an attribute. */
export function escaped(text: string): string {
  return text
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;")
    .replace(/"/g, "&quot;");
}
