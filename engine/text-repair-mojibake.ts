// Tells text that looks like mojibake from text that is merely foreign. The few hundred characters
// that misread UTF-8 consists of fall into families; some families hardly ever stand side by side
// in a real language, such as a lower-case accented letter before a currency sign. The families and
// neighbourhoods are those of ftfy 6.3.1's heuristic, since captions were cleaned by it.
import { spaces, wordCharacters } from "./prompt-classes.js";

// The families. Each is the inside of a bracket expression.
const control = "\\x80-\\x9f";
/** Seen in all kinds of text; suspicious only beside Arabic lead letters. */
const common = "\\xa0\\xad·´–—―…’";
const telling = "¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊\\ufffdªº";
const legal = "¶§";
const currency = "¢£¥₧€";
const opening = "¡«¿©΄΅‘‚“„•‹\\uf8ff";
const closing = "®»˝”›™";
const numeric = "²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№";
/** Letters that also make faces. */
const faces = "Ò-ÖÙ-Üò-öø-üŐŌŪŲ°";
const upper = "À-ÑØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ";
const lower = "ßà-ñăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґﬁﬂ";
/** Greek and Cyrillic capitals, and thorn: common at the ends of real words. */
const plainUpper = "ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я";
const plainLower = "α-ωάέήίΰа-џ";
const box = "│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓";

const signs = closing + currency + numeric;
const odd = lower + upper + box + opening + signs + legal;
const misreadLetters = control + telling + opening + closing + currency;
const arabicSecond = `${common}${currency}${telling}${numeric}${opening}ŸŠ®°µ»`;

// Each line is a sequence of neighbours, one bracket expression a character.
const neighbourhoods: readonly (readonly string[])[] = [
  [control],
  [telling + odd, telling],
  [telling, odd],
  ["a-zA-Z", plainLower + plainUpper, telling],
  [lower + plainLower + box + signs, upper],
  [box + signs, lower],
  [lower + box + closing, currency],
  [spaces, upper, currency],
  [upper + box, numeric + legal],
  [lower + upper + box + currency + closing, opening, numeric],
  [lower + upper + currency + numeric + box + legal, closing, opening],
  [currency + numeric + box, opening],
  ["a-z", upper, opening + currency],
  [box, faces],
  [lower + upper + currency + numeric + opening + closing + legal, box],
  [box, closing],
  [lower + upper, opening + closing, wordCharacters],
  ["Œœ", "^A-Za-z"],
  [upper, "°"],
  // Windows-1252: two-character sequences that the families miss; then Arabic, four characters
  // long, and South Asian scripts.
  ["ÂÃÎÐ", `€œŠš¢£Ÿž\\xa0\\xad®©°·»${opening}${closing}–—´`],
  ["×", "²³"],
  ["ØÙ", arabicSecond, "ØÙ", arabicSecond],
  ["à", "²µ¹¼½¾"],
  // Windows-1252 of "à", "á" and the no-break space; "Â" before the character that it encodes.
  ["Ã", "\\xa0¡"],
  ["a-z", "ÃÂ", " "],
  ["a-z", spaces, "ÃÂ", " "],
  [`a-z.,?!${closing}`, "Â", ` ${opening}${closing}`],
  // MacRoman.
  ["√", "±∂†≠®™´≤≥¥µø"],
  ["≈", "°¢"],
  ["‚", "Ä", "ìîïòôúùû†°¢π"],
  ["‚", "âó", "àä°ê"],
  // Windows-1251, Windows-1253 and Windows-1257: punctuation first, then letters.
  ["в", "Ђ"],
  ["ВГРС", `${misreadLetters}°µ`, "ВГРС"],
  ["Г", "ў", "В", "Ђ", "В", "^\\n", "A-Za-z "],
  ["β", "€", "™\\xa0Ά\\xad®°"],
  ["ΒΓΞΟ", `${misreadLetters}°`, "ΒΓΞΟ"],
  ["ā", "€"],
];

const damage = new RegExp(
  [...neighbourhoods.map((row) => row.map((family) => `[${family}]`).join("")), "^[ÃÂ] "].join("|"),
  "u",
);

/** Whether some characters of the text stand where hardly any language puts them. */
export function looksDamaged(text: string): boolean {
  return damage.test(text);
}
