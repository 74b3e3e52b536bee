"""Hypothesis profiles, one thread, and floating-point errors that raise, around every test.

HYPOTHESIS_PROFILE=dev|ci|deep pytest: 25 examples (the default), 100 the same every time (the default where CI=true),
2,000.
"""

import os

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, settings

slow_is_fine = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=25, **slow_is_fine)
settings.register_profile("ci", max_examples=100, derandomize=True, **slow_is_fine)
settings.register_profile("deep", max_examples=2_000, **slow_is_fine)
settings.register_profile(  # for mutants.py: a dead mutant's smallest counterexample interests nobody
    "mutants", max_examples=10, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate], **slow_is_fine
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "dev"))

torch.set_num_threads(1)

tables = []  # (title, lines), which a test measured and the end of the run prints


@pytest.fixture(autouse=True)
def _floating_point_errors_raise():
    """Overflow, an invalid operation and a division by zero end a test; underflow is how e^-745 should end"""
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        yield


@pytest.fixture
def show_table():
    """show_table(title, lines): printed at the end of the run, whatever pytest captures"""
    return lambda title, lines: tables.append((title, lines))


def pytest_terminal_summary(terminalreporter):
    for title, lines in tables:
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)
