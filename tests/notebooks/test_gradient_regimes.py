"""The figure of lesson 4 in a real browser: numbers equal to numpy_ref's, dragging, typing, labels, screen reader."""

import base64
import itertools
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest

from numpy_ref.figures.lessons import REGIMES
from numpy_ref.losses import log_sigmoid, pairwise_loss, pairwise_loss_backward, sigmoid

FIGURE = Path(__file__).parents[2] / "notebooks" / "lessons" / "gradient_regimes.html"
DESKTOP, PHONE = (1280, "mouse"), (390, "touch")
TAB, HOME, END, LEFT, RIGHT, PAGE_UP, SPACE = "\ue004", "\ue011", "\ue010", "\ue012", "\ue014", "\ue00e", " "
START = np.array([[-2.5, 2.5], [-2, 1], [0.5, 1.5], [1, 1], [-0.5, -1.5], [2, -0.5], [1, -3], [4, -2]])
ULP = 2  # of the gradient: Math.exp and np.exp differ by up to 1 ulp; on 90,000 margins 2 at most, 98 % equal
pytestmark = pytest.mark.slow


class Figure:
    """The page at one width, read and controlled by the ids of its parts"""

    def __init__(self, browser, width, pointer):
        self.browser, self.pointer = browser, pointer
        browser.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=844,
            deviceScaleFactor=1,
            mobile=pointer == "touch",
        )
        browser.open(FIGURE.as_uri())
        browser.run("return new Promise(done => requestAnimationFrame(() => setTimeout(done, 100)))")

    def run(self, script, *arguments):
        return self.browser.run(script, *arguments)

    def text(self, part):
        return self.run("return document.getElementById(arguments[0]).textContent", part)

    def value(self, slider):
        return float(self.attribute(slider, "aria-valuenow"))

    def attribute(self, part, name):
        return self.run("return document.getElementById(arguments[0]).getAttribute(arguments[1])", part, name)

    def centre(self, part):
        """The centre of the drawn mark, scrolled to the middle of the window"""
        return self.run(
            "const mark = document.querySelector(`#${arguments[0]} .mark`); mark.scrollIntoView({block: 'center'});"
            "const box = mark.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]",
            part,
        )

    def pixels(self, axis):
        """How many pixels one unit of log-odds has on an axis"""
        return self.run("return view[arguments[0]](1) - view[arguments[0]](0)", axis)

    def drag(self, part, by, down=0):
        x, y = self.centre(part)
        self.browser.drag((x, y), (x + by, y + down), self.pointer)

    def rows(self):
        """[(margin, share in per cent, name of the strip)] of the batch"""
        found = self.run(
            "return rows.map(row => [row.querySelector('.m').textContent, row.querySelector('.held').textContent,"
            "row.querySelector('svg').getAttribute('aria-label')])"
        )
        return [(number(margin), number(share.removesuffix(" %")), said) for margin, share, said in found]


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def figure(browser, request):
    yield Figure(browser, *request.param)
    browser.command("Emulation.clearDeviceMetricsOverride")


@pytest.fixture
def desktop(browser):
    yield Figure(browser, *DESKTOP)
    browser.command("Emulation.setEmulatedMedia", media="", features=[])
    browser.command("Emulation.clearDeviceMetricsOverride")


def number(text):
    return float(text.replace("−", "-"))


def written(x, digits=4):
    return f"{x:.{digits}f}".replace("-", "−")


def precise(x):
    """A number as the page writes it: four decimals, or below 0.01 three digits with a power of ten"""
    if x == 0 or abs(x) >= 0.01:
        return written(x)
    digits, power = f"{x:.2e}".split("e-")
    return f"{digits}\u00a0·\u00a010⁻{'⁰¹²³⁴⁵⁶⁷⁸⁹'[int(power)]}".replace("-", "−")


def regime(margin):
    return REGIMES[0 if margin < -2 else 1 if margin <= 2 else 2][0]


# ---------------------------------------------------------------- what it computes


def margins():
    """1,000 margins in all three regimes, and those where something changes in float64"""
    rng = np.random.default_rng(0)
    named = [0, 2, 36.7, 36.74, 37, 709, 709.78, 745.1, 745.2, 750, 1e-300, 5e-324]
    drawn = [rng.uniform(-edge, edge, 325) for edge in (2, 40, 760)]
    return np.concatenate([named, np.negative(named), *drawn, [-2.0]])


