"""Nested cross-validation: every debate is left out in turn, and all choices are made on the other debates.

    python tests/benchmarks/debates.py TRAIN.jsonl.gz TEST.jsonl.gz [--model-name-or-path smollm2] [--cache-dir DIR]

A prompt reads "Question? Side: ...". A debate is one question; both of its sides are left out together. The table
shows the mean over debates ± the standard deviation between debates of

    accuracy      share of pairs ordered as people ordered them
    log loss      of σ(margin)
    equal length  accuracy on pairs whose lengths differ by at most 10 %

A head on a frozen body has a layer and a ridge. Both are chosen by log loss on the training debates, leaving out each
in turn. Everything that was tried is in the table.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from itertools import combinations_with_replacement
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from tqdm import tqdm  # noqa: E402

from numpy_ref.batches import all_rewards  # noqa: E402
from numpy_ref.bradley_terry.linear_head import fit_heads, scale_of  # noqa: E402
from numpy_ref.cli.text import table  # noqa: E402
from numpy_ref.data.preference import length_of  # noqa: E402
from numpy_ref.data.reader import read_preferences  # noqa: E402
from numpy_ref.data.tokenizer import Bytes  # noqa: E402
from numpy_ref.data.tokens import encode  # noqa: E402
from numpy_ref.metrics import accuracy, log_loss  # noqa: E402
from numpy_ref.reward_model import init_params  # noqa: E402
from numpy_ref.train import train  # noqa: E402
from numpy_ref.tree import flatten  # noqa: E402
from torch_impl.backbone.features import cached_features  # noqa: E402
from torch_impl.backbone.frozen import distinct  # noqa: E402
from torch_impl.backbone.model import load_backbone  # noqa: E402
from torch_impl.backbone.reading import POOLINGS  # noqa: E402
from torch_impl.engine.learner import Engine  # noqa: E402
from torch_impl.evaluation.model import load  # noqa: E402

RIDGES = (0.3, 0.1, 0.03, 0.01, 0.003)
LAYERS = 6  # as many are tried, evenly spaced
ALIKE = 0.1
TEMPLATE = "Question: {prompt}\nArgument: {response}\nIs this argument convincing? Answer:"
BYTES = {"n_embd": 64, "n_layer": 2, "n_head": 4, "steps": 200, "batch": 16, "max_length": 768, "rate": 1e-3}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", metavar="FILE", help="preference files, read as one")
    parser.add_argument("--model-name-or-path", default="smollm2")
    parser.add_argument("--cache-dir", default="features")
    parser.add_argument("--parts", default="length,heads,template,bytes,train")
    arguments = parser.parse_args()
    preferences = [preference for path in arguments.data for preference in read_preferences(path)]
    debate = np.unique([str(p.prompt).split(" Side:")[0] for p in preferences], return_inverse=True)[1]
    print(f"{len(preferences):,} pairs, {debate.max() + 1} debates", flush=True)
    lengths = np.array([[length_of(text) for text in preference.responses] for preference in preferences])
    alike = abs(lengths[:, 0] - lengths[:, 1]) <= ALIKE * lengths.max(1)
    parts = {"length": length_part, "heads": heads_part, "template": template_part, "bytes": bytes_part,
             "train": train_part}  # fmt: skip
    lines = [["", "accuracy", "log loss", "equal length", "chosen"]]
    for part in arguments.parts.split(","):
        for title, margin, chosen in parts[part](arguments, preferences, debate, lengths):
            lines.append([title, *figures(margin, debate, alike, title), chosen])
            print("\n" + "\n".join(table(lines, aligned_left=5)), flush=True)


def figures(margin, debate, alike, title):
    """Mean ± deviation over debates of each figure, as text; the figures of each debate go to debates.jsonl"""
    each = []
    for d in range(debate.max() + 1):
        here, same = debate == d, (debate == d) & alike
        each.append([accuracy(margin[here]), log_loss(margin[here]), accuracy(margin[same])])
    with open("debates.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({"model": title, "debates": [[float(x) for x in row] for row in each]}) + "\n")
    mean, spread = np.mean(each, 0), np.std(each, 0, ddof=1)
    return [f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, spread, strict=True)]


def length_part(_arguments, _preferences, debate, lengths):
    """r = a log(length), a fitted on the other debates"""
    pairs, column = np.arange(lengths.size).reshape(lengths.shape), np.log(lengths.reshape(-1, 1))
    margin = np.zeros(len(debate))
    for d in range(debate.max() + 1):
        out = debate == d
        weights, _ = fit_heads(column, pairs[~out], [1e-6])
        reward = column @ weights[0]
        margin[out] = reward[pairs[out, 0]] - reward[pairs[out, 1]]
    yield "the length alone", margin, ""


def heads_part(arguments, preferences, debate, _lengths):
    """Heads on the frozen body's states: by pooling, on several layers, with length as a covariate"""
    features, pairs, layers, length = features_of(arguments, preferences, None)
    by_pooling = {
        pooling: {f"layer {layer}": features[:, layer - 1, p].astype(float) for layer in layers}
        for p, pooling in enumerate(POOLINGS)
    }
    for pooling, options in by_pooling.items():
        yield f"{pooling} token" if pooling == "last" else "mean of tokens", *nested(options, pairs, debate)
    for pooling, options in by_pooling.items():
        both = {"all layers": np.concatenate([whitened(x) for x in options.values()], 1)}
        yield f"{pooling}, {len(options)} layers at once", *nested(both, pairs, debate)
    for pooling, options in by_pooling.items():
        yield f"{pooling}, length removed", *nested(options, pairs, debate, length)
    either = {f"{pooling}, {name}": x for pooling, options in by_pooling.items() for name, x in options.items()}
    yield "last or mean, chosen", *nested(either, pairs, debate)


