"""How time and memory grow: with a text's length, the width, the batch, K, a file's pairs, the items of a fit.

    python tests/benchmarks/growth.py [--threads 1] [--repeats 5] [--parts length,width,...] [--figure DIR]

Only one quantity changes along each axis. The exponent is the slope of log time over log size, fitted by least squares.
Beside it stands the same slope of the prediction: for a training step the floating-point operations, for its memory the
numbers that a backward pass cannot do without, for a file its pairs, for a fit its pairs of items that met. A measured
exponent below the predicted one means that there is a constant cost too, such as the calls of a small step.

Memory is the peak that tracemalloc counts: NumPy's arrays and Python's objects. It does not see PyTorch's memory.
"""

import argparse
import os
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--repeats", type=int, default=5, help="of each size, the sizes taken in turns; medians are shown")
parser.add_argument("--parts", default="length,width,batch,K,file,items")
parser.add_argument("--figure", type=Path, metavar="DIR", help="draw growth.png and growth.svg there")
arguments = parser.parse_args()
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(arguments.threads)  # read when the libraries are loaded, below
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from typing import NamedTuple  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402

from numpy_ref.bradley_terry.strengths import fit  # noqa: E402
from numpy_ref.bradley_terry.win_counts import pairs_of_games  # noqa: E402
from numpy_ref.cli.main import keep_freed_memory  # noqa: E402
from numpy_ref.cli.text import table  # noqa: E402
from numpy_ref.data.reader import read_preferences  # noqa: E402
from numpy_ref.data.tokenizer import Bytes  # noqa: E402
from numpy_ref.data.tokens import encode  # noqa: E402
from numpy_ref.figures.style import BLUE, RUST, Picture, new_figure, save, styled  # noqa: E402
from numpy_ref.reward_model import init_params, rewards  # noqa: E402
from numpy_ref.storage.run import processor  # noqa: E402
from numpy_ref.train import Learner as NumpyLearner  # noqa: E402
from numpy_ref.tree import flatten  # noqa: E402
from torch_impl.engine.learner import Engine  # noqa: E402

VOCABULARY = 260


class Step(NamedTuple):
    """A training step: B prompts with K responses of T tokens, L layers of C channels and H heads"""

    B: int = 4
    K: int = 2
    T: int = 64
    C: int = 64
    L: int = 2
    H: int = 4

    def operations(self):
        """Operations of forward and backward: 3 · 2 (12 C² a token and layer, and 2 T C for its attention)"""
        tokens = self.B * self.K * self.T
        return 6 * tokens * self.L * (12 * self.C**2 + 2 * self.T * self.C)

    def kept(self):
        """How many numbers the backward pass needs if nothing is computed twice

        For each layer and token: both normed inputs, q, k, v, the attention's output, the feed-forward's 4 C before and
        after GELU; and a weight for every pair of positions of every head.
        """
        tokens = self.B * self.K * self.T
        return self.L * (tokens * 14 * self.C + self.B * self.K * self.H * self.T**2)


AXES = {
    "length": ("tokens of a text", [Step(T=T) for T in (32, 64, 128, 256, 512)], "T"),
    "width": ("channels", [Step(C=C) for C in (32, 64, 128, 256)], "C"),
    "batch": ("prompts a step", [Step(B=B) for B in (1, 2, 4, 8, 16, 32)], "B"),
    "K": ("responses a prompt", [Step(K=K, B=2) for K in (2, 4, 8, 16, 32)], "K"),
}


class Row(NamedTuple):
    """One quantity along one axis"""

    axis: str
    what: str
    sizes: list
    measured: list
    predicted: list


def slope(sizes, values):
    """d log value / d log size, by least squares"""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def in_turns(actions):
    """Median seconds of each action"""
    times = [[] for _ in actions]
    for _ in range(arguments.repeats):
        for seconds, action in zip(times, actions, strict=True):
            began = time.perf_counter()
            action()
            seconds.append(time.perf_counter() - began)
    return [float(np.median(seconds)) for seconds in times]


def peak(action):
    """The most bytes that the action held, beyond what was there before"""
    tracemalloc.start()
    action()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def steps(axis):
    """The time of a step on both sides, and the memory of NumPy's forward caches"""
    title, shapes, letter = AXES[axis]
    rng, sizes = np.random.default_rng(0), [getattr(shape, letter) for shape in shapes]
    actions, memory = {NumpyLearner: [], Engine: []}, []
    for shape in shapes:
        params = init_params(rng, VOCABULARY, shape.T, shape.C, shape.L, np.float32)
        tokens = rng.integers(4, VOCABULARY, (shape.B, shape.K, shape.T))
        length, margin = np.full((shape.B, shape.K), shape.T), np.zeros(shape.B)
        ranks = np.tile(np.arange(1, shape.K + 1), (shape.B, 1))
        for side, taken in actions.items():
            learner = side(flatten(params), shape.H, 10**6, 1e-3, 0, loss="kwise")
            learner.step(tokens, length, margin, ranks)
            taken.append(lambda learner=learner, batch=(tokens, length, margin, ranks): learner.step(*batch))
        memory.append(peak(lambda p=params, t=tokens, n=length, h=shape.H: rewards(t, n, **p, n_head=h)))
    operations, kept = [shape.operations() for shape in shapes], [4 * shape.kept() for shape in shapes]
    for side, taken in actions.items():
        yield Row(title, f"time, {side.side}", sizes, in_turns(taken), operations)
    yield Row(title, "memory, numpy_ref", sizes, memory, kept)


