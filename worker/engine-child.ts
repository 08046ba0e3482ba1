// Forks an engine process and ends it. The kernel kills it when this process dies, whatever state
// its own event loop is in; a process group of its own keeps the terminal's Ctrl-C away from it and
// lets one signal reach its FFmpeg too.
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { FromEngine, ToEngine } from "./engine-messages.js";

/** An engine process as the supervisor sees it. */
export interface EngineChild {
  send(message: ToEngine): void;
  /** SIGKILL to the process and what it started; `onExit` follows. */
  kill(): void;
}

export interface EngineChildEvents {
  readonly onMessage: (message: FromEngine) => void;
  /**
   * Called once, after the last message. `how` is for people: "killed by SIGKILL", "exit code 8".
   */
  readonly onExit: (how: string) => void;
}

export type StartEngineChild = (events: EngineChildEvents) => EngineChild;

const engineProgram = fileURLToPath(new URL("./engine-process.js", import.meta.url));

/** Starts an engine process; a program that cannot be started is an exit too. */
export function startEngineChild({ onMessage, onExit }: EngineChildEvents): EngineChild {
  const child = fork(engineProgram, [], {
    execPath: "setpriv",
    execArgv: ["--pdeathsig", "KILL", "--", process.execPath, ...process.execArgv],
    serialization: "advanced", // seeds are bigints
    detached: true,
    // What a library prints goes to our stderr: stdout belongs to the user's command.
    stdio: ["ignore", 2, 2, "ipc"],
  });
  let how: string | undefined;
  let ended = false;
  const end = (): void => {
    // The last message may still be in the channel when the process has already exited.
    if (ended || how === undefined || child.connected) return;
    ended = true;
    onExit(how);
  };
  child.on("message", (message) => onMessage(message as FromEngine)); // our own program wrote it
  child.on("disconnect", end);
  child.on("exit", (code, signal) => {
    how = signal === null ? `exit code ${code}` : `killed by ${signal}`;
    end();
  });
  child.on("error", (error) => {
    if (child.pid !== undefined) return; // a message that could not be sent: the exit follows
    how = `not started: ${error.message}`;
    end();
  });
  return {
    send: (message) => {
      if (child.connected) child.send(message);
    },
    kill: () => {
      if (child.pid !== undefined && how === undefined) killGroup(child.pid);
    },
  };
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    const gone = error instanceof Error && "code" in error && error.code === "ESRCH";
    if (!gone) throw error;
  }
}
