"""A prompt's comparisons as one batch element, or shuffled as single pairs? One epoch, same data, same steps.

    python tests/benchmarks/shuffled_pairs.py [--seeds 5] [--parts world,qa,search,effort] [--output-dir DIR]

Ouyang et al. 2022 (arXiv:2203.02155, section 3.5) found that comparisons shuffled into one dataset overfit the reward
model in a single epoch, and that all comparisons of a prompt as one batch element do not. Three arms, from the same
first weights:

    list      one batch element holds a prompt's comparisons: each response is read once
    pairs     the same comparisons, shuffled among those of all prompts: a response is read K - 1 times, in K - 1 steps
    again     `list` for as many epochs as it takes to read each response as often as `pairs` does

On average a step of `pairs` has as many comparisons as one of `list`, so an epoch has as many steps. Training loss is
measured over all training comparisons after the last step, and on each batch before its update (`fresh`, the mean of
the run's last tenth); for `list` those responses were never read before. A difference is paired over seeds: same data,
same first weights.

Effort, in the second experiment, is the number of responses that labellers read: N prompts with K responses cost N K.
"""

import argparse
import math
import os
import time
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--seeds", type=int, default=5)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--device", default="cpu")
parser.add_argument("--prompts", type=int, default=400, help="of the world, to train on")
parser.add_argument(
    "--larger", type=float, default=1.0, help="multiplies the prompts and the effort of all of the world"
)
parser.add_argument("--parts", default="world,qa,search,effort")
parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data" / "qa_ranked4")
parser.add_argument("--output-dir", type=Path, default=Path("runs/shuffled_pairs"))
arguments = parser.parse_args()
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(arguments.threads)  # read when the libraries are loaded, below

import re  # noqa: E402
import zlib  # noqa: E402
from functools import partial  # noqa: E402
from typing import Any, NamedTuple  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from tqdm import tqdm  # noqa: E402

from numpy_ref.batches import all_rewards, collate_ranks, steps_per_epoch  # noqa: E402
from numpy_ref.cli.text import table  # noqa: E402
from numpy_ref.data import world  # noqa: E402
from numpy_ref.data.held_out import WORLD_POSITIONS, Held, held_world  # noqa: E402
from numpy_ref.data.reader import read_preferences  # noqa: E402
from numpy_ref.data.tokenizer import BOS, EOS, SEP, Words  # noqa: E402
from numpy_ref.data.tokens import comparisons, encode  # noqa: E402
from numpy_ref.figures.style import BLUE, INK, RUST, Picture, new_figure, save, styled  # noqa: E402
from numpy_ref.metrics import summary  # noqa: E402
from numpy_ref.reward_model import init_params  # noqa: E402
from numpy_ref.train import train  # noqa: E402
from numpy_ref.tree import flatten  # noqa: E402
from torch_impl.train import Learner  # noqa: E402

torch.set_num_threads(arguments.threads)
ARMS = ("list", "pairs", "again")
POINTS = 12  # evaluations in the course of a run


class HashedWords:
    """Words as ids by their CRC-32: rows are short, and rare words make a response recognisable"""

    def __init__(self, words=4096):
        self.words, self.vocab_size = words, words + 4

    def encode(self, prompt, response):
        return [BOS, *self._ids(prompt), SEP, *self._ids(response), EOS]

    def _ids(self, text):
        return [4 + zlib.crc32(word.encode()) % self.words for word in re.findall(r"\w+|[^\w\s]", text.lower())]


class Task(NamedTuple):
    """What every arm is given: the same lists, the same held-out prompts, the same model"""

    data: Any
    held: Held
    tokenizer: Any
    n_positions: int
    n_embd: int = 32
    n_layer: int = 2
    learning_rate: float = 4e-3
    prompts_per_step: int = 8