def files():
    """Reading and encoding a file of pairs"""
    sizes, actions, memory = [1_000, 4_000, 16_000, 64_000], [], []
    with tempfile.TemporaryDirectory() as directory:
        for n in sizes:
            path = Path(directory, f"{n}.jsonl")
            row = '{"prompt": "Why %d?", "chosen": "Because of this, and of that.", "rejected": "It is so: %d"}\n'
            path.write_text("".join(row % (i, i) for i in range(n)), encoding="utf-8")
            actions.append(lambda path=path: encode(Bytes(), read_preferences(path), 1024))
            memory.append(peak(actions[-1]))
        yield Row("pairs in the file", "time, numpy_ref", sizes, in_turns(actions), sizes)
        yield Row("pairs in the file", "memory, numpy_ref", sizes, memory, sizes)


def fits():
    """A Bradley-Terry fit of items in 50 games each, against opponents drawn from all: an estimate exists"""
    sizes, actions, memory, met = [300, 1_000, 3_000, 10_000, 30_000], [], [], []
    for n in sizes:
        rng = np.random.default_rng(n)
        first = rng.integers(0, n, 25 * n)
        second = (first + rng.integers(1, n, 25 * n)) % n
        strength = 0.5 * rng.standard_normal(n)
        first_wins = rng.random(25 * n) < 1 / (1 + np.exp(strength[second] - strength[first]))
        pairs = pairs_of_games(np.where(first_wins, first, second), np.where(first_wins, second, first), n)
        assert fit(pairs).problem is None, f"{n} items: no estimate, so that nothing was fitted"
        actions.append(lambda pairs=pairs: fit(pairs))
        memory.append(peak(actions[-1]))
        met.append(len(pairs.first))
    yield Row("items of a fit", "time, numpy_ref", sizes, in_turns(actions), met)
    yield Row("items of a fit", "memory, numpy_ref", sizes, memory, met)


def show(rows):
    """Prints the measured and the predicted exponents, and the first and last measurement"""
    body = []
    for row in rows:
        unit, scale = ("ms", 1e3) if row.what.startswith("time") else ("MB", 1e-6)
        ends = f"{scale * row.measured[0]:.3g} to {scale * row.measured[-1]:.4g} {unit}"
        exponents = (f"{slope(row.sizes, values):.2f}" for values in (row.measured, row.predicted))
        body.append([row.axis, row.what, f"{row.sizes[0]:,} to {row.sizes[-1]:,}", ends, *exponents])
    head = ["axis", "what", "sizes", "measured", "exponent", "predicted"]
    print("\n".join(table([head, *body], aligned_left=2)))


@styled
def growth_figure(rows):
    """One panel for each axis: measurements as points, and a line of the predicted growth through the last of them"""
    axes_names = list(dict.fromkeys(row.axis for row in rows))
    figure = new_figure(11, 3.1 * -(-len(axes_names) // 3), "Growth: measured points, and lines as predicted")
    axes = figure.subplots(-(-len(axes_names) // 3), 3, squeeze=False).flatten()
    from matplotlib.ticker import NullFormatter

    looks = {"time, numpy_ref": (BLUE, "o", "-"), "time, torch_impl": (RUST, "s", "--")}
    for ax, name in zip(axes, axes_names, strict=False):
        for row in rows:
            if row.axis == name and row.what in looks:
                colour, marker, line = looks[row.what]
                ax.loglog(row.sizes, row.measured, marker, color=colour, label=row.what.removeprefix("time, "))
                predicted = np.array(row.predicted) * row.measured[-1] / row.predicted[-1]
                ax.loglog(row.sizes, predicted, line, color=colour, linewidth=1)
        sizes = next(row.sizes for row in rows if row.axis == name)
        ax.set(xlabel=name, ylabel="seconds")
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
        ax.set_xticks([], minor=True)
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    for ax in axes[len(axes_names) :]:
        ax.remove()
    axes[0].legend()
    exponents = "; ".join(
        f"{row.axis}, {row.what}: exponent {slope(row.sizes, row.measured):.2f}, predicted "
        f"{slope(row.sizes, row.predicted):.2f}"
        for row in rows
    )
    return Picture(figure, f"Time over size on logarithmic axes, one panel for each axis of growth. {exponents}.")


def main():
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    print(f"{processor()}, {os.cpu_count()} cores, {arguments.threads} threads; float32")
    rows = []
    for part in arguments.parts.split(","):
        rows += {"file": files, "items": fits}.get(part, lambda part=part: steps(part))()
    show(rows)
    last = AXES["length"][1][-1]
    caches = [row for row in rows if row.axis == AXES["length"][0] and row.what.startswith("memory")]
    for row in caches:
        print(f"caches at {last.T} tokens: {row.measured[-1] / row.predicted[-1]:.2f} times what backward needs")
    if arguments.figure:
        print("figure:", *save(growth_figure(rows), arguments.figure / "growth"))


if __name__ == "__main__":
    main()
