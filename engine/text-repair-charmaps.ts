// The ten single-byte encodings in which UTF-8 is most often misread, as tables from byte to
// character. In the Windows ones a byte without a character stands for the control character of the
// same number, as browsers read it, and byte 1A stands for U+FFFD, so that a character that was
// lost on the way keeps its place.

/** What Windows-1252 has in place of the control characters 80 to 9F; five of them stay. */
export const windows1252Controls = "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ";

const cp437High =
  "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐" +
  "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\xa0";

export interface Charmap {
  readonly name: string;
  /** Whether holes are filled and U+FFFD can be encoded. */
  readonly sloppy: boolean;
  /** 256 characters, by byte. */
  readonly characters: readonly string[];
  readonly bytes: ReadonlyMap<string, number>;
}

function charmap(name: string, sloppy: boolean, high: readonly string[]): Charmap {
  const characters = Array.from({ length: 256 }, (_, byte) => {
    if (sloppy && byte === 0x1a) return "\ufffd";
    const character = byte < 0x80 ? undefined : high[byte - 0x80];
    return character === undefined || character === "\ufffd"
      ? String.fromCharCode(byte)
      : character;
  });
  const bytes = new Map(characters.map((character, byte) => [character, byte]));
  return { name, sloppy, characters, bytes };
}

// Windows-1252 is not taken from TextDecoder: Node 20 decodes it as Latin-1.
function platformHigh(label: string): readonly string[] {
  const bytes = Uint8Array.from({ length: 128 }, (_, index) => index + 0x80);
  return [...new TextDecoder(label).decode(bytes)];
}

const latin1 = charmap("latin-1", false, []);
const windows1252 = charmap("windows-1252", true, [
  ...windows1252Controls,
  ...latin1.characters.slice(0xa0),
]);
const windows = ["1251", "1250", "1253", "1254", "1257"].map((page) =>
  charmap(`windows-${page}`, true, platformHigh(`windows-${page}`)),
);

/** The encodings whose high half resembles Latin-1: there a UTF-8 lead byte reads as a letter. */
export const latinLikeCharmaps: readonly Charmap[] = [latin1, windows1252, ...windows];

/** In the order in which they are tried. */
export const charmaps: readonly Charmap[] = [
  ...latinLikeCharmaps,
  charmap("iso-8859-2", false, platformHigh("iso-8859-2")),
  charmap("macroman", false, platformHigh("macintosh")),
  charmap("cp437", false, [...cp437High]),
];

/**
 * The text as bytes, one character a byte ("binary string"), or null when the encoding lacks a
 * character.
 */
export function encodeWith(map: Charmap, text: string): string | null {
  const bytes: string[] = [];
  for (const character of text) {
    const byte = map.bytes.get(character);
    if (byte === undefined) return null;
    bytes.push(String.fromCharCode(byte));
  }
  return bytes.join("");
}
