// Logs are JSON lines on stderr: stdout belongs to what a command prints for its user.

import pino from "pino";

export type Log = pino.Logger;

export const logLevels = ["silent", "fatal", "error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = (typeof logLevels)[number];

export const defaultLogLevel: LogLevel = "info";

/**
 * A logger named after its process; written synchronously, so that the last line before an exit is
 * not lost.
 */
export function createLog(name: string, level: LogLevel): Log {
  return pino({ name, level }, pino.destination({ dest: 2, sync: true }));
}

/** For tests and for callers that want no log. */
export const silentLog: Log = pino({ level: "silent" });