def test_the_numbers_are_those_of_numpy_ref(desktop):
    m = margins()
    assert len(m) == 1000
    functions = ("sigmoid", "pairLoss", "m => pairGradients(m).chosen", "m => pairGradients(m).rejected")
    ask = "return JSON.stringify([{}].map(f => JSON.parse(arguments[0]).map(m => f(m))))".format(", ".join(functions))
    p, loss, chosen, rejected = np.array(json.loads(desktop.run(ask, json.dumps(m.tolist()))))
    expected = pairwise_loss_backward(len(m), pairwise_loss(m, np.zeros_like(m))[1])  # each pair's own gradient
    assert np.array_equal(loss, -log_sigmoid(m))
    for actual, desired in zip((p, chosen, rejected), (sigmoid(m), *expected), strict=True):
        assert (np.abs(actual - desired) / np.spacing(np.abs(desired))).max() <= ULP


def test_the_regimes_are_those_of_the_figures(desktop):
    found = desktop.run(
        "const style = getComputedStyle(document.documentElement);"
        "return REGIMES.map(r => [r.name, r.from, r.to, style.getPropertyValue(`--${r.key}`).trim()])"
    )
    assert found == [[name, left, right, colour] for name, _, left, right, colour in REGIMES]


@pytest.mark.parametrize("margin", [-8, -2.05, -2, -0.4, 0, 1.3, 2, 2.05, 8])
def test_what_is_written_and_drawn_belongs_to_the_margin(desktop, margin):
    desktop.run("move('margin', arguments[0])", margin)
    p, loss, pull = sigmoid(margin), -log_sigmoid(margin), sigmoid(-margin)
    assert desktop.text("m-value") == written(margin, 2)
    assert desktop.text("regime") == regime(margin)
    shown = {"p-value": p, "chosen-value": -pull}
    assert {part: desktop.text(part) for part in shown} == {part: precise(x) for part, x in shown.items()}
    assert desktop.text("rejected-value") == "+" + precise(pull)
    assert desktop.text("loss-value") == precise(loss) + " nats"
    labels = [desktop.text(f"{part}-label") for part in ("loss", "chosen", "rejected")]
    assert labels == [written(loss), written(-pull), "+" + written(pull)]
    (x0, y0), (x1, y1) = (
        map(float, point.split()) for point in desktop.attribute("tangent", "d").removeprefix("M").split("L")
    )
    read = "return [view.margin.inverse(arguments[0]), view.loss.inverse(arguments[1])]"
    (left, high), (right, low) = (desktop.run(read, *point) for point in ((x0, y0), (x1, y1)))
    assert (low - high) / (right - left) == pytest.approx(-pull, rel=1e-6)
    assert high + -pull * (margin - left) == pytest.approx(loss, abs=1e-6)
    assert -0.6 - 1e-6 <= low <= high <= 9 + 1e-6  # it ends at the edge of the picture


# ---------------------------------------------------------------- one pair, moved


def assert_pair(figure, chosen, rejected):
    assert figure.value("chosen") == pytest.approx(chosen, abs=1e-9)
    assert figure.value("rejected") == pytest.approx(rejected, abs=1e-9)
    assert figure.value("margin") == pytest.approx(chosen - rejected, abs=1e-9)
    assert figure.text("m-value") == written(chosen - rejected, 2)
    assert figure.text("chosen-value") == precise(-sigmoid(rejected - chosen))
    assert figure.text("rejected-value") == "+" + precise(sigmoid(rejected - chosen))


def to_twentieth(x):
    return round(20 * x) / 20


def test_each_reward_is_dragged_alone(figure):
    unit = figure.pixels("reward")
    figure.drag("chosen", 60)
    chosen = to_twentieth(-1 + 60 / unit)
    assert_pair(figure, chosen, 2)
    figure.drag("rejected", -75)
    assert_pair(figure, chosen, to_twentieth(2 - 75 / unit))
    assert figure.run("return document.activeElement.id") == "rejected"


