"""One row of a preference file, checked: a pair or a ranked list, or one sentence about what is wrong with it."""

import json
import math
from collections import Counter
from difflib import get_close_matches
from reprlib import repr as shortened
from typing import NamedTuple

from .errors import InputError

REQUIRED, COLUMNS = ("chosen", "rejected"), ("chosen", "rejected", "prompt", "margin")
LIST_COLUMNS = {"responses", "answers", "ranks", "scores"}
EXAMPLE = 'one object a line, as {"prompt": "...", "chosen": "...", "rejected": "..."}'
LIST_EXAMPLE = '{"prompt": "...", "responses": ["...", "..."], "ranks": [1, 2]}'
ANSWERS_EXAMPLE = '{"prompt": "...", "answers": [{"answer": "...", "rank": 1}, ...]}'


class Preference(NamedTuple):
    """Responses to one prompt, best first, and their ranks, 1 best, ties equal: a pair is (chosen, rejected), (1, 2)

    margin: the lead asked of the chosen one, in log-odds; a list has none.
    """

    prompt: str
    responses: tuple[str, ...]
    margin: float = 0.0
    ranks: tuple[int, ...] = (1, 2)


def preference_of(text) -> Preference:
    """One line, checked; the caller adds the file and the line to what InputError says"""
    try:
        row = json.loads(text, parse_int=float, object_pairs_hook=_object)  # float: an endless integer is just inf
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON ({error.msg} at character {error.pos + 1}): write {EXAMPLE}") from None
    except RecursionError:
        raise InputError(f"the JSON is nested too deeply: write {EXAMPLE}") from None
    if not isinstance(row, dict):
        raise InputError(f"{_kind(row)} instead of an object: write {EXAMPLE}")
    ranked = LIST_COLUMNS & row.keys() and not row.keys() & set(REQUIRED)
    return _ranked_list(row) if ranked else _pair(row)


def _pair(row) -> Preference:
    for column in COLUMNS:
        if column not in row:
            _check_absent(column, row)
    responses = _text("chosen", row), _text("rejected", row)
    if not all(response.strip() for response in responses):
        column = "rejected" if responses[0].strip() else "chosen"
        raise InputError(f'"{column}" is empty: give both responses a text, or leave the row out')
    return Preference(_text("prompt", row), responses, _margin(row))


def _ranked_list(row) -> Preference:
    """Two or more responses with a rank or a score each, sorted best first; equals keep their order"""
    if "prompt" not in row:
        _check_absent("prompt", row)
    if "margin" in row:
        raise InputError('"margin" belongs to a pair: leave it out, or ask for a lead with --margin-per-rank')
    responses, column, numbers = _answers(row) if "answers" in row else _columns(row)
    if len(responses) < 2:
        raise InputError(f"{len(responses)} response{'s' * (len(responses) != 1)}: a ranking needs two or more")
    for i, response in enumerate(responses, 1):
        if not _plain(f"response {i}", response).strip():
            raise InputError(f"response {i} is empty: give each a text, or leave it out")
    if len(numbers) != len(responses):
        raise InputError(f"{len(responses)} responses, but {len(numbers)} {column}: give each response one")
    ranks = _ranks(numbers) if column == "ranks" else _ranks_of_scores(numbers)
    order = sorted(range(len(ranks)), key=ranks.__getitem__)
    prompt = _text("prompt", row)
    return Preference(prompt, tuple(responses[i] for i in order), 0.0, tuple(ranks[i] for i in order))


def _answers(row):
    """[{"answer": ..., "rank": ...}, ...] taken apart"""
    if "responses" in row:
        raise InputError('"answers" and "responses" in one row: keep one')
    answers = _list("answers", row)
    for i, answer in enumerate(answers, 1):
        if not isinstance(answer, dict) or not {"answer", "rank"} <= answer.keys():
            raise InputError(f'entry {i} of "answers" has no "answer" and "rank": write {ANSWERS_EXAMPLE}')
    return [answer["answer"] for answer in answers], "ranks", [answer["rank"] for answer in answers]


