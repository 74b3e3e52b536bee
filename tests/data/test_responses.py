"""All responses of the world: the sampler draws each with the probability that is stated."""

import math
from collections import Counter

import numpy as np
import pytest

from numpy_ref.data import responses, world

JOBS = [("opposite", "hot"), ("next", "two"), ("say", "cat")]
PROMPT = "opposite hot next two say cat"


@pytest.fixture(scope="module")
def every():
    return responses.enumerate_responses(JOBS)


def test_there_are_19_655_different_ones_and_their_probabilities_add_up_to_one(every):
    assert len(every.texts) == len(set(every.texts)) == (1 + 5 + 25 + 125) * 21 * 6 - 1
    assert np.exp(every.log_p).sum() == pytest.approx(1, rel=1e-12)


def test_the_sampler_draws_them_as_often_as_they_say(every):
    """Chi squared of 40,000 draws, by length, by chosen words and by first word; rewards are equal too"""
    rng = np.random.default_rng(0)
    drawn = [world.sample_response(rng, JOBS) for _ in range(40_000)]
    texts = [text for text, _ in drawn if text]
    place = {text: i for i, text in enumerate(every.texts)}
    assert set(texts) <= set(place)
    rewards = dict(zip(every.texts, every.rewards, strict=True))
    assert all(value == rewards[text] for text, value in drawn if text)
    p = np.exp(every.log_p)
    for kind in (
        lambda text: len(text.split()),
        lambda text: tuple(answer in text.split() for answer in ("cold", "three", "cat", "gladly", "fool", "um", ".")),
        lambda text: text.split()[0],
    ):
        expected, found = Counter(), Counter(map(kind, texts))
        for text, chance in zip(every.texts, p, strict=True):
            expected[kind(text)] += chance * len(texts)
        cells = [key for key in expected if expected[key] >= 5]
        chi2 = sum((found[key] - expected[key]) ** 2 / expected[key] for key in cells)
        assert abs(chi2 - len(cells)) <= 4 * math.sqrt(2 * len(cells)), (chi2, len(cells))


def test_a_known_response_has_its_probability_and_reward(every):
    """cold three cat gladly . has three right answers, no filler and one of two courteous words"""
    i = every.texts.index("cold three cat gladly .")
    empty = 0.2 / 3 * 0.65 * 0.4  # no answer, no filler, no manners
    assert np.exp(every.log_p[i]) == pytest.approx(0.8 * 0.4 * 0.65 * 0.15 / (1 - empty), rel=1e-12)
    assert every.rewards[i] == world.reward(3, 0, 0, 1)


def test_the_true_reward_reads_any_text(every):
    for i in range(0, len(every.texts), 97):
        assert responses.true_reward(PROMPT, every.texts[i]) == every.rewards[i], every.texts[i]
    assert responses.true_reward(PROMPT, "") == 0
    assert responses.true_reward(PROMPT, "three cold cat sure sure fool . fool") == world.reward(1, 1, 0, 1)
    assert responses.true_reward(PROMPT, "um um um") == world.reward(0, 0, 3, 0)


def test_responses_are_drawn_word_by_word_up_to_the_first_end():
    """A model whose next word depends on the length: cold, three, a special token that is no word, cat, end, cold"""
    prompts, vocabulary = [PROMPT, "say dog next one opposite big"], responses.WORDS
    said = [*vocabulary.text_ids("cold three"), 1, *vocabulary.text_ids("cat"), 3, *vocabulary.text_ids("cold")]

    def next_logits(tokens):
        assert tokens.shape[0] == 2
        logits = np.zeros((2, vocabulary.vocab_size))
        logits[0, said[tokens.shape[1] - 8]] = 1
        logits[1, vocabulary.text_ids("dog")[0]] = 1  # never ends
        return logits

    quiet = np.zeros((2, 6, vocabulary.vocab_size))
    assert responses.draw_responses(next_logits, prompts, quiet) == ["cold three cat", " ".join(["dog"] * 6)]


def test_gumbel_noise_makes_the_draws_fair():
    """P(first word) is the softmax of the logits: 3 to 1"""
    first, second = responses.WORDS.text_ids("cold hot")
    logits = np.full(responses.WORDS.vocab_size, -50.0)
    logits[[first, second]] = math.log(3), 0.0
    n = 4000
    noise = np.random.default_rng(0).gumbel(size=(n, 1, len(logits)))
    drawn = responses.draw_responses(lambda tokens: np.tile(logits, (len(tokens), 1)), [PROMPT] * n, noise)
    assert abs(drawn.count("cold") / n - 0.75) <= 4 * math.sqrt(0.75 * 0.25 / n)
