"""A pytest plugin: a fixture `check_backward`, the decorator's tests, and `--backward-power`.

Starting pytest imports this file and nothing that is heavy: NumPy and Hypothesis come with the first check.
"""

DECORATED = "__checks_backward__"
KEPT = 8  # inputs of one backward that its mutants are tried on
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
    """--backward-power"""
    help_ = "mutate each backward under test and say how many mutants its own tests notice"
    parser.getgroup("backward").addoption("--backward-power", action="store_true", help=help_)


def pytest_configure(config):
    """The fixture"""
    import pytest

    class Fixtures:
        @pytest.fixture
        def check_backward(self):
            """check_backward(forward, backward, x, params=None, **options), see numpy_ref.check.backward"""
            return checked

    CALLS.clear()
    config.pluginmanager.register(Fixtures(), "reward_by_hand_fixtures")


def checked(forward, backward, x, params=None, **options):
    """check_backward, and the call is kept for --backward-power"""
    from .backward import check_backward

    check_backward(forward, backward, x, params, **options)
    kept = CALLS.setdefault(backward, [])
    if len(kept) < KEPT:
        kept.append((forward, x, params, options))


def pytest_pycollect_makeitem(collector, name, obj):
    """A decorated backward is a test of its own"""
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

    @hypothesis.settings(max_examples=examples, deadline=None, database=None)
    @hypothesis.given(inputs(specs))
    def test(given):
        checked(forward, backward, given)

    return test


def pytest_terminal_summary(terminalreporter, config):
    """47 of 48 mutants noticed, and which one was not"""
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
