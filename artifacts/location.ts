// Where a store is, as one text for flags and charts: the path of a folder, or
// s3://bucket/prefix?endpoint=URL&region=R&path-style=true. Keys to a bucket never stand in it,
// since command lines and logs are read by others.
import { resolve } from "node:path";
import { FarmError } from "../common/errors.js";
import { checkPrefix } from "./port.js";

export interface FolderLocation {
  readonly kind: "folder";
  /** Absolute. */
  readonly folder: string;
}

export interface S3Location {
  readonly kind: "s3";
  readonly bucket: string;
  /** "" or names joined and ended by "/". */
  readonly prefix: string;
  /** Undefined = Amazon's own for the region. */
  readonly endpoint: string | undefined;
  /** Undefined = as the environment says. */
  readonly region: string | undefined;
  /** The bucket's name in the path of a URL rather than in its host name. */
  readonly pathStyle: boolean;
}

export type StoreLocation = FolderLocation | S3Location;

/** Throws INVALID_ARGUMENT with what is wrong. */
export function parseLocation(text: string): StoreLocation {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(text)?.[1];
  if (scheme === undefined) {
    if (text === "") throw bad("is empty: give a folder or s3://bucket/prefix");
    return { kind: "folder", folder: resolve(text) };
  }
  if (scheme.toLowerCase() !== "s3") {
    throw bad(`begins with ${scheme}://: give a folder or s3://bucket/prefix`);
  }
  return s3Location(text);
}

/** The location as one text that means the same in every working folder. */
export function absoluteLocation(text: string): string {
  const location = parseLocation(text);
  return location.kind === "folder" ? location.folder : text;
}

const settings = ["endpoint", "region", "path-style"] as const;
// Amazon's rule, which every other server follows too.
const bucketPattern = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const secretPattern = /key|secret|token|password|credential/i;

function s3Location(text: string): S3Location {
  const [, authority = "", path = "", query = ""] =
    /^s3:\/\/([^/?#]*)([^?#]*)(?:\?(.*))?$/i.exec(text) ?? [];
  if (authority.includes("@")) throw noCredentials("before the bucket");
  if (!bucketPattern.test(authority)) {
    throw bad(
      `names the bucket ${JSON.stringify(authority.slice(0, 80))}: ` +
        `3 to 63 lower-case letters, digits, ".", "-"; as in s3://bucket/prefix`,
    );
  }
  const values = settingsOf(query);
  const endpoint = values.get("endpoint");
  const prefix = path.replace(/^\/+|\/+$/g, "");
  checkPrefix(prefix);
  return {
    kind: "s3",
    bucket: authority,
    prefix: prefix === "" ? "" : `${prefix}/`,
    endpoint: endpoint === undefined ? undefined : endpointUrl(endpoint),
    region: values.get("region"),
    pathStyle: pathStyle(values.get("path-style"), endpoint !== undefined),
  };
}

function settingsOf(query: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    if (!(settings as readonly string[]).includes(name)) {
      if (secretPattern.test(name)) throw noCredentials(`in the setting ${name.slice(0, 40)}`);
      const known = settings.join(", ");
      throw bad(`has the setting ${JSON.stringify(name.slice(0, 40))}; known are ${known}`);
    }
    if (values.has(name) || value === "") throw bad(`must give ${name} once, with a value`);
    values.set(name, value);
  }
  return values;
}

function endpointUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && url.username + url.password !== "") throw noCredentials("in endpoint");
  if (url === undefined || !["http:", "https:"].includes(url.protocol) || url.search !== "") {
    throw bad(`has endpoint=${text.slice(0, 80)}: give a URL such as https://s3.example.org`);
  }
  return url.href.replace(/\/$/, "");
}

/** Servers of one's own seldom have a host name for each bucket. */
function pathStyle(text: string | undefined, ownEndpoint: boolean): boolean {
  if (text === undefined) return ownEndpoint;
  if (text === "true" || text === "false") return text === "true";
  throw bad(`has path-style=${text.slice(0, 40)}: true or false is wanted`);
}

function bad(what: string): FarmError {
  return new FarmError("INVALID_ARGUMENT", `the artifact location ${what}`);
}

function noCredentials(where: string): FarmError {
  return bad(
    `holds credentials ${where}, where others can read them: take them out and set ` +
      "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use ~/.aws/credentials",
  );
}
