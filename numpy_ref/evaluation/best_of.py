"""Best-of-n: how good is the response that the model chooses among n?

A file gives K responses to each prompt with their true scores. Of n responses drawn from the K without replacement, the
model chooses the one with the highest reward. Its expected true score is a finite sum, so nothing is sampled.
Choosing moves the policy away from the one that wrote the responses, by a KL divergence of at most log n - (n - 1) / n.

Sources: Stiennon et al. 2020, arXiv:2009.01325 (best-of-n); Beirami et al. 2024, arXiv:2401.01879 (the bound).
"""

import math

import numpy as np

from ..cli.text import counted, table
from ..errors import InputError
from .intervals import prompts_interval
from .score import rewards_with_bar
from .score_files import checked, located, raw_rows, responses_of
from .text import interval_text

EXAMPLE = '{"prompt": "...", "responses": ["...", "..."], "scores": [0.5, 1.2]}'


def selection(reward, n):
    """P(response has the highest reward among n of the K, and so is chosen)        (K,) -> (K,)

    P(highest of n ≤ r) = C(#{reward ≤ r}, n) / C(K, n); responses of equal reward share their probability.
    """
    _, level, size = np.unique(reward, return_inverse=True, return_counts=True)
    at_most = np.array([math.comb(int(count), n) for count in np.cumsum(size)], float) / math.comb(len(reward), n)
    return (np.diff(at_most, prepend=0.0) / size)[level]


def kl_bound(n):
    """log n - (n - 1) / n, in nats: an upper bound of the KL divergence of best-of-n from the policy"""
    return math.log(n) - (n - 1) / n


def read_scored(path, scorer):
    """[(token ids of the responses, their true scores)] for the rows of a file with `responses` and `scores`"""
    found = []
    for number, _, columns in raw_rows(path):
        with located(path, number):
            if "scores" not in columns:
                raise InputError(f"there are no true scores: write {EXAMPLE}")
            checked(columns)  # scores are numbers, one for each response
            prompt, responses = responses_of(columns)
            ids = [scorer.tokenizer.encode(prompt, response) for response in responses]
            if max(map(len, ids)) > scorer.max_length:
                raise InputError(f"a response is longer than the {scorer.max_length} tokens that the model reads")
            found.append((ids, np.array(columns["scores"], float)))
    if not found:
        raise InputError(f"{path}: the file is empty: write rows with prompt, responses and scores")
    return found


def best_of(rewards, scores, rng):
    """The mean true score of best-of-n, n = 1 .. the shortest list        lists of (K,), lists of (K,) -> list of dicts

    score   the mean true score of the chosen response, with its 95 % interval over prompts
    best    the same if the true scores choose; no model can exceed it
    """
    found = []
    for n in range(1, min(map(len, scores)) + 1):
        chosen = np.array([selection(r, n) @ s for r, s in zip(rewards, scores, strict=True)])
        best = np.mean([selection(s, n) @ s for s in scores])
        low, high = prompts_interval(chosen, np.arange(len(chosen)), rng) if len(chosen) > 1 else (None, None)
        row = {"n": n, "kl_bound": kl_bound(n), "score": float(chosen.mean()), "low": low, "high": high}
        found.append(row | {"best": float(best)})
    return found


def measure_best_of(scorer, path, seed=0):
    """{"prompts", "best_of"} of a model on a file"""
    rows = read_scored(path, scorer)
    reward = rewards_with_bar(scorer, [ids for ids, _ in rows])
    rewards = [r[: len(ids)] for r, (ids, _) in zip(reward, rows, strict=True)]
    rng = np.random.default_rng([seed, 3])
    return {"prompts": len(rows), "best_of": best_of(rewards, [score for _, score in rows], rng)}


def best_of_text(result):
    """The table that `evaluate --best-of` prints"""
    rows = [["n", "KL at most", "true score", "95 % interval", "best possible"]]
    for row in result["best_of"]:
        rows.append(
            [f"{row['n']}", f"{row['kl_bound']:.3f}", f"{row['score']:.4f}", interval_text(row), f"{row['best']:.4f}"]
        )
    yield f"The response that the model chooses among n, over {counted(result['prompts'], 'prompt')}; KL in nats"
    yield from table(rows, aligned_left=0)
