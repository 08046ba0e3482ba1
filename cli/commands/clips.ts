// `tocafarm retry`, `skip`, `promote`, `approve` and `reject`: what shall become of single clips;
// and `link`, which lets others see one.
import { type Command, Option } from "commander";
import { counted } from "../../common/counted.js";
import { FarmError } from "../../common/errors.js";
import type { Clip } from "../../proto/gen/tocafarm/v1/farm.js";
import { stateWord } from "../batch-tracker.js";
import { clipList, clipName } from "../clip-list.js";
import { addFarmOptions, type FarmAddressOptions } from "../coordinator-address.js";
import type { ClipVerb, FarmClient } from "../farm-client.js";
import { printJson } from "../json-output.js";
import { secondsOption } from "../time-option.js";
import { withClient } from "../with-client.js";

interface CommonOptions extends FarmAddressOptions {
  readonly json?: true;
}

interface LinkOptions extends CommonOptions {
  readonly valid: number;
  readonly preview?: true;
}

interface VerbText {
  readonly verb: ClipVerb;
  readonly description: string;
  /** What is meant without CLIPS; undefined = CLIPS must be there. */
  readonly without?: string;
  /** "3 clips <done>". */
  readonly done: string;
}

const verbs: readonly VerbText[] = [
  {
    verb: "retry",
    description: "render failed or skipped clips again",
    without: "every clip that failed",
    done: "queued again",
  },
  {
    verb: "skip",
    description: "end clips without a video",
    done: "skipped",
  },
  {
    verb: "promote",
    description: "make clips the next ones of their batch",
    done: "put first",
  },
  {
    verb: "approve",
    description: "begin the final renders of previewed clips",
    without: "every clip that waits for a verdict",
    done: "approved",
  },
  {
    verb: "reject",
    description: "end previewed clips",
    done: "rejected",
  },
];

export function addClips(program: Command): void {
  for (const text of verbs) addVerb(program, text);
  addFarmOptions(program.command("link").description("print a link to a clip's video (S3 only)"))
    .argument("<clip>", "its id, such as b04k2m9qx7r1t.000003")
    .option("--preview", "to the video of its preview")
    .addOption(
      new Option("--valid <while>", "how long it works, at most 7d")
        .argParser(secondsOption("--valid"))
        .default(3_600, "1h"),
    )
    .option("--json", "print JSON, with the time at which it ends")
    .addHelpText("after", "\nExample:\n  tocafarm link b04k2m9qx7r1t.000003 --valid 2d")
    .action((id: string, options: LinkOptions) =>
      withClient(options, (client) => link(client, id, options)),
    );
}

function addVerb(program: Command, { verb, description, without, done }: VerbText): void {
  const list = "places in the batch, such as 0-9,12";
  const [argument, meaning] =
    without === undefined ? ["<clips>", list] : ["[clips]", `${list} [${without}]`];
  const examples = [
    ...(without === undefined ? [] : [`tocafarm ${verb} b04k2m9qx7r1t`]),
    `tocafarm ${verb} b04k2m9qx7r1t 0-9,12`,
  ];
  addFarmOptions(program.command(verb).description(description))
    .argument("<batch>", "its id")
    .argument(argument, meaning)
    .option("--json", "print the batch as JSON, and how many clips changed")
    .addHelpText("after", `\nExamples:\n  ${examples.join("\n  ")}`)
    .action((id: string, clips: string | undefined, options: CommonOptions) =>
      withClient(options, async (client) => {
        const ranges = clips === undefined ? [] : clipList(clips);
        const { batch, clipsChanged } = await client.changeClips(verb, id, ranges);
        if (options.json) printJson({ batch, clipsChanged });
        else {
          const count = counted(clipsChanged, "clip");
          const state = stateWord(batch.state);
          process.stdout.write(`batch ${batch.id} is ${state}: ${count} ${done}\n`);
        }
      }),
    );
}

async function link(client: FarmClient, id: string, options: LinkOptions): Promise<void> {
  const { batch, index } = clipName(id);
  const { url, expiresAt } = await client.link(
    mediaKey(await client.clip(batch, index), options.preview === true),
    options.valid,
  );
  if (options.json) printJson({ url, expiresAt });
  else process.stdout.write(`${url}\n`);
}

function mediaKey({ id, state, artifacts, previewArtifacts }: Clip, preview: boolean): string {
  const [media] = preview ? previewArtifacts : artifacts;
  if (media) return media.key;
  const what = preview ? "published preview" : "published video";
  throw new FarmError(
    "FAILED_PRECONDITION",
    `clip ${id} is ${stateWord(state)} and has no ${what}; watch its batch until it has`,
  );
}
