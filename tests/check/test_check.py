"""The checker: it catches and names every known mistake, passes right code, and survives hostile submissions."""

import inspect
import json
import math
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from numpy_ref.check import command as check
from numpy_ref.check import judge as check_judge
from numpy_ref.check import oracles
from numpy_ref.check.diagnosis import outcome, parts
from numpy_ref.check.functions import FUNCTIONS
from numpy_ref.check.judge import Judge
from numpy_ref.check.laws import LAWS
from numpy_ref.check.mistakes import CATALOGUE
from numpy_ref.check.mutants import mutants
from numpy_ref.check.properties import PROPERTIES
from numpy_ref.check.sandbox import published, understood
from numpy_ref.check.search import inputs
from numpy_ref.check.source import read_blocks
from numpy_ref.check.submission.host import Host
from numpy_ref.check.submission.wire import decode, encode
from numpy_ref.cli.main import main
from numpy_ref.errors import InputError

SUBMISSIONS = Path(__file__).parent / "submissions"
COMMAND = {"check": ("", lambda: (check.add_arguments, check.run))}


def command(*arguments):
    """The exit status of `python -m numpy_ref check ...`"""
    return main("python -m numpy_ref", COMMAND, ["check", *map(str, arguments)])


def call_through(host):
    """Sandbox.call without the process: arguments and results are encoded in the same way"""

    def call(name, arguments, seconds, cotangent=None, layout=""):  # noqa: ARG001  no clock here
        given = json.loads(json.dumps([encode(argument) for argument in arguments]))
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the submission's own output, which its process would not show either
            answer = json.loads(json.dumps(host.call(name, given, encode(cotangent), layout)))
        return understood(answer)

    return call


def judge(name, function, shrink=False):
    host = Host(published())
    setattr(host.module, name, function)
    return Judge(name, call_through(host), shrink=shrink).judge()


def judge_source(source, names=None):
    host = Host(published())
    defined = host.load([("solution.py", source)])["defined"]
    return {name: Judge(name, call_through(host), shrink=False).judge() for name in names or defined}


def failures(results):
    return [result for result in results if result.status == "failed"]


# The tables


def test_the_published_list_the_oracles_the_properties_and_the_catalogue_speak_of_the_same_functions():
    assert list(FUNCTIONS) == list(PROPERTIES) == list(CATALOGUE)
    assert all(callable(getattr(oracles, name)) for name in FUNCTIONS)


def test_every_mistake_has_a_name_of_its_own_and_a_hint_that_is_a_sentence():
    for name, mistakes in CATALOGUE.items():
        assert len(mistakes) >= 3
        by_name = {mistake.name: mistake.hint for mistake in mistakes}
        for mistake in mistakes:
            assert mistake.hint.endswith("."), (name, mistake.name)
            assert by_name[mistake.name] == mistake.hint
    assert sum(map(len, CATALOGUE.values())) >= 300


BACKWARDS = [name for name in FUNCTIONS if name.endswith("_backward") and hasattr(oracles, name[:-9])]


@pytest.mark.parametrize("name", BACKWARDS)
def test_the_gradient_by_which_we_judge_is_the_central_difference_of_the_loss_by_which_we_judge(name):
    """Within 1e-8 of the largest entry; the central difference with h = 1e-5 is off by h² and eps / h

    Measured: at most 3.2e-10, for gelu_backward.
    """
    forward, backward, h = getattr(oracles, name[:-9]), getattr(oracles, name), 1e-5
    for arguments in inputs(PROPERTIES[name][1])[:10]:
        dout, given = (arguments[0], arguments[1:]) if FUNCTIONS[name].arguments[0] == "dout" else (1.0, arguments)
        if name == "softmax_backward":
            arguments, given = (dout, forward(given[0])), given  # the backward takes the probabilities
        found = backward(*arguments)
        for place, gradient in enumerate(found if isinstance(found, tuple) else (found,)):
            expected = np.zeros_like(gradient)
            for index in np.ndindex(gradient.shape):
                up, down = given[place].copy(), given[place].copy()
                up[index] += h
                down[index] -= h
                high, low = (forward(*given[:place], x, *given[place + 1 :]) for x in (up, down))
                expected[index] = (dout * (high - low) / (2 * h)).sum()
            scale = max(1.0, np.abs(expected).max())
            assert np.abs(gradient - expected).max() <= 1e-8 * scale