def test_the_margin_is_dragged_on_the_loss_and_both_rewards_move(figure):
    figure.drag("margin", 40, down=9)
    margin = to_twentieth(-3 + 40 / figure.pixels("margin"))
    assert figure.value("margin") == pytest.approx(margin, abs=1e-9)
    assert figure.value("chosen") + figure.value("rejected") == pytest.approx(1, abs=0.051)


def test_a_drag_ends_at_the_limits(figure):
    figure.drag("chosen", 2 - figure.centre("chosen")[0])
    assert_pair(figure, -4, 2)
    figure.run("move('rejected', 99)")
    assert_pair(figure, -4, 4)
    figure.run("move('margin', 99)")
    assert_pair(figure, 4, -4)


def test_a_press_beside_a_handle_calls_it_there(figure):
    x, y = figure.centre("margin")
    figure.browser.drag((x + 80, y - 20), (x + 80, y - 20), figure.pointer)
    assert figure.value("margin") == pytest.approx(-3 + 80 / figure.pixels("margin"), abs=0.051)


def test_a_finger_that_scrolls_past_moves_nothing(browser):
    figure = Figure(browser, *PHONE)
    try:
        x, y = figure.centre("margin")
        before = figure.run("return scrollY")
        browser.drag((x + 60, y), (x + 60, y - 200), "touch", moves=12)
        assert figure.run("return scrollY") > before + 50
        assert figure.value("margin") == -3
    finally:
        browser.command("Emulation.clearDeviceMetricsOverride")


def test_the_keyboard_reaches_everything_in_the_order_of_reading(figure):
    order = []
    for _ in range(14):
        figure.browser.press(TAB)
        order.append(figure.run("const e = document.activeElement; return e.id || e.getAttribute('aria-label')"))
    labels = [f"Pair {i}: flip the label" for i in range(1, 9)]
    assert order == ["chosen", "rejected", "margin", *labels, "step", "ten", "reset"]


def test_arrows_page_home_and_end_move_the_handle_in_focus(figure):
    figure.browser.press(TAB, RIGHT, RIGHT)
    assert_pair(figure, -0.8, 2)
    figure.browser.press(TAB, PAGE_UP, LEFT)
    assert_pair(figure, -0.8, 2.9)
    figure.browser.press(TAB, END)
    assert_pair(figure, 4, -4)
    figure.browser.press(HOME)
    assert_pair(figure, -4, 4)


