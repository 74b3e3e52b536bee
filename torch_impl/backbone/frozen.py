"""`train --freeze-backbone`: computes the features once, then fits the best linear head exactly.

Layer, pooling and ridge are chosen by cross-validation: parts of the training prompts are left out in turn. The
held-out file is evaluated once, at the end.
"""

import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from numpy_ref.batches import all_rewards
from numpy_ref.bradley_terry.linear_head import fit_standardised, left_out_margins
from numpy_ref.cli.options import word
from numpy_ref.cli.text import counted, progress_bar, reader_may_leave, table
from numpy_ref.data.source import check_source, columns, named_sources
from numpy_ref.data.summary import load_file
from numpy_ref.data.tokens import comparisons, longer_wins
from numpy_ref.errors import InputError
from numpy_ref.evaluation import intervals
from numpy_ref.metrics import accuracy, log_loss
from numpy_ref.storage import run as runs
from numpy_ref.training.resume import recorded, with_fingerprints

from . import card
from .features import cached_features
from .learner import write_model
from .model import load_backbone
from .reading import POOLINGS
from .saved import note_on_loading

RIDGES = (0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
MANY_PROMPTS = 30  # from this many on, the bootstrap draws prompts
COARSE = 6  # about so many layers are tried before the neighbours of the best
ALIKE = 0.1  # responses are of similar length if they differ by at most this share of the longer one
NOT_USED = (
    *("loss", "ties", "margin_per_rank", "label_smoothing", "center_rewards_coefficient", "learning_rate", "dtype"),
    *("warmup_steps", "num_train_epochs", "max_steps", "per_device_train_batch_size", "use_peft", "lora_r"),
    *("lora_alpha", "lora_target_modules", "logging_steps", "eval_steps", "save_steps", "weight_decay"),
    *("lr_scheduler_type", "load_best_model_at_end", "metric_for_best_model", "early_stopping_patience", "seed"),
    *("gradient_accumulation_steps", "gradient_checkpointing", "fsdp", "bf16"),
)


@reader_may_leave()
def run(options, device):
    """Chooses, fits, evaluates once, saves and reports; returns the exit status"""
    for name in NOT_USED:
        if name in options.given:
            raise InputError(
                f"{word(name)}: a head on a frozen model is fitted exactly and does not use it: leave it out"
            )
    check_source(options)
    if options.output_dir is not None:
        runs.check_empty(Path(options.output_dir))  # before any data are read
    began, (train, test) = time.monotonic(), named_sources(options)
    model, tokenizer = load_backbone(options.model_name_or_path, options.gguf_file, template=options.template)
    model.to(device)
    heads, poolings = candidates(options, model.body.config.num_hidden_layers)
    data, prompts = pairs_of(options, tokenizer, *train)
    held = pairs_of(options, tokenizer, *test) if test[1] else None
    fold = folds_to_choose_by(options, f"{train[0]} {train[1]}", prompts, len(heads) * len(poolings))
    directory = runs.new_run(options.output_dir, "train")
    rows, pairs = distinct(data.rows)
    cache, layers = options.cache_dir or directory.parent / "features", sorted({n for head in heads for n in head})
    features = cached_features(model, rows, layers, poolings, cache)
    print(f"features  of {counted(len(rows), 'distinct response')}, {counted(sum(map(len, rows)), 'token')}")
    print(f"cache     {cache}: {features.nbytes / 2**20:,.0f} MiB, read by the next run instead of computed;")
    print("          it may be deleted at any time")

    def read(head, pooling):
        """The head's input        -> (M, len(head) C)"""
        found = features[:, [layers.index(n) for n in head], poolings.index(pooling)]
        return found.reshape(len(rows), -1).astype(float)

    head, pooling, ridge, found = choose(options, read, pairs, fold, heads, poolings)
    weight, certificate = fit_standardised(read(head, pooling), pairs, ridge)
    print(
        f"head      least loss by Newton's method, |gradient| {certificate['gradient_norm']:.0e}, "
        f"converged: {certificate['converged']}"
    )
    finished = Finished(model, head, pooling, weight)
    measured = evaluate(finished, *held) if held else {}
    chosen = ({"head_layers": list(head)} if head[1:] else {"layer": head[0]}) | {"pooling": pooling, "ridge": ridge}
    runs.log(directory, {"step": 0, **chosen, **found, **certificate} | measured)
    runs.publish(directory, finished, tokenizer, write_model)
    record = {name: value for name, value in recorded(with_fingerprints(options)).items() if name not in NOT_USED}
    record |= dict.fromkeys(("layer", "head_layers")) | chosen
    of_card = {} if held is None else as_card_takes_it(measured, held[1])
    card.write(directory, model, tokenizer, data, of_card, record, finished.versions())
    print(f"saved     {directory} after {time.monotonic() - began:.0f} s")
    note_on_loading(model, directory)
    return 0


class Finished:
    """The model cut to the last layer that its head reads; the same model is evaluated and saved"""

    writes = True

    def __init__(self, model, layers, pooling, weight):
        model.read(layers, pooling)
        with torch.no_grad():
            model.head.weight.copy_(torch.from_numpy(weight)[None])
        self.model, self.device = model, model.head.weight.device

    @torch.no_grad()
    def rewards(self, tokens, length):
        tokens, length = torch.from_numpy(tokens).to(self.device), torch.from_numpy(length).to(self.device)
        return self.model(tokens, length).cpu().numpy()

    def weights(self):
        """Empty: the weights are in the model"""
        return {}

    def learned_ties(self):
        """Empty: a frozen model learns no tie parameter"""
        return {}

    def versions(self):
        """The versions that the head depends on"""
        return {"torch": torch.__version__}


def candidates(options, n_layer):
    """(the layers that each possible head reads, poolings) to choose among        [(1,), (2,), ...] or [(6, 12)]"""
    if options.head_layers and "layer" in options.given:
        raise InputError("--layer: with --head-layers the head reads those: give one of the two")
    if options.head_layers and list(options.head_layers) != sorted(set(options.head_layers)):
        raise InputError("--head-layers: do not ascend: write each layer once, the lowest first")
    asked = options.head_layers or (() if options.layer == "auto" else (options.layer,))
    if max(asked, default=0) > n_layer:
        option = "--head-layers" if options.head_layers else "--layer"
        raise InputError(f"{option} {max(asked)}: the model has {counted(n_layer, 'layer')}: give 1 to {n_layer}")
    heads = [asked] if asked else [(n,) for n in range(1, n_layer + 1)]
    return heads, list(POOLINGS) if options.pooling == "auto" else [options.pooling]


def pairs_of(options, tokenizer, option, source):
    """(the pairs of ids of a preference file or dataset, their prompts); a ranked list becomes all its pairs"""
    lists, preferences, line = load_file(
        tokenizer, option, source, min(options.max_length, tokenizer.max_length), columns=columns(options)
    )
    print(line)
    if lists.margin.any():
        raise InputError(f"{option} {source}: has margins, which --freeze-backbone cannot use: drop the column margin")
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


def folds_to_choose_by(options, named, prompts, n_options):
    """The fold of each pair, None if there is nothing to choose; InputError if the prompts are too few for folds"""
    if n_options == 1 and options.ridge != "auto":
        return None
    n_prompts = len(set(prompts))
    wanted = options.folds if "folds" in options.given else 2
    if n_prompts < wanted or options.folds < 2:
        has = "has one prompt" if n_prompts == 1 else f"has {n_prompts} prompts"
        raise InputError(
            f"{named}: {has}, too few to leave {wanted if options.folds > 1 else 'one'} parts of them "
            "out in turn: give --layer, --pooling and --ridge" + (", or fewer --folds" if options.folds > 2 else "")
        )
    return folds(prompts, options.folds)


def choose(options, read, pairs, fold, heads, poolings):
    """(layers, pooling, ridge, their scores) of least log loss on pairs whose prompts the head had not seen

    read    (layers, pooling) -> features
    """
    ridges = list(RIDGES) if options.ridge == "auto" else [options.ridge]
    if fold is None:
        return heads[0], poolings[0], ridges[0], {}
    scores = {}
    with progress_bar(None, "fit", desc="choosing") as bar:

        def loss_of(i, pooling):
            """The smallest log loss over all ridges at these layers"""
            margins = left_out_margins(read(heads[i], pooling), pairs, fold, ridges)
            here = {(heads[i], pooling, r): (log_loss(m), accuracy(m)) for r, m in zip(ridges, margins, strict=True)}
            scores.update(here)
            bar.update()
            return min(here.values())

        for pooling in poolings:
            coarse_to_fine(partial(loss_of, pooling=pooling), len(heads))
    best = min(scores, key=scores.__getitem__)
    print(f"choice    by log loss on {fold.max() + 1} parts of the prompts left out in turn; the best found:\n")
    lines = [["pooling", "layer", "ridge", "log loss", "accuracy"], *_best_of_each(scores, poolings)]
    print("\n".join(table(lines)) + "\n")
    return *best, {"left_out_log_loss": scores[best][0], "left_out_accuracy": scores[best][1]}


def coarse_to_fine(loss_of, n):
    """Losses of some of n neighbours: about COARSE at equal distances from the last on, then closer to the best"""
    stride = max(1, n // COARSE)
    found = {i: loss_of(i) for i in range(n - 1, -1, -stride)}
    while stride > 1:
        stride = (stride + 1) // 2
        best = min(found, key=found.__getitem__)
        found |= {i: loss_of(i) for i in (best - stride, best + stride) if 0 <= i < n and i not in found}
    return found


def _best_of_each(scores, poolings):
    for pooling in poolings:
        best = min((key for key in scores if key[1] == pooling), key=scores.__getitem__)
        yield [pooling, ", ".join(map(str, best[0])), f"{best[2]:g}", *(f"{score:.4f}" for score in scores[best])]


def evaluate(finished, held, prompts):
    """Prints and returns the scores of the saved model on the held-out pairs, and how often the longer response wins"""
    rows, pairs = distinct(held.rows)
    reward = all_rewards(finished.rewards, [[row] for row in rows])[:, 0]
    margin = reward[pairs[:, 0]] - reward[pairs[:, 1]]
    score = (np.sign(margin) + 1) / 2
    interval, drawn = interval_of(score, pairs, prompts)
    lengths = held.rows.tokens.letters[held.rows.values].reshape(-1, 2)
    alike = abs(lengths[:, 0] - lengths[:, 1]) <= ALIKE * lengths.max(axis=1)
    result = {"eval_accuracy": score.mean(), "eval_loss": log_loss(margin), "eval_interval": interval}
    result |= {"eval_longer_wins": longer_wins(held), "eval_pairs": len(pairs), "eval_ties": np.mean(margin == 0)}
    print(
        f"held-out  accuracy {score.mean():.4f} [{interval[0]:.3f}, {interval[1]:.3f}], log loss {log_loss(margin):.4f}"
    )
    print(f"          95 % by drawing {drawn}")
    print(f"baseline  the longer response wins {result['eval_longer_wins']:.4f}")
    if alike.any():
        longer = (np.sign(lengths[:, 0] - lengths[:, 1]) + 1)[alike].mean() / 2
        result |= {"eval_matched_accuracy": score[alike].mean(), "eval_matched_pairs": int(alike.sum())}
        print(
            f"matched   {counted(alike.sum(), 'pair')} whose lengths differ by {ALIKE:.0%} at most: accuracy "
            f"{score[alike].mean():.4f}; the longer wins {longer:.4f}"
        )
    return result


def as_card_takes_it(measured, prompts):
    """The result of `evaluate` on pairs of these prompts, under the names of storage.model_card"""
    result, n = measured | {"eval_accuracy_interval": measured["eval_interval"]}, len(set(prompts))
    return {"result": result, "floors": {}, "baseline": measured["eval_longer_wins"], "prompts": n, "kept": ""}


def interval_of(score, pairs, prompts):
    """(the interval of the mean score, in words what the bootstrap drew)"""
    rng, prompt = np.random.default_rng(0), np.unique(prompts, return_inverse=True)[1]
    if prompt.max() + 1 >= MANY_PROMPTS:
        return intervals.prompts_interval(score, prompt, rng), counted(prompt.max() + 1, "prompt")
    drawn = f"responses within each of {counted(prompt.max() + 1, 'prompt')}: for other prompts it is wider"
    return intervals.responses_interval(score, pairs, prompt, rng), drawn
