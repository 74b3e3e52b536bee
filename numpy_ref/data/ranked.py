"""A ranked list in one row, checked: responses with a rank or a score each, or correct and incorrect ones."""

import math

from ..cli.text import counted
from ..errors import InputError
from .conversation import shape
from .preference import Preference, found_in, kind

LIST_COLUMNS = {"responses", "answers", "ranks", "scores"}
LIST_EXAMPLE = '{"prompt": "...", "responses": ["...", "..."], "ranks": [1, 2]}'
ANSWERS_EXAMPLE = '{"prompt": "...", "answers": [{"answer": "...", "rank": 1}, ...]}'

SIDES, SEVERAL_CORRECT = ("chosen", "rejected"), "several correct"
SEVERAL_EXAMPLE = '{"prompt": "...", "chosen": ["..."], "rejected": ["...", "..."]}'


def ranked_list(row, check_absent) -> tuple[str, Preference]:
    """(format, the responses sorted best first); equal ranks keep their order"""
    if "prompt" not in row:
        check_absent("prompt", row)
    if "margin" in row:
        raise InputError('"margin" belongs to a pair: leave it out, or ask for a lead with --margin-per-rank')
    responses, column, numbers = _answers(row) if "answers" in row else _columns(row, check_absent)
    if len(responses) < 2:
        raise InputError(f"{counted(len(responses), 'response')}: a ranking needs two or more")
    names = [f"response {i}" for i in range(1, len(responses) + 1)]
    form, prompt, responses = shape(row.get("prompt", ""), responses, names)
    if len(numbers) != len(responses):
        raise InputError(
            f"{len(responses)} responses, but {counted(len(numbers), column[:-1])}: give each response one"
        )
    ranks = _ranks(numbers) if column == "ranks" else _ranks_of_scores(numbers)
    order = sorted(range(len(ranks)), key=ranks.__getitem__)
    ranked = Preference(prompt, tuple(responses[i] for i in order), 0.0, tuple(ranks[i] for i in order))
    return f"ranked {form}", ranked


def has_several_correct(row) -> bool:
    """Whether chosen or rejected is a list of texts, as in RewardBench 2"""
    firsts = [row[side][0] for side in SIDES if isinstance(row.get(side), list) and row[side]]
    return bool(firsts) and all(isinstance(first, str) for first in firsts)


def several_correct(row) -> tuple[str, Preference]:
    """(format, the correct responses with rank 1 and the incorrect ones with rank 2)        RewardBench 2"""
    if "margin" in row:
        raise InputError('"margin" belongs to a pair, but there are lists of responses: leave it out')
    correct, incorrect = (_texts(side, row) for side in SIDES)
    names = [f'response {i} of "{side}"' for side in SIDES for i in range(1, len(row[side]) + 1)]
    form, prompt, responses = shape(row.get("prompt", ""), correct + incorrect, names)
    ranks = (1,) * len(correct) + (2,) * len(incorrect)
    return f"{SEVERAL_CORRECT}, {form}", Preference(prompt, tuple(responses), 0.0, ranks)


def _texts(side, row):
    """The texts of `chosen` or `rejected`; InputError if it is no list or an empty one"""
    value = row.get(side)
    if not isinstance(value, list):
        found = f'"{side}" is {kind(value)}' if side in row else f'there is no column "{side}"'
        raise InputError(f"{found}, but the other side is a list of texts: write {SEVERAL_EXAMPLE}")
    if not value:
        raise InputError(f'"{side}" is an empty list: give it a text, or leave the row out')
    for i, item in enumerate(value, 1):
        if not isinstance(item, str):
            raise InputError(f'response {i} of "{side}" is {kind(item)}, but a text is expected: {SEVERAL_EXAMPLE}')
    return value


def _answers(row):
    """[{"answer": ..., "rank": ...}, ...] split into answers and ranks"""
    if "responses" in row:
        raise InputError('"answers" and "responses" in one row: keep one')
    answers = _list("answers", row)
    for i, answer in enumerate(answers, 1):
        if not isinstance(answer, dict) or not {"answer", "rank"} <= answer.keys():
            raise InputError(f'entry {i} of "answers" has no "answer" and "rank": write {ANSWERS_EXAMPLE}')
    return [answer["answer"] for answer in answers], "ranks", [answer["rank"] for answer in answers]


def _columns(row, check_absent):
    """ "responses" with "ranks" or "scores" beside it"""
    if "responses" not in row:
        check_absent("responses", row)
        raise InputError(f'there is no column "responses" (found: {found_in(row)}): write {LIST_EXAMPLE}')
    given = [column for column in ("ranks", "scores") if column in row]
    if not given:
        for column in ("ranks", "scores"):
            check_absent(column, row)
        raise InputError(f'"responses" has no "ranks" (nor "scores") beside it: write {LIST_EXAMPLE}')
    if len(given) == 2:
        raise InputError('"ranks" and "scores" in one row could contradict each other: keep one')
    return _list("responses", row), given[0], _list(given[0], row)


def _ranks(numbers) -> list[int]:
    """Integers from 1 (best) to the number of responses; after a tie, both 1, 1, 3 and 1, 1, 2 are accepted"""
    for i, number in enumerate(numbers, 1):
        if not isinstance(number, float) or not number.is_integer() or not 1 <= number <= len(numbers):
            found = f"{number:g}" if isinstance(number, float) else kind(number)
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
            found = str(score) if isinstance(score, float) else kind(score)
            raise InputError(
                f"score {i} is {found}, but a finite number is expected: mend it, or leave the response out"
            )
    place = {score: i for i, score in reversed(list(enumerate(sorted(scores, reverse=True), 1)))}
    return [place[score] for score in scores]


def _list(column, row) -> list:
    if not isinstance(row[column], list):
        raise InputError(f'"{column}" is {kind(row[column])}, but a list is expected: write {LIST_EXAMPLE}')
    return row[column]
