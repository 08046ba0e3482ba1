// `tocafarm doctor`: whether this machine, and the artifact store, have what a farm needs, and what
// to do where they have not.
import type { Command } from "commander";
import { parseLocation } from "../../artifacts/location.js";
import { FarmError } from "../../common/errors.js";
import { defaultDataFolder } from "../../common/paths.js";
import type { Finding } from "../findings.js";
import { answerAsPeer } from "../folder-peer.js";
import { printJson } from "../json-output.js";
import { findings } from "../machine-checks.js";
import { storeFindings } from "../store-checks.js";
import { type Column, table } from "../table.js";

interface DoctorOptions {
  readonly data?: string;
  readonly artifacts?: string;
  readonly peer?: string;
  readonly asPeer?: true;
  readonly json?: true;
}

const columns: readonly Column<Finding>[] = [
  { title: "what", text: ({ what }) => what },
  { title: "", text: ({ status }) => status },
  { title: "found", text: ({ found }) => found },
  { title: "to do", text: ({ remedy }) => remedy },
];

const examples = `
Examples:
  tocafarm doctor
  tocafarm doctor --artifacts /mnt/farm
  tocafarm doctor --artifacts /mnt/farm \\
    --peer "ssh node2 tocafarm doctor --artifacts /mnt/farm --as-peer"
  tocafarm doctor --artifacts "s3://farm?endpoint=https://s3.example.org"`;

export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .description("say what this machine, or an artifact store, lacks")
    .option("--data <dir>", "data folder to check [TOCAFARM_DATA, or ~/.local/share/tocafarm]")
    .option("--artifacts <store>", "artifact store to check: a folder or s3:// location")
    .option("--peer <command>", "with a folder: starts this command's other side elsewhere")
    .option("--as-peer", "be the other side, for a doctor on another machine")
    .option("--json", "print JSON")
    .addHelpText("after", examples)
    .action(doctor);
}

async function doctor(options: DoctorOptions): Promise<void> {
  if (options.asPeer || options.peer !== undefined) {
    const folder = folderOf(options);
    if (options.asPeer) return answerAsPeer(folder);
  }
  const { artifacts, peer } = options;
  const found = [
    ...(await findings(options.data ?? defaultDataFolder(process.env))),
    ...(artifacts === undefined ? [] : await storeFindings({ artifacts, peer })),
  ];
  if (options.json) printJson(found);
  else process.stdout.write(`${table(columns, found)}\n`);
  if (found.some(({ status }) => status === "missing")) process.exitCode = 1;
}

/** Two sides have something to say of a folder only. */
function folderOf({ artifacts }: DoctorOptions): string {
  const location = artifacts === undefined ? undefined : parseLocation(artifacts);
  if (location?.kind === "folder") return location.folder;
  throw new FarmError("INVALID_ARGUMENT", "--peer and --as-peer need --artifacts with a folder");
}