def world_task(seed, n, sizes=(6, 7, 8, 9), certainty=1.0, signed=False, **model):
    """n prompts of the built-in world with K drawn from `sizes`

    certainty  multiplies the true rewards: at 1/2 labels are noisier, at 0 coin flips; held-out expectations follow
    signed     every response ends with a word of its own, hashed to one of 4,096, which makes it recognisable
    """
    train_set, eval_set = world.make_world(seed, n, 200, k_train=max(sizes), k_eval=6, visits=1)
    train_set, eval_set = (part._replace(rewards=certainty * part.rewards) for part in (train_set, eval_set))
    if signed:
        train_set, eval_set = with_signatures(train_set, "t"), with_signatures(eval_set, "e")
    rng = np.random.default_rng([seed, 3])
    lists = []
    for size in sizes:  # a random subset of a prompt's responses, so that K says nothing about them
        own = range(sizes.index(size), n, len(sizes))
        kept = np.array([sorted(rng.permutation(max(sizes))[:size]) for _ in own])
        part = world.Responses(
            [train_set.prompts[i] for i in own],
            [[train_set.responses[i][k] for k in ks] for i, ks in zip(own, kept, strict=True)],
            train_set.rewards[np.array(own)[:, None], kept],
        )
        lists += world.rank(rng, part)
    tokenizer = HashedWords() if signed else Words(world.WORDS)
    data = encode(tokenizer, lists, WORLD_POSITIONS + 1)
    return Task(data, held_world(tokenizer, eval_set), tokenizer, WORLD_POSITIONS + 1, **model)


def with_signatures(part, who):
    texts = [[f"{text} {who}{n}x{k}" for k, text in enumerate(row)] for n, row in enumerate(part.responses)]
    return part._replace(responses=texts)


def qa_task(words=4096, **model):
    """The ranked answers of a directory with ranked.train.jsonl.gz and ranked.test.jsonl.gz"""
    tokenizer = HashedWords(words)
    data, held = (
        encode(tokenizer, read_preferences(arguments.data / f"ranked.{split}.jsonl.gz"), 256)
        for split in ("train", "test")
    )
    return Task(data, Held(held.rows, None, 0.0, collate_ranks(held.ranks)), tokenizer, 256, **model)


def learner_of(task, seed, total_steps, loss):
    rng = np.random.default_rng([seed, 2])
    params = init_params(rng, task.tokenizer.vocab_size, task.n_positions, task.n_embd, task.n_layer, np.float32)
    return Learner(
        flatten(params), 4, total_steps, task.learning_rate, total_steps // 10, device=arguments.device, loss=loss
    )


def scores(learner, task):
    """Held-out loss and accuracy; expected values if the true rewards are known"""
    result = summary(all_rewards(learner.rewards, task.held.rows), task.held.true, task.held.ranks)
    return result["loss"], result["accuracy"]


def run(task, arm, seed, bar, points=POINTS):
    """{"fresh": the loss of each batch before its update, "held", "train": (loss, accuracy), "course": held in time}"""
    lists, pairs = task.data, comparisons(task.data)
    data = pairs if arm == "pairs" else lists
    per_prompt = len(pairs.rows) / len(lists.rows)
    batch = round(task.prompts_per_step * (per_prompt if arm == "pairs" else 1))
    responses = sum(map(len, lists.rows))
    epochs = round(2 * len(pairs.rows) / responses) if arm == "again" else 1  # 2 C(K, 2) / K = K - 1 without ties
    total = epochs * steps_per_epoch(len(data.rows), batch)
    learner = learner_of(task, seed, total, "pairwise" if arm == "pairs" else "kwise")
    course, fresh = [(0.0, *scores(learner, task))], []
    marks = set(np.linspace(0, total, points + 1).round().astype(int).tolist())
    for step, record in train(learner, data, start=0, total_steps=total, batch_size=batch, seed=seed):
        batch_summary = summary(record["rewards"], labels=record["labels"])
        fresh.append((batch_summary["loss"], batch_summary["accuracy"]))
        if step in marks:
            course.append((step / total, *scores(learner, task)))
            bar.set_postfix_str(f"{arm}, {step} of {total} steps", refresh=False)
            bar.update(0)
    after = summary(all_rewards(learner.rewards, lists.rows), labels=collate_ranks(lists.ranks))
    bar.update()
    return {
        "fresh": np.array(fresh),
        "course": np.array(course),
        "train": (after["loss"], after["accuracy"]),
        "held": course[-1][1:],
    }


