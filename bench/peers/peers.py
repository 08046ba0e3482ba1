"""How fast the engine's parts are beside PyTorch's, on the same weights, inputs, dtype and number
of threads, warm and in turn within one run.

    python bench/peers/peers.py WORK BIN [--parts a,b] [--threads 2] [--rounds 7] [--no-compile]

WORK keeps the weights; BIN holds bench_forward and random_stdit3. Prints JSON. `torch` is the eager
module, `compiled` the same through torch.compile with frozen weights. Seconds are medians of the
rounds, in each of which every side runs once. The results are compared too: `difference` is the
relative L2 distance of the engine's from torch's in the same dtype.
"""

import argparse
import copy
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import diffusers
import torch

import caching
import parts
from engine import Engine

TORCH_DTYPE = {"fp32": torch.float32, "bf16": torch.bfloat16}
DIFFERENCE_MAX = {"fp32": 2e-3, "bf16": 5e-2}  # more is another computation


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def cast(inputs, dtype):
    return {name: value.to(dtype) if value.is_floating_point() and name not in ("time", "fps")
            else value for name, value in inputs.items()}


class Torch:
    """The eager module, or a compiled one."""

    def __init__(self, part, dtype, compiled):
        self._module = copy.deepcopy(part.module).to(TORCH_DTYPE[dtype])
        self._inputs = cast(part.inputs, TORCH_DTYPE[dtype])
        self._forward = part.forward
        if compiled:
            torch._inductor.config.freezing = True
            self._module = torch.compile(self._module)

    def run(self):
        with torch.inference_mode():
            self.last = self._forward(self._module, self._inputs)


def difference(found, expected):
    return ((found.float() - expected.float()).norm() / expected.float().norm()).item()


def measure(part, dtype, options):
    part.write_inputs()
    program = options.bin / "bench_forward"
    engine = Engine(program, part.name, part.folder, part.inputs_file, dtype, options.threads)
    sides = {"torch": Torch(part, dtype, False)}
    if options.compile:
        sides["compiled"] = Torch(part, dtype, True)
    seconds = {name: [] for name in ("engine", *sides)}
    for round in range(options.rounds + 1):
        spent = {"engine": engine.run()}
        spent.update({name: timed(side.run) for name, side in sides.items()})
        for name, value in spent.items():
            if round > 0:  # the first one warms
                seconds[name].append(value)
    found = engine.output(part.folder / "inputs" / "output.safetensors")
    engine.close()
    apart = difference(found, sides["torch"].last)
    if apart > DIFFERENCE_MAX[dtype]:
        raise SystemExit(f"{part.name} {dtype}: results differ by {apart}; nothing was compared")
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    faster = {name: medians[name] / medians["engine"] for name in sides}
    return {"part": part.name, "what": part.what, "dtype": dtype, "engine_kind": engine.kind,
            "seconds": medians, "faster": faster, "difference": apart}


def policy_engine(part, dtype, policy, options):
    flags = {"--steps": caching.STEPS, "--policy": policy}
    more = [str(word) for flag in flags.items() for word in flag]
    for name, value in caching.POLICIES.get(policy, {}).items():
        more += ["--option", f"{name}={value}"]
    if dtype == "bf16" and policy != "none":  # what diffusers' hooks keep
        more += ["--option", "cache_dtype=bf16"]
    return Engine(options.bin / "bench_forward", "pixart-steps", part.folder, part.inputs_file,
                  dtype, options.threads, more)


def measure_caching(part, dtype, options):
    """One line a policy: seconds of all forwards on both sides, and what of them is saved."""
    part.write_inputs()
    lines = []
    for policy in ("none", *caching.POLICIES):
        engine = policy_engine(part, dtype, policy, options)
        torch_side = caching.Steps(part, TORCH_DTYPE[dtype], policy)
        seconds = {"engine": [], "torch": []}
        for round in range(max(1, options.rounds // 3) + 1):
            spent = {"engine": engine.run(), "torch": timed(torch_side.run)}
            for name, value in spent.items():
                if round > 0:
                    seconds[name].append(value)
        computed = engine.report()
        if computed["computed"] != torch_side.computed:
            raise SystemExit(f"{policy} {dtype}: the engine computed {computed['computed']} modules"
                             f", diffusers {torch_side.computed}: nothing was compared")
        found = engine.output(part.folder / "inputs" / "output.safetensors")
        engine.close()
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        none = lines[0]["seconds"] if lines else medians
        lines.append({"policy": policy, "dtype": dtype, "what": part.what, "seconds": medians,
                      "modules": computed["modules"], "computed": computed["computed"],
                      "saved": {name: none[name] / medians[name] for name in medians},
                      "faster": medians["torch"] / medians["engine"],
                      "difference": difference(found, torch_side.last)})
        print(json.dumps(lines[-1]), file=sys.stderr)
    return lines


def random_stdit3(program):
    def write(folder, **sizes):
        flags = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
        subprocess.run([program, folder, *flags], check=True)

    return write


def options_of(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("bin", type=Path)
    parser.add_argument("--parts", default="stdit3,pixart,dit,t5,image-vae,caching")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    return parser.parse_args(argv)


def main(argv):
    options = options_of(argv)
    torch.set_num_threads(options.threads)
    makers = {
        "stdit3": lambda: parts.stdit3(options.work, random_stdit3(options.bin / "random_stdit3")),
        "pixart": lambda: parts.pixart(options.work),
        "dit": lambda: parts.dit(options.work),
        "t5": lambda: parts.t5(options.work),
        "image-vae": lambda: parts.image_vae(options.work),
    }
    names = options.parts.split(",")
    results = []
    for name in names:
        if name == "caching":
            continue
        part = makers[name]()
        for dtype in part.dtypes:
            results.append(measure(part, dtype, options))
            print(json.dumps(results[-1]), file=sys.stderr)
    policies = []
    if "caching" in names:
        part = parts.pixart(options.work, "pixart-256", side=32)
        for dtype in part.dtypes:
            policies += measure_caching(part, dtype, options)
    print(json.dumps({"torch": torch.__version__, "diffusers": diffusers.__version__,
                      "threads": options.threads, "rounds": options.rounds, "parts": results,
                      "policies": policies}, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
