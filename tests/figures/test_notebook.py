"""What a lesson shows: tables, pictures with their names, and interactive figures."""

import base64
import html
import io

import numpy as np
import pytest
from matplotlib.image import imread

from numpy_ref.figures.notebook import Explorable, frame, picture, table

PAGE = '<!doctype html>\n<title>A & B</title>\n<script>if (1 < 2 && "a") {}</script>\n'


@pytest.fixture(scope="module")
def line():
    return picture(
        lambda axes: axes.plot([0, 1], [0, 2], label="a line"), "A line", "x (units)", "y (units)", "Of slope 2 <&>"
    )


def test_a_picture_has_its_names_and_its_alt_text(line):
    (axes,) = line.figure.axes
    assert (line.figure.get_suptitle(), axes.get_xlabel(), axes.get_ylabel()) == ("A line", "x (units)", "y (units)")
    assert line.alt == "Of slope 2 <&>"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a line"]


def test_a_table_is_text_with_rounded_floats_and_no_negative_zero():
    rows = [("tie", 0, -1e-9, np.float32(0.5)), ("a <b>", 12, np.float64(-0.6666), "1e-20")]
    assert repr(table(rows, ("pair", "n", "x", "y"), digits=2)).splitlines() == [
        "pair    n      x      y",
        "tie     0   0.00   0.50",
        "a <b>  12  -0.67  1e-20",
    ]


def test_a_table_is_html_with_the_same_words():
    page = table([("a <b>", 0.5)], ("pair", "x"), digits=1)._repr_html_()
    assert '<tr><td style="text-align:left">a &lt;b&gt;</td><td style="text-align:right">0.5</td></tr>' in page
    assert page.count("<th ") == 2


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="each row needs 2 entries"):
        table([(1, 2), (1,)], ("a", "b"))


@pytest.mark.parametrize("folder", ["lessons", "../lessons"])
def test_a_figure_to_take_in_hand_is_found_from_both_kinds_of_notebook(line, folder, tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    file = tmp_path / "notebooks" / folder / "figure.html"
    file.parent.mkdir()
    file.write_text(PAGE, encoding="utf-8")
    data, metadata = Explorable("figure.html", line)._repr_mimebundle_()
    assert data["text/html"] == frame(file)
    assert metadata == {"explorable": "figure.html"}
    assert data["text/plain"] == line.alt
    assert imread(io.BytesIO(base64.b64decode(data["image/png"]))).shape[2] == 4


def test_without_its_file_only_the_picture_is_shown(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, metadata = Explorable("figure.html", line)._repr_mimebundle_()
    assert set(data) == {"image/png", "text/plain"}
    assert metadata == {"explorable": "figure.html"}


def test_a_frame_holds_the_whole_file_and_its_title(tmp_path):
    file = tmp_path / "figure.html"
    file.write_text(PAGE, encoding="utf-8")
    before, held, after = frame(file).partition(html.escape(PAGE))
    assert held
    assert before.startswith('<iframe title="A & B"')
    assert before.endswith('srcdoc="')
    assert after == '"></iframe>'
