"""The comparisons that `evaluate` measures: each pair of held-out responses is one row of plain arrays."""

from functools import partial
from typing import NamedTuple

import numpy as np

from ..batches import collate_ranks
from ..cli.text import counted
from ..data import world
from ..data.held_out import held_world
from ..data.ranked import SEVERAL_CORRECT
from ..data.reader import has_columns, length_of, objects, place, unit
from ..data.row import EXAMPLE, preference_of
from ..data.summary import kept_share
from ..data.tokenizer import Words
from ..data.tokens import encode
from ..errors import InputError
from .rewardbench import TIES, number_of
from .score_files import located


class Data(NamedTuple):
    """The encoded responses to N prompts, with their labels"""

    rows: list  # N lists of K lists of token ids
    ranks: np.ndarray  # (N, K), 1 best, 0 where there is no response
    lengths: np.ndarray  # (N, K), in characters
    prompts: np.ndarray  # (N,) equal numbers for equal prompts
    subsets: list | None  # N names
    true: np.ndarray | None  # (N, K) true rewards, known only for the built-in world
    about: str
    row: np.ndarray  # (N,) the index of each row in its file, from 0
    left_out: str = ""
    labels: list | None = None  # N (subset, id), if all rows are those of RewardBench 2


class Comparisons(NamedTuple):
    """M pairs, the better response first: by label, or by true reward if that is known"""

    margin: np.ndarray
    true: np.ndarray  # the true margin; ∞ for a label of a file, which is taken as certain
    longer: np.ndarray  # by how many characters the first response is longer, relative to the longer of the two
    prompt: np.ndarray
    row: np.ndarray  # the index of the row in the file, the same for all models
    subset: np.ndarray | None
    rewards: np.ndarray  # of all responses, (R,), each minus its list's mean
    lengths: np.ndarray  # their lengths, minus the list's mean too


def load_file(path, scorer, subset_column=None):
    """A preference file as Data; rows that a training would leave out are left out and counted"""
    preferences, subsets, labels = with_labels(path, subset_column)
    data = encode(scorer.tokenizer, preferences, scorer.max_length, where=partial(place, path))
    left_out = f"{data.too_long} longer than {scorer.max_length} tokens, {data.identical} identical"
    if not data.rows:
        raise InputError(f"{path}: nothing is left to evaluate on: {left_out}, {data.all_tied} all tied")
    kept = [preferences[i] for i in data.kept]
    lengths = [tuple(map(length_of, preference.responses)) for preference in kept]
    subsets, labels = (found and [found[i] for i in data.kept] for found in (subsets, labels))
    left_out += f", {data.all_tied} all tied" if data.all_tied else ""
    about = f"{path}: {kept_share(data)}"
    # A row without a prompt counts as a prompt of its own.
    names = [preference.prompt or i for i, preference in enumerate(kept)]
    ranks, lengths = collate_ranks(data.ranks), collate_ranks(lengths)
    return Data(data.rows, ranks, lengths, numbered(names), subsets, None, about, data.kept, left_out, labels)


def with_labels(path, column):
    """(preferences, the column's value in each row or None, (subset, id) of each row or None)"""
    preferences, subsets, labels, numbers, forms = [], [], [], [], set()
    for number, row in objects(path):
        numbers.append(number)
        with located(path, number):
            if isinstance(row, InputError):
                raise row
            form, preference = preference_of(row, None, has_columns(path))
            preferences.append(preference)
            subsets.append(column and subset_of(row, column))
            labels.append((str(row.get(column or "subset", "all")), row.get("id")))
            forms.add(form.startswith(SEVERAL_CORRECT))
    if not preferences:
        raise InputError(f"{path}: the file is empty: write {EXAMPLE}" + (f" and {column}" if column else ""))
    of_rewardbench = forms == {True}
    if of_rewardbench:
        check_ids(path, numbers, labels)
    return preferences, subsets if column else None, labels if of_rewardbench else None


def check_ids(path, numbers, labels):
    """InputError with file and line if a row of RewardBench 2's Ties has no valid id, or that of an earlier row"""
    rows: dict = {}
    for number, (subset, name) in zip(numbers, labels, strict=True):
        if subset != TIES:
            continue
        with located(path, number):
            first = rows.setdefault(number_of(name), number)
            if first != number:
                raise InputError(f"the id {name!r} stands in {path}, {unit(path)} {first} already")


def subset_of(row, column):
    """The value of the subset column as a name"""
    name = row.get(column)
    if not isinstance(name, str | float):
        raise InputError(f'--subset-column {column}: the row has no such name: write "{column}": "..."')
    return name if isinstance(name, str) else f"{name:g}"


def load_world(seed, scorer):
    """The held-out prompts of the built-in world, whose true rewards are known"""
    if not isinstance(scorer.tokenizer, Words):
        raise InputError(
            "there is no --data, and this model does not read the built-in world's words: give --data FILE"
        )
    responses = world.make_world(seed)[1]
    held = held_world(scorer.tokenizer, responses)
    ranks = np.broadcast_to(np.arange(1, held.true.shape[1] + 1), held.true.shape)
    lengths = np.array([[len(text) for text in texts] for texts in responses.responses])
    about = f"the built-in world of seed {seed}: {counted(len(held.rows), 'held-out prompt')}"
    number = np.arange(len(held.rows))
    return Data(held.rows, ranks, lengths, number, None, held.true, about, number)


def numbered(names):
    """A number for each name, in order of first appearance"""
    found: dict = {}
    return np.array([found.setdefault(name, len(found)) for name in names])


def compare(data, reward):
    """All comparisons of Data by these rewards        (N, K) -> Comparisons"""
    n, better, worse = comparisons(data.ranks)
    margin = reward[n, better] - reward[n, worse]
    ahead, behind = data.lengths[n, better], data.lengths[n, worse]
    true = np.inf if data.true is None else data.true[n, better] - data.true[n, worse]
    present = data.ranks > 0
    return Comparisons(
        margin,
        np.broadcast_to(true, margin.shape),
        (ahead - behind) / np.maximum(np.maximum(ahead, behind), 1),
        data.prompts[n],
        data.row[n],
        None if data.subsets is None else np.array(data.subsets)[n],
        centred(reward, present),
        centred(data.lengths, present),
    )


def comparisons(ranks):
    """All pairs of responses of a list that differ in rank, the better first        (N, K) -> three of (M,): n, i, j"""
    i, j = np.triu_indices(ranks.shape[1], 1)
    n, pair = np.nonzero((ranks[:, i] != ranks[:, j]) & (ranks[:, i] > 0) & (ranks[:, j] > 0))
    i, j = i[pair], j[pair]
    first = ranks[n, i] < ranks[n, j]
    return n, np.where(first, i, j), np.where(first, j, i)


def centred(x, present):
    """x minus its list's mean, for the responses that are present: lists have no common zero        (N, K) -> (R,)"""
    mean = np.where(present, x, 0).sum(1, keepdims=True) / present.sum(1, keepdims=True)
    return (x - mean)[present]