def _columns(row):
    """ "responses" with "ranks" or "scores" beside it"""
    if "responses" not in row:
        _check_absent("responses", row)
        found = ", ".join(shortened(name) for name in list(row)[:6])
        raise InputError(f'there is no column "responses" (found: {found}): write {LIST_EXAMPLE}')
    given = [column for column in ("ranks", "scores") if column in row]
    if not given:
        for column in ("ranks", "scores"):
            _check_absent(column, row)
        raise InputError(f'"responses" has no "ranks" (nor "scores") beside it: write {LIST_EXAMPLE}')
    if len(given) == 2:
        raise InputError('"ranks" and "scores" in one row could contradict each other: keep one')
    return _list("responses", row), given[0], _list(given[0], row)


def _ranks(numbers) -> list[int]:
    """Whole numbers from 1, which is best, to the number of responses; both habits pass a tie: 1, 1, 3 and 1, 1, 2"""
    for i, number in enumerate(numbers, 1):
        if not isinstance(number, float) or not number.is_integer() or not 1 <= number <= len(numbers):
            found = f"{number:g}" if isinstance(number, float) else _kind(number)
            raise InputError(
                f"rank {i} is {found}: expected a whole number from 1 (best) to {len(numbers)}, equal if tied"
            )
    if 1 not in numbers:
        raise InputError(f"the best rank is {min(numbers):g}, but 1 is expected for the best: count from 1")
    return [int(number) for number in numbers]


def _ranks_of_scores(scores) -> list[int]:
    """The highest is 1; equal scores tie"""
    for i, score in enumerate(scores, 1):
        if not isinstance(score, float) or not math.isfinite(score):
            found = str(score) if isinstance(score, float) else _kind(score)
            raise InputError(
                f"score {i} is {found}, but a finite number is expected: mend it, or leave the response out"
            )
    place = {score: i for i, score in reversed(list(enumerate(sorted(scores, reverse=True), 1)))}
    return [place[score] for score in scores]


def _list(column, row) -> list:
    if not isinstance(row[column], list):
        raise InputError(f'"{column}" is {_kind(row[column])}, but a list is expected: write {LIST_EXAMPLE}')
    return row[column]


def _object(pairs) -> dict:
    """A JSON object whose keys differ: of two `chosen` in one row, Python would keep the last in silence"""
    row = dict(pairs)
    if len(row) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise InputError(f"the column {shortened(twice)} stands twice in one object: keep one")
    return row


def _check_absent(column, row):
    """A required column must be there; an optional one must not be there under a misspelled name"""
    others = {name.lower(): name for name in row}
    for likeness in get_close_matches(column, others, n=1, cutoff=0.82):  # promt is close to prompt, prompt_id is not
        name = shortened(others[likeness])
        raise InputError(f'there is no column "{column}", only {name}: did you mean "{column}"? Rename it')
    if column in REQUIRED:
        found = ", ".join(shortened(name) for name in list(row)[:6]) + ", ..." * (len(row) > 6)
        raise InputError(f'there is no column "{column}" (found: {found or "none"}): write {EXAMPLE}')


def _text(column, row) -> str:
    value = row.get(column, "")
    return _plain(f'"{column}"', value, "" if column in REQUIRED else ", or leave the column out")


def _plain(name, value, otherwise="") -> str:
    if not isinstance(value, str):
        remedy = "join the messages into one string" if isinstance(value, list) else "write a text in quotes"
        raise InputError(f"{name} is {_kind(value)}, but a plain string is expected: {remedy}{otherwise}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{name} holds half of a surrogate pair ({value[error.start]!a}) at character {error.start + 1}: "
            "write both halves or the character itself"
        ) from None
    return value


def _margin(row) -> float:
    value = row.get("margin", 0.0)
    if isinstance(value, float) and math.isfinite(value):
        return value
    found = str(value) if isinstance(value, float) else _kind(value)
    raise InputError(f'"margin" is {found}, but a finite number is expected: mend it, or leave the column out')


def _kind(value) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return {str: "a string", float: "a number", list: "a list", dict: "an object"}[type(value)]
