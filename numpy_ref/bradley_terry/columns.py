"""Columns of games -> Games: three layouts, told apart by the names of their columns. Other columns are ignored.

    winner, loser[, count][, site]                      a row is a game, or `count` games that went the same way
    a, b, wins_a, wins_b[, ties][, neutral][, site]     a row is a pair
    model_a, model_b, winner[, count]                   a row is a game; winner is model_a, model_b, tie or
    or a, b, winner[, count][, neutral][, site]         "tie (bothbad)" (the Chatbot Arena's words), or a, b, tie

For a home effect, a is at home unless `neutral` is true; `site` names who is at home, and is empty on neutral ground.
If no home effect is asked for, a site of another kind, such as a town, is ignored too.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from .labels import Labels, Where, factorize, index_labels, is_missing, refuse_containers, row_number
from .win_counts import Pairs, pairs_of_games, pairs_of_rows

ROLES = ("winner", "loser", "count", "a", "b", "wins_a", "wins_b", "ties", "neutral", "site")
WANTED = (*ROLES, "model_a", "model_b")
EXPECTED = "the columns winner, loser[, count] or a, b, wins_a, wins_b[, ties] or model_a, model_b, winner"
COUNT_LIMIT = 10**12  # a larger count is usually a slip, such as an identifier in the wrong column
A_WON, B_WON, TIED = ("model_a", "a"), ("model_b", "b"), ("tie", "tie (bothbad)", "both_bad", "bothbad")
YES, NO = ("1", "true", "yes", "1.0"), ("0", "false", "no", "0.0", "")


class Games(NamedTuple):
    """Items in sorted order and their games; `ordered`: it is known who is at home"""

    items: list
    pairs: Pairs
    ordered: bool


def games_of_columns(
    columns: dict,
    where: Where = row_number,
    weights: bool = False,
    home: bool = True,
    names: Mapping = MappingProxyType({}),
) -> Games:
    """Columns by their role -> Games.  Raises InputError that names the row by `where`

    weights     counts may be any numbers that are not negative
    home        a home effect is wanted: a site or neutral that does not say who is at home is refused, not ignored
    names       {role: what the column is called where it comes from}, if that is another name
    """
    columns = {name: by_position(column) for name, column in columns.items()}
    if named_as_in_arena(columns):
        columns = columns | {"a": columns["model_a"], "b": columns["model_b"]}
    check_layout(columns)
    check_lengths(columns)
    try:
        return games_of_cells(columns, where, weights, home, lambda role: names.get(role, role))
    except TypeError:
        for role in ROLES:
            refuse_containers(columns.get(role, ()), names.get(role, role), where)
        raise


def by_position(column):
    """A column whose entry k is row k (a pandas Series looks k up in its index); missing numbers stay missing"""
    if not hasattr(column, "iloc"):
        return column
    return column.to_numpy() if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf" else column.tolist()


def games_of_cells(columns, where, weights, home, called):
    """games_of_columns once the layout is known"""
    has = lambda *names: set(names) <= set(columns)  # noqa: E731
    of_pair = has("a", "b", "wins_a", "wins_b") or not has("winner", "loser")
    sides = ("a", "b") if of_pair else ("winner", "loser")
    items, first, second = index_labels(*(columns[side] for side in sides), where=where)
    check_different(items, first, second, where)
    at_home = np.ones(len(first), np.int64) if of_pair else None
    if has("site") or (of_pair and has("neutral")):
        try:
            at_home = grounds(columns, items, first, second, where, called)
        except InputError:
            if home:
                raise
    if of_pair and has("wins_a"):
        roles = ("wins_a", "wins_b", "ties")
        wins, losses, ties = (numbers(columns[c], called(c), where, weights) if has(c) else 0.0 for c in roles)
    else:
        count = numbers(columns["count"], called("count"), where, weights) if has("count") else None
        if at_home is None:
            return Games(items, pairs_of_games(first, second, len(items), count), False)
        went = results(columns["winner"], where, called) if of_pair else np.ones(len(first), np.int64)
        wins, losses, ties = ((went == k) * (1.0 if count is None else count) for k in (1, -1, 0))
    return Games(items, pairs_of_rows(first, second, wins, losses, ties, len(items), at_home=at_home), True)


def named_as_in_arena(columns):
    """Whether both a and b are called model_a and model_b; one of them alone is an ordinary column"""
    return {"model_a", "model_b"} <= set(columns) and not {"a", "b"} <= set(columns)


def check_layout(columns, header=None):
    """InputError where the columns are none of the three layouts"""
    found = set(columns) | ({"a", "b"} if named_as_in_arena(columns) else set())
    layouts = ({"winner", "loser"}, {"a", "b", "wins_a", "wins_b"}, {"a", "b", "winner"})
    if not any(wanted <= found for wanted in layouts):
        names = ", ".join(map(str, header or columns))[:300]
        options = "the command's options --winner-column, --loser-column, --a-column, ... name others"
        raise InputError(f"found the columns {names}; expected {EXPECTED} ({options})")


def check_lengths(columns):
    """InputError for a column that is no list or array, or if columns differ in length"""
    lengths = {}
    for name in (name for name in columns if name in ROLES):
        column = columns[name]
        if isinstance(column, str) or not hasattr(column, "__len__"):
            raise InputError(f"the column {name} is {column!r}, expected a list or an array with an entry a row")
        lengths[name] = len(column.code if isinstance(column, Labels) else column)
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"the columns differ in length: {found}; expected an entry a row in each")


def grounds(columns, items, first, second, where, called):
    """Who is at home by the column site or neutral: 1 first, -1 second, 0 neither        -> (M,)"""
    if "site" not in columns:
        words = {YES: 1, NO: 0}
        return 1 - map_words(columns["neutral"], words, called("neutral"), "1, 0, true or false", where)
    names, code = factorize(columns["site"])
    number = {str(item): k for k, item in enumerate(items)} | {"": -1, "neutral": -1}
    place = np.array([number.get(as_word(name), -2) for name in names])[code]
    found = np.where(place == first, 1, np.where(place == second, -1, np.where(place == -1, 0, 2)))
    if (found == 2).any():
        row = int(np.argmax(found == 2))
        raise InputError(
            f"{where(row)}: {called('site')} is {names[code[row]]!r}, expected {items[first[row]]!r} or "
            f"{items[second[row]]!r}, or nothing on neutral ground"
        )
    return found


def results(column, where, called):
    """Arena's words: 1 where a won, -1 where b did, 0 for a tie        -> (M,)"""
    words = {A_WON: 1, B_WON: -1, TIED: 0}
    return map_words(column, words, called("winner"), "model_a, model_b, tie or tie (bothbad)", where)


