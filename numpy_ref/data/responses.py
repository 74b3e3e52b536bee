"""All responses to a prompt of the built-in world with their exact probabilities, so that expectations are sums.

`world.sample_response` draws independent parts of a response: how many answers, which of them are right, fillers,
manners. Here all combinations are listed: 19,655 responses to each prompt. The empty response is left out, and its
probability is divided among the others in proportion.
"""

import math
from itertools import product
from typing import NamedTuple

import numpy as np

from . import world
from .tokenizer import EOS, Words
from .world import COURTEOUS, FACTS, FILLERS, JOBS_PER_PROMPT, RUDE

WORDS = Words(world.WORDS)

# How many of the answers are right, and how likely is each set of that size: 0.40 all three, 0.35 one or two, 0.25 none
CHANCE_OF_SET = [0.25, 0.175 / 3, 0.175 / 3, 0.40]
CHANCE_OF_ANSWERS = [0.2 / 3, 0.2 / 3, 0.2 / 3, 0.8]  # 0 to 3 answers
CHANCE_OF_FILLERS = [0.65, 0.175, 0.175]  # 0 to 2 of them


class Enumerated(NamedTuple):
    """A responses to one prompt: texts, log-probabilities (A,) under the world's sampler, true rewards (A,)"""

    texts: list
    log_p: np.ndarray
    rewards: np.ndarray


def enumerate_responses(jobs):
    """Every response that `sample_response` may give to the jobs, except the empty one        -> Enumerated"""
    parts = [
        (" ".join([*words, *tail, *["."] * (len(words) == JOBS_PER_PROMPT)]), p * q, world.reward(right, *qualities))
        for (words, p, right), (tail, q, qualities) in product(answers(jobs), tails())
    ]
    texts, p, rewards = zip(*(part for part in parts if part[0]), strict=True)
    return Enumerated(list(texts), np.log(np.array(p) / math.fsum(p)), np.array(rewards))


def answers(jobs):
    """(words, probability, how many are right) of every way to answer the first jobs; a wrong answer is one of four"""
    for n in range(JOBS_PER_PROMPT + 1):
        for words in product(*(FACTS[task].values() for task, _ in jobs[:n])):
            right = [word == FACTS[task][question] for word, (task, question) in zip(words, jobs, strict=False)]
            wrong = math.prod(
                1 if hit else 1 / (len(FACTS[task]) - 1) for hit, (task, _) in zip(right, jobs, strict=False)
            )
            unseen = JOBS_PER_PROMPT - n  # jobs that were cut off may have been right or wrong
            chance = sum(math.comb(unseen, more) * CHANCE_OF_SET[sum(right) + more] for more in range(unseen + 1))
            yield words, CHANCE_OF_ANSWERS[n] * chance * wrong, sum(right)


def tails():
    """(words, probability, (rude, fillers, courteous)) of what may follow the answers"""
    manners = [((), 0.4, 0, 0), *(((w,), 0.3 / len(RUDE), 1, 0) for w in RUDE)]
    manners += [((w,), 0.3 / len(COURTEOUS), 0, 1) for w in COURTEOUS]
    for n, chance in enumerate(CHANCE_OF_FILLERS):
        for fillers, (words, p, rude, courteous) in product(product(FILLERS, repeat=n), manners):
            yield (*fillers, *words), chance / len(FILLERS) ** n * p, (rude, n, courteous)


def draw_responses(next_logits, prompts, noise):
    """One response to each prompt, drawn word by word from a language model of the world's words        -> texts

    next_logits  tokens (N, t) -> logits of the next token (N, V)
    noise        (N, longest response, V), Gumbel: the largest logit plus noise is a fair draw, and the same noise
                 makes the draws of two models comparable; zeros give the most likely words
    """
    tokens = np.array([WORDS.encode(prompt, "")[:-1] for prompt in prompts])
    first = tokens.shape[1]
    for t in range(noise.shape[1]):
        tokens = np.concatenate([tokens, (next_logits(tokens) + noise[:, t]).argmax(-1)[:, None]], 1)
    return [WORDS.decode(token for token in up_to_end(row[first:].tolist()) if token > EOS) for row in tokens]


def up_to_end(ids):
    """The ids before the first <eos>, or all ids if there is none"""
    return ids[: ids.index(EOS)] if EOS in ids else ids


def true_reward(prompt, response):
    """The true reward of any text, even of one that the world's sampler cannot produce        -> ()

    An answer counts only in its place. Rude words count once, courteous words count once, every filler counts.
    """
    asked, words = prompt.split(), response.split()
    wanted = [FACTS[task][question] for task, question in zip(asked[::2], asked[1::2], strict=True)]
    right = sum(word == answer for word, answer in zip(words, wanted, strict=False))
    counts = [sum(word in kind for word in words) for kind in (RUDE, FILLERS, COURTEOUS)]
    return world.reward(right, min(counts[0], 1), counts[1], min(counts[2], 1))