# What is wrong is caught and named


def caught_and_named(name, mistakes, shrink):
    for mistake in mistakes:
        wrong = failures(judge(name, mistake.wrong, shrink))
        named = {result.mistake[0] for result in wrong if "arguments are left" not in result.statement}
        assert named == {mistake.name}, (mistake.name, [(r.statement, r.counterexample, r.mistake) for r in wrong])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_first_mistake_of_each_function_is_caught_and_named(name):
    """The other mistakes are tested in the slow tier"""
    caught_and_named(name, CATALOGUE[name][:1], shrink=False)


UNLISTED = {
    # wrong only where nobody looks
    "sigmoid": lambda x: np.where(np.abs(x) < 30, oracles.sigmoid(x), 0.5),
    "log_sigmoid": lambda x: oracles.log_sigmoid(np.maximum(x, -333)),
    "pairwise_loss": lambda c, r: oracles.pairwise_loss(c, r) + 1e-6 * (c - r).mean(),
    "pairwise_loss_backward": lambda c, r: tuple(g * (1 + 1e-6) for g in oracles.pairwise_loss_backward(c, r)),
    "margin_loss": lambda c, r, m: oracles.margin_loss(c, r, np.maximum(m, 0)),
    "margin_loss_backward": lambda c, r, m: oracles.margin_loss_backward(c, r, np.abs(m)),
    "smoothed_loss": lambda c, r, _e: oracles.smoothed_loss(c, r, 0.1),
    "smoothed_loss_backward": lambda c, r, e: oracles.smoothed_loss_backward(c, r, e * e),
    "centered_loss": lambda c, r, k: oracles.centered_loss(c, r, k) + k * (c * r).mean(),
    "centered_loss_backward": lambda c, r, k: oracles.centered_loss_backward(c, r, k * k),
    "dpo_loss_backward": lambda c, r, cr, rr, b: oracles.dpo_loss_backward(c, r, cr, np.minimum(rr, -1), b),
    "ipo_loss": lambda c, r, cr, rr, b: oracles.ipo_loss(c, r, cr, rr, b) + 1e-3 * (c - r).mean(),
    "ipo_loss_backward": lambda c, r, cr, rr, b: oracles.ipo_loss_backward(c, r, np.maximum(cr, -11), rr, b),
    "leave_one_out_advantage": lambda r: oracles.leave_one_out_advantage(np.maximum(r, -2.5)),
    "kwise_loss": lambda r: oracles.kwise_loss(np.sort(r)[:, ::-1]),
    "kwise_loss_backward": lambda r: oracles.kwise_loss_backward(np.sort(r)[:, ::-1]),
    "plackett_luce_loss": lambda r: oracles.plackett_luce_loss(r) - np.log(math.factorial(r.shape[1])),
    "plackett_luce_loss_backward": lambda r: np.cumsum(oracles.plackett_luce_loss_backward(r), 1),
    "linear": lambda x, w, b: x @ w.T + b.sum(),
    "linear_backward": lambda d, x, w, _b: (
        d @ w,
        np.abs(d.reshape(-1, len(w)).T @ x.reshape(-1, w.shape[1])),
        d.sum(),
    ),
    "softmax": lambda x: oracles.softmax(x * 1.001),
    "softmax_backward": lambda d, p: p * (d - np.abs((d * p).sum(-1, keepdims=True))),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(0.7979 * (x + 0.044715 * x**3))),
    "gelu_backward": lambda d, x: oracles.gelu_backward(d, np.abs(x)),
    "layer_norm": lambda x, w, b: oracles.layer_norm(x, np.abs(w), b),
    "layer_norm_backward": lambda d, x, w, b: oracles.layer_norm_backward(d, x, w + b, b),
    "embedding_backward": lambda d, t, v: oracles.embedding_backward(d, np.minimum(t, 1), v),
    "attention": lambda q, k, v: oracles.attention(q, k, np.cumsum(v, -2)),
    "attention_backward": lambda d, q, k, v: oracles.attention_backward(d, q, k, np.ones_like(v)),
    "last_token": lambda t, n, _pad: np.where(n > 2, n - 1, n - 1 + (t[:, 0] == 1)),
    "last_hidden": lambda h, n: np.abs(oracles.last_hidden(h, n)),
    "adamw_step": lambda p, g, m, v, t, *a: oracles.adamw_step(p, np.clip(g, -1, 1), m, v, t, *a),
    "accuracy": lambda c, r: np.mean((c > r) + 0.25 * (c == r)),
    "cohen_kappa": lambda a, b: max(0.0, oracles.cohen_kappa(a, b)),
    "brier_score": lambda p, y: ((p - y) ** 2).mean() + 1e-3 * (p > 0.9).mean(),
    "kwise_margin_loss": lambda r, c: oracles.kwise_margin_loss(np.sort(r)[:, ::-1], c),
    "unbiased_loss": lambda c, r, e: oracles.unbiased_loss(c, r, e * e),
    "scaled_loss_backward": lambda c, m: oracles.scaled_loss_backward(c, np.abs(m)),
    "lora_backward": lambda d, x, a, b, w: (
        oracles.lora_backward(d, x, a, b, np.abs(w))[0],
        *oracles.lora_backward(d, np.abs(x), a, b, w)[1:],
    ),
    "log_softmax_backward": lambda d, x: oracles.log_softmax_backward(d, np.abs(x)),
    "swiglu_backward": lambda d, g, u: oracles.swiglu_backward(d, np.maximum(g, 0), u),
    "residual_backward": lambda d, x, w, b: oracles.residual_backward(d, x, w, np.abs(b)),
    "rms_norm_backward": lambda d, x, w: oracles.rms_norm_backward(d, x, np.abs(w)),
    "next_token_loss_backward": lambda x, t, w: oracles.next_token_loss_backward(x, np.minimum(t, 1), w),
    "position_ids": lambda m: np.minimum(oracles.position_ids(m), 2),
    "join_within": lambda p, r, n: np.sort(oracles.join_within(p, r, n)),
    "chosen_first": lambda a, b, k: oracles.chosen_first(a, b, np.sort(k)),
    "accumulated_gradient": lambda g, n: oracles.accumulated_gradient(g, n * n),
    "expected_calibration_error": lambda p, y, k: oracles.expected_calibration_error(p, y, k + 1),
    "length_slope": lambda s, q, n: oracles.length_slope(s, np.abs(q - 1), n),
    "soft_label_loss": lambda m, p: oracles.soft_label_loss(m, p * p),
    "probit_loss_backward": lambda c, r: tuple(g * (1 + 1e-6) for g in oracles.probit_loss_backward(c, r)),
    "linear_reward_gradient": lambda w, c, r: oracles.linear_reward_gradient(np.abs(w), c, r),
    "thurstone": lambda a, b: oracles.thurstone(np.abs(a), b),
    "rao_kupper": lambda a, b, t: oracles.rao_kupper(a, b, t * t),
    "strengths_gradient": lambda w, s: oracles.strengths_gradient(w, np.abs(s)),
    "mm_step": lambda w, s: oracles.mm_step(w, s * s),
    "weighted_kappa": lambda a, b: oracles.weighted_kappa(a * a, b * b),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_mistake_that_the_catalogue_does_not_know_is_caught_too(name):
    wrong = failures(judge(name, UNLISTED[name]))
    assert wrong
    assert not {r.mistake[0] for r in wrong} & {mistake.name for mistake in CATALOGUE[name]}


