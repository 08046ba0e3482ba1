"""Draws how the cost of a step grows: one picture for each axis of bench_scaling's results.

    python bench/plots/scaling.py RESULT.json OUTPUT

RESULT.json is what bench_scaling printed; OUTPUT gets scaling-AXIS.svg. The dotted line beside each
curve is what the step would take if time grew as its FLOPs do from the first point.
"""

import json
import sys
from pathlib import Path
from xml.sax.saxutils import escape

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "tocafarm", "font.size": 9, "axes.grid": True,
                            "grid.alpha": 0.3})
import matplotlib.pyplot as plt

AXES = {
    "tokens": ("tokens", "tokens of a clip (17 frames; 144p, 240p, 360p, 480p)"),
    "frames": ("latent_frames", "latent frames (17, 34, 51 and 102 frames at 144p)"),
    "depth": ("depth", "layers (a spatial and a temporal block each)"),
    "clips": ("clips", "clips in a batch"),
}
KINDS = {"full": "all tokens computed", "partial": "partial step of toca"}


def draw(axis, points, title, file):
    field, label = AXES[axis]
    figure, plot = plt.subplots(figsize=(5, 3.4), layout="constrained")
    across = [point[field] for point in points]
    for kind, name in KINDS.items():
        seconds = [point[kind]["seconds"] for point in points]
        gflop = [point[kind]["gflop"] for point in points]
        line, = plot.plot(across, seconds, marker="o", label=name)
        plot.plot(across, [seconds[0] * flops / gflop[0] for flops in gflop], linestyle=":",
                  color=line.get_color(), label="as its FLOPs")
    plot.set(xscale="log", yscale="log", xlabel=label, ylabel="seconds a step", title=title)
    plot.set_xticks(across, [str(value) for value in across], minor=False)
    plot.minorticks_off()
    plot.legend()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
    add_title(file, f"Seconds a step by {label}: {title}")


def add_title(file, text):
    """What a reader of the page hears in the picture's place."""
    start, tag, rest = file.read_text().partition("<svg ")
    attributes, end, body = rest.partition(">\n")
    file.write_text(f"{start}{tag}{attributes}{end} <title>{escape(text)}</title>\n{body}")


def main(result_file, output):
    result = json.loads(Path(result_file).read_text())
    title = f"hidden {result['hidden']}, {result['device']}"
    Path(output).mkdir(parents=True, exist_ok=True)
    for axis, points in result["axes"].items():
        draw(axis, points, title, Path(output) / f"scaling-{axis}.svg")


if __name__ == "__main__":
    main(*sys.argv[1:])
