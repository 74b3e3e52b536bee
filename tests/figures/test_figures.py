"""Every picture plots what it was given, names what it shows, and gives the same files each time."""

import struct
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.text import Text

from numpy_ref.errors import InputError
from numpy_ref.figures.architecture import EXAMPLE, architecture, parameter_count
from numpy_ref.figures.lessons import gradient_regimes, learned_against_true, training_curves
from numpy_ref.figures.style import save
from numpy_ref.losses import log_sigmoid, sigmoid
from numpy_ref.reward_model import init_params
from numpy_ref.tree import flatten

FLOORS = {"eval_accuracy": 0.803, "eval_loss": 0.423, "eval_brier": 0.139}
TITLES = {"eval_accuracy": "Held-out accuracy", "eval_loss": "Held-out log loss", "eval_brier": "Held-out Brier score"}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def curves_of(rng, n_steps=40, n_evals=5, dtype=np.float64):
    steps, evals = np.arange(1, n_steps + 1), np.linspace(0, n_steps, n_evals).astype(int)
    curves = {key: (evals, rng.uniform(0.1, 0.9, n_evals).astype(dtype)) for key in TITLES}
    return {"loss": (steps, rng.uniform(0.3, 0.8, n_steps).astype(dtype))} | curves


DRAWN = {
    "regimes": lambda rng: gradient_regimes(),  # noqa: ARG005
    "regimes on a phone": lambda rng: gradient_regimes(narrow=True),  # noqa: ARG005
    "curves": lambda rng: training_curves(
        {"by hand": curves_of(rng), "autograd": curves_of(rng)}, FLOORS, ([1, 20, 40], [3.0, 0.0, 12.0])
    ),
    "one run": lambda rng: training_curves({"by hand": curves_of(rng)}),
    "rewards": lambda rng: learned_against_true(rng.standard_normal((7, 4)), rng.standard_normal((7, 4)), 0.25),
    "architecture": lambda rng: architecture(2, 4, 32, 120, 64),  # noqa: ARG005
}


@pytest.fixture(scope="module")
def pictures():
    return {name: draw(np.random.default_rng(0)) for name, draw in DRAWN.items()}


def contents(paths):
    return [Path(path).read_bytes() for path in paths]


def words(picture):
    return [text.get_text() for text in picture.figure.findobj(Text) if text.get_visible() and text.get_text()]


def panel(picture, title):
    (found,) = (axes for axes in picture.figure.axes if axes.get_title() == title)
    return found


def line(axes, label):
    (found,) = (line for line in axes.lines if line.get_label() == label)
    return found.get_xdata(orig=True), found.get_ydata(orig=True)


def levels(axes):
    """The heights of the lines drawn from side to side"""
    return [line.get_ydata()[0] for line in axes.lines if line.get_transform() == axes.get_yaxis_transform("grid")]