@pytest.mark.parametrize(
    ("name", "wrong", "expected"),
    [
        ("attention_backward", lambda *a: tuple(-g for g in oracles.attention_backward(*a)), "the sign is lost"),
        ("gelu_backward", lambda d, x: oracles.gelu_backward(np.ones_like(d), x), "dout is ignored"),
        ("centered_loss_backward", lambda *a: oracles.centered_loss_backward(*a)[::-1], "are exchanged"),
        (
            "linear_backward",
            lambda *a: [k * g for k, g in zip((2, 1, 1), oracles.linear_backward(*a), strict=True)],
            "dx: twice",
        ),
        (
            "pairwise_loss_backward",
            lambda c, r: (1 / (1 + np.exp(c - r)), -1 / (1 + np.exp(c - r))),
            "the mean over the batch is missing; and the sign is lost",
        ),
        (
            "pairwise_loss_backward",
            lambda dout, cache: oracles.pairwise_loss_backward(*cache),  # noqa: ARG005
            "dout is ignored",
        ),
    ],
)
def test_mistakes_that_any_function_can_have_are_named_too(name, wrong, expected):
    assert any(expected in result.mistake[0] for result in failures(judge(name, wrong)))


def test_what_no_catalogue_foresaw_is_explained_by_the_mutant_that_answers_alike():
    """1/2 (1 + t) changed to 1 (1 + t): not in the catalogue, but a mutant of our own code answers alike"""

    def wrong(dout, x):
        t = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
        return oracles.gelu_backward(dout, x) + dout * 0.5 * (1 + t)

    (named,) = {result.mistake for result in failures(judge("gelu_backward", wrong))}
    assert named[0] == "`1 + t` in place of `0.5 * (1 + t)`"
    assert named[1].startswith("The project's own gelu_backward gives your answers")


