"""A progress bar is drawn on a terminal; a log gets one line every ten seconds, and none before the first ten."""

import io
import sys

import pytest

from numpy_ref.cli.text import LINE_EVERY, counted, progress_bar, signed


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """The seconds that tqdm sees, in a list"""
    import tqdm

    seconds = [0.0]
    monkeypatch.setattr(tqdm.tqdm, "monitor_interval", 0)
    monkeypatch.setattr("tqdm.std.time", lambda: seconds[0])
    return seconds


def shown(stream, clock, monkeypatch, steps, every, **how):
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar(total=steps, unit="step", desc="training", **how) as bar:
        bar._time = lambda: clock[0]
        bar.start_t = bar.last_print_t = clock[0]
        for _ in range(steps):
            clock[0] += every
            bar.update()
    return stream.getvalue()


def test_a_log_gets_one_line_every_ten_seconds(clock, monkeypatch):
    text = shown(io.StringIO(), clock, monkeypatch, steps=272, every=0.5)
    lines = text.splitlines()
    assert "\r" not in text
    assert len(lines) == 272 * 0.5 // LINE_EVERY == 13
    assert all(line.startswith("training:") and "/272" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_a_log_gets_nothing_about_what_is_over_in_ten_seconds(clock, monkeypatch):
    assert shown(io.StringIO(), clock, monkeypatch, steps=18, every=0.5) == ""


def test_a_terminal_gets_a_bar(clock, monkeypatch):
    text = shown(Terminal(), clock, monkeypatch, steps=30, every=0.5, delay=0, leave=True)
    assert "\r" in text
    assert "training: 100%" in text


def test_one_is_singular_and_a_sign_stands_once():
    assert [counted(n, "pair") for n in (0, 1, 2, 1234)] == ["0 pairs", "1 pair", "2 pairs", "1,234 pairs"]
    assert [signed(x) for x in (0.5, -0.0001, 0.0)] == ["+ 0.5000", "- 0.0001", "+ 0.0000"]
