"""The engine's side: bench_forward in a process of its own, which runs when it is told to."""

import json
import os
import subprocess
from pathlib import Path

import torch
from safetensors.torch import load_file


class Engine:
    """One part of a model, loaded from `folder` with the inputs of `inputs`."""

    def __init__(self, program, part, folder, inputs, dtype, threads, more=()):
        """`more`: further flags of bench_forward and their values."""
        command = [program, part, folder, inputs, "--dtype", dtype, "--threads", str(threads),
                   *more]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.kind = self._answer()

    def run(self) -> float:
        """Seconds of one forward."""
        return float(self._ask("run"))

    def report(self) -> dict:
        """What the last run computed."""
        return json.loads(self._ask("report"))

    def output(self, file: Path) -> torch.Tensor:
        """What the last forward gave, written to `file`."""
        self._ask(f"write {file}")
        return load_file(file)["output"]

    def close(self):
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, line):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"bench_forward ended with status {self._process.wait()}")
        return line.strip()
