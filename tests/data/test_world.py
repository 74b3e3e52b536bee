"""The built-in world is readable, comes entirely from one seed, and its floors are the best that a model can reach."""

import hashlib
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from numpy_ref.data import world
from numpy_ref.data.held_out import WORLD_POSITIONS
from numpy_ref.data.tokenizer import Words
from numpy_ref.metrics import accuracy, pair_differences

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"n_train": 60, "n_eval": 25, "visits": 2}
SIGMAS = 4  # standard errors of a Monte Carlo estimate: 1 in 16,000 is further off, and the seeds are fixed


@pytest.fixture(scope="module")
def full():
    """The world of the command `compare`: (train, eval)"""
    return world.make_world(0)


def sigma(x):
    return 1 / (1 + np.exp(-x))


def qualities(prompt, response):
    """An independent reader of the text alone: wrong answers, missing answers, fillers, rude words, courteous words"""
    words = prompt.split(" ")
    jobs = list(zip(words[::2], words[1::2], strict=True))
    body = response.removesuffix(".").split()
    answers = []
    while body and body[0] in {word for kind in world.FACTS.values() for word in kind.values()}:
        answers.append(body.pop(0))
    wrong = sum(a != world.FACTS[task][thing] for a, (task, thing) in zip(answers, jobs, strict=False))
    kinds = (["um", "well", "er", "like"], ["fool", "idiot", "stupid"], ["gladly", "sure"])
    fillers, rude, courteous = (sum(word in kind for word in body) for kind in kinds)
    assert fillers + rude + courteous == len(body), f"a stray word in {response!r}"
    return wrong, len(jobs) - len(answers), fillers, rude, courteous


def read_rewards(responses):
    """(N·K, 5) qualities and (N·K,) stored rewards of every response"""
    rows = [
        qualities(prompt, text)
        for prompt, texts in zip(responses.prompts, responses.responses, strict=True)
        for text in texts
    ]
    return np.array(rows), responses.rewards.reshape(-1)


def test_a_pair_can_be_read():
    """Three jobs, answers in the same order, and a full stop if no answer is missing"""
    train, held = world.make_world(3, **SMALL)
    task = "|".join(world.FACTS)
    for responses in (train, held):
        for prompt, texts in zip(responses.prompts, responses.responses, strict=True):
            assert re.fullmatch(rf"(?:(?:{task}) \w+ ?){{3}}", prompt)
            for text in texts:
                assert text == " ".join(text.split()), "words stand one space apart, and a response is not empty"
                assert text.endswith(".") == (qualities(prompt, text)[1] == 0), "cut short: no full stop"
            assert set(" ".join([prompt, *texts]).split()) <= set(world.WORDS)


def test_facts_are_facts():
    """All answers differ, within a kind and between kinds, so that a reader always knows which question is answered"""
    answers = [answer for kind in world.FACTS.values() for answer in kind.values()]
    assert len(set(answers)) == len(answers) == 25
    said = {"opposite": ("hot", "cold"), "colour": ("snow", "white"), "capital": ("japan", "tokyo")}
    assert all(world.FACTS[kind][question] == answer for kind, (question, answer) in said.items())
    assert list(world.FACTS["next"].items()) == list(zip(world.COUNT, world.COUNT[1:], strict=False))


def test_the_true_reward_is_what_a_reader_makes_of_the_text(full):
    for responses in full:
        read, stored = read_rewards(responses)
        wrong, missing, fillers, rude, courteous = read.T
        points = 3 * (3 - wrong - missing) - fillers - 3 * rude + 2 * courteous
        np.testing.assert_allclose(stored, 0.42 * points, rtol=0, atol=4e-15)  # 0.42 · 11 points, rounded once or twice


def test_at_least_four_qualities_carry_variance_of_their_own(full):
    """Without a quality, the best linear fit of the others leaves at least 2% of the reward's variance unexplained"""
    read, stored = read_rewards(full[1])

    def unexplained(columns):
        design = np.column_stack([read[:, columns], np.ones(len(read))])
        residual = stored - design @ np.linalg.lstsq(design, stored, rcond=None)[0]
        return residual.var() / stored.var()

    assert unexplained([0, 1, 2, 3, 4]) < 1e-25
    own = [unexplained([other for other in range(5) if other != left_out]) for left_out in range(5)]
    assert sum(share > 0.02 for share in own) >= 4, own


