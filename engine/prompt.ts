// From what a user typed to what the tokenizer reads: score phrases, then the cleaning that the
// text encoder was trained with. Worker, `tocafarm verify` and `tocafarm calibrate` all come here,
// so that they cannot differ.
import { FarmError } from "../common/errors.js";
import type { NativeModelTraits } from "./addon-types.js";
import { cleanOnce } from "./prompt-clean.js";

/** Phrases that Open-Sora appends; absent = not appended. Aesthetic 4 to 7, motion 0 to 100. */
export interface PromptScores {
  readonly aesthetic?: number | undefined;
  readonly motion?: number | undefined;
  readonly cameraMotion?: string | undefined;
}

// Of a prompt in a message.
const quotedCharactersMax = 80;

/**
 * What a model of this kind is given: names of classes are looked up as they stand, since they are
 * not written as captions are. Throws INVALID_ARGUMENT when nothing is left of a caption.
 */
export function modelPrompt(
  prompt: string,
  scores: PromptScores,
  kind: NativeModelTraits["prompt"],
): string {
  const asked = appendScores(prompt, scores);
  if (kind === "class") return asked;
  const cleaned = cleanPrompt(asked);
  if (cleaned !== "") return cleaned;
  throw new FarmError(
    "INVALID_ARGUMENT",
    `nothing is left of the prompt ${JSON.stringify(prompt.slice(0, quotedCharactersMax))} ` +
      "after cleaning: say in words what the clip shall show",
  );
}

/** Cleaned as in training: two passes. */
export function cleanPrompt(prompt: string): string {
  return cleanOnce(cleanOnce(prompt));
}

/** Each phrase only when asked for and not in the prompt already. */
export function appendScores(prompt: string, scores: PromptScores): string {
  let text = prompt;
  if (scores.aesthetic !== undefined && !text.includes("aesthetic score:")) {
    text += ` aesthetic score: ${oneDecimal(scores.aesthetic)}.`;
  }
  if (scores.motion !== undefined && !text.includes("motion score:")) {
    text += ` motion score: ${oneDecimal(scores.motion)}.`;
  }
  if (scores.cameraMotion !== undefined && !text.includes("camera motion:")) {
    text += ` camera motion: ${scores.cameraMotion}.`;
  }
  return text;
}

// Upstream formats in Python, which rounds a tie to the even digit: 6.25 is "6.2", where toFixed
// gives "6.3". Ties are odd quarters.
function oneDecimal(value: number): string {
  if (Math.abs((value * 4) % 2) !== 1) return value.toFixed(1);
  const below = Math.floor(value * 10);
  return ((below % 2 === 0 ? below : below + 1) / 10).toFixed(1);
}
