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

// A compute thread that has to wait shall sleep: one that spins takes the core from the thread that
// it waits for, as soon as FFmpeg or a neighbour wants a core too. Seen on two busy cores: 40 steps
// of the demo model in 0.6 s instead of 4 to 15 s. Whoever has set the variable knows better.
const waitPolicy = { OMP_WAIT_POLICY: "passive" };

const engineProgram = fileURLToPath(new URL("./engine-process.js", import.meta.url));

/** Starts an engine process; a program that cannot be started is an exit too. */
export function startEngineChild({ onMessage, onExit }: EngineChildEvents): EngineChild {
  const child = fork(engineProgram, [], {
    execPath: "setpriv",
    execArgv: ["--pdeathsig", "KILL", "--", process.execPath, ...process.execArgv],
    env: { ...waitPolicy, ...process.env },
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
