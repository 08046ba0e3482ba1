// An engine process that a test plays by hand: it keeps what it was sent and says what it is told
// to.
import type { EngineChildEvents, StartEngineChild } from "../../worker/engine-child.js";
import type { FromEngine, ModelRef, RenderJob, ToEngine } from "../../worker/engine-messages.js";
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

  dies(how = "killed by SIGKILL"): void {
    this.#events?.onExit(how);
  }
}
