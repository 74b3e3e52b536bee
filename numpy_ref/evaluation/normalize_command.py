"""The command `normalize`: shifts and scales a model's rewards by their mean and deviation on reference responses."""

import os
from pathlib import Path

import numpy as np

from ..cli.text import counted, signed
from ..errors import InputError
from ..files import claimed, write_text, written_directory
from ..objectives import LEARNED_TIES
from ..storage import model_card
from ..storage.checkpoint import directory_of, load_model, read_config, save_model
from ..storage.checksums import seal
from . import pairs
from .calibration import fit_temperature
from .command import positive_or_fit, scored_pairs
from .normalize import moments, shift_and_scale
from .score import numpy_scorer, rewards_with_bar
from .score_files import checked, located, raw_rows, responses_of


def reference_responses(path):
    """(line number, prompt, responses) of each row: the best responses of a labelled row, all of an unlabelled one"""
    for number, _, columns in raw_rows(path):
        with located(path, number):
            if {"rejected", "ranks", "scores", "answers"} & columns.keys():
                preference = checked(columns)
                best = [r for r, rank in zip(preference.responses, preference.ranks, strict=True) if rank == 1]
                yield number, preference.prompt, best
            else:
                yield number, *responses_of(columns)


def reference_rewards(path, scorer):
    """The reward of every reference response        -> (R,)"""
    rows = []
    for number, prompt, responses in reference_responses(path):
        with located(path, number):
            rows += [[scorer.tokenizer.encode(prompt, response)] for response in responses]
            if max(len(row[0]) for row in rows[-len(responses) :]) > scorer.max_length:
                raise InputError(f"a response is longer than the {scorer.max_length} tokens that the model reads")
    if not rows:
        raise InputError(f"{path}: the file is empty: give prompts with responses whose mean reward is to be 0")
    return rewards_with_bar(scorer, rows)[:, 0]


def add_arguments(parser):
    """The options of `normalize`"""
    parser.add_argument("--model", metavar="DIR", required=True, help="a run or model directory of either package")
    parser.add_argument(
        "--data",
        metavar="FILE",
        required=True,
        help="reference responses: the best ones of a labelled row, or all of a row without labels",
    )
    parser.add_argument("--output-dir", metavar="DIR", required=True, help="a new directory for the normalised model")
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument(
        "--mean-only", action="store_true", help="shift to mean 0 without a division: P = σ(margin) stays"
    )
    scale.add_argument(
        "--temperature",
        metavar="T",
        help="shift to mean 0 and divide by T, not by the deviation: a number, or `fit` on --data, which needs labels",
    )


def run(args, scorer_of=numpy_scorer, write=None):
    """Measures the rewards, folds mean and scale into the weights, writes the model; returns the exit status

    write(source, target, numbers) -> what was done with the numbers (mean, scale, why, reference, count)
    """
    temperature = positive_or_fit(args.temperature)
    target = Path(args.output_dir)
    if os.path.lexists(target):
        raise InputError(f"--output-dir {target}: exists already: choose another")
    with claimed(target):
        return measured_and_written(args, target, temperature, scorer_of(args.model), write or fold)


def measured_and_written(args, target, temperature, scorer, write):
    """`run`, with the lock on the output directory"""
    reward = reference_rewards(args.data, scorer)
    mean, scale, why = float(reward.mean()), 1.0, "no division"
    if temperature is not None:
        scale = fit_on(args.data, scorer) if temperature == "fit" else temperature
        why = f"temperature {'fitted on ' + Path(args.data).name if temperature == 'fit' else 'as given'}"
    elif not args.mean_only:
        (mean, scale), why = moments(reward, np.finfo(np.float32).eps), "the standard deviation"
    done = write(args.model, target, (mean, scale, why, args.data, len(reward)))
    print(
        f"reference {args.data}: {counted(len(reward), 'response')}, mean reward {mean:.4f}, "
        f"deviation {reward.std():.4f}"
    )
    print(f"{done:<10}(reward {signed(-mean)}) / {scale:.4g}: {why}")
    if scale != 1:
        print(f"note      P(preferred) was σ(margin) and is σ(margin / {scale:.4g}) now: evaluate before relying on it")
    print(f"saved     {target}")
    return 0


def fit_on(path, scorer):
    """The temperature of a labelled file's margins"""
    return fit_temperature(scored_pairs(pairs.load_file(path, scorer), scorer).margin).temperature


def fold(source, target, numbers):
    """Writes the model with the numbers in its weights; a tie parameter is in log-odds and stays only if scale is 1"""
    source = directory_of(source)
    (params, n_head, tokenizer), config, (mean, scale, *_) = load_model(source), read_config(source), numbers
    ties = {name: config[name] for name in ("ties", *LEARNED_TIES.values()) if name in config and scale == 1}
    with written_directory(target) as building:
        save_model(building, shift_and_scale(params, mean, scale), n_head, tokenizer, ties)
        write_text(building / "README.md", model_card.normalised(source, *numbers))
        seal(building)
    return "folded"
