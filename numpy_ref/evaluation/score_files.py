"""The files of `score`: rows with responses, labelled or not, go in; the same rows with their rewards come out.

    {"prompt": "sort b a", "response": "a b"}                      -> reward
    {"prompt": "sort b a", "responses": ["b a", "a b", "a a"]}     -> rewards, order, best_probability
    {"prompt": "sort b a", "chosen": "a b", "rejected": "b a"}     -> the same, of [chosen, rejected]

Every format of a preference file is read, and labels are ignored. Each line is kept letter by letter, and the new
columns are added at its end: no number is rounded, no column lost.
"""

import json
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from ..batches import all_rewards
from ..data.reader import has_columns, texts, unit
from ..data.row import object_of, preference_of, without_missing
from ..errors import InputError
from ..layers import softmax

EXAMPLE = '{"prompt": "...", "response": "..."} or {"prompt": "...", "responses": ["...", "..."]}'
MOST_RESPONSES, MOST_TOKENS = 1024, 2**18  # in one chunk; one chunk is in memory at a time
ADDED = ("reward", "rewards", "order", "best_probability", "reason")
# Characters that would confuse a terminal. In JSON a carriage return is white space; the others occur only in texts.
SHOWN = {ord("\r"): " "} | {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}


def raw_rows(path):
    """Yields (number from 1, the row's JSON, its columns with numbers as floats); InputError names file and row"""
    for number, text in texts(path):
        with located(path, number):
            if isinstance(text, InputError):
                raise text
            columns = object_of(text.strip() + "\n")
            yield number, text.strip().translate(SHOWN), without_missing(columns) if has_columns(path) else columns


@contextmanager
def located(path, number):
    """Puts the file and the row in front of an InputError's sentence"""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}, {unit(path)} {number}: {error}") from None


def checked(columns):
    """The Preference of a labelled row, as a training would read it"""
    return preference_of(columns)[1]


def responses_of(columns):
    """The prompt and the responses in the order of the row, checked as for a training, with made-up labels"""
    prompt = {name: columns[name] for name in ("prompt",) if name in columns}
    if "response" in columns:
        texts = [columns["response"]]
    elif isinstance(columns.get("responses"), list):
        texts = columns["responses"]
    elif isinstance(columns.get("answers"), list):
        texts = [answer.get("answer") if isinstance(answer, dict) else answer for answer in columns["answers"]]
    elif "chosen" in columns and "rejected" in columns:
        pair = checked(prompt | {name: columns[name] for name in ("chosen", "rejected")})
        return pair.prompt, pair.responses
    else:
        found = ", ".join(map(repr, list(columns)[:6])) or "none"
        raise InputError(f"there is no column of responses (found: {found}): write {EXAMPLE}")
    if not texts:
        raise InputError(f"there is no response: write {EXAMPLE}")
    ranks = [float(i) for i in range(1, len(texts) + 2)]  # the last response is repeated, as a list needs two
    preference = checked(prompt | {"responses": [*texts, texts[-1]], "ranks": ranks})
    return preference.prompt, preference.responses[:-1]


def encoded(scorer, columns):
    """(token ids of a row's responses, ""), or ([], the reason) if one is too long for the model"""
    taken = [name for name in ADDED if name in columns]
    if taken:
        raise InputError(f'the row has a column "{taken[0]}" already, which would be overwritten: rename it')
    prompt, responses = responses_of(columns)
    row = [scorer.tokenizer.encode(prompt, response) for response in responses]
    for i, ids in enumerate(row, 1):
        if len(ids) > scorer.max_length:
            return (
                [],
                f"response {i} has {len(ids)} tokens with its prompt; the model reads {scorer.max_length} at most",
            )
    return row, ""


class Row(NamedTuple):
    """A row to be scored"""

    number: int  # line or row of the file
    text: str
    alone: bool  # whether it has one response
    ids: list
    reason: str  # why there are no ids, or empty


def chunks(scorer, path):
    """Yields lists of Row, each within the bounds or with a single row"""
    chunk: list[Row] = []
    responses = tokens = 0
    for number, text, columns in raw_rows(path):
        with located(path, number):
            ids, reason = encoded(scorer, columns)
        responses, tokens = responses + len(ids), tokens + sum(map(len, ids))
        if chunk and (responses > MOST_RESPONSES or tokens > MOST_TOKENS):
            yield chunk
            chunk, responses, tokens = [], len(ids), sum(map(len, ids))
        chunk.append(Row(number, text, "response" in columns, ids, reason))
    if chunk:
        yield chunk


def scored_rows(scorer, path):
    """Yields (Row, its line with the columns of `added` at the end) for every row, chunk by chunk

    A row that the model cannot read to its end gets "reward": null and the reason; no text is truncated.
    """
    for chunk in chunks(scorer, path):
        readable = [row.ids for row in chunk if row.ids]
        rewards = iter(all_rewards(scorer.rewards, readable) if readable else ())  # of (K,)
        for row in chunk:
            more = (
                added(next(rewards)[: len(row.ids)], row.alone) if row.ids else {"reward": None, "reason": row.reason}
            )
            yield row, f"{row.text[:-1].rstrip()}, {json.dumps(more)[1:]}\n"


def added(reward, alone):
    """The reward of one response; for several their rewards, order and P(best) = softmax(rewards)        (K,) -> dict

    order               places in the row's list from 0, the best first; equal rewards in the order of the row
    best_probability    that a response is preferred to all others at once, by Luce's choice axiom (Luce 1959): the
                        first choice of Plackett-Luce, and σ(margin) for two responses. Assumes rewards in log-odds.
    """
    if alone:
        return {"reward": float(reward[0])}
    order = np.argsort(-reward, kind="stable")
    return {"rewards": reward.tolist(), "order": order.tolist(), "best_probability": softmax(reward)[0].tolist()}
