"""The data of a training as token ids, from files or from the built-in world; and its final report."""

from typing import Any, NamedTuple

import numpy as np

from ..batches import all_rewards
from ..data import tokens, world
from ..data.held_out import Held, load_world, world_tokenizer
from ..data.source import check_source, is_world, read_sources
from ..data.summary import encoded, format_lines, kept_share
from ..data.tokenizer import Tokenizer
from ..data.tokens import longer_wins
from ..errors import InputError
from ..metrics import summary
from ..ranking import ABSENT


class Loaded(NamedTuple):
    """The data of a training, and the lines that are printed about them"""

    data: Any
    held: Any  # None if nothing is held out
    tokenizer: Tokenizer
    about: str
    dataset_sha256: str | None = None


def load(options, tokenizer=None):
    """The data of `train`        -> Loaded

    tokenizer: that of an existing model; default: words for the world, ids for token ids, bytes for texts
    """
    check_source(options)
    if is_world(options):
        return Loaded(*load_world(options, world_tokenizer(tokenizer)))
    found, held_found, tokenizer, dataset_sha256 = read_sources(options, tokenizer)
    data, lines = encoded(tokenizer, found, options.max_length, options.ties != "drop")
    if options.loss == "pairwise":
        data = tokens.comparisons(data, options.margin_per_rank)
    elif data.margin.any():
        raise InputError(
            f"{found.option} {found.source}: has margins, which --loss {options.loss} cannot use: drop the column "
            "margin"
        )
    held = None
    if held_found:
        lists, held_lines = encoded(tokenizer, held_found, options.max_length)
        held = Held(lists.rows, None, longer_wins(lists), lists.ranks.padded(ABSENT), kept_share(lists))
        lines += held_lines
    lines += format_lines(found.tokens.formats, held_found and held_found.tokens.formats)
    return Loaded(data, held, tokenizer, "\n".join(lines), dataset_sha256)


def evaluate(rewards, held):
    """The scores over all held-out pairs, under their logged names with the prefix `eval_`"""
    result = summary(all_rewards(rewards, held.rows), held.true, held.ranks)
    return {f"eval_{name}": value for name, value in result.items()}


def report(directory, learner, held):
    """Prints the final scores next to floors and baseline, and returns them for the model card"""
    measured = {}
    if held is None:
        print("held-out  nothing was held out: give --eval-data FILE to measure the model on new pairs")
    else:
        result = evaluate(learner.rewards, held)
        floors = {} if held.true is None else world.floors(held.true)
        measured = {"result": result, "floors": floors, "baseline": held.baseline}
        measured |= {"prompts": len(held.rows), "kept": held.kept}
        if held.kept:
            print(
                f"held-out  accuracy {result['eval_accuracy']:.4f}; the longer response wins {held.baseline:.4f};",
                held.kept,
            )
        for name, title in {"accuracy": "accuracy", "loss": "log loss", "brier": "Brier"}.items():
            best = f"   best reachable {floors[name]:.4f}" if floors else ""
            if floors or name != "accuracy":
                print(f"held-out  {title:<9}{result[f'eval_{name}']:.4f}{best}")
        if floors:
            print(f"held-out  Spearman of learned and true reward within prompts {result['eval_spearman']:.4f}")
            print(f"baseline  the longer response wins {held.baseline:.4f}, on the same pairs")
        if result["eval_ties"]:
            print(f"held-out  {result['eval_ties']:.2%} of the pairs tie in reward; a tie counts one half")
    if ties := learner.learned_ties():
        (name, value), title = list(ties.items())[1], {"rao-kupper": "θ", "davidson": "ν"}[ties["ties"]]
        print(
            f"ties      {ties['ties']}: {title} = {np.exp(value):.3f} was learned; {name} = {value:.4f} in config.json"
        )
    print(f"saved     {directory}")
    return measured