def test_focus_is_seen_when_it_came_by_the_keyboard(figure):
    ring = "return getComputedStyle(document.querySelector(`#${arguments[0]} .ring`)).stroke"
    assert figure.run(ring, "chosen") == "none"
    for handle in ("chosen", "rejected", "margin"):
        figure.browser.press(TAB)
        assert figure.run(ring, handle) == figure.run("return getComputedStyle(document.body).color")
    figure.browser.press(TAB)
    outline = figure.run("return getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"


# ---------------------------------------------------------------- the batch


def descended(rewards, flipped, steps, rate=4.0):
    """The rewards (r_A, r_B) after steps of gradient descent on the mean loss of the labelled pairs"""
    rewards, rows = rewards.copy(), np.arange(len(rewards))
    for _ in range(steps):
        chosen, rejected = rewards[rows, flipped * 1], rewards[rows, 1 - flipped]
        dchosen, drejected = pairwise_loss_backward(1.0, pairwise_loss(chosen, rejected)[1])
        rewards[rows, flipped * 1] -= rate * dchosen
        rewards[rows, 1 - flipped] -= rate * drejected
    return rewards


def assert_batch(figure, rewards, flipped):
    assert np.allclose(figure.run("return batch.rewards"), rewards, rtol=0, atol=1e-12)
    margin = np.where(flipped, -1, 1) * (rewards[:, 0] - rewards[:, 1])
    share = 100 * sigmoid(-margin) / sigmoid(-margin).sum()
    for (shown, held, said), m, s in zip(figure.rows(), margin, share, strict=True):
        assert shown == pytest.approx(m, abs=0.00501)
        assert held == pytest.approx(s, abs=0.0501 if s < 9.95 else 0.501)
        assert said == f"margin {written(m, 2)}, {regime(m)}"


def click(figure, selector):
    """Clicks in the middle of an element, with the pointer of this device"""
    place = figure.run(
        "const e = document.querySelector(arguments[0]); e.scrollIntoView({block: 'center'});"
        "const box = e.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]",
        selector,
    )
    figure.browser.drag(place, place, figure.pointer, moves=1)


def test_steps_are_gradient_descent_on_the_rewards_and_labels_flip(figure):
    flipped = np.zeros(8, int)
    assert_batch(figure, START, flipped)
    click(figure, "#step")
    assert_batch(figure, rewards := descended(START, flipped, 1), flipped)
    click(figure, "tr:nth-child(8) button")
    flipped[7] = 1
    assert_batch(figure, rewards, flipped)
    click(figure, "#ten")
    assert_batch(figure, descended(rewards, flipped, 10), flipped)
    assert figure.text("state").startswith("After 11 steps: ")
    click(figure, "#reset")
    assert_batch(figure, START, np.zeros(8, int))


def test_the_solved_pairs_stall_and_a_flipped_one_takes_the_gradient(desktop):
    margin = np.array([m for m, *_ in desktop.rows()])
    desktop.run("find('step').click()")
    moved = np.array([m for m, *_ in desktop.rows()]) - margin
    assert np.allclose(moved, sigmoid(-margin), atol=0.0101)
    assert np.all(moved[margin > 2] < 0.13)
    desktop.run("find('reset').click(); rows[7].querySelector('button').click()")
    assert desktop.rows()[7][1] == 22
    assert desktop.text("state").endswith("The flipped label holds 22 % of the gradient.")
    dots = desktop.run("find('ten').click(); return rows.map(row => row.querySelectorAll('.trail').length)")
    assert dots == [10] * 8


# ---------------------------------------------------------------- read aloud, in the dark, on paper


def accessible(browser):
    """(role, name, properties) of each part that a screen reader finds"""
    nodes = browser.command("Accessibility.getFullAXTree")["nodes"]
    return [
        (node["role"]["value"], node.get("name", {}).get("value", ""), node)
        for node in nodes
        if not node["ignored"] and "role" in node
    ]


def test_a_screen_reader_finds_names_roles_and_values(desktop):
    found = accessible(desktop.browser)
    sliders = {name: node for role, name, node in found if role == "slider"}
    values = {name: node["value"]["value"] for name, node in sliders.items()}
    said = {
        name: desktop.attribute(part, "aria-valuetext")
        for name, part in zip(sliders, ("chosen", "rejected", "margin"), strict=True)
    }
    assert list(sliders) == [
        "Reward of the chosen response",
        "Reward of the rejected response",
        "Margin, chosen minus rejected reward",
    ]
    assert said["Reward of the chosen response"] == "−1.00, margin −3.00, misranked by far"
    assert [float(value) for value in values.values()] == [-1, 2, -3]
    buttons = [name for role, name, _ in found if role == "button"]
    assert len(buttons) == 11
    assert all(buttons)
    assert sum(role in ("table", "row") for role, *_ in found) == 2 + 6 + 1 + 8  # numbers, and the batch with its head
    assert all(name for role, name, _ in found if role in ("image", "group", "table", "region"))


def test_a_sentence_is_said_once_the_handle_rests(desktop):
    said = desktop.run("for (const m of [-1, 0, 3]) move('margin', m); return find('said').textContent")
    assert "right" not in said
    for _ in range(100):
        if desktop.text("said") != said:
            break
        time.sleep(0.1)
    assert desktop.text("said") == desktop.text("sentence")
    assert desktop.text("said").startswith("The model is sure of the right response: P\u00a0=\u00a00.9526.")
    assert desktop.attribute("said", "aria-live") == "polite"
    pressed = "rows[2].querySelector('button').click(); return rows[2].querySelector('button').ariaPressed"
    assert desktop.run(pressed) == "true"


def luminance(colour):
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_in_light_and_dark(desktop, scheme):
    desktop.browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    names = ["paper", "card", "ink", "quiet", "chosen", "rejected", "on-mark", "misranked", "undecided", "solved"]
    read = "const style = getComputedStyle(document.documentElement); return arguments[0].map(name => "
    read += "style.getPropertyValue('--' + name).trim())"
    colour = dict(zip(names, desktop.run(read, names), strict=True))
    assert (luminance(colour["paper"]) > 0.5) == (scheme == "light")
    shades = ("misranked", "undecided", "solved")
    for ground in ("paper", "card", *shades):
        assert contrast(colour["ink"], colour[ground]) >= 7
        assert contrast(colour["quiet"], colour[ground]) >= 4.5
    for mark, ground in itertools.product(("chosen", "rejected"), ("paper", *shades)):
        assert contrast(colour[mark], colour[ground]) >= 3
        assert contrast(colour[mark], colour["on-mark"]) >= 4.5


OVERLAPS = """
const size = text => text.getBoundingClientRect(), found = [];
for (const svg of document.querySelectorAll('svg.plot')) {
  const texts = [...svg.querySelectorAll('text')].filter(t => t.textContent && !t.closest('.handle'));
  texts.forEach((one, i) => texts.slice(i + 1).forEach(other => {
    const a = size(one), b = size(other), apart = 1;
    if (a.left < b.right + apart && b.left < a.right + apart && a.top + 2 < b.bottom - 2 && b.top + 2 < a.bottom - 2)
      found.push(`${svg.id}: ${one.textContent} | ${other.textContent}`);
  }));
  for (const text of texts) {
    const box = size(text);
    if (box.left < 0 || box.right > document.documentElement.clientWidth) found.push(`outside: ${text.textContent}`);
    if (parseFloat(getComputedStyle(text).fontSize) < 12) found.push(`small: ${text.textContent}`);
  }
}
return found;
"""


@pytest.mark.parametrize("width", [1280, 760, 640, 560, 390, 320])
def test_no_words_overlap_and_nothing_leaves_the_page(browser, width):
    figure = Figure(browser, width, "touch" if width < 500 else "mouse")
    try:
        for chosen, rejected in itertools.product((-4, -2, -0.5, 0, 1.5, 4), repeat=2):
            figure.run("move('chosen', arguments[0]); move('rejected', arguments[1])", chosen, rejected)
            assert figure.run(OVERLAPS) == [], (chosen, rejected)
        assert figure.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    finally:
        browser.command("Emulation.clearDeviceMetricsOverride")


def test_fingers_find_targets_of_40_pixels(browser):
    figure = Figure(browser, *PHONE)
    try:
        sizes = "return [...document.querySelectorAll('button, .handle .reach')].map(e => e.getBoundingClientRect())"
        assert min(min(box["width"], box["height"]) for box in figure.run(sizes)) >= 40
    finally:
        browser.command("Emulation.clearDeviceMetricsOverride")


def test_nothing_moves_by_itself_where_less_motion_is_preferred(desktop):
    lasts = "find('step').click(); return getComputedStyle(rows[0].querySelector('.dot')).transitionDuration"
    assert desktop.run(lasts) == "0.35s"
    desktop.browser.command(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}]
    )
    assert desktop.run(lasts) == "0s"


