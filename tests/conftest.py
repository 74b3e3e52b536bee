"""Hypothesis profiles, one thread, and floating-point errors that raise, around every test.

HYPOTHESIS_PROFILE=dev|quick|ci|deep pytest: 25 examples (the default), 25 or 100 that are always the same (ci is the
default where CI=true), 2,000.
"""

import gc
import os
import signal

# Set before NumPy is imported: in small products two threads wait for each other longer than they compute.
os.environ |= {name: os.environ.get(name, "1") for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")}
os.environ.pop("PYTEST_ADDOPTS", None)  # it has been read, and a pytest that a test starts must not read it

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, settings

slow_is_fine = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=25, **slow_is_fine)
settings.register_profile("quick", max_examples=25, derandomize=True, **slow_is_fine)
settings.register_profile("ci", max_examples=100, derandomize=True, **slow_is_fine)
settings.register_profile("deep", max_examples=2_000, **slow_is_fine)
settings.register_profile(  # for mutants.py: nobody needs the smallest counterexample of a dead mutant
    "mutants", max_examples=10, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate], **slow_is_fine
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "dev"))

torch.set_num_threads(1)
gc.set_threshold(100_000, 20, 100)  # 700, 10, 10 by default: a tenth of the tests' time went into looking for cycles
os.fsync = os.fstat  # no test outlives a power failure; a descriptor that is none still raises
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a script's background job; tests send Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The reasons for a skip that CI allows, by how they begin; any other skip fails the run if MAY_SKIP is set.
# "extra" is for the environment of the README's commands, which holds the extra `test` alone.
REASONS = {"data": "data: ", "extra": "the extra ", "gpu": "GPU: ", "system": "this system "}
skipped: list = []  # (where, why)

tables = []  # (title, lines) that a test measured and the end of the run prints


@pytest.fixture(autouse=True)
def _floating_point_errors_raise():
    """Overflow, an invalid operation or a division by zero fails a test; underflow is right for e^-745"""
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        yield


@pytest.fixture
def show_table():
    """show_table(title, lines): printed at the end of the run, even if pytest captures output"""
    return lambda title, lines: tables.append((title, lines))


def pytest_collection_finish():
    """What was imported stays: a million objects that the garbage collector need not walk through again and again"""
    gc.collect()
    gc.freeze()


def pytest_runtest_logreport(report):
    if report.skipped and not hasattr(report, "wasxfail"):
        skipped.append((report.nodeid, str(report.longrepr[2]).removeprefix("Skipped: ")))


pytest_collectreport = pytest_runtest_logreport  # a whole file may be skipped when it is collected


def unexpected_skips():
    """The skips that MAY_SKIP (names of REASONS, separated by commas) does not allow; none if it is not set"""
    if "MAY_SKIP" not in os.environ:
        return []
    allowed = tuple(REASONS[name] for name in os.environ["MAY_SKIP"].split(",") if name)
    return [(where, why) for where, why in skipped if not why.startswith(allowed)]


def pytest_sessionfinish(session):
    if hasattr(session.config, "workerinput"):  # one of several processes, as with -n 2
        session.config.workeroutput["tables"] = tables
    elif unexpected_skips() and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_testnodedown(node):
    tables.extend(getattr(node, "workeroutput", {}).get("tables", []))


def pytest_terminal_summary(terminalreporter):
    if unexpected := unexpected_skips():
        terminalreporter.section("skipped, and not on the list of MAY_SKIP")
        for where, why in unexpected:
            terminalreporter.write_line(f"{where}: {why}")
    for title, lines in tables:
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)
