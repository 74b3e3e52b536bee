"""Preferences as flat arrays of token ids: read once, row by row, then filtered and paired as arrays.

A million pairs are seven arrays, which cache.py may keep in files. Python objects are made only for the rows of the
current batch.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from .preference import length_of
from .tokenizer import Bytes, TokenIds, within

COLUMNS = {"start": "<i8", "length": "<i4", "letters": "<i4", "rank": "<i4", "size": "<i4", "margin": "<f8"}
AT_ONCE = 4096  # rows whose numbers are written together
BLOCK = 2**20  # comparisons that are formed together


class Tokens(NamedTuple):
    """N rows with R responses in total, row after row, and best first within a row

    A response that occurs twice in a row is stored once: within a row, equal starts mean equal responses.
    """

    ids: Any  # all responses end to end: an array or a cache.Mapped, read in slices
    start: np.ndarray  # (R,) where a response begins in ids
    length: np.ndarray  # (R,) in tokens
    letters: np.ndarray  # (R,) in characters, without the prompt
    rank: np.ndarray  # (R,)
    size: np.ndarray  # (N,) responses in a row
    margin: np.ndarray  # (N,)
    formats: Counter  # how many rows each format has
    largest: int  # the largest id if the data are token ids, else 0


def id_type(tokenizer):
    """16 bits for each id if the vocabulary is small enough, else 32"""
    return "<u2" if tokenizer.vocab_size <= 2**16 else "<u4"


def nth(index):
    """How an error message calls the preference of this index; `reader.place` names its file and line"""
    return f"preference {index + 1}"


def write_tokens(tokenizer, rows, files, where=nth):
    """Appends (format, preference) rows to binary files by name, ids and COLUMNS; returns (formats, largest id)"""
    formats: Counter = Counter()
    pending: dict = {column: [] for column in COLUMNS}
    position = largest = 0
    for number, (form, preference) in enumerate(rows, 1):
        formats[form] += 1
        pending["size"].append(len(preference.responses))
        pending["margin"].append(preference.margin)
        pending["rank"] += preference.ranks
        pending["letters"] += map(length_of, preference.responses)
        places: dict = {}
        for ids in _encoded(tokenizer, preference, partial(where, number - 1)):
            raw = ids.tobytes()
            if raw not in places:
                files["ids"].write(raw)
                places[raw], position = position, position + len(ids)
            pending["start"].append(places[raw])
            pending["length"].append(len(ids))
            largest = max(largest, int(ids.max())) if isinstance(tokenizer, TokenIds) else 0
        if number % AT_ONCE == 0:
            _flush(pending, files)
    _flush(pending, files)
    return formats, largest


def _encoded(tokenizer, preference, where):
    """The ids of each response, as arrays"""
    dtype = id_type(tokenizer)
    try:
        if isinstance(tokenizer, Bytes):
            return [tokenizer.array(preference.prompt, response) for response in preference.responses]
        return [np.array(tokenizer.encode(preference.prompt, response), dtype) for response in preference.responses]
    except InputError as error:
        raise InputError(f"{where()}: {error}") from None


def _flush(pending, files):
    for column, values in pending.items():
        files[column].write(np.array(values, COLUMNS[column]).tobytes())
        values.clear()


def tokens_in_memory(tokenizer, rows, where=nth):
    """(format, preference) rows as Tokens"""
    files = {column: BytesIO() for column in ("ids", *COLUMNS)}
    found = write_tokens(tokenizer, rows, files, where)
    dtypes = {"ids": id_type(tokenizer), **COLUMNS}
    return Tokens._make([*(np.frombuffer(files[column].getbuffer(), dtypes[column]) for column in dtypes), *found])


def check_vocabulary(tokens, vocab_size, where=nth):
    """InputError names the first preference with an id outside the vocabulary"""
    if tokens.largest < vocab_size:
        return
    row_of = np.repeat(np.arange(len(tokens.size)), tokens.size)
    for response, row in enumerate(row_of):
        try:
            within(_ids(tokens, response), vocab_size)
        except InputError as error:
            raise InputError(f"{where(row)}: {error}") from None


def _ids(tokens, response):
    start = tokens.start[response]
    return tokens.ids[start : start + tokens.length[response]]


class Ragged(Sequence):
    """A list of N arrays stored end to end in one: item i is values[first[i] : first[i + 1]]"""

    def __init__(self, values, first):
        self.values, self.first = values, first

    @classmethod
    def of_sizes(cls, values, sizes):
        """The array cut into consecutive pieces of these sizes"""
        return cls(values, np.concatenate([[0], np.cumsum(sizes)]).astype(int))

    def __len__(self):
        return len(self.first) - 1

    def __getitem__(self, i):
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(f"{i} of {len(self)}")
        i %= len(self)
        return self.item(self.values[self.first[i] : self.first[i + 1]])

    def item(self, values):
        """The form in which an item is returned"""
        return values

    @property
    def sizes(self):
        """The length of each item"""
        return np.diff(self.first)

    def padded(self, fill):
        """Stacks the items into one array, padding on the right        -> (N, K)"""
        out = np.full((len(self), self.sizes.max()), fill, self.values.dtype)
        out[np.arange(out.shape[1]) < self.sizes[:, None]] = self.values
        return out

    def pairs(self):
        """Yields blocks of (item, i, j): all pairs of places i < j in one item's values, in lexicographic order"""
        behind = np.repeat(self.first[1:], self.sizes) - np.arange(1, len(self.values) + 1)  # later places of the item
        before = np.concatenate([[0], np.cumsum(behind)])  # (R + 1,)
        piece_of = np.repeat(np.arange(len(self)), self.sizes)
        low = 0
        while low < len(behind):
            high = max(low + 1, int(np.searchsorted(before, before[low] + BLOCK, side="right")) - 1)
            i = np.repeat(np.arange(low, high), behind[low:high])
            j = i + 1 + np.arange(len(i)) - np.repeat(before[low:high] - before[low], behind[low:high])
            yield piece_of[i], i, j
            low = high


