"""Around a training: how much memory it needs, and what Ctrl-C does before and after it."""

import signal

import numpy as np
import pytest

from numpy_ref.cli import memory
from numpy_ref.errors import InputError
from numpy_ref.reward_model import init_params
from numpy_ref.training import start
from numpy_ref.training.loop import interrupts
from numpy_ref.tree import flatten


@pytest.mark.parametrize("size", [(60, 17, 8, 1), (300, 40, 32, 3)])
def test_the_memory_of_a_model_is_five_times_its_weights_and_a_little_for_each_block(size, monkeypatch):
    """Weights, gradient, two moments and a save's copy; the vocabulary counts twice, as in a language model"""
    asked = []
    monkeypatch.setattr(memory, "check", lambda needed, *_: asked.append(needed))
    start.check_memory(*size, itemsize=8)
    vocab_size, _, n_embd, n_layer = size
    weights = sum(array.nbytes for array in flatten(init_params(np.random.default_rng(0), *size)).values())
    weights += 8 * vocab_size * n_embd
    assert 5 * weights <= asked[0] + 5 * 8 * 3 * n_embd  # except the final norm and the head
    assert asked[0] <= 5 * weights + 10_000 * n_layer


def test_a_model_that_does_not_fit_is_refused_before_it_is_made(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 1_000_000)
    start.check_memory(60, 17, 8, 1, 8)
    with pytest.raises(InputError, match=r"400 positions, 64 channels and 2 blocks needs .* choose a smaller"):
        start.check_memory(300, 400, 64, 2, 8)


def test_ctrl_c_is_noted_once_in_a_training_and_means_what_it_meant_when_it_is_over():
    before = signal.getsignal(signal.SIGINT)
    with interrupts() as received:
        signal.raise_signal(signal.SIGINT)
        assert received == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
