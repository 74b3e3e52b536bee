"""A small preference world whose true rewards are known, so that a trained model can be held to exact floors.

A prompt names three small jobs, a response answers them in order:

    opposite hot capital france say cat    ->    cold paris cat gladly .

Each answer is right, or a wrong word of the same kind. A response may be cut short (answers and the full stop are
missing), padded with filler, rude or courteous. The true reward is a known function of these qualities, and people
prefer response i to response j with probability σ(reward_i - reward_j). All prompts share the same facts; no two
prompts are the same combination of jobs.
"""

from functools import cache
from itertools import pairwise, permutations, product
from typing import NamedTuple

import numpy as np

from ..metrics import summary
from .reader import Preference

COUNT = ["one", "two", "three", "four", "five", "six"]
FACTS = {
    "opposite": {"hot": "cold", "big": "small", "fast": "slow", "up": "down", "wet": "dry"},
    "colour": {"grass": "green", "sky": "blue", "snow": "white", "blood": "red", "coal": "black"},
    "capital": {"france": "paris", "japan": "tokyo", "italy": "rome", "egypt": "cairo", "peru": "lima"},
    "next": dict(pairwise(COUNT)),
    "say": {pet: pet for pet in ["cat", "dog", "bird", "fish", "horse"]},
}
JOBS_PER_PROMPT = 3
FILLERS, RUDE, COURTEOUS = ["um", "well", "er", "like"], ["fool", "idiot", "stupid"], ["gladly", "sure"]
FACT_WORDS = {word for answers in FACTS.values() for pair in answers.items() for word in pair}
WORDS = tuple(sorted({".", *FACTS, *FILLERS, *RUDE, *COURTEOUS, *FACT_WORDS}))

# Points for each quality, and the value of a point in log-odds of being preferred.
RIGHT, RUDENESS, FILLER, COURTESY, POINT = 3, -3, -1, 2, 0.42


class Responses(NamedTuple):
    """N prompts, K responses to each, best first, and the responses' true rewards (N, K)"""

    prompts: list
    responses: list
    rewards: np.ndarray


def reward(right, rude, fillers, courteous):
    """r* = 0.42 (3 · jobs done right - 3 · rude - fillers + 2 · courteous)        in log-odds"""
    return POINT * (RIGHT * right + RUDENESS * rude + FILLER * fillers + COURTESY * courteous)


@cache
def every_prompt():
    """All prompts: three jobs of different kinds in some order"""
    return tuple(
        tuple(zip(tasks, questions, strict=True))
        for tasks in permutations(FACTS, JOBS_PER_PROMPT)
        for questions in product(*(FACTS[task] for task in tasks))
    )


def sample_prompts(rng, n):
    """n different prompts"""
    every = every_prompt()
    return [every[i] for i in rng.permutation(len(every))[:n]]


def sample_response(rng, jobs):
    """One response to the jobs and its true reward; it may be empty"""

    def pick(words):
        return words[int(rng.random() * len(words))]

    kind, cut, padded, manners = rng.random(4).tolist()
    n_right = JOBS_PER_PROMPT if kind < 0.40 else pick(range(1, JOBS_PER_PROMPT)) if kind < 0.75 else 0
    right = set(rng.permutation(JOBS_PER_PROMPT)[:n_right].tolist())
    n_answers = pick(range(JOBS_PER_PROMPT)) if cut < 0.2 else JOBS_PER_PROMPT
    fillers = pick([1, 2]) if padded < 0.35 else 0
    rude, courteous = manners < 0.3, manners >= 0.7

    words = []
    for i, (task, question) in enumerate(jobs[:n_answers]):
        answer = FACTS[task][question]
        words.append(answer if i in right else pick([word for word in FACTS[task].values() if word != answer]))
    words += [pick(FILLERS) for _ in range(fillers)] + [pick(RUDE)] * rude + [pick(COURTEOUS)] * courteous
    words += ["."] * (n_answers == JOBS_PER_PROMPT)
    return " ".join(words), reward(sum(i < n_answers for i in right), rude, fillers, courteous)


def sample_responses(rng, prompts, k):
    """K responses to each prompt with different rewards; the smallest difference is one POINT"""
    all_responses, rewards = [], np.empty((len(prompts), k))
    for n, jobs in enumerate(prompts):
        found: dict = {}
        while len(found) < k:
            text, value = sample_response(rng, jobs)
            if text:
                found.setdefault(round(value / POINT), (text, value))
        best_first = sorted(found.values(), key=lambda response: -response[1])
        all_responses.append([text for text, _ in best_first])
        rewards[n] = [value for _, value in best_first]
    texts = [" ".join(f"{task} {question}" for task, question in jobs) for jobs in prompts]
    return Responses(texts, all_responses, rewards)


def make_world(seed, n_train=7_000, n_eval=400, k_train=2, k_eval=6, visits=5):
    """(train, eval): Responses to different prompts, reproducible from one seed

    Training has several rows for each prompt, each with new responses, so one epoch sees every comparison once.
    """
    rng = np.random.default_rng(seed)
    prompts = sample_prompts(rng, n_train + n_eval)
    train = sample_responses(rng, prompts[:n_train] * visits, k_train)
    return train, sample_responses(rng, prompts[n_train:], k_eval)


def rank(rng, responses):
    """Preferences drawn with P(i before j) = σ(r_i - r_j): responses ordered by reward plus Gumbel noise

    The difference of two Gumbel variables is logistic, so K = 2 is Bradley-Terry and K > 2 Plackett-Luce (Luce 1959).
    """
    noisy = responses.rewards + rng.gumbel(size=responses.rewards.shape)
    orders = np.argsort(-noisy, axis=1)
    return [
        Preference(prompt, tuple(texts[i] for i in order), ranks=tuple(range(1, len(order) + 1)))
        for prompt, texts, order in zip(responses.prompts, responses.responses, orders, strict=True)
    ]


def floors(rewards):
    """The best expected scores on these pairs: accuracy E[max(p, 1 - p)], loss E[H(p)], Brier score E[p (1 - p)]

    The true rewards reach them: p = σ(r*_i - r*_j) is known, so the expectations are exact. No model can do better.
    """
    best = summary(rewards, rewards)
    return {name: best[name] for name in ("accuracy", "loss", "brier")}
