"""A pytest plugin: the fixture `check_backward`, a test for each `@checks_backward`, and `--backward-power`.

pytest imports this file when it starts. So nothing heavy is imported here: NumPy and Hypothesis come with the first
check.
"""

DECORATED = "__checks_backward__"
KEPT = 8  # number of calls of a backward on which its mutants are tried
CALLS: dict = {}  # {backward: [(forward, x, params, options)]}: the calls of this session


def checks_backward(forward, /, examples=25, **inputs):
    """A decorator for a backward: pytest then checks it against `forward` on inputs that Hypothesis draws

    @checks_backward(f, x=shape("B", "C"), w=shape("C"), eps=1e-5)
    def f_backward(dout, cache): ...
    """

    def decorate(backward):
        setattr(backward, DECORATED, (forward, inputs, examples))
        return backward

    return decorate


def pytest_addoption(parser):
    """Adds the option --backward-power"""
    help_ = "break each backward under test in small ways and report how many of these mutants its tests notice"
    parser.getgroup("backward").addoption("--backward-power", action="store_true", help=help_)


def pytest_configure(config):
    """Registers the fixture `check_backward`"""
    import pytest

    class Fixtures:
        @pytest.fixture
        def check_backward(self):
            """check_backward(forward, backward, x, params=None, **options), see numpy_ref.check.backward"""
            return checked

    CALLS.clear()
    config.pluginmanager.register(Fixtures(), "reward_by_hand_fixtures")


def checked(forward, backward, x, params=None, **options):
    """Runs check_backward, and keeps the call for --backward-power"""
    from .backward import check_backward

    check_backward(forward, backward, x, params, **options)
    kept = CALLS.setdefault(backward, [])
    if len(kept) < KEPT:
        kept.append((forward, x, params, options))


def pytest_pycollect_makeitem(collector, name, obj):
    """Makes a decorated backward a test of its own"""
    if not hasattr(obj, DECORATED) or not callable(obj):
        return None
    import pytest

    test = property_test(obj)
    return [pytest.Function.from_parent(collector, name=f"{name}[checks_backward]", callobj=test)]


def property_test(backward):
    """The test of a decorated backward"""
    import hypothesis

    from .strategies import inputs

    forward, specs, examples = getattr(backward, DECORATED)

    # Without the last phase, which takes half of the time to say which parts of the inputs do not matter
    phases = [phase for phase in hypothesis.Phase if phase is not hypothesis.Phase.explain]

    @hypothesis.settings(max_examples=examples, deadline=None, database=None, phases=phases)
    @hypothesis.given(inputs(specs))
    def test(given):
        checked(forward, backward, given)

    return test


def pytest_terminal_summary(terminalreporter, config):
    """Prints how many mutants of each backward its tests noticed, and which ones they did not"""
    if not config.getoption("--backward-power"):
        return
    from .power import power

    terminalreporter.section("power of the tests of each backward")
    for backward, kept in CALLS.items():
        count, survivors = power(backward, kept)
        name = getattr(backward, "__name__", repr(backward))
        terminalreporter.write_line(f"{name}: {count - len(survivors)} of {count} mutants noticed")
        for survivor in survivors:
            terminalreporter.write_line(f"  not noticed: {survivor}")
