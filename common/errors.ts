// The one error class of the TypeScript side, and the table of its codes. A message names the
// value, the bound and what to do, in one line. Catch only where something is decided.

/**
 * Every code: the gRPC status that carries it, the exit code of the CLI, and whether another try
 * can succeed.
 */
export const errorCodes = {
  INVALID_ARGUMENT: { grpc: 3, exit: 2, retryable: false },
  NOT_FOUND: { grpc: 5, exit: 3, retryable: false },
  ALREADY_EXISTS: { grpc: 6, exit: 3, retryable: false },
  INVALID_CHECKPOINT: { grpc: 9, exit: 4, retryable: false },
  UNSUPPORTED: { grpc: 12, exit: 4, retryable: false },
  FAILED_PRECONDITION: { grpc: 9, exit: 4, retryable: false },
  RESOURCE_EXHAUSTED: { grpc: 8, exit: 5, retryable: true },
  OUT_OF_MEMORY: { grpc: 8, exit: 5, retryable: true },
  UNAVAILABLE: { grpc: 14, exit: 6, retryable: true },
  DEADLINE_EXCEEDED: { grpc: 4, exit: 6, retryable: true },
  IO: { grpc: 13, exit: 7, retryable: true },
  ENGINE_CRASH: { grpc: 13, exit: 8, retryable: true },
  DEVICE_LOST: { grpc: 13, exit: 8, retryable: true },
  WORKER_LOST: { grpc: 14, exit: 8, retryable: true },
  ENCODER_FAILED: { grpc: 13, exit: 8, retryable: true },
  INTERRUPTED: { grpc: 10, exit: 6, retryable: true },
  CANCELLED: { grpc: 1, exit: 130, retryable: false },
  INTERNAL: { grpc: 13, exit: 70, retryable: true },
} as const;

export type ErrorCode = keyof typeof errorCodes;

export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === "string" && Object.hasOwn(errorCodes, code);
}

export class FarmError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = "FarmError";
    this.code = code;
  }

  get retryable(): boolean {
    return errorCodes[this.code].retryable;
  }
}

/**
 * Anything thrown, as a FarmError: codes of the addon and of Node's system errors are kept or
 * mapped.
 */
export function asFarmError(thrown: unknown, fallback: ErrorCode = "INTERNAL"): FarmError {
  if (thrown instanceof FarmError) return thrown;
  if (!(thrown instanceof Error)) return new FarmError(fallback, String(thrown));
  const code: unknown = "code" in thrown ? thrown.code : undefined;
  if (isErrorCode(code)) return new FarmError(code, thrown.message, { cause: thrown });
  if (typeof code === "string" && code in systemCodes) {
    return new FarmError(systemCodes[code] ?? fallback, thrown.message, { cause: thrown });
  }
  return new FarmError(fallback, thrown.message, { cause: thrown });
}

const systemCodes: Readonly<Record<string, ErrorCode>> = {
  ENOENT: "NOT_FOUND",
  EACCES: "IO",
  EPERM: "IO",
  EROFS: "IO",
  ENOSPC: "IO",
  EIO: "IO",
  EFBIG: "IO",
  EDQUOT: "IO",
  EADDRINUSE: "FAILED_PRECONDITION",
  ECONNREFUSED: "UNAVAILABLE",
};