def test_the_counterexample_is_the_smallest_and_shows_expected_and_got():
    wrong = judge("pairwise_loss_backward", lambda c, r: (1 / (1 + np.exp(c - r)) / len(c),) * 2, shrink=True)
    first = failures(wrong)[0]
    assert first.counterexample == {
        "call": "pairwise_loss_backward(chosen=[0], rejected=[0])",
        "expected": "[-0.5]",
        "got": "[0.5]",
    }


def test_an_answer_that_changes_from_call_to_call_is_said_to():
    rng = np.random.default_rng(0)
    wrong = failures(judge("gelu", lambda x: oracles.gelu(x * (rng.random(x.shape) > 0.5) / 0.5)))
    assert "answers differently from call to call" in wrong[0].sentence


# What is right passes


def test_right_but_unusual_solutions_score_full_marks():
    for name, results in judge_source((SUBMISSIONS / "unusual.py").read_text()).items():
        assert {result.status for result in results} == {"passed"}, (name, failures(results))


def test_solutions_in_float32_score_full_marks():
    """Either the result has dtype float32, or its value is returned as a Python float"""

    def single(oracle):
        def f(*arguments):
            given = [a.astype(np.float32) if getattr(a, "dtype", None) == np.float64 else a for a in arguments]
            out = oracle(*given)
            if isinstance(out, tuple):
                return tuple(v.astype(np.float32) for v in out)
            return float(np.float32(out)) if np.ndim(out) == 0 else out if out.dtype == int else out.astype(np.float32)

        return f

    for name in FUNCTIONS:
        results = judge(name, single(getattr(oracles, name)))
        assert {result.status for result in results} == {"passed"}, (name, failures(results))


def test_the_projects_own_functions_score_full_marks_in_their_own_idiom():
    source = "from numpy_ref.losses import *\nfrom numpy_ref.layers import *\nfrom numpy_ref.attention import *\n"
    judged = judge_source(source)
    assert {"pairwise_loss_backward", "margin_loss_backward", "smoothed_loss", "attention_backward"} < set(judged)
    for name, results in judged.items():
        assert {result.status for result in results} == {"passed"}, (name, failures(results))


def test_pytorch_solutions_score_full_marks_and_their_gradients_are_checked():
    judged = judge_source((SUBMISSIONS / "written_in_torch.py").read_text())
    for name, results in judged.items():
        assert {result.status for result in results} == {"passed"}, (name, failures(results))
    assert any("autograd" in result.statement for result in judged["pairwise_loss"])
    assert not any("autograd" in result.statement for result in judged["accuracy"])


