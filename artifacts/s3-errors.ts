// What an S3 server or the way to it says, in words that tell what to do, and whether another try
// may help.
import { FarmError } from "../common/errors.js";

/** Names of errors, of S3 and of the system, after which the same request may succeed. */
const transientNames = new Set([
  ...["SlowDown", "Throttling", "RequestTimeout", "InternalError", "ServiceUnavailable"],
  // The client corrects its clock by the answer.
  ...["RequestTimeTooSkewed", "RequestExpired"],
  // Damaged on the way: the server has refused it.
  ...["BadDigest", "XAmzContentSHA256Mismatch", "InvalidDigest", "IncompleteBody"],
  ...["ECONNREFUSED", "ECONNRESET", "EPIPE", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"],
  ...["ENOTFOUND", "EAI_AGAIN", "ECONNABORTED", "ERR_STREAM_PREMATURE_CLOSE", "TimeoutError"],
]);

/** No byte came within the time that was given. */
export class NoAnswer extends Error {
  override readonly name = "TimeoutError";
}

/** Whether another try of the same request may succeed. */
export function isTransient(error: unknown): boolean {
  const status = statusOf(error);
  if (status !== undefined && (status >= 500 || status === 429)) return true;
  return transientNames.has(nameOf(error)) || transientNames.has(codeOf(error));
}

/** Whether the server says so by this name, or by the status of an answer without a body. */
export function isNamed(error: unknown, ...names: readonly string[]): boolean {
  return names.includes(nameOf(error));
}

const keys = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials";
const unknownKey = `the access key is unknown to the server: check ${keys}`;
const damaged = "the content was damaged on the way and refused: check the network";
const unreachable = "check the endpoint, the network and that the server runs";

const remedies: Readonly<Record<string, string>> = {
  CredentialsProviderError: `there are no credentials: set ${keys}`,
  InvalidAccessKeyId: unknownKey,
  XAdminUserNotFound: unknownKey, // as versitygw says it
  SignatureDoesNotMatch: `the secret key is wrong: check ${keys}`,
  ExpiredToken: "the credentials have expired: get new ones",
  AccessDenied: "permission denied: see the permissions in docs/operations.md",
  "403": "permission denied: see the permissions in docs/operations.md",
  NoSuchBucket: "there is no such bucket: create it or name another",
  PermanentRedirect: "the bucket is in another region: name it with region=",
  AuthorizationHeaderMalformed: "the region is another one: name it with region=",
  RequestTimeTooSkewed: "this machine's clock differs from the server's: set it by NTP",
  InsufficientStorage: "no space left in the store: free some or choose another bucket",
  QuotaExceeded: "no space left in the store, the quota is used up: free some or raise it",
  XMinioStorageFull: "no space left in the store: free some or choose another bucket",
  BadDigest: damaged,
  XAmzContentSHA256Mismatch: damaged,
  InvalidDigest: damaged,
  SlowDown: "the server asks for fewer requests: try again later",
  ECONNREFUSED: `nobody listens there: ${unreachable}`,
  ENOTFOUND: `the host name is unknown: ${unreachable}`,
  EAI_AGAIN: `the host name cannot be looked up: ${unreachable}`,
  ECONNRESET: `the connection was cut: ${unreachable}`,
  EPIPE: `the connection was cut: ${unreachable}`,
  TimeoutError: `there is no answer: ${unreachable}`,
};

/** IO, naming the place, what happened and what to do. */
export function s3Error(place: string, error: unknown): FarmError {
  if (error instanceof FarmError) return error;
  const known = [codeOf(error), nameOf(error), String(statusOf(error))].find((name) =>
    Object.hasOwn(remedies, name),
  );
  const text = error instanceof Error ? error.message : String(error);
  const what = known === undefined ? unknownText(error, text) : remedies[known];
  return new FarmError("IO", `${place}: ${what}`, { cause: error });
}

function unknownText(error: unknown, text: string): string {
  if (/region is missing/i.test(text)) return "the region is unknown: name it with region=";
  const status = statusOf(error);
  const name = nameOf(error);
  return status === undefined ? text || name : `the server says ${name} (${status}): ${text}`;
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : "";
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("$metadata" in error)) return undefined;
  const metadata = error.$metadata;
  if (typeof metadata !== "object" || metadata === null) return undefined;
  const status = "httpStatusCode" in metadata ? metadata.httpStatusCode : undefined;
  return typeof status === "number" ? status : undefined;
}