def test_splits_share_no_prompt_and_training_visits_each_prompt_equally_often(full):
    train, held = full
    assert not set(train.prompts) & set(held.prompts)
    assert len(set(held.prompts)) == len(held.prompts) == 400
    visits = {prompt: train.prompts.count(prompt) for prompt in train.prompts[:5]}
    assert set(visits.values()) == {5}
    assert len(set(train.prompts)) == 7_000


def test_k_responses_best_first_and_no_two_of_a_prompt_tied(full):
    train, held = full
    assert train.rewards.shape == (35_000, 2)
    assert held.rewards.shape == (400, 6)
    for responses in full:
        assert {len(texts) for texts in responses.responses} == {responses.rewards.shape[1]}
        assert (-np.diff(responses.rewards, axis=1)).min() > world.POINT * 0.999, "one point apart at the least"
        assert all(len(set(texts)) == len(texts) for texts in responses.responses)
    assert world.make_world(0, 5, 5, k_train=4, k_eval=3)[0].rewards.shape == (25, 4)


def same(a, b):
    return a.prompts == b.prompts and a.responses == b.responses and (a.rewards == b.rewards).all()


def test_everything_comes_from_one_seed():
    here, again, other = (world.make_world(seed, **SMALL) for seed in (5, 5, 6))
    assert same(here[0], again[0])
    assert same(here[1], again[1])
    assert here[0].prompts != other[0].prompts
    assert set(here[0].prompts) != set(other[0].prompts)
    one, two, three = (world.rank(np.random.default_rng(seed), here[0]) for seed in (1, 1, 2))
    assert one == two != three


def test_no_global_random_state_is_read_or_written():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = world.make_world(1, **SMALL)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.random.seed(123)  # noqa: NPY002
    assert same(first[1], world.make_world(1, **SMALL)[1])


def digest(seed):
    train, held = world.make_world(seed, **SMALL)
    return hashlib.sha256(repr((world.WORDS, train.prompts, train.responses, held.responses)).encode()).hexdigest()


def test_another_process_makes_the_same_world():
    """The order of a set of strings differs from process to process, so the world must not depend on one"""
    code = "from data.test_world import digest; print(digest(5))"
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.strip() == digest(5)


def test_the_longest_text_fits_the_position_table(full):
    tokenizer = Words(world.WORDS)
    lengths = [
        len(tokenizer.encode(prompt, text))
        for responses in full
        for prompt, texts in zip(responses.prompts, responses.responses, strict=True)
        for text in texts
    ]
    assert max(lengths) == WORLD_POSITIONS
    assert WORLD_POSITIONS == 1 + 6 + 1 + 3 + 2 + 1 + 1 + 1  # bos, jobs, sep, answers, fillers, manners, stop, eos


def test_floors_against_their_formulas(full):
    """E[max(p, 1 - p)], E[H(p)], E[p (1 - p)], written down directly"""
    for responses in full:
        r = responses.rewards
        p = np.concatenate([sigma(r[:, i] - r[:, j]) for i in range(r.shape[1]) for j in range(i + 1, r.shape[1])])
        entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
        direct = {"accuracy": np.maximum(p, 1 - p).mean(), "loss": entropy.mean(), "brier": (p * (1 - p)).mean()}
        floors = world.floors(r)
        assert floors.keys() == direct.keys()
        for name, value in direct.items():
            assert math.isclose(floors[name], value, rel_tol=1e-13), name


def test_floors_against_simulated_labels(full):
    """The scores of the best decisions on drawn labels average to the floors, within their standard errors"""
    margin = pair_differences(full[1].rewards)
    p = sigma(margin)
    first_wins = np.random.default_rng(0).random((100, len(p))) < p  # (draws, pairs)
    simulated = {
        "accuracy": np.where(first_wins, p > 0.5, p < 0.5).astype(float),
        "loss": -np.log(np.where(first_wins, p, 1 - p)),
        "brier": (first_wins - p) ** 2,
    }
    for name, floor in world.floors(full[1].rewards).items():
        score = simulated[name].mean(1)
        error = score.std(ddof=1) / math.sqrt(len(score))
        assert abs(score.mean() - floor) < SIGMAS * error, name
        assert error < 0.002, f"{name}: too few draws to say anything"


