// Who may import whom: the layers of the house as two tables, one for TypeScript and one for C++,
// and the places where each foreign library may appear.
import { type HouseRule, importsOf, includesOf, resolveImport } from "./house-rules.js";

// Longest prefix first: the first row that fits a file is its layer, and lists what it may import.
const layers: readonly (readonly [layer: string, mayImport: readonly string[]])[] = [
  ["coordinator/core/", ["coordinator/core/", "common/assert.ts"]],
  ["coordinator/nats/", ["coordinator/nats/", "coordinator/core/", "coordinator/ports", "common/"]],
  [
    "coordinator/memory/",
    ["coordinator/memory/", "coordinator/core/", "coordinator/ports", "common/"],
  ],
  [
    "coordinator/rpc/",
    ["coordinator/rpc/", "coordinator/core/", "coordinator/ports", "common/", "proto/gen/"],
  ],
  [
    "coordinator/http/",
    ["coordinator/http/", "coordinator/core/", "coordinator/ports", "common/", "proto/gen/"],
  ],
  ["coordinator/", ["coordinator/", "common/", "proto/gen/", "artifacts/", "engine/plan.ts"]],
  ["worker/", ["worker/", "common/", "proto/gen/", "artifacts/", "engine/"]],
  [
    "simulation/",
    ["simulation/", "coordinator/core/", "coordinator/nats/event-codec.ts", "common/"],
  ],
  ["cli/", ["cli/", "common/", "proto/gen/", "artifacts/", "engine/", "simulation/"]],
  ["console/", ["console/", "proto/gen/"]],
  ["engine/", ["engine/", "common/"]],
  ["artifacts/", ["artifacts/", "common/"]],
  ["common/", ["common/"]],
  ["bench/", [""]],
  ["test/", [""]],
];

/** A file imports only from the layers that its own layer may know. */
export const importLayers: HouseRule = ({ file, text }) => {
  const row = layers.find(([layer]) => file.startsWith(layer));
  if (!file.endsWith(".ts") || row === undefined) return [];
  const [layer, mayImport] = row;
  // A test may use its neighbours in the same part of the house, and what tests share.
  const more = file.endsWith(".test.ts") ? [`${layer.split("/")[0]}/`, "test/support/"] : [];
  return importsOf(text).flatMap((specifier) => {
    const target = resolveImport(file, specifier);
    if (target === null || [...mayImport, ...more].some((start) => target.startsWith(start))) {
      return [];
    }
    const allowed = mayImport.join(" ");
    return [
      `${file} imports ${target}: ${layer} may import ${allowed}; move the code or pass it in`,
    ];
  });
};

const packagePlaces: Readonly<Record<string, readonly string[]>> = {
  nats: ["coordinator/nats/"],
  "prom-client": ["common/metrics.ts"],
  pino: ["common/log.ts"],
  commander: ["cli/"],
  entities: ["engine/prompt-entities.ts"],
  "@grpc/grpc-js": ["common/rpc.ts", "coordinator/rpc/", "worker/link.ts", "cli/"],
  "@grpc/proto-loader": ["coordinator/rpc/"],
  "@grpc/reflection": ["coordinator/rpc/"],
  "grpc-health-check": ["coordinator/rpc/"],
  "@bufbuild/protobuf": ["coordinator/rpc/"],
  bullmq: ["bench/"],
  ioredis: ["bench/"],
  "@aws-sdk/client-s3": ["artifacts/s3"],
  "@aws-sdk/s3-request-presigner": ["artifacts/s3"],
};

/** A foreign library appears in one place, so that it can be replaced there. */
export const foreignLibraries: HouseRule = ({ file, text }) => {
  if (!file.endsWith(".ts")) return [];
  return importsOf(text).flatMap((specifier) => {
    if (specifier.startsWith(".") || specifier.startsWith("node:")) return [];
    const name = specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
    const isTest = file.endsWith(".test.ts") || file.startsWith("test/");
    const places = packagePlaces[name];
    if (isTest && (name === "fast-check" || places !== undefined)) return [];
    if (places?.some((place) => file.startsWith(place))) return [];
    const cure =
      places === undefined ? "add a row to test/support/layer-rules.ts" : "go through it";
    return [
      `${file} imports ${name}, which belongs in ${places?.join(" ") ?? "no place"}: ${cure}`,
    ];
  });
};