TORCH_WRONG = """
import torch
import torch.nn.functional as F

class Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx, chosen, rejected):
        ctx.save_for_backward(chosen - rejected)
        return -F.logsigmoid(chosen - rejected).mean()

    @staticmethod
    def backward(ctx, dout):
        (margin,) = ctx.saved_tensors
        d = -dout * torch.sigmoid(-margin)
        return d, -d

def pairwise_loss(chosen, rejected):
    return Wrong.apply(chosen, rejected)

def margin_loss(chosen, rejected, margin):
    return -torch.log(torch.sigmoid(chosen - rejected - margin)).mean()

def centered_loss(chosen, rejected, coefficient):
    return -F.logsigmoid(chosen - rejected).mean() + coefficient * (chosen - rejected).square().mean()

def kwise_loss(rewards):
    i, j = torch.triu_indices(rewards.shape[1], rewards.shape[1], 1)
    return -F.logsigmoid(rewards[:, i] - rewards[:, j]).mean() / len(i)

def plackett_luce_loss(rewards):
    loss = (torch.logcumsumexp(rewards.flip(1), 1).flip(1) - rewards).sum(1).mean()
    return loss.detach()
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pairwise_loss", {"the mean over the batch is missing"}),
        (
            "margin_loss",
            {"log(σ) is -inf, or log(1 + e^-margin) overflows", "the gradient through log(σ) where σ is 0"},
        ),
        ("centered_loss", {"the difference is centred"}),
        ("kwise_loss", {"divided by C(K,2) twice"}),
        ("plackett_luce_loss", {""}),
    ],
)
def test_mistakes_in_pytorch_are_caught_and_named_in_value_and_gradient(name, expected):
    wrong = failures(judge_source(TORCH_WRONG, [name])[name])
    assert {result.mistake[0] for result in wrong} == expected
    assert any("autograd" in result.statement for result in wrong) or name == "centered_loss"  # no value is right
    if name == "plackett_luce_loss":
        assert "cuts the graph" in wrong[0].sentence


# What a submission can do to its judge


def test_an_untouched_stub_scores_zero(capsys):
    assert command(SUBMISSIONS / "stub.py") == 1
    printed = capsys.readouterr().out
    assert "score: 0 of" in printed
    assert "is not written yet" in printed
    assert "returns None (is a return missing?)" in printed


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "constant", [pytest.param(0.0, marks=pytest.mark.slow), 0.5, pytest.param(1.0, marks=pytest.mark.slow)]
)
def test_a_constant_scores_zero(name, constant):
    def guess(*arguments):
        out = getattr(oracles, name)(*arguments)
        return tuple(np.full_like(v, constant) for v in out) if isinstance(out, tuple) else np.full_like(out, constant)

    assert not [result.statement for result in judge(name, guess) if result.status == "passed"]


HOSTILE = {
    "log_sigmoid": "did not finish within 0.5 s: an endless loop?",
    "pairwise_loss": "ended the interpreter (exit status 7)",
    "pairwise_loss_backward": "called exit(enough) (hostile.py, line",
    "margin_loss": "asked for more memory than a submission may have",
    "margin_loss_backward": "returns None (is a return missing?)",
    "smoothed_loss": "returns a str for loss, expected a number",
    "smoothed_loss_backward": "expected 2 arrays (dchosen, drejected)",
    "centered_loss": "raised KeyboardInterrupt",
    "kwise_loss": "writes into its argument rewards",
    "kwise_loss_backward": "returns a list of 1 for drewards, expected an array of shape",
    "plackett_luce_loss": "raised AttributeError: 'numpy.ndarray' object has no attribute 'no_such_attribute'",
    "softmax": "returns an array of shape (2, 3) for p, expected an array of shape",
    "softmax_backward": "returns dx of dtype int64, expected float64 or float32",
    "gelu": "raised RecursionError",
    "gelu_backward": "ended the interpreter (signal SIGSEGV)",
    "layer_norm": "returns None",
    "last_token": "returns index of dtype float64, expected integers",
    "last_hidden": "answers differently from call to call",
    "accuracy": "returns share of dtype float16",
    "cohen_kappa": "raised TypeError: cohen_kappa() takes 1 positional argument but 2 were given",
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    status = command(
        SUBMISSIONS / "hostile.py", "--seconds", 0.5, "--json", folder / "a.json", "--junit", folder / "a.xml"
    )
    return status, json.loads((folder / "a.json").read_text()), ET.parse(folder / "a.xml").getroot()


def test_each_hostile_function_gets_its_sentence_and_the_others_are_judged(hostile):
    status, verdict, _ = hostile
    assert status == 1
    outputs = {name: "\n".join(t["output"] for t in verdict["tests"] if t["tags"][0] == name) for name in FUNCTIONS}
    for name, sentence in HOSTILE.items():
        assert sentence in outputs[name], name
    for name in ("sigmoid", "brier_score"):
        assert {t["status"] for t in verdict["tests"] if t["tags"][0] == name} == {"passed"}


def test_json_is_what_gradescope_reads(hostile):
    _, verdict, _ = hostile
    assert verdict["score"] == sum(test["score"] for test in verdict["tests"])
    for test in verdict["tests"]:
        assert test["status"] in ("passed", "failed")
        assert test["max_score"] == 1.0
        assert test["score"] == float(test["status"] == "passed")
        assert test["output"]
        assert test["visibility"] == "visible"


def test_junit_counts_what_it_holds(hostile):
    _, verdict, root = hostile
    (suite,) = root
    assert root.tag == "testsuites"
    assert int(suite.get("tests")) == len(suite.findall("testcase")) == len(verdict["tests"])
    assert int(suite.get("failures")) == len(suite.findall("testcase/failure")) > 0
    assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped")) > 0


JUNIT = {  # junit-10.xsd: the attributes and children that an element may have, those that it must have
    "testsuites": ({"name", "time", "tests", "failures", "disabled", "errors"}, {"testsuite"}, set()),
    "testsuite": (
        {
            "name",
            "tests",
            "failures",
            "errors",
            "time",
            "disabled",
            "skipped",
            "timestamp",
            "hostname",
            "id",
            "package",
        },
        {"properties", "testcase", "system-out", "system-err"},
        {"name"},
    ),
    "testcase": (
        {"name", "assertions", "time", "classname", "status", "class", "file", "line"},
        {"skipped", "error", "failure", "system-out", "system-err"},
        {"name"},
    ),
    "failure": ({"type", "message"}, set(), set()),
    "skipped": ({"type", "message"}, set(), set()),
    "system-out": (set(), set(), set()),
}


def test_junit_has_the_form_of_its_schema(hostile):
    _, _, root = hostile
    for element in root.iter():
        attributes, children, required = JUNIT[element.tag]
        assert required <= set(element.keys()) <= attributes
        assert {child.tag for child in element} <= children
        for key in set(element.keys()) & {"tests", "failures", "errors", "skipped"}:
            assert int(element.get(key)) >= 0
        assert float(element.get("time", "0")) >= 0


GRADESCOPE = {  # the autograder documentation: fields and their types
    "score": float,
    "execution_time": float,
    "output": str,
    "visibility": str,
    "stdout_visibility": str,
    "tests": list,
}
GRADESCOPE_TEST = {
    "score": float,
    "max_score": float,
    "status": str,
    "name": str,
    "number": str,
    "output": str,
    "tags": list,
    "visibility": str,
}
VISIBILITY = {"hidden", "after_due_date", "after_published", "visible"}


def test_json_has_gradescopes_fields_and_types(hostile):
    _, verdict, _ = hostile
    for content, fields in [(verdict, GRADESCOPE), *((test, GRADESCOPE_TEST) for test in verdict["tests"])]:
        assert {key: type(value) for key, value in content.items()} == fields
        assert {content[key] for key in fields if "visibility" in key} <= VISIBILITY
        assert all(isinstance(tag, str) for tag in content.get("tags", ()))


GOOD = "import numpy as np\n\ndef brier_score(p, y):\n    return ((p - y) ** 2).mean()\n"


def scores(capsys, path, *options):
    status = command(path, *options)
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def test_a_syntax_error_in_one_function_leaves_the_others_judged(tmp_path, capsys):
    path = tmp_path / "solution.py"
    path.write_text(GOOD + "\ndef sigmoid(x):\n    return 1 / (1 + np.exp(-x)\n\ndef gelu(x):\n    return x\n")
    status, printed = scores(capsys, path)
    assert status == 1
    assert "brier_score: 3 of 3" in printed
    assert "syntax error in solution.py, line 7" in printed
    assert "sigmoid: 0 of" in printed
    assert "gelu:" in printed


@pytest.mark.parametrize(
    ("top", "note"),
    [
        ("while True:\n    pass\n", "the file's own code did not finish within 0.5 s"),
        ("import os\nos._exit(0)\n", "the file's own code ended the interpreter (exit status 0)"),
        ("raise SystemExit(3)\n", "a statement called exit(3) (solution.py, line 6)"),
        ("assert False, 'my own test'\n", "a statement raised AssertionError: my own test (solution.py, line 6)"),
        ("import no_such_package\n", "a statement raised ModuleNotFoundError"),
        ("data = open('no_such_file').read()\n", "a statement raised FileNotFoundError"),
        ("block = bytearray(10**10)\n", "a statement asked for more memory"),
        ("x = " + "-" * 100_000 + "1\n", "syntax error in solution.py, line"),
        ("x = " + "(" * 1000 + ")" * 1000 + "\n", "syntax error in solution.py, line 6: too many nested parentheses"),
    ],
)
def test_what_a_file_does_at_its_top_level_does_not_stop_the_judge(tmp_path, capsys, top, note):
    path = tmp_path / "solution.py"
    path.write_text(GOOD + "\n" + top + "\ndef accuracy(c, r):\n    return np.mean((c > r) + (c == r) / 2)\n")
    status, printed = scores(capsys, path, "--seconds", 0.5)
    assert status == 0
    assert "score: 8 of 8" in printed
    assert note in printed


def notebook(path, *cells):
    code = [{"cell_type": "code", "metadata": {}, "outputs": [], "source": cell} for cell in cells]
    text = {"cell_type": "markdown", "metadata": {}, "source": ["# title"]}
    path.write_text(json.dumps({"cells": [text, *code], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_of_a_notebook_only_imports_definitions_and_literals_are_executed(tmp_path, capsys):
    path = notebook(
        tmp_path / "student.ipynb",
        "%matplotlib inline\nimport numpy as np\n!pip list\nfiles = !ls\nnp.exp?\n",
        "%%bash\nrm -rf /nowhere",
        ["LIMIT = 0.5\n", "SCALE = np.sqrt(4)\n", "flag = open('executed', 'w')\n", "while True:\n", "    pass\n"],
        "def broken(:\n    pass\n\ndef brier_score(p, y):\n    return SCALE * LIMIT * ((p - y) ** 2).mean()\n",
        "plot(brier_score)\n1 / 0",
        "text = '''\n%s of %s\n''' % (1, 2)\n",
    )
    status, printed = scores(capsys, path)
    assert status == 0
    assert "score: 3 of 3" in printed
    assert "syntax error in cell 5" in printed
    assert not Path("executed").exists()


def test_a_function_that_was_asked_for_and_is_missing_scores_zero(tmp_path, capsys):
    path = tmp_path / "solution.py"
    path.write_text(GOOD)
    status, printed = scores(capsys, path, "--only", "gelu", "--only", "brier_score")
    assert status == 1
    assert "gelu is not defined" in printed
    assert "score: 3 of 7" in printed


@pytest.mark.parametrize(
    ("name", "content", "options", "sentence"),
    [
        ("none.py", None, (), "no such file"),
        ("folder.txt", "x", (), "expected a Python file (.py) or a notebook (.ipynb)"),
        ("a.ipynb", "{not json", (), "not a notebook"),
        ("a.ipynb", '{"worksheets": []}', (), "not a notebook of version 4"),
        ("a.ipynb", "[1]", (), "not a notebook of version 4"),
        ("a.py", b"\xff\xfe\x00", (), "not UTF-8"),
        ("a.py", "x = 1", (), "defines no function of the published list"),
        ("a.py", GOOD, ("--only", "brier_scor"), "did you mean brier_score?"),
        ("a.py", GOOD, ("--only", "xyzzy"), "--list prints the names"),
        ("a.py", GOOD, ("--seconds", "0"), "expected a positive number of seconds"),
        ("a.py", GOOD, ("--seconds", "nan"), "expected a positive number of seconds"),
        ("a.py", GOOD, ("--json", "/no/such/folder/a.json"), "there is no directory /no/such/folder"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(tmp_path, capsys, name, content, options, sentence):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert command(path, *options) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


def test_without_a_solution_and_without_list_there_is_nothing_to_do(capsys):
    assert command() == 2
    assert "no SOLUTION given" in capsys.readouterr().err


def test_the_list_is_an_index_of_one_line_a_function(capsys):
    assert command("--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(FUNCTIONS)
    assert max(map(len, lines)) <= 80


def test_the_list_of_a_name_shows_its_signature_shapes_statement_properties_and_mistakes(capsys):
    for name, function in FUNCTIONS.items():
        assert command("--list", name) == 0
        printed = capsys.readouterr().out
        assert [line for line in printed.splitlines() if len(line) > 80] == []
        statements = [prop.statement for prop in PROPERTIES[name]]
        names = [mistake.name for mistake in CATALOGUE[name]]
        for words in (function.signature, function.shapes, function.statement, *statements, *names):
            assert " ".join(words.split()) in " ".join(printed.split())


def test_the_list_of_a_law_shows_its_signature_and_what_it_must_notice(capsys):
    for name, law in LAWS.items():
        assert command("--list", name) == 0
        printed = capsys.readouterr().out
        assert printed.startswith(f"{name}({FUNCTIONS[law.of].arguments[0]}, ")
        assert [line for line in printed.splitlines() if len(line) > 80] == []
        assert all(statement in printed for statement in law.statements)


def test_the_command_loads_numpy_alone_until_it_judges():
    code = "import sys, numpy_ref.check.command; print(*{'torch', 'hypothesis', 'matplotlib'} & set(sys.modules))"
    root = str(Path(check.__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_values_cross_the_wire_unchanged():
    values = [np.float32(1.5), np.arange(6).reshape(2, 3), -0.0, float("nan"), 2**40, None, (1.0, [np.ones(2)]), True]
    for value in values:
        back = decode(json.loads(json.dumps(encode(value))))
        np.testing.assert_equal(back, value)
    assert decode(encode(np.array(["a"]))).words == "an array of dtype <U1"
    assert decode(encode(object())).words == "a object"


def test_the_submission_is_read_as_it_is_and_never_imported(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(GOOD)
    assert read_blocks(path) == [("a.py", GOOD)]
    with pytest.raises(InputError):
        read_blocks(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_mistake_with_every_constant_is_named_on_its_smallest_counterexample_too(name):
    caught_and_named(name, CATALOGUE[name], shrink=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_mutant_of_our_own_code_is_caught_unless_it_answers_as_the_oracle_does(name, monkeypatch):
    """The properties are complete in this sense: code that passes them all equals ours on all their inputs, to 1e-12"""
    monkeypatch.setattr(check_judge, "name_mistake", lambda *_: (("", ""), 0))
    oracle = getattr(oracles, name)
    tried = [given for prop in PROPERTIES[name] if prop.kind != "autograd" for given in inputs(prop)]
    for mutant in mutants(name):
        if not failures(judge(name, mutant.wrong)):
            for given in tried:
                got, expected = outcome(mutant.wrong, given), outcome(oracle, given)
                if isinstance(got, str) and "missing" in got:  # an option lost its default, which the judge passes
                    options = inspect.signature(oracle).parameters.values()
                    defaults = [np.array(o.default) for o in options if o.default is not o.empty]
                    got = outcome(mutant.wrong, (*given, *defaults))
                for a, b in zip(parts(got), parts(expected), strict=True):
                    np.testing.assert_allclose(a, b, 1e-12, 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["unusual.py", "written_in_torch.py"])
def test_the_command_gives_full_marks_and_status_0(file, capsys):
    status, printed = scores(capsys, SUBMISSIONS / file)
    assert status == 0
    assert "failed" not in printed