def template_part(arguments, preferences, debate, _lengths):
    """The last token of a question about the argument"""
    features, pairs, layers, _ = features_of(arguments, preferences, TEMPLATE)
    options = {f"layer {layer}": features[:, layer - 1, 0].astype(float) for layer in layers}
    yield "last token, template", *nested(options, pairs, debate)


def features_of(arguments, preferences, template):
    """(features (M, L, P, C), pairs (N, 2), the layers to try, log length of each response (M,))"""
    model, tokenizer = load_backbone(arguments.model_name_or_path, template=template)
    rows, pairs = distinct([[tokenizer.encode(p.prompt, text) for text in p.responses] for p in preferences])
    n = model.body.config.num_hidden_layers
    features = cached_features(model, rows, list(range(1, n + 1)), POOLINGS, arguments.cache_dir)
    length = np.zeros(len(rows))
    length[pairs] = [[np.log(length_of(text)) for text in p.responses] for p in preferences]
    return features, pairs, evenly_spaced(n), length


def evenly_spaced(n):
    """LAYERS of n layers, or all if there are fewer"""
    return sorted({max(1, round(n * (i + 1) / LAYERS)) for i in range(LAYERS)})


def whitened(features):
    return (features - features.mean(0)) / scale_of(features)


def nested(options, pairs, debate, covariate=None):
    """(margins of each debate by a head that never saw it, which options were chosen, and for how many debates)

    The heads for an inner choice leave out two debates, d and e. One fit serves both d within e and e within d.
    """
    n, loss, margin = debate.max() + 1, {}, {}
    for name, features in tqdm(options.items(), desc="heads", leave=False):
        for d, e in combinations_with_replacement(range(n), 2):
            out = (debate == d) | (debate == e)
            for ridge, found in zip(RIDGES, margins_without(features, pairs, out, covariate), strict=True):
                if d == e:
                    margin[name, ridge, d] = found[debate == d]
                else:
                    loss[name, ridge, d, e] = log_loss(found[debate == e])
                    loss[name, ridge, e, d] = log_loss(found[debate == d])
    result, chosen = np.zeros(len(debate)), []
    for d in range(n):
        inner = {
            (name, ridge): np.mean([loss[name, ridge, d, e] for e in range(n) if e != d])
            for name in options
            for ridge in RIDGES
        }
        best = min(inner, key=inner.__getitem__)
        result[debate == d] = margin[*best, d]
        chosen.append(best[0])
    return result, ", ".join(f"{name} ({chosen.count(name)})" for name in sorted(set(chosen)))