def test_on_paper_it_is_light_and_without_buttons(desktop):
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    desktop.browser.command("Emulation.setEmulatedMedia", media="print", features=dark)
    shown = "return [getComputedStyle(document.documentElement).backgroundColor, find('step').offsetParent === null]"
    assert desktop.run(shown) == ["rgb(255, 255, 255)", True]


def test_on_paper_it_shrinks_to_one_page(desktop):
    sheet = desktop.browser.command("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)
    assert len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(sheet["data"]))) == 1
    desktop.browser.command("Emulation.setEmulatedMedia", media="print")
    width = desktop.run("return document.querySelector('main').getBoundingClientRect().width")
    assert width == pytest.approx(680, abs=1)  # A4 leaves 718 pixels, letter paper 740


def test_the_file_asks_for_nothing_and_logs_nothing(browser):
    browser.open("about:blank")
    browser.requests()
    browser.log("browser")
    browser.open(FIGURE.as_uri())
    time.sleep(0.5)
    sent = [parameters for method, parameters in browser.requests() if method == "Network.requestWillBeSent"]
    assert [request["request"]["url"] for request in sent] == [FIGURE.as_uri()]
    assert browser.log("browser") == []
    assert not re.search(r"https?://|<link|@import|<script src", FIGURE.read_text(encoding="utf-8"))