class Rows(Ragged):
    """Lists of responses: item i is a list of arrays of token ids"""

    def __init__(self, tokens, responses, first):
        super().__init__(responses, first)
        self.tokens = tokens

    def item(self, values):
        return [_ids(self.tokens, response) for response in values]


class Texts(Sequence):
    """Single responses: item i is an array of token ids"""

    def __init__(self, tokens, responses):
        self.tokens, self.responses = tokens, responses

    def __len__(self):
        return len(self.responses)

    def __getitem__(self, i):
        return _ids(self.tokens, self.responses[i])


class Encoded(NamedTuple):
    """The rows to train on or to hold out, with margins and ranks, and how many rows were left out and why

    A list that holds the same response twice is kept and counted in `repeating`; comparing a response with itself adds
    ln 2 to the loss and nothing to the gradient.
    """

    rows: Rows
    margin: np.ndarray  # (N,)
    too_long: int
    identical: int
    ranks: Sequence
    all_tied: int = 0
    repeating: int = 0  # rows that are kept although they hold a response twice
    kept: np.ndarray | None = None  # (N,) the index of the preference that each row comes from


def encode(tokenizer, preferences, max_length, keep_tied=False, where=nth):
    """Preferences as filtered token ids        -> Encoded"""
    rows = (("", preference) for preference in preferences)
    return filtered(tokens_in_memory(tokenizer, rows, where), max_length, keep_tied)


