"""Check cells, and laws that the learner writes."""

import numpy as np
import pytest

from numpy_ref.check.cell import check, full_marks
from numpy_ref.check.command import check_file
from numpy_ref.check.judge import Result
from numpy_ref.check.laws import LAWS, judge_law
from numpy_ref.check.text import score
from numpy_ref.errors import InputError
from numpy_ref.losses import sigmoid

RIGHT = """
import numpy as np
def gradient_law(chosen, rejected, dchosen, drejected):
    pull = -dchosen * len(chosen)
    opposite = np.array_equal(drejected, -dchosen)
    return bool(opposite and np.all((pull > 0) & (pull < 1)) and np.all((pull > 0.5) == (chosen < rejected)))
"""


def points_of(law, name="gradient_law"):
    return [result.status for result in judge_law(name, lambda arguments: law(*arguments))]


# ---------------------------------------------------------------- the check cell


def pairwise_loss_backward(chosen, rejected):
    dmargin = -sigmoid(rejected - chosen) / len(chosen)
    return dmargin, -dmargin


def test_a_check_cell_reports_and_returns_the_points(capsys):
    assert check(pairwise_loss_backward) == full_marks("pairwise_loss_backward") == 6
    assert capsys.readouterr().out.startswith("pairwise_loss_backward: 6 of 6 points\n  passed ")


def test_a_mistake_is_shown_with_its_counterexample_and_its_name(capsys):
    def pairwise_loss_backward(chosen, rejected):
        return sigmoid(chosen - rejected) - 1, 1 - sigmoid(chosen - rejected)

    assert check(pairwise_loss_backward) < 6
    said = capsys.readouterr().out
    assert "smallest counterexample found: pairwise_loss_backward(chosen=[0, 0], rejected=[0, 0])" in said
    assert "known mistake: the mean over the batch is missing" in said


def test_a_stub_scores_zero_and_does_not_raise(capsys):
    def pairwise_loss_backward(chosen, rejected):
        raise NotImplementedError

    assert check(pairwise_loss_backward) == 0
    assert "is not written yet" in capsys.readouterr().out


def test_a_backward_in_the_idiom_is_judged_with_its_forward():
    def softmax(x):
        p = np.exp(x - x.max(-1, keepdims=True))
        p = p / p.sum(-1, keepdims=True)
        return p, p

    def softmax_backward(dout, cache):
        return cache * (dout - (cache * dout).sum(-1, keepdims=True))

    assert check(softmax_backward, softmax) == full_marks("softmax_backward")


def test_interrupting_the_kernel_ends_the_check():
    def sigmoid(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(sigmoid)
    with pytest.raises(KeyboardInterrupt):
        judge_law("gradient_law", lambda _: sigmoid(0))


def test_a_function_of_another_name_is_refused():
    def my_sigmoid(x):
        return x

    with pytest.raises(InputError, match="my_sigmoid: no exercise has this name"):
        check(my_sigmoid)


# ---------------------------------------------------------------- laws


@pytest.mark.parametrize("constant", [True, False])
def test_a_constant_is_no_law(constant):
    assert "passed" not in points_of(lambda *_: constant)


def test_half_a_law_has_half_of_the_points():
    assert points_of(lambda _c, _r, dc, dr: bool(np.allclose(dc, -dr, rtol=1e-9, atol=0))) == [
        *("passed", "failed", "passed", "failed", "failed")
    ]


def test_a_law_that_refuses_a_right_answer_has_no_points():
    law = lambda _c, _r, dc, _dr: bool(np.all(dc < -0.01))  # noqa: E731
    assert points_of(law) == ["failed", *["not reached"] * 4]


@pytest.mark.parametrize(
    ("answer", "sentence"), [(None, "returned None"), (np.array([True, True]), "an array of shape (2,)")]
)
def test_an_answer_that_is_no_truth_value_is_named(answer, sentence):
    first = judge_law("gradient_law", lambda _: answer)[0]
    assert first.status == "failed"
    assert sentence in first.sentence


def test_a_law_in_a_process_of_its_own_has_the_same_verdict(tmp_path):
    file = tmp_path / "law.py"
    file.write_text(RIGHT)
    assert score(check_file(file, ["gradient_law"])[0]) == len(LAWS["gradient_law"].statements)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("while True: pass", "did not finish within 1 s: an endless loop?"),
        ("import os; os._exit(0)", "ended the interpreter"),
        ("raise SystemExit", "called exit"),
        ("return 1 / 0", "raised ZeroDivisionError: division by zero"),
        ("print('x' * 100)", "returned None"),
        ("return [0] * 10**9", "asked for more memory"),
    ],
)
def test_a_hostile_law_costs_only_its_own_points(tmp_path, body, sentence):
    file = tmp_path / "law.py"
    file.write_text(f"def gradient_law(*arguments):\n    {body}\n")
    results, _ = check_file(file, ["gradient_law"], seconds=1)
    assert [result.status for result in results] == ["failed", *["not reached"] * 4]
    assert sentence in results[0].sentence


def test_a_law_that_is_not_there_is_said_to_be_missing(tmp_path):
    file = tmp_path / "law.py"
    file.write_text("x = 1\n")
    first = check_file(file, ["gradient_law"])[0][0]
    assert first == Result(
        "gradient_law", "accepts every right answer", "failed", f"gradient_law is not defined in {file}"
    )
