"""`train --freeze-backbone`: features once, then the best linear head, exactly; what is to be chosen is chosen by
prompts left out of the training data, and the held-out file is looked at once, at the end."""

import time
from itertools import product

import numpy as np
import torch

from numpy_ref.batches import all_rewards
from numpy_ref.bradley_terry.linear_head import fit_standardised, left_out_margins
from numpy_ref.cli.options import word
from numpy_ref.cli.text import progress_bar, table
from numpy_ref.data.source import columns
from numpy_ref.data.summary import load_file
from numpy_ref.data.tokens import comparisons, longer_wins
from numpy_ref.errors import InputError
from numpy_ref.evaluation import intervals
from numpy_ref.metrics import accuracy, log_loss
from numpy_ref.storage import run as runs

from .features import cached_features
from .learner import write_model
from .model import POOLINGS, cut_layers, load_backbone

RIDGES = (0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
MANY_PROMPTS = 30  # from which on the bootstrap draws prompts
ALIKE = 0.1  # lengths that differ by no more than this share of the longer one
NOT_USED = (
    *("loss", "ties", "margin_per_rank", "label_smoothing", "center_rewards_coefficient", "learning_rate", "dtype"),
    *("warmup_steps", "num_train_epochs", "max_steps", "per_device_train_batch_size", "use_peft", "lora_r"),
    *("lora_alpha", "lora_target_modules", "logging_steps", "eval_steps", "save_steps"),
)


def run(options, device):
    """Chooses, fits, evaluates once, saves and reports; returns the exit status"""
    for name in NOT_USED:
        if name in options.given:
            raise InputError(
                f"{word(name)}: a head on a frozen model is fitted exactly and does not use it: leave it out"
            )
    began = time.monotonic()
    model, tokenizer = load_backbone(options.model_name_or_path, options.gguf_file, template=options.template)
    model.to(device)
    layers, poolings = candidates(options, model.body.config.num_hidden_layers)
    data, prompts = pairs_of(options, tokenizer, "--data", options.data)
    held = pairs_of(options, tokenizer, "--eval-data", options.eval_data) if options.eval_data else None
    directory = runs.new_run(options.output_dir, "train")
    rows, pairs = distinct(data.rows)
    features = cached_features(model, rows, layers, POOLINGS, options.cache_dir or directory.parent / "features")
    print(f"features  of {len(rows):,} distinct responses, {sum(map(len, rows)):,} tokens")
    layer, pooling, ridge, found = choose(options, features, pairs, folds(prompts, options.folds), layers, poolings)
    at = features[:, layers.index(layer), POOLINGS.index(pooling)].astype(float)
    weight, certificate = fit_standardised(at, pairs, ridge)
    print(
        f"head      least loss by Newton's method, |gradient| {certificate['gradient_norm']:.0e}, "
        f"converged: {certificate['converged']}"
    )
    finished = Finished(model, layer, pooling, weight)
    line = {"step": 0, "layer": layer, "pooling": pooling, "ridge": ridge, **found, **certificate}
    runs.log(directory, line | (evaluate(finished, *held) if held else {}))
    runs.publish(directory, finished, tokenizer, write_model)
    reader = (
        "" if pooling == "last" else "; its mean pooling is read by this project, not by a plain sequence classifier"
    )
    print(f"saved     {directory} after {time.monotonic() - began:.0f} s{reader}")
    return 0


class Finished:
    """The model cut to the chosen layer, with its head: what is evaluated is what is saved"""

    writes = True

    def __init__(self, model, layer, pooling, weight):
        if layer < model.body.config.num_hidden_layers:
            cut_layers(model.body, layer)
        model.pooling = pooling
        with torch.no_grad():
            model.head.weight.copy_(torch.from_numpy(weight)[None])
        self.model, self.device = model, model.head.weight.device

    @torch.no_grad()
    def rewards(self, tokens, length):
        tokens, length = torch.from_numpy(tokens).to(self.device), torch.from_numpy(length).to(self.device)
        return self.model(tokens, length).cpu().numpy()

    def weights(self):
        """All of them are in the model"""
        return {}

    def learned_ties(self):
        """A frozen model learns none"""
        return {}


def candidates(options, n_layer):
    """(layers, poolings) to choose among"""
    if options.layer != "auto" and options.layer > n_layer:
        raise InputError(f"--layer {options.layer}: the model has {n_layer} layers: give 1 to {n_layer}, or auto")
    layers = list(range(1, n_layer + 1)) if options.layer == "auto" else [options.layer]
    return layers, list(POOLINGS) if options.pooling == "auto" else [options.pooling]


def pairs_of(options, tokenizer, option, path):
    """(a preference file as pairs of ids, their prompts); a ranked list is all its pairs"""
    lists, preferences, line = load_file(
        tokenizer, option, path, min(options.max_length, tokenizer.max_length), columns=columns(options)
    )
    print(line)
    if lists.margin.any():
        raise InputError(f"{option} {path}: has margins, which --freeze-backbone cannot use: drop the column margin")
    pairs = comparisons(lists)
    return pairs, [str(preferences[i].prompt) for i in pairs.kept]


def distinct(rows):
    """The different responses, and the pairs as indices into them        N lists of 2 lists -> M lists, (N, 2)"""
    place: dict = {}
    pairs = [[place.setdefault(tuple(map(int, ids)), len(place)) for ids in row] for row in rows]
    return [list(ids) for ids in place], np.array(pairs)


def folds(prompts, n):
    """The fold of each pair: prompts in the file's order, cut into n parts or fewer        -> (N,)

    A prompt is never in two folds, and neighbours are together: in many files they are related, as two sides of one
    debate are, and a head tested on one side would know the other.
    """
    found: dict = {}
    place = np.array([found.setdefault(prompt, len(found)) for prompt in prompts])
    return place * min(n, len(found)) // len(found)


def choose(options, features, pairs, fold, layers, poolings):
    """(layer, pooling, ridge, their scores) of least log loss on pairs whose prompts the head had not seen"""
    ridges = list(RIDGES) if options.ridge == "auto" else [options.ridge]
    combinations = list(product(range(len(layers)), poolings))
    if len(combinations) * len(ridges) == 1:
        return layers[0], poolings[0], ridges[0], {}
    if fold.max() == 0:
        raise InputError(
            f"--data {options.data}: has one prompt, so that nothing can be chosen by leaving prompts out: "
            "give --layer, --pooling and --ridge"
        )
    scores = {}
    for i, pooling in progress_bar(combinations, "fit", desc="choosing"):
        margins = left_out_margins(features[:, i, POOLINGS.index(pooling)].astype(float), pairs, fold, ridges)
        for ridge, margin in zip(ridges, margins, strict=True):
            scores[layers[i], pooling, ridge] = log_loss(margin), accuracy(margin)
    best = min(scores, key=scores.__getitem__)
    print(
        f"choice    by log loss on {fold.max() + 1} parts of the prompts left out in turn; the best of each pooling:\n"
    )
    print(
        "\n".join(table([["pooling", "layer", "ridge", "log loss", "accuracy"], *_best_of_each(scores, poolings)]))
        + "\n"
    )
    return *best, {"left_out_log_loss": scores[best][0], "left_out_accuracy": scores[best][1]}


def _best_of_each(scores, poolings):
    for pooling in poolings:
        best = min((key for key in scores if key[1] == pooling), key=scores.__getitem__)
        yield [pooling, str(best[0]), f"{best[2]:g}", *(f"{score:.4f}" for score in scores[best])]


def evaluate(finished, held, prompts):
    """Prints and returns how the saved model does on the held-out pairs, beside the length of the responses"""
    rows, pairs = distinct(held.rows)
    reward = all_rewards(finished.rewards, [[row] for row in rows])[:, 0]
    margin = reward[pairs[:, 0]] - reward[pairs[:, 1]]
    score = (np.sign(margin) + 1) / 2
    interval, drawn = interval_of(score, pairs, prompts)
    lengths = held.rows.tokens.letters[held.rows.values].reshape(-1, 2)
    alike = abs(lengths[:, 0] - lengths[:, 1]) <= ALIKE * lengths.max(axis=1)
    result = {"eval_accuracy": score.mean(), "eval_loss": log_loss(margin), "eval_interval": interval}
    result |= {"eval_longer_wins": longer_wins(held), "eval_pairs": len(pairs)}
    print(
        f"held-out  accuracy {score.mean():.4f} [{interval[0]:.3f}, {interval[1]:.3f}], log loss {log_loss(margin):.4f}"
    )
    print(f"          95 % by drawing {drawn}")
    print(f"baseline  the longer response wins {result['eval_longer_wins']:.4f}")
    if alike.any():
        longer = (np.sign(lengths[:, 0] - lengths[:, 1]) + 1)[alike].mean() / 2
        result |= {"eval_matched_accuracy": score[alike].mean(), "eval_matched_pairs": int(alike.sum())}
        print(
            f"matched   {alike.sum():,} pairs whose lengths differ by {ALIKE:.0%} at most: accuracy "
            f"{score[alike].mean():.4f}; the longer wins {longer:.4f}"
        )
    return result


def interval_of(score, pairs, prompts):
    """(the interval, what was drawn)"""
    rng, prompt = np.random.default_rng(0), np.unique(prompts, return_inverse=True)[1]
    if prompt.max() + 1 >= MANY_PROMPTS:
        return intervals.prompts_interval(score, prompt, rng), f"{prompt.max() + 1} prompts"
    drawn = f"responses within each of {prompt.max() + 1} prompts: for other prompts it is wider"
    return intervals.responses_interval(score, pairs, prompt, rng), drawn
