"""Held-out data: the built-in world's responses with their true rewards, or the preferences of a file."""

from typing import NamedTuple

import numpy as np

from ..cli.text import counted
from ..errors import InputError
from ..metrics import summary
from . import world
from .tokenizer import Words
from .tokens import comparisons, encode

WORLD_POSITIONS = 16  # the world's longest text: bos, 6 words, sep, 3 answers, 2 fillers, a courtesy, full stop, eos


class Held(NamedTuple):
    """Held-out responses as token ids, best first, with their true rewards if they are the world's"""

    rows: list
    true: np.ndarray | None
    baseline: float  # how often the longer response is the better one
    ranks: np.ndarray | None = None  # (N, K), if from a file, whose lists may differ in length and hold ties
    kept: str = ""  # how many of a file's pairs or prompts were kept, in words


def world_tokenizer(tokenizer=None):
    """The tokenizer of the world's words; InputError if an existing model has another one"""
    words = Words(world.WORDS)
    if tokenizer not in (None, words):
        raise InputError(
            f"the model reads {tokenizer.name}, not the words of the built-in world: name your data with --data"
        )
    return words


def load_world(options, tokenizer):
    """The data of a training on the built-in world, as the fields of training.data.Loaded"""
    if options.max_length < WORLD_POSITIONS:
        raise InputError(
            f"--max-length {options.max_length}: the world has texts of {WORLD_POSITIONS} tokens: leave it out"
        )
    train_set, eval_set = world.make_world(options.seed)
    data = encode(tokenizer, world.rank(np.random.default_rng([options.seed, 1]), train_set), options.max_length)
    n_pairs, n_prompts = counted(len(data.rows), "pair"), counted(len(eval_set.prompts), "held-out prompt")
    line = f"data      the built-in world: {n_pairs}, {n_prompts}"
    data = comparisons(data, options.margin_per_rank) if options.loss == "pairwise" else data
    return data, held_world(tokenizer, eval_set), tokenizer, line


def held_world(tokenizer, responses):
    """The world's held-out Responses as Held"""
    rows = [
        [tokenizer.encode(prompt, text) for text in texts]
        for prompt, texts in zip(responses.prompts, responses.responses, strict=True)
    ]
    lengths = np.array([[len(text) for text in texts] for texts in responses.responses])
    return Held(rows, responses.rewards, summary(lengths, responses.rewards)["accuracy"])