def filtered(tokens, max_length, keep_tied=False):
    """Leaves out rows with a response longer than max_length, with equal responses, or with equal ranks     -> Encoded

    No response is truncated: it would lose its end, and two responses could become equal. A row of equal responses
    costs a forward pass, teaches nothing and pulls the accuracy towards one half. So does a list whose ranks are all
    equal, unless the loss learns from ties (keep_tied).
    """
    at = np.cumsum(tokens.size) - tokens.size  # (N,) the first response of each row

    def differ(values):
        return np.maximum.reduceat(values, at) > np.minimum.reduceat(values, at)

    too_long = np.maximum.reduceat(tokens.length, at) > max_length
    identical = ~too_long & ~differ(tokens.start)
    all_tied = ~too_long & ~identical & ~differ(tokens.rank) & (not keep_tied)
    kept = ~(too_long | identical | all_tied)
    again = np.concatenate([[False], tokens.start[1:] <= np.maximum.accumulate(tokens.start)[:-1]])
    repeating = kept & np.logical_or.reduceat(again, at)
    responses = np.flatnonzero(np.repeat(kept, tokens.size))
    ranks = Ragged.of_sizes(tokens.rank[responses].astype(np.int64), tokens.size[kept])
    return Encoded(
        rows=Rows(tokens, responses, ranks.first),
        margin=tokens.margin[kept],
        too_long=int(too_long.sum()),
        identical=int(identical.sum()),
        ranks=ranks,
        all_tied=int(all_tied.sum()),
        repeating=int(repeating.sum()),
        kept=np.flatnonzero(kept),
    )


def comparisons(data, margin_per_rank=0.0):
    """Every comparison of every list as a pair, the better response first: at most C(K, 2) pairs for K responses

    Ties are left out. Pairs of equal responses are left out too, and counted in `identical`.
    """
    responses, margin, kept, identical = [], [], [], data.identical
    rank, start = data.ranks.values, data.rows.tokens.start
    for piece, i, j in data.rows.pairs():
        distance, pair = rank[j] - rank[i], data.rows.values[np.stack([i, j], 1)]  # (M,), (M, 2)
        equal = start[pair[:, 0]] == start[pair[:, 1]]
        identical += int(np.sum(equal & (distance != 0)))
        taken = ~equal & (distance != 0)
        responses.append(pair[taken].ravel())
        margin.append(data.margin[piece[taken]] + margin_per_rank * distance[taken])
        kept.append(data.kept[piece[taken]])
    flat = np.concatenate(responses)
    rows = Rows(data.rows.tokens, flat, np.arange(0, len(flat) + 1, 2))
    ranks, source = Ragged(np.tile((1, 2), len(rows)), rows.first), np.concatenate(kept)
    return Encoded(rows, np.concatenate(margin), data.too_long, identical, ranks, data.all_tied, kept=source)


def chosen_texts(tokens, max_length):
    """(the best response of each row, each text once; how many were too long; how many were repeated)"""
    best = np.cumsum(tokens.size) - tokens.size
    short = best[tokens.length[best] <= max_length]
    first: dict = {}  # digests, because the texts may be larger than the memory
    for response in short:
        first.setdefault(blake2b(_ids(tokens, response), digest_size=16).digest(), response)
    return Texts(tokens, np.array([*first.values()], int)), len(best) - len(short), len(short) - len(first)


def untied(ranks):
    """The number of comparisons in lists of ranks, without ties: Σ n (n - 1) / 2, less the same for equal ranks"""
    distinct, code = np.unique(ranks.values, return_inverse=True)
    _, equal = np.unique(np.repeat(np.arange(len(ranks)), ranks.sizes) * len(distinct) + code, return_counts=True)
    return int((ranks.sizes * (ranks.sizes - 1)).sum() - (equal * (equal - 1)).sum()) // 2


def longer_wins(data):
    """The share of comparisons whose longer response (in characters) was chosen; equal lengths count one half"""
    letters, rank, wins = data.rows.tokens.letters[data.rows.values], data.ranks.values, 0.0
    for _, i, j in data.rows.pairs():
        better = rank[i] != rank[j]
        wins += float(np.sum((np.sign(letters[i] - letters[j]) + 1)[better])) / 2
    return wins / untied(data.ranks)


def are_pairs(ranks):
    """Whether every list of ranks is (1, 2)"""
    if not isinstance(ranks, Ragged):
        return all(tuple(row) == (1, 2) for row in ranks)
    return bool((ranks.sizes == 2).all() and (ranks.values.reshape(-1, 2) == (1, 2)).all())


def flat_ranks(ranks):
    """Lists of ranks as Ragged"""
    if isinstance(ranks, Ragged):
        return ranks
    return Ragged.of_sizes(np.array([rank for row in ranks for rank in row]), [len(row) for row in ranks])
