"""The command `sft` of both packages: the language model that a reward model starts from (`train --init-from`).

It learns to write the responses that people chose: supervised fine-tuning, stage one of Ouyang et al. 2022. Each text
is learned once an epoch, however often it was chosen: a response that won nine comparisons is one text, not nine.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from ..batches import collate
from ..data import world
from ..data.held_out import world_tokenizer
from ..data.source import check_source, is_world, read_sources
from ..data.tokenizer import SEP, TokenIds
from ..data.tokens import chosen_texts, tokens_in_memory
from ..errors import InputError
from ..language_model import init_unembedding
from ..train import check_finite
from .data import Loaded
from .log import Log
from .stage import Stage
from .start import begin, first_weights, saved_run


class Texts(NamedTuple):
    """Chosen responses after their prompts, as token ids; of each row the tokens from its start on are predicted"""

    rows: Sequence  # N arrays of ids
    start: np.ndarray  # (N,)
    too_long: int = 0
    repeated: int = 0  # chosen more than once

    def predicted(self):
        """How many tokens are predicted"""
        return sum(map(len, self.rows)) - int(self.start.sum())


def texts(tokenizer, preferences, max_length):
    """The best response to each prompt, each text once        -> Texts"""
    return texts_of(tokens_in_memory(tokenizer, (("", preference) for preference in preferences)), max_length)


def texts_of(tokens, max_length):
    """`texts` of Tokens; a response begins after the only sep, as no text can spell one        -> Texts"""
    rows, too_long, repeated = chosen_texts(tokens, max_length)
    return Texts(rows, np.array([1 + np.argmax(ids == SEP) for ids in rows], int), too_long, repeated)


def load(options, tokenizer=None):
    """The data of `sft`        -> Loaded"""
    check_source(options)
    if is_world(options):
        tokenizer = world_tokenizer(tokenizer)
        sets = zip(world.make_world(options.seed), (1, 3), strict=True)  # the random streams of the labels
        data, held = (
            texts(tokenizer, world.rank(np.random.default_rng([options.seed, stream]), responses), options.max_length)
            for responses, stream in sets
        )
        about = f"data      the built-in world: {len(data.rows):,} chosen responses"
        return Loaded(data, held, tokenizer, about)
    found, held_out, tokenizer, dataset_sha256 = read_sources(options, tokenizer)
    if isinstance(tokenizer, TokenIds):
        raise InputError(
            f"{found.option} {found.source}: token ids do not say where the response begins: sft needs texts"
        )
    data, about = chosen_responses(found, options.max_length)
    held = None
    if held_out:
        held, held_about = chosen_responses(held_out, options.max_length)
        about = f"{about}\n{held_about}"
    return Loaded(data, held, tokenizer, about, dataset_sha256)


def chosen_responses(found, max_length):
    """(Texts of a source, lines about them)"""
    option, source, tokens, note = found
    data = texts_of(tokens, max_length)
    if not data.rows:
        raise InputError(f"{option} {source}: no response has at most --max-length {max_length} tokens: raise it")
    left_out = f"{data.repeated:,} chosen again, {data.too_long:,} longer than {max_length} tokens"
    title = "data" if option in ("--data", "--dataset-name") else "held-out"
    return data, f"{title:<10}{source}: {len(data.rows):,} chosen responses; {left_out}" + (note and f"\n{note}")


def learn(learner, data, chosen, step):
    """One update from the texts `chosen`"""
    tokens, length, start = arrays(data, chosen)
    loss, norm, lr = learner.step(tokens, length, start)
    check_finite(step, loss, norm)
    return {"loss": loss, "tokens": int((length - start).sum()), "grad_norm": norm, "learning_rate": lr}


def arrays(data, chosen):
    """tokens (B, T), length (B,), start (B,)"""
    tokens, length = collate([[data.rows[i]] for i in chosen])
    return tokens[:, 0], length[:, 0], data.start[chosen]


class TokenLog(Log):
    """Averages over all tokens of the logged steps"""

    arrays = ()
    numbers = (*Log.numbers, "tokens")

    def summed_up(self, records):
        """The mean loss of the tokens that these steps learned from"""
        tokens = [record["tokens"] for record in records]
        loss = float(np.average([record["loss"] for record in records], weights=tokens))
        return {"loss": loss, "num_tokens": sum(tokens)}


def evaluate(learner, held, max_tokens=2**14):
    """Loss and perplexity over all held-out tokens, in batches of texts of similar length"""
    order, first, total = sorted(range(len(held.rows)), key=lambda i: -len(held.rows[i])), 0, 0.0
    while first < len(order):
        chunk = order[first : first + max(1, max_tokens // len(held.rows[order[first]]))]
        tokens, length, start = arrays(held, chunk)
        total += learner.nats(tokens, length, start) * (length - start).sum()
        first += len(chunk)
    loss = float(total / held.predicted())
    return {"eval_loss": loss, "eval_perplexity": math.exp(min(loss, 700))}


def report(directory, learner, held):
    """Prints the final scores, next to those of a model that knows nothing"""
    if held is None:
        print("held-out  nothing was held out: give --eval-data FILE to see how the model does on new texts")
    else:
        result = evaluate(learner, held)
        vocab_size = len(learner.weights()["body.tok.weight"])
        print(f"held-out  {result['eval_loss']:.4f} nats a token, perplexity {result['eval_perplexity']:.2f};", end=" ")
        print(f"{math.log(vocab_size):.4f} and {vocab_size} for a model that knows nothing")
    print(f"saved     {directory}; go on with train --init-from {directory}")


def random_weights(options, tokenizer):
    """Random weights of a language model: the body of a reward model, and an unembedding in place of its head"""
    params = first_weights(options, tokenizer)
    rng = np.random.default_rng([options.seed, 4])
    unembedding = init_unembedding(rng, tokenizer.vocab_size, options.n_embd, np.dtype(options.dtype))
    return {"body": params["body"], "unembedding": unembedding}


LANGUAGE_MODEL = Stage(
    command="sft",
    saved=partial(saved_run, top="unembedding"),
    begin=partial(begin, top="unembedding"),
    learner_options=lambda _options: {},
    load=load,
    first_weights=random_weights,
    learn=learn,
    log=TokenLog,
    evaluate=evaluate,
    metrics={"loss": False, "perplexity": False},
    report=report,
)