/** Tools run before npm packages are there. */
export const plainTools: HouseRule = ({ file, text }) => {
  if (!file.startsWith("tools/")) return [];
  return importsOf(text)
    .filter((specifier) => !specifier.startsWith("node:") && !/^\.\/[a-z-]+\.mjs$/.test(specifier))
    .map((specifier) => `${file} imports ${specifier}: tools use Node's own modules only`);
};

type Impurity = readonly [seen: RegExp, cure: string];

const clock: Impurity = [
  /\bDate\s*\.\s*now\b|\bnew\s+Date\(\s*\)|\bperformance\s*\./,
  "a clock: take `now` as argument",
];
const randomness: Impurity = [
  /\bMath\s*\.\s*random\b|\brandomUUID\b/,
  "randomness: hash a seed that comes in",
];
const timer: Impurity = [
  /\bset(?:Timeout|Interval|Immediate)\b/,
  "a timer: answer with a time to come back",
];

const impure: readonly Impurity[] = [
  clock,
  randomness,
  timer,
  [/\bprocess\s*\.|\bfetch\(/, "the outside world: take what is needed as argument"],
  [/from\s*["']node:/, "a module of Node: pure code needs none"],
];

/** A simulation has its own time and its own chance, or its seeds would be worth nothing. */
export const seededSimulation: HouseRule = ({ file, text }) => {
  if (!file.startsWith("simulation/") || file.endsWith(".test.ts")) return [];
  const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
  return [clock, randomness, timer].flatMap(([pattern, cure]) =>
    pattern.test(code) ? [`${file} is simulated and uses ${cure}`] : [],
  );
};

/** The coordinator's core decides from its arguments alone. */
export const pureCore: HouseRule = ({ file, text }) => {
  if (!file.startsWith("coordinator/core/") || file.endsWith(".test.ts")) return [];
  const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
  return impure.flatMap(([pattern, cure]) =>
    pattern.test(code) ? [`${file} is core/, which is pure, and uses ${cure}`] : [],
  );
};

// What each native folder may include, beside itself and the public headers in engine/.
const nativeLayers: Readonly<Record<string, readonly string[]>> = {
  include: ["core"],
  core: [],
  backend: ["core"],
  samplers: ["core", "backend"],
  cache: ["core", "backend"],
  models: ["core", "backend", "cache"],
  pipeline: ["core", "backend", "cache", "samplers", "models"],
  golden: ["core", "backend", "cache", "samplers", "models", "pipeline"],
  bench: ["core", "backend", "cache", "samplers", "models", "pipeline"],
  tests: ["core", "backend", "cache", "samplers", "models", "pipeline", "golden"],
  bindings: ["core", "pipeline"],
};

/** Native layers point downwards; Node's headers stay in bindings, CUDA's in backend/cuda. */
export const includeLayers: HouseRule = ({ file, text }) => {
  const place = /^native\/([a-z]+)\//.exec(file)?.[1];
  const folder = /(?:_test\.cpp|test_support\.h)$/.test(file) ? "tests" : place;
  if (folder === undefined) return [];
  const mayInclude = nativeLayers[folder] ?? [];
  return includesOf(text).flatMap((include) => {
    if (/^(?:napi|node_api|js_native_api)/.test(include) && folder !== "bindings") {
      return [`${file} includes ${include}: only bindings/ knows Node`];
    }
    if (/^(?:cuda|cublas|cudnn|nvrtc)/.test(include) && !file.startsWith("native/backend/cuda/")) {
      return [`${file} includes ${include}: only backend/cuda/ knows CUDA; go through backend.h`];
    }
    const target = include.includes("/") ? (include.split("/")[0] ?? "") : "";
    if (target === place || mayInclude.includes(target) || !Object.hasOwn(nativeLayers, target)) {
      return [];
    }
    const allowed = [folder, ...mayInclude].join(" ");
    return [`${file} includes ${include}: native/${folder} may include ${allowed}`];
  });
};
