// On which file system a folder lies, and whether its mount can be trusted with a store.
import { type Finding, missing, ok } from "./findings.js";

/** `mountinfo` is the text of /proc/self/mountinfo, `folder` an absolute path. */
export function mountFinding(mountinfo: string, folder: string): Finding {
  const mount = mountOf(mountinfo, folder);
  const shown = `${mount.type} at ${mount.point}`;
  if (!mount.type.startsWith("nfs")) return ok("mount", shown);
  const telling = mount.options.filter((option) => /^(vers|hard|soft|noac|lookup)/.test(option));
  const found = `${shown} (${telling.join(",")})`;
  if (telling.some((option) => option.startsWith("soft"))) {
    const remedy = "mount with `hard`: a soft mount loses what is written while the server pauses";
    return missing("mount", found, remedy);
  }
  return ok("mount", found);
}

interface Mount {
  readonly point: string;
  readonly type: string;
  readonly options: readonly string[];
}

/** The one with the longest mount point above the folder; of two on one point, the later. */
function mountOf(mountinfo: string, folder: string): Mount {
  const mounts = mountinfo.trim().split("\n").map(parsed);
  const holding = mounts.filter(({ point }) => `${folder}/`.startsWith(point.replace(/\/?$/, "/")));
  return holding.reduce((a, b) => (b.point.length >= a.point.length ? b : a));
}

/** As in proc(5): ID PARENT MAJOR:MINOR ROOT POINT OPTIONS TAGS... - TYPE SOURCE SUPEROPTIONS */
function parsed(line: string): Mount {
  const [own = "", filesystem = ""] = line.split(" - ");
  const [, , , , point = "", options = ""] = own.split(" ");
  const [type = "", , superOptions = ""] = filesystem.split(" ");
  return {
    point: point.replace(/\\(\d{3})/g, (_, octal) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    ),
    type,
    options: [...options.split(","), ...superOptions.split(",")],
  };
}
