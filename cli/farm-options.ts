// The options that say what a farm on this machine is made of: the same for `render` and `up`.
import { Option } from "commander";
import { numberOption, repeated } from "./args.js";

const workersMax = 64;
const threadsMax = 1024;

export function deviceOption(): Option {
  return new Option("--device <name>", "cpu; may be repeated [cpu]").argParser(repeated);
}

export function workersOption(): Option {
  return new Option("--workers <n>", "agents on the CPU, which share its cores")
    .argParser(numberOption("--workers", { min: 1, max: workersMax }))
    .default(1);
}

export function threadsOption(): Option {
  return new Option("--threads <n>", "of each CPU engine, 0 = the cores shared out evenly")
    .argParser(numberOption("--threads", { min: 0, max: threadsMax }))
    .default(0);
}