def mean(values, digits=4):
    """mean ± standard error over seeds"""
    values = np.asarray(values)
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{values.mean():.{digits}f} ± {error:.{digits}f}"


def compare(title, task_of, arms=ARMS):
    """Runs every arm for every seed, prints the table; returns {arm: runs}"""
    results: dict = {arm: [] for arm in arms}
    with tqdm(total=arguments.seeds * len(arms), desc=title, unit="run") as bar:
        for seed in range(arguments.seeds):
            task = task_of(seed)
            for arm in arms:
                results[arm].append(run(task, arm, seed, bar))
    floor = f"; best reachable loss {world.floors(task.held.true)['loss']:.4f}" if task.held.true is not None else ""
    print(f"\n{title}: {len(task.data.rows)} prompts, {len(comparisons(task.data).rows)} comparisons{floor}")
    rows = [["arm", "fresh loss", "training loss", "held-out loss", "least held-out", "training acc.", "held-out acc."]]
    for arm, runs in results.items():
        rows.append(
            [
                arm,
                mean([r["fresh"][-max(1, len(r["fresh"]) // 10) :, 0].mean() for r in runs]),
                mean([r["train"][0] for r in runs]),
                mean([r["held"][0] for r in runs]),
                mean([r["course"][:, 1].min() for r in runs]),
                mean([r["train"][1] for r in runs]),
                mean([r["held"][1] for r in runs]),
            ]
        )
    print(*table(rows), sep="\n")
    for arm in arms[1:]:
        print(f"held-out loss of {arm} - list, paired over seeds: {difference(results, arm)}")
    return results


def difference(results, arm, digits=4):
    """The difference of the held-out losses, seed by seed"""
    return mean([b["held"][0] - a["held"][0] for a, b in zip(results["list"], results[arm], strict=True)], digits)


def in_bins(values):
    """A noisy course as the means of at most POINTS equal parts, and the middle of each part"""
    parts = np.array_split(values, min(POINTS, len(values)))
    return (np.arange(len(parts)) + 0.5) / len(parts), np.array([part.mean() for part in parts])


@styled
def course_figure(parts):
    """Loss and accuracy during the epoch: dashed on each batch before its update, solid on held-out data"""
    figure = new_figure(10, 3.7 * len(parts), "One batch element a prompt against shuffled pairs, one epoch")
    grid = figure.subplots(len(parts), 2, squeeze=False)
    for (title, results), row in zip(parts.items(), grid, strict=True):
        for axes, column, name in ((row[0], 0, "loss (nats)"), (row[1], 1, "accuracy")):
            for arm, colour, marker in (("list", BLUE, "o"), ("pairs", RUST, "s")):
                share = results[arm][0]["course"][:, 0]
                held = np.array([r["course"][:, 1 + column] for r in results[arm]])
                binned = [in_bins(r["fresh"][:, column]) for r in results[arm]]
                middles, fresh = binned[0][0], np.array([values for _, values in binned])
                label = {"list": "one element a prompt", "pairs": "shuffled pairs"}[arm]
                draw_band(axes, share, held, colour, marker, "-", f"{label}, held out")
                draw_band(axes, middles, fresh, colour, marker, "--", f"{label}, training")
            axes.set(title=title, xlabel="share of the epoch", ylabel=name)
        row[0].legend()
    return Picture(
        figure,
        "For each data set, loss and accuracy over one epoch: training batches before their update (dashed) and "
        "held-out prompts (solid), for one batch element a prompt and for shuffled pairs; bands are standard errors",
    )


def draw_band(axes, x, runs, colour, marker, style, label):
    middle = runs.mean(0)
    error = runs.std(0, ddof=1) / math.sqrt(len(runs)) if len(runs) > 1 else 0 * middle
    axes.plot(
        x, middle, color=colour, marker=marker, ms=4, ls=style, mfc="white" if style == "--" else colour, label=label
    )
    axes.fill_between(x, middle - error, middle + error, color=colour, alpha=0.2, lw=0)


def settings():
    """{what is changed: the task of a seed}: the world with one prompt a step, and the ranked answers"""
    base = {"n": 100, "prompts_per_step": 1}
    changes = {
        "the world, 100 prompts": {},
        "400 prompts": {"n": 400},
        "96 channels, 3 blocks": {"n_embd": 96, "n_layer": 3},
        "learning rate 1e-2": {"learning_rate": 1e-2},
        "certainty 1/2": {"certainty": 0.5},
        "certainty 0: coin flips": {"certainty": 0.0},
        "signed": {"signed": True},
        "signed, certainty 1/2": {"signed": True, "certainty": 0.5},
        "signed, certainty 0": {"signed": True, "certainty": 0.0},
        "signed, 400 prompts": {"signed": True, "n": 400},
    }
    tasks = {}
    for name, change in changes.items():
        options = base | change
        options["n"] = round(arguments.larger * options["n"])
        tasks[name] = partial(world_task, **options)
    if arguments.data.is_dir():
        tasks["the ranked answers"] = lambda _: qa_task(prompts_per_step=4)
        tasks["answers, 64 words known"] = lambda _: qa_task(64, prompts_per_step=4)
    return tasks


def search():
    """Where do shuffled pairs overfit? Their losses beside those of `list`"""
    tasks, arms = settings(), ARMS[:2]
    rows = [["changed", "training, list", "training, pairs", "held-out, list", "held-out, pairs", "pairs - list"]]
    with tqdm(total=len(tasks) * arguments.seeds * len(arms), desc="the search for a scale", unit="run") as bar:
        for name, task_of in tasks.items():
            results: dict = {arm: [] for arm in arms}
            for seed in range(arguments.seeds):
                task = task_of(seed)
                for arm in arms:
                    results[arm].append(run(task, arm, seed, bar, points=1))
            rows.append([name, *(mean([r["train"][0] for r in results[arm]], 3) for arm in arms)])
            rows[-1] += [mean([r["held"][0] for r in results[arm]], 3) for arm in arms]
            rows[-1].append(difference(results, "pairs", digits=3))
            bar.write(", ".join(rows[-1]))
    print("\nThe search for a scale: losses after one epoch (the world: K = 6 to 9)")
    print(*table(rows), sep="\n")


EPOCHS, RESPONSES_A_STEP = 3, 36


def effort():
    """Held-out accuracy for K = 2, 4, 9 at the same number of responses read: {K: (prompts, accuracies (., seeds))}"""
    sizes = [round(arguments.larger * n) for n in (360, 720, 1440, 2880, 5760)]
    curves: dict = {}
    with tqdm(total=3 * len(sizes) * arguments.seeds, desc="labelling effort", unit="run") as bar:
        for K in (2, 4, 9):
            accuracies = np.empty((len(sizes), arguments.seeds))
            for (i, read), seed in ((pair, s) for pair in enumerate(sizes) for s in range(arguments.seeds)):
                task = world_task(seed, read // K, sizes=(K,))
                batch = RESPONSES_A_STEP // K
                total = EPOCHS * steps_per_epoch(len(task.data.rows), batch)
                learner = learner_of(task, seed, total, "kwise")
                for _ in train(learner, task.data, start=0, total_steps=total, batch_size=batch, seed=seed):
                    pass
                accuracies[i, seed] = scores(learner, task)[1]
                bar.update()
            curves[K] = (np.array([read // K for read in sizes]), accuracies)
    floor = world.floors(task.held.true)["accuracy"]
    print(
        f"\nHeld-out accuracy at equal effort, {EPOCHS} epochs, {RESPONSES_A_STEP} responses a step; best {floor:.4f}"
    )
    rows = [["responses read", *(f"K = {K}" for K in curves)]]
    rows += [[str(read), *(mean(curves[K][1][i]) for K in curves)] for i, read in enumerate(sizes)]
    print(*table(rows, aligned_left=0), sep="\n")
    print("\nA ranking of K says at most log2(K!) bits; C(K, 2) independent comparisons would say C(K, 2)")
    rows = [["K", "log2(K!)", "C(K, 2)", "bits a response", "bits a comparison"]]
    for K in range(2, 10):
        bits, pairs = math.log2(math.factorial(K)), math.comb(K, 2)
        rows.append([str(K), f"{bits:.2f}", str(pairs), f"{bits / K:.2f}", f"{bits / pairs:.2f}"])
    print(*table(rows, aligned_left=0), sep="\n")
    return curves, floor


@styled
def effort_figure(curves, floor):
    """Accuracy against labelled prompts and against responses read, and the bits of a ranking"""
    figure = new_figure(13, 4, "What K responses to a prompt are worth")
    by_prompts, by_reading, bits = figure.subplots(1, 3)
    for (K, (prompts, accuracies)), colour, marker in zip(curves.items(), (INK, RUST, BLUE), "osD", strict=True):
        draw_band(by_prompts, prompts, accuracies.T, colour, marker, "-", f"K = {K}")
        draw_band(by_reading, K * prompts, accuracies.T, colour, marker, "-", f"K = {K}")
    for axes, name in ((by_prompts, "labelled prompts"), (by_reading, "responses read: prompts × K")):
        axes.axhline(floor, color=INK, lw=0.8, ls=":")
        axes.set(xscale="log", xlabel=name, ylabel="held-out accuracy")
        values = np.concatenate([line.get_xdata() for line in axes.lines[:-1]])
        doubled = values.min() * 2 ** np.arange(1 + int(math.log2(values.max() / values.min())))
        axes.set_xticks(doubled, map(str, doubled))
        axes.minorticks_off()
        axes.annotate("best reachable", (0.02, floor), xycoords=("axes fraction", "data"), va="bottom", fontsize=8)
    by_prompts.set_title("The same number of prompts")
    by_reading.set_title("The same effort")
    by_reading.legend(loc="lower right")
    K = np.arange(2, 10)
    bits.plot(K, [math.comb(k, 2) for k in K], color=RUST, marker="s", ls="--", label="comparisons, C(K, 2)")
    bits.plot(K, [math.log2(math.factorial(k)) for k in K], color=BLUE, marker="o", label="bits, at most log₂(K!)")
    bits.set(title="Comparisons and information", xlabel="K, responses to a prompt", ylabel="number, bits")
    bits.legend()
    return Picture(
        figure,
        "Held-out accuracy for K = 2, 4 and 9 against labelled prompts and against responses read, with standard "
        "errors; and the number of comparisons C(K, 2) beside the bits log2(K!) that a ranking of K holds at most",
    )


def main():
    began, parts, courses = time.perf_counter(), arguments.parts.split(","), {}
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    if "world" in parts:
        n = round(arguments.larger * arguments.prompts)
        courses["the world, K = 6 to 9"] = compare(
            "the world, K = 6 to 9", lambda seed: world_task(seed, n, prompts_per_step=4)
        )
    if "qa" in parts and arguments.data.is_dir():
        courses["ranked answers, K = 4"] = compare("ranked answers, K = 4", lambda _: qa_task(prompts_per_step=4))
    elif "qa" in parts:
        print(f"{arguments.data}: absent, left out; give --data DIR")
    if courses:
        print("figure:", *save(course_figure(courses), arguments.output_dir / "shuffled_pairs"))
    if "search" in parts:
        search()
    if "effort" in parts:
        print("figure:", *save(effort_figure(*effort()), arguments.output_dir / "effort"))
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
