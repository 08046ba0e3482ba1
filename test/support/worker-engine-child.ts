// An engine process that a test plays by hand: it keeps what it was sent and says what it is told
// to.
import type { EngineChildEvents, StartEngineChild } from "../../worker/engine-child.js";
import type {
  ClipEvent,
  FromEngine,
  ModelRef,
  RenderJob,
  ToEngine,
} from "../../worker/engine-messages.js";
import { describeModel } from "./engine-double.js";

export const playedModel: ModelRef = {
  name: "demo",
  path: "/demo",
  configs: { transformer: "", vae: "", textEncoder: "", modelIndex: "" },
  traits: describeModel(),
};

/** What an engine process says when it has loaded its model. */
export const openedMessage: FromEngine = {
  type: "opened",
  info: {
    kind: "k",
    deviceName: "d",
    memoryBytes: 1,
    weightsDigest: "w",
    ...{ weightsBytes: 1, mappedBytes: 0 },
    loadSeconds: 1,
    notes: [],
  },
  versions: {
    engine: "1",
    onednn: "1",
    isa: "avx2",
    bf16Native: false,
    sentencepiece: true,
    ffmpeg: "5",
  },
};

export class PlayedEngine {
  readonly sent: ToEngine[] = [];
  starts = 0;
  kills = 0;
  #events: EngineChildEvents | undefined;

  /** For the supervisor's options. */
  readonly start: StartEngineChild = (events) => {
    this.#events = events;
    this.starts += 1;
    return {
      send: (message) => this.sent.push(message),
      kill: () => {
        this.kills += 1;
      },
    };
  };

  get jobs(): readonly RenderJob[] {
    return this.sent.flatMap((message) => (message.type === "render" ? [message.job] : []));
  }

  says(message: FromEngine): void {
    this.#events?.onMessage(message);
  }

  /** Tells something of the job with that number, from 1; of the newest one by default. */
  tells(event: ClipEvent, job = this.jobs.length): void {
    const renders = this.sent.flatMap((sent) => (sent.type === "render" ? [sent.clip] : []));
    const clip = renders[job - 1];
    if (clip !== undefined) this.says({ type: "clip", clip, event });
  }

  dies(how = "killed by SIGKILL"): void {
    this.#events?.onExit(how);
  }
}
