"""`evaluate` prints what a loop over the pairs finds, with floors, baselines and intervals that hold."""

import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from matplotlib.text import Text
from running import PACKAGES, is_one_sentence, run, small_world, weights, write_rows
from strategies import seeds

from numpy_ref import metrics
from numpy_ref.batches import all_rewards, collate
from numpy_ref.cli import text
from numpy_ref.data import world
from numpy_ref.data.tokenizer import Bytes, Words
from numpy_ref.evaluation import calibration, command, intervals, measures
from numpy_ref.evaluation import pairs as evaluate_pairs
from numpy_ref.evaluation.figure import draw_by_length, draw_reliability, evaluation
from numpy_ref.evaluation.intervals import wilson
from numpy_ref.evaluation.score import numpy_scorer, rewards_with_bar, scores
from numpy_ref.evaluation.text import NAMES, as_text
from numpy_ref.figures.style import new_figure
from numpy_ref.losses import sigmoid
from numpy_ref.reward_model import init_params
from numpy_ref.storage.checkpoint import save_model
from numpy_ref.tree import tree_map, unflatten

BOTH = pytest.mark.parametrize("package", PACKAGES)


@pytest.fixture(autouse=True)
def _an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of bytes whose rewards differ by about 1"""
    rng = np.random.default_rng(0)
    params = init_params(rng, Bytes.vocab_size, 32, 8, 1)
    params = tree_map(lambda leaf: leaf + 0.3 * rng.standard_normal(leaf.shape), params)
    directory = tmp_path_factory.mktemp("model")
    save_model(directory, params, 2, Bytes())
    return str(directory)


@pytest.fixture(scope="module")
def model_of_the_world(tmp_path_factory):
    directory = tmp_path_factory.mktemp("world")
    save_model(directory, unflatten(weights()), 2, Words(world.WORDS))
    return str(directory)


def texts(rng, n):
    return ["".join(rng.choice(list("abcdefgh"), rng.integers(1, 12))) for _ in range(n)]


def rows_of_pairs(n, seed=0):
    rng = np.random.default_rng(seed)
    found = [(f"p{i}", *texts(rng, 2), "xyz"[i % 3]) for i in range(n)]
    return [{"prompt": p, "chosen": a, "rejected": b + "!", "subset": s} for p, a, b, s in found]


def rows_of_lists(n, seed=0):
    """n rows that repeat three prompts, with two to four responses and ties"""
    rng = np.random.default_rng(seed)
    sizes = [int(rng.integers(2, 5)) for _ in range(n)]
    rows = [
        {"prompt": f"p{i % 3}", "responses": texts(rng, k), "ranks": [1, *rng.integers(1, k + 1, k - 1).tolist()]}
        for i, k in enumerate(sizes)
    ]
    return [row for row in rows if len(set(row["ranks"])) > 1]


def measured(package, model, rows, *more):
    write_rows(Path("held.jsonl"), rows)
    assert run(package, "evaluate", "--model", model, "--data", "held.jsonl", "--json", "result.json", *more) == 0
    return json.loads(Path("result.json").read_text())


def pairs_by_hand(model, rows):
    """(margin, characters of the better and of the worse text, prompt, subset) of every comparison, text by text"""
    scorer, found = numpy_scorer(model), []
    for row in rows:
        responses = row.get("responses") or [row["chosen"], row["rejected"]]
        ranks = row.get("ranks") or [1, 2]
        reward = [scorer.rewards(*collate([[Bytes().encode(row["prompt"], text)]]))[0, 0] for text in responses]
        for i in range(len(ranks)):
            for j in range(len(ranks)):
                if ranks[i] < ranks[j]:
                    sizes = len(responses[i]), len(responses[j])
                    found.append((reward[i] - reward[j], *sizes, row["prompt"], row.get("subset")))
    return found


def right(margin):
    return 1.0 if margin > 0 else 0.5 if margin == 0 else 0.0


@BOTH
@pytest.mark.parametrize("rows", [rows_of_pairs(60), rows_of_lists(30)], ids=["pairs", "lists"])
def test_every_figure_is_what_a_loop_finds(package, rows, model):
    result = measured(package, model, rows)
    pairs = pairs_by_hand(model, rows)
    margin = np.array([pair[0] for pair in pairs])
    lead = [(a - b) / max(a, b) for _, a, b, _, _ in pairs]
    assert result["pairs"] == len(pairs)
    assert result["prompts"] == len({pair[3] for pair in pairs})
    expected = {
        "accuracy": np.mean([right(m) for m in margin]),
        "loss": np.mean([math.log1p(math.exp(-m)) for m in margin]),
        "brier": np.mean([1 / (1 + math.exp(m)) ** 2 for m in margin]),
        "longer_wins": np.mean([right(d) for d in lead]),
    }
    for name, value in expected.items():
        assert result[name]["value"] == pytest.approx(value, abs=1e-12)
        assert result[name]["low"] <= value <= result[name]["high"]
        assert "best_reachable" not in result[name]
    assert result["ties"] == np.mean(margin == 0)
    groups = [(-1.1, -0.5), (-0.5, -0.1), (-0.1, 0.1), (0.1, 0.5), (0.5, 1.1)]
    for row, (low, high) in zip(result["by_length"], groups, strict=True):
        inside = [
            right(m) for m, d in zip(margin, lead, strict=True)
            if (low <= d <= high if low == -0.1 else low <= d < high if low < 0 else low < d <= high)
        ]  # fmt: skip
        assert row["pairs"] == len(inside)
        assert row["accuracy"] == (pytest.approx(np.mean(inside)) if inside else None)
    curve = calibration.reliability_curve(*calibration.folded(margin))
    assert result["calibration"]["ece"] == pytest.approx(calibration.ece(curve), abs=1e-12)
    assert [row["pairs"] for row in result["calibration"]["curve"]] == curve.pairs.tolist()


def test_the_correlation_with_length_is_within_prompts(model):
    """Shifting all rewards of a prompt, which never changes a margin, does not change the correlation either"""
    rows = rows_of_lists(20)
    scorer, x, y = numpy_scorer(model), [], []
    for row in rows:
        reward = [scorer.rewards(*collate([[Bytes().encode(row["prompt"], t)]]))[0, 0] for t in row["responses"]]
        x += (np.array(reward) - np.mean(reward)).tolist()
        y += (np.array([len(t) for t in row["responses"]]) - np.mean([len(t) for t in row["responses"]])).tolist()
    found = measured("numpy_ref", model, rows)["length_correlation"]
    assert found == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)
    assert measures.correlation(np.zeros(3), np.arange(3.0)) is None


def test_independent_pairs_have_wilsons_interval_and_repeated_prompts_the_bootstrap(model):
    of_pairs = measured("numpy_ref", model, rows_of_pairs(60))["accuracy"]
    assert of_pairs["interval"] == "Wilson"
    assert (of_pairs["low"], of_pairs["high"]) == pytest.approx(intervals.wilson(of_pairs["value"] * 60, 60))
    of_lists = measured("numpy_ref", model, rows_of_lists(30))
    assert {of_lists[name]["interval"] for name in NAMES} == {"bootstrap over prompts"}
    assert any("Of 3 prompts the bootstrap is too narrow" in line for line in as_text(of_lists))
    without_prompt = [{"chosen": row["chosen"], "rejected": row["rejected"]} for row in rows_of_pairs(20)]
    assert measured("numpy_ref", model, without_prompt)["prompts"] == 20, "rows without a prompt are not one prompt"
    one = measured("numpy_ref", model, [row | {"prompt": "p"} for row in rows_of_pairs(20)])
    assert one["loss"]["low"] is None


def test_one_prompt_or_one_outcome_has_no_bootstrap(model):
    scored = [row for row in rows_of_lists(60) if (m := [p[0] for p in pairs_by_hand(model, [row])]) and min(m) > 0]
    result = measured("numpy_ref", model, scored)
    assert result["accuracy"]["value"] == 1
    low, high = intervals.wilson(result["prompts"], result["prompts"])
    assert (result["accuracy"]["low"], result["accuracy"]["high"]) == pytest.approx((low, high))


@given(seed=seeds)
def test_every_comparison_is_found_once_and_better_first(seed):
    rng = np.random.default_rng(seed)
    ranks = rng.integers(0, 4, (3, 4))
    n, i, j = evaluate_pairs.comparisons(ranks)
    expected = {(a, b, c) for a in range(3) for b in range(4) for c in range(4) if 0 < ranks[a, b] < ranks[a, c]}
    assert len(n) == len(expected)
    assert set(zip(n.tolist(), i.tolist(), j.tolist(), strict=True)) == expected


@BOTH
def test_without_data_the_world_is_held_out_with_its_floors(package, model_of_the_world, monkeypatch, capsys):
    monkeypatch.setattr(world, "make_world", small_world)
    assert run(package, "evaluate", "--model", model_of_the_world, "--json", "result.json", "--seed", "3") == 0
    result, held = json.loads(Path("result.json").read_text()), small_world(3)[1]
    floors = world.floors(held.rewards)
    for name, value in floors.items():
        assert result[name]["best_reachable"] == pytest.approx(value)
    lengths = np.array([[len(text) for text in texts] for texts in held.responses])
    assert result["longer_wins"]["value"] == pytest.approx(metrics.summary(lengths, held.rewards)["accuracy"])
    assert (result["pairs"], result["prompts"]) == (24, 8)
    lines = capsys.readouterr().out.splitlines()
    assert any("best reachable" in line for line in lines)
    assert max(map(len, lines)) <= 80 + len(model_of_the_world)
    assert max(len(line) for line in lines if model_of_the_world not in line) <= 80


def test_labels_of_the_world_are_drawn_with_their_probability(model_of_the_world, monkeypatch):
    monkeypatch.setattr(world, "make_world", partial(world.make_world, n_train=60))  # the 400 held-out prompts count
    data = evaluate_pairs.load_world(0, numpy_scorer(model_of_the_world))
    pairs = evaluate_pairs.compare(data, all_rewards(lambda _, length: length.astype(float), data.rows))
    drawn = np.mean([command.drawn_labels(pairs, np.random.default_rng(s)) for s in range(200)], 0)
    p = sigmoid(pairs.true)
    assert abs(drawn - p).max() < 5 * math.sqrt(0.25 / 200)
    assert abs(drawn.mean() - p.mean()) < 4 * math.sqrt((p * (1 - p)).sum() / 200) / len(p)
    certain = pairs._replace(true=np.full(len(p), np.inf))
    assert (command.drawn_labels(certain, np.random.default_rng(0)) == 1).all()


@BOTH
def test_subsets_each_weigh_one(package, model, capsys):
    rows = [row | {"n": i % 2} for i, row in enumerate(rows_of_pairs(31))]
    rows.insert(3, {"prompt": "s", "chosen": "same", "rejected": "same", "subset": "x", "n": 0})  # left out
    rows.insert(9, {"prompt": "s", "chosen": "x" * 60, "rejected": "y", "subset": "y", "n": 1})
    result = measured(package, model, rows, "--subset-column", "subset")
    by_hand = {}
    for margin, a, b, _, subset in pairs_by_hand(model, [row for row in rows if row["prompt"] != "s"]):
        by_hand.setdefault(subset, []).append((right(margin), right(a - b)))
    found = {row["subset"]: (row["pairs"], row["accuracy"], row["longer_wins"]) for row in result["subsets"]}
    assert found.keys() == by_hand.keys()
    for name, of_pairs in by_hand.items():
        assert found[name] == pytest.approx((len(of_pairs), *np.mean(of_pairs, 0)))
    assert result["subset_mean"] == pytest.approx(np.mean([np.mean(each, 0)[0] for each in by_hand.values()]))
    assert "mean over subsets" in capsys.readouterr().out
    assert {row["subset"] for row in measured(package, model, rows, "--subset-column", "n")["subsets"]} == {"0", "1"}


def test_a_temperature_is_fitted_where_it_is_asked_to_be(model, capsys):
    """It is fitted on the margins of another file; the losses are those of the divided margins"""
    write_rows(Path("other.jsonl"), other := rows_of_pairs(80, seed=5))
    other_margin = np.array([pair[0] for pair in pairs_by_hand(model, other)])
    if other_margin.mean() < 0:  # this random model is wrong more often than not, so the labels are swapped
        other = [row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in other]
        write_rows(Path("other.jsonl"), other)
        other_margin = -other_margin
    rows = rows_of_pairs(60)
    margin = np.array([pair[0] for pair in pairs_by_hand(model, rows)])
    found = measured("numpy_ref", model, rows, "--temperature", "fit", "--temperature-data", "other.jsonl")
    T = calibration.fit_temperature(other_margin).temperature
    assert found["temperature"]["T"] == pytest.approx(T, rel=1e-6)
    assert found["temperature"]["loss"] == pytest.approx(metrics.log_loss(margin / T), rel=1e-6)
    assert found["temperature"]["brier"] == pytest.approx(metrics.brier(margin / T), rel=1e-6)
    out = capsys.readouterr().out
    assert f"Temperature {T:.5g}, fitted on other.jsonl" in out
    given_T = measured("numpy_ref", model, rows, "--temperature", "2.5")["temperature"]
    assert "Temperature 2.5\n" in capsys.readouterr().out
    assert given_T["T"] == 2.5
    assert given_T["fitted_on"] is None
    assert given_T["loss"] == pytest.approx(metrics.log_loss(margin / 2.5))
    itself = measured("numpy_ref", model, other, "--temperature", "fit")["temperature"]
    assert itself["T"] == pytest.approx(T, rel=1e-6)
    assert "an optimistic result" in itself["fitted_on"]


def test_both_packages_print_the_same(model, capsys):
    screens = []
    for package in PACKAGES:
        measured(package, model, rows_of_lists(30), "--temperature", "2")
        screens.append(capsys.readouterr().out)
    assert screens[0] == screens[1]


def test_the_table_fits_eighty_columns(model, capsys, monkeypatch):
    monkeypatch.setattr(text, "LINE_EVERY", 0)  # seconds between two lines of progress in a log
    write_rows(Path("held.jsonl"), rows_of_pairs(60))
    arguments = ["--data", "held.jsonl", "--temperature", "2", "--subset-column", "subset"]
    (Path("m")).symlink_to(model)
    assert run("numpy_ref", "evaluate", "--model", "m", *arguments) == 0
    out, err = capsys.readouterr()
    assert max(map(len, out.splitlines())) <= 80
    assert "scoring: 100%" in err


def test_margins_of_zero_are_counted_as_ties(tmp_path):
    params = init_params(np.random.default_rng(0), Bytes.vocab_size, 32, 8, 1)
    params["head"]["weight"][:] = 0
    (tmp_path / "m").mkdir()
    save_model(tmp_path / "m", params, 2, Bytes())
    result = measured("numpy_ref", "m", rows_of_pairs(5))
    assert (result["ties"], result["accuracy"]["value"], result["length_correlation"]) == (1.0, 0.5, None)
    assert result["calibration"]["ece"] == 0


@BOTH
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--data", "no.jsonl"], "no.jsonl: there is no such file"),
        ([], "this model does not read the built-in world's words: give --data FILE"),
        (["--subset-column", "x"], "--subset-column: the built-in world has no columns"),
        (
            ["--data", "held.jsonl", "--subset-column", "kind"],
            "held.jsonl, line 1: --subset-column kind: the row has no",
        ),
        (["--data", "long.jsonl"], "nothing is left to evaluate on: 1 longer than 32 tokens, 0 identical"),
        (["--data", "held.jsonl", "--temperature=-1"], "--temperature -1: expected a number above 0, or fit"),
        (["--data", "held.jsonl", "--temperature", "warm"], "--temperature warm: expected a number above 0, or fit"),
        (["--data", "held.jsonl", "--temperature-data", "x"], "--temperature-data x: is for --temperature fit"),
        (["--data", "one.jsonl", "--temperature", "fit"], "no temperature is the best"),
        (["--data", "held.jsonl", "--figure", "f.txt"], "--figure f.txt: expected a file name that ends in .png"),
    ],
)
def test_what_cannot_be_evaluated_is_one_sentence(package, arguments, expected, model, capsys):
    write_rows(Path("held.jsonl"), rows_of_pairs(9))
    write_rows(Path("one.jsonl"), rows_of_pairs(1))
    write_rows(Path("long.jsonl"), [{"chosen": "x" * 50, "rejected": "y"}])
    assert run(package, "evaluate", "--model", model, *arguments) == 2
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert is_one_sentence(sentence)
    assert expected in sentence


@BOTH
def test_an_unknown_word_is_named_with_its_line_and_of_two_models_with_the_model(
    package, model, model_of_the_world, capsys
):
    good = {"prompt": "say cat", "chosen": "cat .", "rejected": "dog ."}
    data = write_rows(Path("pairs.jsonl"), [good, good | {"rejected": "lion ."}])
    said = f"{data}, line 2: unknown word 'lion'"
    for models, start in [
        ([model_of_the_world], said),
        ([model_of_the_world, "--against", model], f"--model: {said}"),
        ([model, "--against", model_of_the_world], f"--against {model_of_the_world}: {said}"),
    ]:
        assert run(package, "evaluate", "--data", data, "--model", *models) == 2
        assert capsys.readouterr().err.startswith(f"python -m {package} evaluate: error: {start}")


def test_lists_of_different_length_are_centred_over_the_responses_that_they_have(model):
    lists = [["long answer", "b"], ["c", "dd", "eee"], ["f", "gg", "h h", "iiii"]]
    rows = [{"prompt": "p", "responses": texts, "ranks": [*range(1, len(texts) + 1)]} for texts in lists]
    scorer = numpy_scorer(model)
    data = evaluate_pairs.load_file(write_rows(Path("lists.jsonl"), rows), scorer)
    found = evaluate_pairs.compare(data, rewards_with_bar(scorer, data.rows))
    by_list = [scores(scorer, "p", texts) for texts in lists]
    # 2e-15 was the most over 40 models; the lengths were equal.
    np.testing.assert_allclose(found.rewards, np.concatenate([r - r.mean() for r in by_list]), rtol=0, atol=1e-14)
    by_letters = [np.array([len(text) for text in texts]) for texts in lists]
    np.testing.assert_allclose(found.lengths, np.concatenate([n - n.mean() for n in by_letters]), rtol=0, atol=1e-14)


def test_lists_that_are_all_tied_are_counted_as_left_out(model):
    scorer = numpy_scorer(model)
    lists = [{"responses": ["a", "b", "c"], "ranks": [1, 2, 2]}, {"responses": ["d", "e", "f"], "ranks": [1, 1, 1]}]
    found = evaluate_pairs.load_file(write_rows(Path("tied.jsonl"), lists), scorer)
    assert found.left_out.endswith(" identical, 1 all tied")
    found = evaluate_pairs.load_file(write_rows(Path("none.jsonl"), lists[:1]), scorer)
    assert found.left_out.endswith(" identical")


@pytest.mark.parametrize(("options", "expected"), [([], ""), (["--subset-column", "kind"], " and kind")])
def test_an_empty_file_says_what_belongs_in_it(options, expected, model, capsys):
    write_rows(Path("empty.jsonl"), [])
    assert run("numpy_ref", "evaluate", "--model", model, "--data", "empty.jsonl", *options) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert 'empty.jsonl: the file is empty: write one object a line, as {"prompt"' in said
    assert said.endswith("}" + expected)


# The figure


def test_the_axis_of_the_reliability_curve_holds_every_interval():
    for right, lowest in (0.05, 0.0), (0.9, 0.45):
        axes = new_figure(4, 4, "").subplots()
        curve = [{"confidence": 0.8, "right": right, "pairs": 20}]
        draw_reliability(axes, {"calibration": {"curve": curve, "ece": 0.75}})
        low = wilson(right * 20, 20)[0]
        assert axes.get_ylim()[0] == 0.45 if lowest else axes.get_ylim()[0] < low
    axes = new_figure(4, 4, "").subplots()
    draw_by_length(axes, [{"accuracy": 0.7, "better_is": "longer", "pairs": 3}])
    assert list(axes.lines[0].get_xdata()) == [0.5, 0.5], "guessing"


def test_the_figure_shows_what_was_measured(model):
    result = measured("numpy_ref", model, rows_of_pairs(60), "--temperature", "2", "--figure", "f.png")
    assert Path("f.png").read_bytes().startswith(b"\x89PNG")
    picture = evaluation(result)
    left, rightmost = picture.figure.axes
    points = [line for line in left.lines if line.get_marker() in ("o", "s")]
    for line, found in zip(points, (result["calibration"], result["temperature"]["calibration"]), strict=True):
        np.testing.assert_allclose(line.get_xdata(), [row["confidence"] for row in found["curve"]])
        np.testing.assert_allclose(line.get_ydata(), [row["right"] for row in found["curve"]])
    widths = [bar.get_width() for bar in rightmost.patches]
    np.testing.assert_allclose(widths, [row["accuracy"] for row in result["by_length"] if row["pairs"]])
    words = " ".join(text.get_text() for text in picture.figure.findobj(Text))
    for expected in (
        "Reliability",
        "calibrated",
        "as it is: ECE",
        "T = 2: ECE",
        "σ(|margin|)",
        "the better response is",
    ):
        assert expected in words
    assert f"{result['calibration']['ece']:.3f}" in picture.alt
