"""The command `score` of both packages: ranks responses to one prompt by their rewards, or scores a file.

score --model DIR --prompt P R1 R2 ...
score --model DIR --data FILE --output FILE
"""

import reprlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..batches import all_rewards, collate, first_of_same
from ..cli.main import STDOUT
from ..cli.text import counted, printable, progress_bar, table
from ..data.reader import unit
from ..errors import InputError
from ..files import check_output, claimed, written_whole
from ..losses import sigmoid
from ..reward_model import rewards
from ..storage.checkpoint import directory_of, load_model, read_config
from . import score_files


class Scorer(NamedTuple):
    """A model: rewards(tokens (B, K, T), length (B, K)) -> (B, K), its tokenizer, and how many tokens it reads"""

    rewards: Callable
    tokenizer: Any
    max_length: int


def numpy_scorer(directory):
    """The Scorer of a run or model directory of either package, by numpy_ref"""
    params, n_head, tokenizer = load_model(directory)

    def by_hand(tokens, length):
        return rewards(tokens, length, **params, n_head=n_head)[0]

    config = read_config(directory_of(directory))
    return Scorer(standardised(by_hand, config), tokenizer, len(params["body"]["pos"]["weight"]))


def standardised(raw_rewards, config):
    """(r - reward_mean) / reward_std, with the numbers of config.json that the weights cannot hold        -> function

    If config.json has neither number, raw_rewards is returned unchanged.
    """
    mean, std = config.get("reward_mean", 0.0), config.get("reward_std", 1.0)
    if not all(isinstance(x, int | float) and abs(x) <= sys.float_info.max for x in (mean, std)) or std <= 0:
        found = f"reward_mean {reprlib.repr(mean)} and reward_std {reprlib.repr(std)}"
        raise InputError(f"config.json: {found}: expected a number and one above 0")
    if (mean, std) == (0, 1):
        return raw_rewards
    return lambda tokens, length: (raw_rewards(tokens, length) - mean) / std


def rewards_with_bar(scorer, rows):
    """The reward of every response, with a progress bar over the distinct ones        N lists of K lists -> (N, K)"""
    with progress_bar(total=len(np.unique(first_of_same(rows))), desc="scoring", unit="response") as bar:

        def and_count(tokens, length):
            found = scorer.rewards(tokens, length)
            bar.update(length.size)
            return found

        return all_rewards(and_count, rows)


def add_arguments(parser):
    """The options of `score`"""
    parser.add_argument("--model", metavar="DIR", required=True, help="a run or model directory of either package")
    parser.add_argument("--prompt", default="", help="the prompt that the responses answer")
    parser.add_argument("responses", metavar="RESPONSE", nargs="*", help="one or more responses")
    parser.add_argument(
        "--data",
        metavar="FILE",
        help="score every row of a .jsonl, .json or .csv file instead, plain or .gz: prompt with response, responses, "
        "or chosen and rejected; no label is needed, and all columns are kept",
    )
    parser.add_argument("--strict", action="store_true", help="with --data: refuse a file with a row that is too long")
    parser.add_argument(
        "--output",
        metavar="FILE",
        default="-",
        help=f"with --data: a new .jsonl or .jsonl.gz file; {STDOUT}",
    )


def run(args, scorer_of=numpy_scorer):
    """Prints the responses to one prompt as a table, or scores a file; returns the exit status"""
    if args.data is not None and (args.responses or args.prompt):
        raise InputError("--data: the file has its own prompts and responses: give either, not both")
    if args.data is None and args.output != "-":
        raise InputError(f"--output {args.output}: is for --data FILE: leave it out")
    if args.data is None and args.strict:
        raise InputError("--strict: is for --data FILE: leave it out")
    if args.data is None and not args.responses:
        raise InputError("there is nothing to score: give one or more responses, or --data FILE")
    check_output(args.output, new=True)
    scorer = scorer_of(args.model)
    return score_one(scorer, args) if args.data is None else score_file(scorer, args)


def score_file(scorer, args):
    """Writes each row of --data with its rewards; --output appears when it is complete

    A row that is too long for the model gets the reward null, and is counted; with --strict it is an InputError.
    """
    n_rows = sum(1 for _ in score_files.raw_rows(args.data))
    if not n_rows:
        raise InputError(f"{args.data}: the file is empty: write {score_files.EXAMPLE}")
    too_long, scored = 0, score_files.scored_rows(scorer, args.data)
    rows = progress_bar(scored, "row", total=n_rows, desc="scoring")
    with claimed(args.output), written_whole(args.output, "x") as file:
        for row, line in rows:
            if row.reason and args.strict:
                raise InputError(
                    f"{args.data}, {unit(args.data)} {row.number}: {row.reason}: shorten it, or leave out --strict"
                )
            too_long += bool(row.reason)
            file.write(line)
    if too_long:
        verb = "is" if too_long == 1 else "are"
        print(
            f"{counted(too_long, 'row')} {verb} too long for the model: the reward is null, and the reason stands "
            "beside it",
            file=sys.stderr,
        )
    if args.output != "-":
        print(f"scored    {n_rows - too_long:,} of {counted(n_rows, 'row')} -> {args.output}")
    return 0


def score_one(scorer, args):
    """Prints the responses best first, with the probability that each is preferred to each other"""
    reward = scores(scorer, args.prompt, args.responses)
    order = sorted(range(len(reward)), key=lambda i: -reward[i])
    if expects := getattr(scorer.tokenizer, "expects", None):
        print(f"The model reads {expects}.")
    print("P(row beats column) = σ(reward of row - reward of column)\n")
    names = [str(i + 1) for i in range(len(order))]
    head = ["rank", "reward", *(f"vs {name}" for name in names)] if len(order) > 1 else ["rank", "reward"]
    body = []
    for name, i in zip(names, order, strict=True):
        against = ["-" if i == j else f"{sigmoid(reward[i] - reward[j]):.3f}" for j in order] if len(order) > 1 else []
        body.append([name, f"{reward[i]:.3f}", *against])
    for line, text in zip(table([head, *body]), ["response", *(args.responses[i] for i in order)], strict=True):
        print(f"{line}  {printable(text)}")
    return 0


def scores(scorer, prompt, responses):
    """The rewards of responses to one prompt, none of them empty or too long for the model        -> (K,)"""
    rows = [scorer.tokenizer.encode(prompt, response) for response in responses]
    for response, ids in zip(responses, rows, strict=True):
        if not response.strip():
            raise InputError("a response is empty: give each a text")
        if len(ids) > scorer.max_length:
            raise InputError(
                f"response {shortened(response)}: {len(ids)} tokens, but the model reads {scorer.max_length} at most: "
                "shorten it"
            )
    if not rows:
        raise InputError("there is nothing to score: give one or more responses")
    return scorer.rewards(*collate([rows]))[0]


def shortened(text):
    """The text in quotes, at most 40 characters of it"""
    return repr(text if len(text) <= 40 else text[:37] + "...")