def test_importing_the_room_loads_no_matplotlib():
    code = "import sys; from numpy_ref.figures import architecture, lessons; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_picture_wakes_pyplot_or_changes_a_setting(tmp_path):
    code = f"""
import sys, matplotlib
before = matplotlib.rcParams.copy()  # not dict(rcParams): reading the backend loads pyplot
from numpy_ref.figures import architecture, style
style.save(architecture.architecture(1, 2, 8, 20, 16), {str(tmp_path / "a")!r})
sys.exit('matplotlib.pyplot' in sys.modules or matplotlib.rcParams != before)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_the_readers_own_style_leaves_no_trace(pictures, tmp_path):
    import matplotlib

    with matplotlib.rc_context(
        {"font.size": 20, "lines.linewidth": 9, "svg.hashsalt": None, "axes.facecolor": "black"}
    ):
        loud = save(DRAWN["rewards"](np.random.default_rng(0)), tmp_path / "loud")
    assert contents(loud) == contents(save(pictures["rewards"], tmp_path / "plain"))


def test_one_picture_saved_twice_gives_the_same_files(pictures, tmp_path):
    first, second = (contents(save(pictures["rewards"], tmp_path / name)) for name in ("first", "second"))
    assert first == second


@pytest.mark.parametrize(
    "name", ["rewards", *(pytest.param(name, marks=pytest.mark.slow) for name in ("regimes", "curves", "architecture"))]
)
def test_files_are_the_same_when_drawn_anew_and_carry_title_and_alt_text(pictures, name, tmp_path):
    picture, stem = pictures[name], tmp_path / "step.10"
    paths = save(picture, stem)
    assert paths == (f"{stem}.png", f"{stem}.svg")
    png, svg = contents(paths)
    assert contents(save(DRAWN[name](np.random.default_rng(0)), tmp_path / "anew")) == [png, svg]
    width, height = struct.unpack(">II", png[16:24])
    assert (width, height) == tuple(int(150 * inches) for inches in picture.figure.get_size_inches())
    root = ElementTree.fromstring(svg)
    assert root.findtext("{http://www.w3.org/2000/svg}title") == picture.figure.get_suptitle()
    assert root.findtext(".//{http://purl.org/dc/elements/1.1/}description") == picture.alt
    assert root.find(".//{http://purl.org/dc/elements/1.1/}date") is None
    assert picture.alt.encode("utf-8") in png or picture.alt.encode("latin-1") in png


def test_every_picture_has_a_title_alt_text_and_named_axes(pictures):
    for picture in pictures.values():
        assert 10 < len(picture.figure.get_suptitle()) <= 100
        assert len(picture.alt) > 80
        for axes in picture.figure.axes:
            if axes.axison:
                assert axes.get_ylabel()
                assert axes.get_xlabel() or axes.get_title() == "Loss"  # the gradient below it has the same margin axis


def drawn_texts(picture):
    """Every text with its place on the page, except ticks outside the view, which are not drawn"""
    picture.figure.draw_without_rendering()  # places are known once drawn, at the resolution of the page
    outside = set()
    for axis in (axis for axes in picture.figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = axis.get_view_interval()
        outside |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    texts = [text for text in picture.figure.findobj(Text) if text not in outside]
    return [
        (text.get_text(), text.get_window_extent()) for text in texts if text.get_visible() and text.get_text().strip()
    ]


def test_no_two_texts_overlap_and_none_leaves_the_page(pictures):
    for name, picture in pictures.items():
        page, texts = picture.figure.bbox, drawn_texts(picture)
        assert len(texts) > 10
        for i, (one, box) in enumerate(texts):
            assert page.x0 <= box.x0 < box.x1 <= page.x1, (name, one)
            assert page.y0 <= box.y0 < box.y1 <= page.y1, (name, one)
            for other, other_box in texts[i + 1 :]:
                assert not box.padded(-0.5).overlaps(other_box.padded(-0.5)), (name, one, other)


def test_a_notebook_shows_a_picture_as_png(pictures):
    assert pictures["rewards"]._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("narrow", [False, True])
def test_gradient_regimes_draws_the_loss_and_both_gradients_and_names_three_regimes(narrow):
    picture = gradient_regimes(narrow)
    margin, loss = line(panel(picture, "Loss"), "−log σ(m)")
    assert np.array_equal(loss, -log_sigmoid(margin))
    margin, chosen = line(panel(picture, "Gradient"), "chosen: σ(m) − 1")
    _, rejected = line(panel(picture, "Gradient"), "rejected: 1 − σ(m)")
    assert np.array_equal(chosen, -sigmoid(-margin))
    assert np.array_equal(rejected, -chosen)
    assert chosen[margin == 0] == -0.5
    assert {"misranked by far", "undecided", "solved", "gradient near −1", "gradient decays as e⁻ᵐ"} <= set(
        words(picture)
    )
    assert panel(picture, "Gradient").get_ylabel() == "d loss / d reward (nats per log-odds)"
    assert "log-odds" in panel(picture, "Gradient").get_xlabel()
    assert panel(picture, "Loss").get_ylabel() == "loss (nats)"


def test_at_the_borders_of_the_regimes_each_approximation_is_off_by_the_same_share():
    off = 1 - sigmoid(2.0)
    assert abs(off - 0.119) < 5e-4
    tangent = -1 / 2 + np.array([-2, 2]) / 4
    assert np.allclose(tangent - -sigmoid(-np.array([-2.0, 2.0])), [-off, off], rtol=0, atol=1e-15)  # one rounding
    assert np.allclose(1 - sigmoid(-2.0) / np.exp(-2.0), off, rtol=0, atol=1e-15)


def test_the_tail_panel_shows_where_the_literal_gradient_is_zero():
    picture = gradient_regimes()
    tail = panel(picture, "The tail of the gradient, log scale")
    margin, stable = line(tail, "−σ(−m): falls as e⁻ᵐ")
    _, literal = line(tail, "σ(m) − 1 as it stands")
    assert tail.get_yscale() == "log"
    assert (stable > 0).all()
    assert ((literal == 0) == (margin > 36.735)).all()
    assert "exactly 0\nfrom 36.74 on" in words(picture)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("n_steps", "n_evals"), [(40, 5), (1, 1)])
def test_training_curves_plots_what_it_was_given(rng, dtype, n_steps, n_evals):
    runs = {name: curves_of(rng, n_steps, n_evals, dtype) for name in ("by hand", "autograd")}
    gradient_eps = np.array([1, n_steps]), np.array([0.0, 7.5])
    picture = training_curves(runs, FLOORS, gradient_eps, bound=50)
    for name, curves in runs.items():
        assert all(map(np.array_equal, line(panel(picture, "Training loss of each batch"), name), curves["loss"]))
        for key, title in TITLES.items():
            assert all(map(np.array_equal, line(panel(picture, title), name), curves[key]))
    for key, title in TITLES.items():
        assert FLOORS[key] in levels(panel(picture, title))
    apart = panel(picture, "Gradients of the two runs")
    assert all(map(np.array_equal, (apart.lines[0].get_xdata(), apart.lines[0].get_ydata()), gradient_eps))
    assert levels(apart) == [50]
    assert {"best reachable: 0.803", "entropy floor: 0.423", "Brier floor: 0.139", "bound: 50 eps"} <= set(
        words(picture)
    )
    assert "7.5 eps" in picture.alt


def test_two_runs_that_coincide_are_both_seen(rng):
    curves = curves_of(rng)
    lower, upper = panel(training_curves({"a": curves, "b": curves}), "Training loss of each batch").lines[:2]
    assert lower.get_linewidth() > 3 * upper.get_linewidth()
    assert lower.get_linestyle() == "-"
    assert upper.get_linestyle() == "--"


def test_one_run_without_floors_or_scores_is_one_panel(rng):
    curves = curves_of(rng, n_steps=1)
    picture = training_curves({"PyTorch": {"loss": curves["loss"]}})
    assert [axes.get_title() for axes in picture.figure.axes] == ["Training loss of each batch"]
    assert (
        panel(picture, "Training loss of each batch").lines[0].get_marker() == "o"
    )  # a line of one point is invisible
    some = training_curves({"PyTorch": {key: curves[key] for key in ("loss", "eval_loss")}})
    assert [axes.get_title() for axes in some.figure.axes] == ["Training loss of each batch", "Held-out log loss"]


def test_gradients_that_agree_exactly_have_their_place_on_the_log_scale(rng):
    picture = training_curves({"a": curves_of(rng), "b": curves_of(rng)}, None, ([1, 2], [0.0, 0.0]))
    assert panel(picture, "Gradients of the two runs").get_ylim() == (0, 1000)


def test_training_curves_wants_one_or_two_runs(rng):
    with pytest.raises(InputError, match="found 3: give a dict with one or two"):
        training_curves(dict.fromkeys("abc", curves_of(rng)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(300, 4), (1, 2)])
def test_learned_against_true_centres_both_per_prompt(rng, dtype, shape):
    true, learned = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    shift = rng.integers(-9, 9, (shape[0], 1)).astype(dtype)
    (axes,) = learned_against_true(true, learned, 0.957).figure.axes
    x, y = line(axes, "one response")
    assert np.array_equal(x.reshape(shape), true - true.mean(1, keepdims=True))
    assert np.array_equal(y.reshape(shape), learned - learned.mean(1, keepdims=True))
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_xlim()[1] > max(abs(x).max(), abs(y).max())
    shifted = line(learned_against_true(true, learned + shift, 0.957).figure.axes[0], "one response")[1]
    # Rewards up to 13 are rounded by eps · 8, three times; over 60 seeds 13 eps was the most.
    assert np.abs(shifted - y).max() <= 30 * np.finfo(dtype).eps
    assert "log-odds" in axes.get_xlabel()
    assert "log-odds" in axes.get_ylabel()


def test_constant_rewards_have_no_spearman_and_still_a_picture():
    picture = learned_against_true(np.ones((3, 2)), np.zeros((3, 2)), float("nan"))
    assert picture.figure.get_suptitle() == "Learned against true reward (Spearman undefined)"


def test_rewards_of_different_shapes_are_refused():
    with pytest.raises(InputError, match=r"shapes \(3, 2\) and \(3,\): give two \(N, K\) arrays"):
        learned_against_true(np.ones((3, 2)), np.ones(3), 0.0)


@pytest.mark.parametrize(("n_layer", "n_embd", "vocab_size", "n_positions"), [(1, 8, 20, 16), (3, 12, 7, 5)])
def test_the_parameters_counted_are_those_of_the_model(rng, n_layer, n_embd, vocab_size, n_positions):
    params = init_params(rng, vocab_size, n_positions, n_embd, n_layer)
    count = parameter_count(n_layer, n_embd, vocab_size, n_positions)
    assert count == sum(array.size for array in flatten(params).values())
    picture = architecture(n_layer, 2, n_embd, vocab_size, n_positions)
    assert f"{count:,} parameters" in picture.figure.get_suptitle()


def test_architecture_names_tokens_sizes_and_shapes():
    picture = architecture(n_layer=3, n_head=4, n_embd=32, vocab_size=120, n_positions=64)
    said = words(picture)
    for word in (
        *EXAMPLE,
        "block × 3",
        "causal self-attention\nheads: 4",
        "(B·K, T)",
        "(B·K, T, C)",
        "(B·K, C)",
        "(B·K,)",
    ):
        assert word in said
    assert any(
        "channels C = 32" in word and "vocabulary V = 120" in word and "positions P = 64" in word for word in said
    )
    assert said.count("<pad>") == 2
    assert {"length = 7", "padding = 2", "h[6]"} <= set(said)


@pytest.mark.parametrize("part", ["model", "pair"])
def test_a_part_of_the_architecture_is_as_wide_as_a_phone_and_its_letters_stay_legible(part):
    """At a width of 390 pixels every letter is at least 8 pixels high, and none leaves its box or the picture"""
    tokens = ("<bos>", "hot", "<sep>", "cold", ".", "<eos>", "<pad>", "<pad>")
    picture = architecture(2, 4, 32, 60, 32, tokens, example_length=6, part=part)
    scale = min(1, 390 / (100 * picture.figure.get_size_inches()[0]))
    places = drawn_texts(picture)
    assert min(text.get_fontsize() for text in picture.figure.findobj(Text) if text.get_text()) / 72 * 100 * scale > 8
    width, height = picture.figure.bbox.size
    assert all(0 <= box.x0 < box.x1 <= width and 0 <= box.y0 < box.y1 <= height for _, box in places)
    boxes = [patch.get_window_extent() for patch in picture.figure.axes[0].patches if patch.get_zorder() == 2]
    for text, place in places:
        for box in boxes:
            if box.contains((place.x0 + place.x1) / 2, (place.y0 + place.y1) / 2):
                assert box.x0 <= place.x0 < place.x1 <= box.x1, text


@pytest.mark.parametrize(
    ("tokens", "length"),
    [
        (("a",), 1),
        (("<bos>", "why", "<sep>"), 1),
        (("x" * 15, *"bcdefghijkl"), 12),
        (("<bos>", "$a_{b$", "<pad>"), 2),
        (EXAMPLE, 7),
    ],
)
def test_architecture_takes_any_short_example(tokens, length):
    picture = architecture(1, 1, 4, 9, 12, example_tokens=tokens, example_length=length)
    weights = {text.get_text(): text.get_weight() for text in picture.figure.findobj(Text)}
    assert [
        name for name, weight in weights.items() if name.startswith("h[") and weight == "bold" and "−" not in name
    ] == [f"h[{length - 1}]"]
    assert ("padding" in " ".join(words(picture))) or length == len(tokens)
    places = drawn_texts(picture)
    boxes = [patch.get_window_extent() for patch in picture.figure.axes[0].patches if patch.get_zorder() == 2]
    assert len(boxes) == 2 * len(tokens) + 14
    for text, place in places:
        for box in boxes:
            if box.contains((place.x0 + place.x1) / 2, (place.y0 + place.y1) / 2):
                assert box.x0 <= place.x0 < place.x1 <= box.x1, text
                assert box.y0 <= place.y0 < place.y1 <= box.y1, text


@pytest.mark.parametrize(("count", "length"), [(13, 13), (3, 4), (3, 0), (0, 0)])
def test_an_example_that_cannot_be_drawn_is_refused(count, length):
    with pytest.raises(InputError, match="give at most 12 tokens, of which at least the first is real"):
        architecture(1, 1, 4, 9, 12, example_tokens=["a"] * count, example_length=length)