def as_word(value):
    """The text of a cell, empty if it is missing; 3.0 is 3, because pandas makes numbers floats if some are missing"""
    if is_missing(value) or value == "nan":
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def map_words(column, words, name, expected, where):
    """The number of each row's word; InputError for a word that has none        -> (M,)"""
    number = {word: value for several, value in words.items() for word in several}
    names, code = factorize(column)
    values = [number.get(as_word(word).strip().lower()) for word in names]
    for k, value in enumerate(values):
        if value is None:
            row = int(np.argmax(code == k))
            raise InputError(f"{where(row)}: {name} is {names[k]!r}, expected {expected}")
    return np.array(values, np.int64)[code]


def numbers(column, name, where, weights):
    """A column of counts as numbers: whole, unless they are weights; finite, not negative, below COUNT_LIMIT"""
    try:
        x = np.asarray(column, float)
    except (TypeError, ValueError):
        x = np.zeros((0, 0))
    if x.ndim != 1 or (type(column) is not np.ndarray and any(type(v) is str and "_" in v for v in column)):
        x = np.array([as_number(value) for value in column])
    good = (x >= 0) & (x < COUNT_LIMIT) & (weights | (x == np.floor(x)))
    if not good.all():
        row = int(np.argmin(good))
        found = column[row].decode() if isinstance(column[row], bytes) else column[row]
        found = found.item() if isinstance(found, np.generic) else found
        if x[row] >= COUNT_LIMIT:
            raise InputError(
                f"{where(row)}: {name} is {str(found)[:40]}, expected a count below {COUNT_LIMIT:,}; check the column"
            )
        kind = "a number" if weights else "a whole number"
        hint = "; --weights takes fractions" if x[row] > 0 else ""
        raise InputError(f"{where(row)}: {name} is {found!r}, expected {kind} that is not negative{hint}")
    return x


def as_number(value):
    """A number, or NaN if the value is none; float() would accept 1_000, which is a slip in a table"""
    try:
        return math.nan if isinstance(value, str) and "_" in value else float(value)
    except (TypeError, ValueError):
        return np.nan


def check_different(items, first, second, where):
    """InputError if an item meets itself"""
    if len(first) and (first == second).any():
        row = int(np.argmax(first == second))
        raise InputError(f"{where(row)}: {items[first[row]]!r} is compared with itself; take it out")
