// What is kept of an attempt that was done to its end. A farm keeps a million of them, and nearly
// all are never looked at again: so files and totals lie in one text, half the memory that objects
// of their own would take, and are unpacked when somebody asks.

import type { Artifact, RenderTotals } from "./events.js";
import type { Lease } from "./state.js";

/** The files of an attempt that was done to its end. */
export class Publication {
  readonly attempt: number;
  readonly worker: string;
  readonly device: string;
  /** Of the device. */
  readonly seconds: number;
  /** JSON of the files' common folder, the files and the totals. */
  readonly packed: string;

  constructor(plain: PlainPublication) {
    [this.attempt, this.worker, this.device, this.seconds, this.packed] = plain;
  }

  get artifacts(): readonly Artifact[] {
    const [folder, files] = unpack(this.packed);
    return files.map(([name, sha256, sizeBytes]) => ({ key: folder + name, sha256, sizeBytes }));
  }

  get totals(): RenderTotals {
    const [, , [tokensComputed, tokensReused, flops, flopsNone, ...stages]] = unpack(this.packed);
    const [textEncodeSeconds, denoiseSeconds, decodeSeconds, encodeSeconds, uploadSeconds] = stages;
    return {
      ...{ tokensComputed, tokensReused, flops, flopsNone, textEncodeSeconds },
      ...{ denoiseSeconds, decodeSeconds, encodeSeconds, uploadSeconds },
    };
  }

  /** What the constructor takes. */
  plain(): PlainPublication {
    return [this.attempt, this.worker, this.device, this.seconds, this.packed];
  }
}

export type PlainPublication = readonly [
  attempt: number,
  worker: string,
  device: string,
  seconds: number,
  packed: string,
];

/** What the holder of a lease has made, having had its device for so long. */
export function publicationOf(
  { attempt, worker, device }: Lease,
  { artifacts, totals }: { readonly artifacts: readonly Artifact[]; readonly totals: RenderTotals },
  seconds: number,
): Publication {
  return new Publication([attempt, worker, device, seconds, pack(artifacts, totals)]);
}

type Packed = readonly [
  folder: string,
  files: readonly (readonly [name: string, sha256: string, sizeBytes: number])[],
  totals: readonly [number, number, number, number, number, number, number, number, number],
];

function pack(artifacts: readonly Artifact[], totals: RenderTotals): string {
  const [first] = artifacts;
  const common = first ? first.key.slice(0, first.key.lastIndexOf("/") + 1) : "";
  const folder = artifacts.every(({ key }) => key.startsWith(common)) ? common : "";
  const { tokensComputed, tokensReused, flops, flopsNone, textEncodeSeconds } = totals;
  const { denoiseSeconds, decodeSeconds, encodeSeconds, uploadSeconds } = totals;
  const packed: Packed = [
    folder,
    artifacts.map(({ key, sha256, sizeBytes }) => [key.slice(folder.length), sha256, sizeBytes]),
    [
      ...([tokensComputed, tokensReused, flops, flopsNone, textEncodeSeconds] as const),
      ...([denoiseSeconds, decodeSeconds, encodeSeconds, uploadSeconds] as const),
    ],
  ];
  return JSON.stringify(packed);
}

function unpack(text: string): Packed {
  return JSON.parse(text) as Packed; // as pack made it
}