def repeated(rewards, n):
    rewards = np.array(rewards)
    names = [str(i) for i in range(len(rewards))]
    return world.Responses(["p"] * n, [names] * n, np.tile(rewards, (n, 1)))


@pytest.mark.parametrize("rewards", [[0.0, 0.42], [1.3, -0.9], [0.0, 0.0], [2.1, 0.4, 0.0, -1.0]])
def test_preferences_are_drawn_with_sigma_of_the_difference(rewards):
    """For two responses and for any two of more, P(i before j) = σ(r_i - r_j)"""
    n = 20_000
    drawn = world.rank(np.random.default_rng(7), repeated(rewards, n))
    assert {(preference.prompt, preference.margin) for preference in drawn} == {("p", 0.0)}
    place = np.array([[preference.responses.index(str(i)) for i in range(len(rewards))] for preference in drawn])
    for i in range(len(rewards)):
        for j in range(i):
            p = sigma(rewards[i] - rewards[j])
            share = (place[:, i] < place[:, j]).mean()
            assert abs(share - p) < SIGMAS * math.sqrt(p * (1 - p) / n), (i, j)


def test_whole_orders_are_plackett_luce():
    """P(a, b, c) = e^a / (e^a + e^b + e^c) · e^b / (e^b + e^c), by a chi-square of six orders"""
    n, rewards = 20_000, [1.1, 0.3, -0.4]
    drawn = [preference.responses for preference in world.rank(np.random.default_rng(3), repeated(rewards, n))]
    chi_square = 0.0
    for order in {(a, b, c) for a in "012" for b in "012" for c in "012" if len({a, b, c}) == 3}:
        a, b, c = (math.exp(rewards[int(name)]) for name in order)
        expected = n * a / (a + b + c) * b / (b + c)
        chi_square += (drawn.count(order) - expected) ** 2 / expected
    assert chi_square < 20.5  # five degrees of freedom; exceeded once in 1,000


@pytest.mark.parametrize("seed", range(6))
def test_the_ceiling_and_the_length_only_baseline_of_any_seed(seed):
    _, held = world.make_world(seed, n_train=0)
    assert 0.72 < world.floors(held.rewards)["accuracy"] < 0.85
    true = pair_differences(held.rewards)
    for size in (len, lambda text: len(text.split())):  # characters, words
        lengths = np.array([[size(text) for text in texts] for texts in held.responses])
        assert 0.45 < accuracy(pair_differences(lengths), true) < 0.55


def counts(texts):
    """How often each word stands in each text        (N,) -> (N, V)"""
    places = {word: i for i, word in enumerate(world.WORDS)}
    table = np.zeros((len(texts), len(places)))
    for row, text in zip(table, texts, strict=True):
        for word in text.split():
            row[places[word]] += 1
    return table


def fit_bradley_terry(x, ridge=1e-3, steps=10):
    """argmin Σ log(1 + e^-xw) + ridge/2 |w|², by Newton"""
    w = np.zeros(x.shape[1])
    for _ in range(steps):
        p = sigma(x @ w)
        gradient = x.T @ (p - 1) + ridge * w
        w -= np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + ridge * np.eye(len(w)), gradient)
    assert abs(gradient).max() < 1e-6, "Newton has not arrived"
    return w


def test_a_bag_of_words_stays_five_points_below_the_ceiling(full):
    """A linear model of word counts sees manners, fillers and length; the prompt's words cancel in a difference"""
    train, held = full
    preferences = world.rank(np.random.default_rng(1), train)
    chosen, rejected = zip(*(preference.responses for preference in preferences), strict=True)
    w = fit_bradley_terry(counts(chosen) - counts(rejected))
    rewards = np.stack([counts(texts) @ w for texts in held.responses])
    reached = accuracy(pair_differences(rewards), pair_differences(held.rewards))
    assert 0.6 < reached < world.floors(held.rewards)["accuracy"] - 0.05


def test_more_prompts_than_there_are_give_them_all():
    prompts = world.sample_prompts(np.random.default_rng(0), 10**9)
    assert len(prompts) == len({str(jobs) for jobs in prompts}) == 60 * 125  # 5·4·3 orders of kinds, 5³ questions