def margins_without(features, pairs, out, covariate):
    """Margins of all pairs, by heads fitted without the pairs `out`, for each ridge; no covariate in them  -> (R, N)"""
    seen, rows = np.unique(pairs[~out], return_inverse=True)
    scaled = features / scale_of(features[seen])
    known = scaled
    if covariate is not None:
        z = (covariate - covariate[seen].mean()) / covariate[seen].std()
        known = np.concatenate([scaled, z[:, None]], 1)
    weights, _ = fit_heads(known[seen], rows.reshape(-1, 2), RIDGES)
    reward = scaled @ weights[:, : scaled.shape[1]].T  # (M, R)
    return (reward[pairs[:, 0]] - reward[pairs[:, 1]]).T


def bytes_part(_arguments, preferences, debate, _lengths):
    """This project's model of bytes, trained from random weights, read at the last token"""
    words, margin = Bytes(), np.zeros(len(debate))
    for d in tqdm(range(debate.max() + 1), desc="bytes", leave=False):
        inside = [p for p, where in zip(preferences, debate, strict=True) if where != d]
        data = encode(words, inside, BYTES["max_length"])
        size = words.vocab_size, 2048, BYTES["n_embd"], BYTES["n_layer"], np.float32
        weights = flatten(init_params(np.random.default_rng(0), *size))
        learner = Engine(weights, BYTES["n_head"], BYTES["steps"], BYTES["rate"], BYTES["steps"] // 10)
        for _ in train(learner, data, start=0, total_steps=BYTES["steps"], batch_size=BYTES["batch"], seed=0):
            pass
        held = [p for p, where in zip(preferences, debate, strict=True) if where == d]
        rows = [[words.encode(p.prompt, text)[-2048:] for text in p.responses] for p in held]
        unique, pairs = distinct(rows)
        reward = all_rewards(learner.rewards, [[row] for row in unique])[:, 0]
        margin[debate == d] = reward[pairs[:, 0]] - reward[pairs[:, 1]]
    yield f"bytes from scratch, {BYTES['steps']} steps", margin, ""


def train_part(arguments, preferences, debate, _lengths):
    """Heads on several layers as the command `train` makes them: one run a debate, on the file of the others"""
    model, _ = load_backbone(arguments.model_name_or_path)
    layers = evenly_spaced(model.body.config.num_hidden_layers)
    options = ["--model-name-or-path", arguments.model_name_or_path, "--freeze-backbone", "--folds", "7"]
    options += ["--head-layers", ",".join(map(str, layers)), "--cache-dir", os.path.abspath(arguments.cache_dir)]
    for pooling in POOLINGS:
        margin = np.zeros(len(debate))
        for d in tqdm(range(debate.max() + 1), desc="train", leave=False):
            others = [p for p, where in zip(preferences, debate, strict=True) if where != d]
            held = [p for p, where in zip(preferences, debate, strict=True) if where == d]
            with tempfile.TemporaryDirectory() as folder:
                data, run = Path(folder, "others.jsonl"), Path(folder, "run")
                data.write_text("".join(json.dumps(as_row(p)) + "\n" for p in others), encoding="utf-8")
                command = [sys.executable, "-m", "torch_impl", "train", *options, "--pooling", pooling]
                command += ["--data", data, "--output-dir", run]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
                trained = load(run)
            reward = {}
            for prompt in {p.prompt for p in held}:
                texts = list({text for p in held if p.prompt == prompt for text in p.responses})
                reward |= {(prompt, text): r for text, r in zip(texts, trained.score(prompt, texts), strict=True)}
            margin[debate == d] = [np.subtract(*(reward[p.prompt, text] for text in p.responses)) for p in held]
        yield f"{pooling}, {len(layers)} layers at once, by `train`", margin, ""


def as_row(preference):
    """A pair as a row of a preference file"""
    chosen, rejected = preference.responses
    return {"prompt": preference.prompt, "chosen": chosen, "rejected": rejected}


if __name__ == "__main__":
    main()
