// The rules of style.md that a program can check, over every source file. Each rule is first shown
// to catch a breach, since a rule that finds nothing could be a rule that sees nothing.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { packageRoot } from "../common/paths.js";
import {
  fileLength,
  fileName,
  type HouseRule,
  headComment,
  lineLength,
  readSources,
} from "./support/house-rules.js";
import {
  foreignLibraries,
  importLayers,
  includeLayers,
  plainTools,
  pureCore,
  seededSimulation,
} from "./support/layer-rules.js";

const sources = readSources(packageRoot());

interface RuleTest {
  readonly name: string;
  readonly rule: HouseRule;
  /** Files that breach the rule, as [path, text]. */
  readonly caught: readonly (readonly [string, string])[];
}

const rules: readonly RuleTest[] = [
  {
    name: "no line is longer than 100 columns",
    rule: lineLength,
    caught: [["common/a.ts", `const a = "${"x ".repeat(50)}";\n`]],
  },
  {
    name: "no file is longer than 500 lines",
    rule: fileLength,
    caught: [["common/a.ts", "\n".repeat(501)]],
  },
  {
    name: "every file opens with what it is for",
    rule: headComment,
    caught: [
      ["common/a.ts", 'import fs from "node:fs";\n'],
      ["native/core/a.h", "#pragma once\n\nint a();\n"],
    ],
  },
  {
    name: "files are named in the case of their language",
    rule: fileName,
    caught: [
      ["common/someThing.ts", ""],
      ["native/core/some-thing.cpp", ""],
    ],
  },
  {
    name: "TypeScript imports follow the layers",
    rule: importLayers,
    caught: [
      ["worker/a.ts", 'import { b } from "../coordinator/b.js";\n'],
      ["coordinator/a.ts", 'import {\n  b,\n} from "../engine/engine.js";\n'],
      ["coordinator/core/a.ts", 'import type { Log } from "../../common/log.js";\n'],
      ["coordinator/nats/a.ts", 'export { b } from "../memory/b.js";\n'],
      ["common/a.ts", 'const b = await import("../cli/b.js");\n'],
    ],
  },
  {
    name: "a foreign library is imported in its one place",
    rule: foreignLibraries,
    caught: [
      ["worker/a.ts", 'import { connect } from "nats";\n'],
      ["cli/a.ts", 'import type { Counter } from "prom-client";\n'],
      ["cli/a.ts", 'import leftPad from "left-pad";\n'],
    ],
  },
  {
    name: "tools run without npm packages",
    rule: plainTools,
    caught: [["tools/a.mjs", 'import { Command } from "commander";\n']],
  },
  {
    name: "the coordinator's core is pure",
    rule: pureCore,
    caught: [
      ["coordinator/core/a.ts", "const now = Date.now();\n"],
      ["coordinator/core/a.ts", 'import { hash } from "node:crypto";\n'],
      ["coordinator/core/a.ts", "setTimeout(f, 1);\n"],
    ],
  },
  {
    name: "a simulation keeps its own time and draws from its own seed",
    rule: seededSimulation,
    caught: [
      ["simulation/a.ts", "const now = performance.now();\n"],
      ["simulation/a.ts", "const chance = Math.random();\n"],
    ],
  },
  {
    name: "C++ includes follow the layers",
    rule: includeLayers,
    caught: [
      ["native/core/a.cpp", '#include "backend/backend.h"\n'],
      ["native/pipeline/a.cpp", "#include <napi.h>\n"],
      ["native/models/dit/a.cpp", "#include <cuda_runtime.h>\n"],
      ["native/cache/a.h", '#include "models/dit/config.h"\n'],
    ],
  },
];

test("the lock file names the optional packages of every platform, as npm ci demands", () => {
  const file = path.join(packageRoot(), "package-lock.json");
  const { packages } = JSON.parse(readFileSync(file, "utf8"));
  const wanted = Object.values(packages as Record<string, LockedPackage>).flatMap((locked) =>
    Object.keys(locked.optionalDependencies ?? {}),
  );
  const missing = wanted.filter((name) => packages[`node_modules/${name}`] === undefined);
  assert.deepEqual(missing, [], "run: node tools/complete-lock.mjs");
});

interface LockedPackage {
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

test("the checkout has sources of every kind", () => {
  for (const ending of [".ts", ".mjs", ".cpp", ".h", ".proto"]) {
    assert.ok(
      sources.some(({ file }) => file.endsWith(ending)),
      `no ${ending} file was found`,
    );
  }
});

for (const { name, rule, caught } of rules) {
  test(name, () => {
    for (const [file, text] of caught) {
      assert.equal(rule({ file, text }).length, 1, `the rule does not see ${file}: ${text}`);
    }
    const breaches = sources.flatMap((source) => rule(source));
    assert.equal(breaches.length, 0, `\n${breaches.join("\n")}`);
  });
}
