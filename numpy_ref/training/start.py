"""The weights that a training starts from: random, from --init-from, or from the resumed run."""

from dataclasses import replace

import numpy as np

from ..cli import memory
from ..data.held_out import WORLD_POSITIONS
from ..data.source import is_world
from ..errors import InputError
from ..reward_model import init_params
from ..storage.checkpoint import load_model
from ..storage.run import load_state
from ..tree import flatten, tree_map
from .stage import Start


def saved_run(run, top, **copies):
    """The newest save of a run; InputError unless its model has this top, "head" or "unembedding"    -> run.Saved"""
    saved = load_state(run, **copies)
    if f"{top}.weight" not in saved.weights:
        other = "sft" if top == "head" else "train"
        raise InputError(f"--resume {run}: was made by {other}: resume it with that command")
    return saved


def begin(options, saved, top, converted=None):
    """The Start of a model of this project: from the resumed run, from --init-from, or without weights yet

    converted(options, params) replaces the top of the --init-from model if it has another one
    """
    if saved is not None:
        return Start(options, (saved.weights, saved.n_head), saved.tokenizer)
    return Start(options) if options.init_from is None else init_from(options, top, converted)


def init_from(options, top, converted):
    """The Start from the model of --init-from, with this top"""
    given = sorted(options.given & {"n_layer", "n_head", "n_embd"})
    if given:
        option = "--" + given[0].replace("_", "-")
        raise InputError(f"{option}: with --init-from the model has its size already: leave it out")
    params, n_head, tokenizer = load_model(options.init_from, tuple({top: 0, "unembedding": 0}))
    n_positions = len(params["body"]["pos"]["weight"])
    max_length = options.max_length if "max_length" in options.given else n_positions
    if max_length > n_positions:
        raise InputError(f"--max-length {max_length}: {options.init_from} reads {n_positions} tokens at most")
    if "dtype" in options.given:
        params = tree_map(lambda array: array.astype(options.dtype), params)
    options = replace(options, max_length=max_length, dtype=str(params["body"]["tok"]["weight"].dtype))
    weights = flatten(params if top in params else converted(options, params))
    return Start(options, (weights, n_head), tokenizer)


def drawn(options, stage, tokenizer):
    """(flattened random weights, number of heads)"""
    if options.n_embd % options.n_head:
        raise InputError(
            f"--n-embd {options.n_embd} is not a multiple of --n-head {options.n_head}: each head gets an equal share"
        )
    return flatten(stage.first_weights(options, tokenizer)), options.n_head


def first_weights(options, tokenizer):
    """A reward model's random weights"""
    n_positions = WORLD_POSITIONS if is_world(options) else options.max_length
    size = tokenizer.vocab_size, n_positions, options.n_embd, options.n_layer
    check_memory(*size, np.dtype(options.dtype).itemsize)
    return init_params(weights_rng(options), *size, np.dtype(options.dtype))


def check_memory(V, T, C, n_layer, itemsize):
    """InputError if there is too little memory for weights, gradients, two moments and the copy of a save"""
    layer = 12 * C * C + 13 * C
    what = f"a model of {V} tokens, {T} positions, {C} channels and {n_layer} blocks"
    needed = 5 * itemsize * ((2 * V + T) * C + n_layer * layer) + 2**13 * n_layer  # plus Python's objects per block
    memory.check(needed, what, "choose a smaller --max-length, --n-embd, --n-layer or --vocab-size")


def weights_rng(options):
    """The random stream of the weights; stream 0 is for the world, 1 for the labels"""
    return np.random.default_rng([options.seed, 2])
