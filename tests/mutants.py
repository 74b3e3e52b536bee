"""Breaks every formula on purpose, one place at a time; the room's own tests must notice each time.

    python tests/mutants.py              every room; prints the survivors, which must all be in EQUIVALENT
    python tests/mutants.py losses       one room

A room is a file of numpy_ref. A mutant is one function with one node of its syntax tree changed. It lives in this
process: its code object replaces the original's, so that everybody who imported the function sees it. Its judges are
the test functions of the room, run under the Hypothesis profile `mutants`; the first that fails kills it.
"""

import ast
import copy
import functools
import importlib
import inspect
import itertools
import os
import signal
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

if __name__ == "__main__":
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"
    sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

import numpy as np
import pytest

# Which test files judge a room; one line adds a room. A room whose files do not exist yet is left out.
JUDGES = {
    "losses": ["test_losses"],
    "layers": ["test_layers"],
    "attention": ["test_attention"],
    "transformer": ["test_transformer"],
    "reward_model": ["test_reward_model"],
    "tree": ["test_tree"],
    "language_model": ["test_language_model"],
    "dpo": ["test_dpo"],
    "policy": ["test_policy"],
    "optim": ["test_optim"],
    "metrics": ["test_metrics"],
    "ties": ["test_ties"],
    "ranking": ["test_ranking"],
    "listwise": ["test_ranking"],
    "objectives": ["training.test_ranked"],
    "evaluation.agreement": ["evaluation.test_agreement"],
    "bradley_terry.plackett_luce": ["bradley_terry.test_plackett_luce"],
    "bradley_terry.strengths": ["bradley_terry.test_strengths"],
    "bradley_terry.outcomes": ["bradley_terry.test_strengths"],
    "bradley_terry.mm": ["bradley_terry.test_strengths"],
    "bradley_terry.effects": ["bradley_terry.test_effects"],
    "bradley_terry.small_tables": ["bradley_terry.test_strengths", "bradley_terry.test_small_tables"],
    "bradley_terry.fitted": ["bradley_terry.test_strengths", "bradley_terry.test_fitted"],
    "evaluation.calibration": ["evaluation.test_calibration"],
    "evaluation.normalize": ["evaluation.test_normalize"],
    "bradley_terry.linear_head": ["bradley_terry.test_linear_head"],
}
BY_SCRIPT = {"evaluation.calibration", "bradley_terry.effects"}  # their judges take ten to twenty minutes
FIXTURES = {"rng": lambda: np.random.default_rng(0)}  # the fixtures that judges may use

# Functions that no test can pin down, with the reason.
RANDOM = "random weights: other gains are other starts, not wrong ones"
STEERING = "where Newton starts and when it stops: its certificate says whether it arrived, by whatever way"
LEFT_OUT = {
    "reward_model.init_params": RANDOM,
    "language_model.init_unembedding": RANDOM,
    "language_model.to_reward_model": RANDOM,
    "plackett_luce.fit_rankings": STEERING,
    "linear_head.fit_heads": STEERING,
    "strengths.first_guess": STEERING,
    "strengths.fit": STEERING,
    "strengths.maximum": STEERING,
    "small_tables.guess": STEERING,
    "small_tables.is_small": "which of two ways to the same strengths is taken: a matter of time alone",
    "mm.fit_mm": STEERING,
}

# Mutants that compute the same thing, by name, with the proof.
DOT_PRODUCT = "Σ a b = Σ b a: a dot product is symmetric"
ANY_NEGATIVE = "reshape takes any negative number for the size that it works out itself"
FOUR_AXES = "axis 2 of four, (B, H, T, D), is axis -2"
SYMMETRIC = "the same two numbers in the other order"
ALL_ONES = "adds a multiple of the matrix of ones, which no contrast sees, to make it invertible"
NO_MODEL = "without a model of ties nobody reads these numbers"
TWO_ANNOTATORS = "two annotators agree as much in either order"
WEAK = "of a Python float only the kind counts, not the value"
BRACKET = "where Newton starts in its bracket and how near it stops: the certificate says whether it arrived"
FLOOR = (
    "the floor of the stopping rule matters only near rounding, and what it stops too late the rows finish: strengths"
)
TWO_AXES = "axis 1 of two axes is axis -1"
ALIKE = "all distances start alike, and only their differences count"
NEVER_0 = "c is -1 or 1, and never 0"
SAMPLE = "which sample of the rows is looked at first: a matter of time alone"
EQUIVALENT = {
    **{
        f"effects.unbounded_effect: {change}": SAMPLE
        for change in (
            "1 + len(rows.first) // (64 * rows.n_items) -> 1 - len(rows.first) // (64 * rows.n_items)",
            "1 + len(rows.first) // (64 * rows.n_items) -> 1",
            "1 + len(rows.first) // (64 * rows.n_items) -> len(rows.first) // (64 * rows.n_items)",
            "len(rows.first) // (64 * rows.n_items) -> len(rows.first)",
            "len(rows.first) // (64 * rows.n_items) -> 64 * rows.n_items",
            "1 -> 2",
            "1 -> 2 (place 2)",
            "stride > 1 -> stride >= 1",
            "stride > 1 -> stride < 1",
            "64 * rows.n_items -> 64 + rows.n_items",
            "64 * rows.n_items -> 64",
            "64 * rows.n_items -> rows.n_items",
            "64 -> 128",
        )
    },
    "effects.tie_direction: 0 -> 1": "the search for g may start anywhere",
    "effects.tie_direction: 1 -> 2": "0 / 2 is 0 / 1",
    "effects.tie_direction: -total * sign -> -total / sign": "the sign is 1 or -1",
    "effects.negative_cycle: np.zeros(n, np.int64) -> np.ones(n, np.int64)": ALIKE,
    "effects.negative_cycle: -1 -> 1 (place 3)": "of arrows that shorten a distance alike any will do",
    "effects.negative_cycle: 1 -> 2 (place 2)": ANY_NEGATIVE,
    "effects.home_problem: c < 0 -> c <= 0": NEVER_0,
    "effects.home_problem: 0 -> 1": NEVER_0,
    "effects.tie_problem: c > 0 -> c >= 0": NEVER_0,
    "losses.sigmoid: x < 0 -> x <= 0": "they differ at 0 alone, where both branches are 1: e^-|0| = 1",
    "layers.linear_backward: 1 -> 2": ANY_NEGATIVE,
    "layers.linear_backward: 1 -> 2 (place 2)": ANY_NEGATIVE,
    "layers.layer_norm_backward: dot(dxhat, xhat) -> dot(xhat, dxhat)": DOT_PRODUCT,
    "layers.softmax_backward: dot(dout, p) -> dot(p, dout)": DOT_PRODUCT,
    "layers.embedding_backward: 1 -> 2": ANY_NEGATIVE,
    "layers.embedding_backward: 1 -> 2 (place 2)": ANY_NEGATIVE,
    "attention.attention: -2 -> 2": FOUR_AXES,
    "attention.attention: -2 -> 2 (place 2)": FOUR_AXES,
    "attention.attention_backward: -2 -> 2": FOUR_AXES,
    "attention.attention_backward: -2 -> 2 (place 2)": FOUR_AXES,
    "attention.attention_backward: -2 -> 2 (place 3)": FOUR_AXES,
    "reward_model.rewards: 1 -> 2 (place 2)": ANY_NEGATIVE,
    "reward_model.rewards_backward: 1 -> 2 (place 2)": ANY_NEGATIVE,
    "metrics._expect: np.multiply(p, score, where=p > 0, out=np.zeros_like(expected)) -> "
    "np.multiply(score, p, where=p > 0, out=np.zeros_like(expected))": "a product has the same bits in either order",
    "metrics.spearman: -1 -> 1": TWO_AXES,
    "metrics.spearman: -1 -> 1 (place 2)": TWO_AXES,
    "metrics.spearman: -1 -> 1 (place 3)": TWO_AXES,
    "metrics.spearman: -1 -> 1 (place 4)": TWO_AXES,
    "metrics.pair_differences: 1 -> 2 (place 3)": ANY_NEGATIVE,
    "metrics.summary: spearman(rewards, true) -> spearman(true, rewards)": "x correlates with y as y with x",
    "dpo.log_probability: 1 -> 2": ANY_NEGATIVE,
    "dpo.log_probability: 1 -> 2 (place 2)": ANY_NEGATIVE,
    "dpo.log_probability_backward: 1 -> 2 (place 2)": ANY_NEGATIVE,
    "policy.penalised_reward: -1 -> 1": TWO_AXES,
    "policy.clipped_loss: advantage > 0 -> advantage >= 0": "an advantage of 0 makes loss and slope 0 on either side",
    "optim.clip_by_global_norm: min(1.0, max_norm / (norm + 1e-06)) -> min(max_norm / (norm + 1e-06), 1.0)": SYMMETRIC,
    "optim.warmup_cosine: max(1, total_steps - warmup_steps) -> max(total_steps - warmup_steps, 1)": SYMMETRIC,
    "optim.warmup_cosine: step < warmup_steps -> step <= warmup_steps": "at step W both branches are the peak",
    "optim.warmup_linear: step < warmup_steps -> step <= warmup_steps": "at step W both branches are the peak",
    "optim.warmup_constant: step < warmup_steps -> step <= warmup_steps": "at step W both branches are the peak",
    "optim.warmup_linear: max(1, total_steps - warmup_steps) -> max(total_steps - warmup_steps, 1)": SYMMETRIC,
    "ties.log_one_minus_exp: x < math.log(2) -> x <= math.log(2)": "at log 2 both branches are log ½ to the last bit",
    "ties.rao_kupper: 1.0 -> 2.0": WEAK,
    "ties.davidson: 1.0 -> 2.0": WEAK,
    "ranking.check_ranks: 0 -> 1": "they differ for a single response, whose rank is 1 or is outside 1..1",
    "listwise.suffix_sums: step < x.shape[1] -> step <= x.shape[1]": "windows of K places have no neighbour to join",
    "listwise.plackett_luce_loss: 1 -> 2": "where nobody chooses the weight is 0, whatever positive total stands there",
    "listwise.plackett_luce_loss: max(1, int(chooses.any(1).sum())) -> max(int(chooses.any(1).sum()), 1)": SYMMETRIC,
    "listwise.plackett_luce_loss_backward: present & (start > 0) -> start > 0": (
        "an absent slot's mass is 0: above it is the last response, which chooses nothing, and whose level, -lowest, "
        "leaves nothing of what the others give"
    ),
    "listwise.plackett_luce_loss_backward: 0 -> 1 (place 3)": (
        "the exponent is above 0 only in slots whose mass is 0: elsewhere r_j is at most the highest below i"
    ),
    "agreement.percent_agreement: same_length(first, second) -> same_length(second, first)": TWO_ANNOTATORS,
    "agreement.cohen_kappa: same_length(first, second) -> same_length(second, first)": TWO_ANNOTATORS,
    "agreement.cohen_kappa: [first, second] -> [second, first]": TWO_ANNOTATORS,
    "agreement.cohen_kappa: max(variance, 0) -> max(0, variance)": SYMMETRIC,
    "agreement.label_credit: max(k - 1, 1) -> max(1, k - 1)": SYMMETRIC,
    "agreement.fleiss_kappa: raters.min() -> raters.max()": "where they differ the other condition refuses",
    "agreement.krippendorff_alpha: 0 -> 1": "the coincidences of two values are a symmetric matrix",
    "agreement.krippendorff_alpha: 1 -> 2 (place 7)": "the items in another order, row -1 being the last",
    "calibration.reliability_curve: check(confidence, right) -> check(right, confidence)": (
        "both must be of the same shape; the sentence names the first one first"
    ),
    "calibration.squared_calibration_error: check(confidence, right) -> check(right, confidence)": (
        "both must be of the same shape; the sentence names the first one first"
    ),
    "calibration.ece_if_calibrated: rng.random(n) < confidence -> rng.random(n) <= confidence": (
        "they differ where a draw of 53 bits is the confidence itself"
    ),
    "calibration.fit_temperature: temperature_loss(high, m)[1] < 0 -> temperature_loss(high, m)[1] <= 0": BRACKET,
    "calibration.fit_temperature: 0 -> 1": BRACKET,
    "calibration.fit_temperature: 1.0 -> 2.0": BRACKET,
    "calibration.fit_temperature: (low + high) / 2 -> (low + high) * 2": BRACKET,
    "calibration.fit_temperature: (low + high) / 2 -> low + high": BRACKET,
    "calibration.fit_temperature: moved > 1e-09 * beta -> moved >= 1e-09 * beta": BRACKET,
    "calibration.fit_temperature: steps < 100 -> steps <= 100": BRACKET,
    "intervals.wilson: 1 + level -> 1 - level": "the quantiles of both tails have one square",
    "normalize.moments: abs(reward).max() -> abs(reward).min()": (
        "only where the deviation is all but 0 is the bound near, and there the smallest is all but the largest"
    ),
    "plackett_luce.ranking_array: True -> False": "order has one row for each of the sizes",
    "plackett_luce.likelihood_terms: 0 -> 1 (place 2)": "whatever item stands where none is, its p there is 0",
    "plackett_luce.likelihood_terms: -1 -> 1": TWO_AXES,
    "plackett_luce.likelihood_terms: -1 -> 1 (place 2)": TWO_AXES,
    "plackett_luce.likelihood_terms: -1 -> 1 (place 3)": TWO_AXES,
    "plackett_luce.ranking_covariance: np.stack([here.multiply(e) for e in np.eye(n)]) + here.diagonal.mean() / n -> "
    "np.stack([here.multiply(e) for e in np.eye(n)]) - here.diagonal.mean() / n": ALL_ONES,
    "plackett_luce.ranking_covariance: here.diagonal.mean() / n -> here.diagonal.mean() * n": ALL_ONES,
    "plackett_luce.ranking_covariance: here.diagonal.mean() / n -> here.diagonal.mean()": ALL_ONES,
    "plackett_luce.ranking_covariance: here.diagonal.mean() / n -> n": ALL_ONES,
    "plackett_luce.ranking_covariance: here.diagonal.mean() -> here.diagonal.sum()": ALL_ONES,
    "outcomes.tied: -1 -> 1": TWO_AXES,
    "small_tables.maximum_of_table: max(tolerance, 4 * np.finfo(float).eps * (1 + abs(x).max()) "
    "* math.sqrt(np.trace(a))) -> max(4 * np.finfo(float).eps * (1 + abs(x).max()) * math.sqrt(np.trace(a)), "
    "tolerance)": SYMMETRIC,
    "small_tables.maximum_of_table: np.ptp(x) <= WIDEST -> np.ptp(x) < WIDEST": FLOOR,
    "small_tables.maximum_of_table: 4 * np.finfo(float).eps * (1 + abs(x).max()) -> 4 * np.finfo(float).eps": FLOOR,
    "small_tables.maximum_of_table: decrement <= reached -> decrement < reached": FLOOR,
    "small_tables.maximum_of_table: max(gradient @ step, 0) -> max(0, gradient @ step)": SYMMETRIC,
    "small_tables.maximum_of_table: 4 * np.finfo(float).eps -> np.finfo(float).eps": FLOOR,
    "small_tables.maximum_of_table: 1 + abs(x).max() -> 1": FLOOR,
    "small_tables.maximum_of_table: 2 * reached -> reached": FLOOR,
    "small_tables.maximum_of_table: 2 -> 4": FLOOR,
    "small_tables.maximum_of_table: abs(slope) <= 2 * reached * np.sqrt(np.diag(a)) -> "
    "abs(slope) < 2 * reached * np.sqrt(np.diag(a))": FLOOR,
    "small_tables.maximum_of_table: longest <= 1 -> longest < 1": "at D = 1 both are the full step, max(1, log 2) / 1",
    "small_tables.maximum_of_table: 4 -> 8": FLOOR,
    "small_tables.maximum_of_table: 1 -> 2 (place 4)": FLOOR,
    "small_tables.maximum_of_table: abs(x).max() -> abs(x).min()": FLOOR,
    "small_tables.maximum_of_table: max(1, math.log1p(longest)) -> max(math.log1p(longest), 1)": SYMMETRIC,
    "fitted.saturated_value: [rows.wins, rows.losses, *([rows.ties] if rows.ties.any() else [])] -> "
    "[*([rows.ties] if rows.ties.any() else []), rows.losses, rows.wins]": (
        "the sum runs over all outcomes, in whatever order they stand"
    ),
    "fitted.saturated_value: [rows.ties] if rows.ties.any() else [] -> [rows.ties]": "0 log 0, left out for speed",
    "fitted.saturated_value: 1 -> 2": "where the count is 0 its product with any logarithm is 0",
    "strengths.likelihood_terms: (rows.cross * dv).sum() + rows.tie_curvature * v[-1] if model else 0 -> "
    "(rows.cross * dv).sum() + rows.tie_curvature * v[-1]": NO_MODEL,
    "strengths.likelihood_terms: 0 -> 1": NO_MODEL,
    "strengths.likelihood_terms: rows.cross * v[-1] if model else 0 -> rows.cross * v[-1]": (
        "without a model of ties cross is 0.0, and adding 0 changes nothing"
    ),
}

SECONDS = 60  # a mutant that still runs after this is in an endless loop: it is dead

SWAPS = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div, ast.Add],
    ast.Div: [ast.Mult],
    ast.Pow: [ast.Mult],
    ast.Lt: [ast.LtE, ast.Gt],
    ast.LtE: [ast.Lt],
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt],
    ast.Eq: [ast.NotEq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
}
RENAMED = {"mean": "sum", "sum": "mean", "max": "min", "min": "max", "zeros": "ones", "ones": "zeros"}
COMMUTATIVE = ("logaddexp", "result_type", "maximum", "minimum", "array_equal", "hypot")  # f(a, b) = f(b, a)
MOVES = {"T", "swapaxes", "transpose", "reshape", "copy"}  # x.T -> x,  x.reshape(...) -> x


def with_fields(node, **fields):
    """A copy of a node with other fields"""
    changed = copy.deepcopy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def replacements(node):
    """Plausible mistakes in place of this node"""
    match node:
        case ast.BinOp():
            yield from (with_fields(node, op=op()) for op in SWAPS.get(type(node.op), []))
            if not isinstance(node.op, ast.MatMult):
                yield from (node.left, node.right)
        case ast.Compare(ops=[op]):
            yield from (with_fields(node, ops=[other()]) for other in SWAPS.get(type(op), []))
        case ast.UnaryOp(op=ast.USub()) | ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float()):
            yield ast.Constant(2 * node.value or 1)
        case ast.Attribute(attr="T"):
            yield node.value
        case ast.Call(func=ast.Attribute(attr=name)) if name in RENAMED or name in MOVES or name == "where":
            if name in RENAMED:
                yield with_fields(node, func=with_fields(node.func, attr=RENAMED[name]))
            elif name in MOVES:
                yield node.func.value
            else:
                yield from node.args[1:]  # the mask off, or everything masked
        case ast.Call(func=ast.Name(id="reversed"), args=[argument]):
            yield argument
        case ast.Call(args=[first, second]) if not ast.unparse(node.func).endswith(COMMUTATIVE):
            yield with_fields(node, args=[second, first])
        case ast.List(elts=elements):
            yield with_fields(node, elts=elements[::-1])
        case ast.Dict(values=values):
            yield with_fields(node, values=values[1:] + values[:1])
        case ast.IfExp():
            yield from (node.body, node.orelse)
        case ast.If():
            yield with_fields(node, test=ast.UnaryOp(ast.Not(), node.test))
        case ast.AugAssign(op=op):
            yield from (with_fields(node, op=other()) for other in SWAPS.get(type(op), []))
        case ast.Return(value=ast.Tuple(elts=elements)):
            yield with_fields(node, value=ast.Tuple(elements[::-1], ast.Load()))


class Replace(ast.NodeTransformer):
    """One node of a tree by another"""

    def __init__(self, old, new):
        self.old, self.new = old, new

    def visit(self, node):
        return copy.deepcopy(self.new) if node is self.old else self.generic_visit(node)


def short(node):
    """A node's source on one line; for a statement with a body, only its head"""
    return ast.unparse(node).split("\n")[0]


def relabelled(old, new):
    """old -> new"""
    return f"{short(old)} -> {short(new)}"


def mutants_of_function(function, slips=replacements, label=relabelled):
    """(label, changed syntax tree) for every place of a function and every replacement there"""
    typed = [argument for argument in ast.walk(function) if isinstance(argument, ast.arg)]
    annotations = {id(n) for part in (*typed, function.returns) if part for n in ast.walk(part)}
    for index, node in enumerate(ast.walk(function)):
        if id(node) in annotations:
            continue
        for new in (new for new in slips(node) if ast.unparse(new) != ast.unparse(node)):
            changed = copy.deepcopy(function)
            place = next(itertools.islice(ast.walk(changed), index, None))  # the copy's node in the same place
            changed = Replace(place, new).visit(changed)
            yield label(node, new), ast.fix_missing_locations(changed)


def mutants(room):
    """{name: (function, syntax tree)} of every function of a room; a name stays when lines move"""
    module, leaf = importlib.import_module(f"numpy_ref.{room}"), room.rsplit(".", 1)[-1]
    found = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef) and f"{leaf}.{node.name}" not in LEFT_OUT:
            for label, tree in mutants_of_function(node):
                name = base = f"{leaf}.{node.name}: {label}"
                for twin in itertools.count(2):
                    if name not in found:
                        break
                    name = f"{base} (place {twin})"
                found[name] = (getattr(module, node.name), tree)
    return found


@contextmanager
def living(function, tree):
    """In this context the function does what the tree says, for everybody who has imported it"""
    original = function.__code__, function.__defaults__, function.__kwdefaults__
    scope = dict(function.__globals__)
    exec(compile(ast.Module([tree], []), "mutant", "exec"), scope)
    mutant = scope[function.__name__]
    try:
        function.__code__, function.__defaults__ = mutant.__code__, mutant.__defaults__
        function.__kwdefaults__ = mutant.__kwdefaults__
        yield
    finally:
        function.__code__, function.__defaults__, function.__kwdefaults__ = original


def judges(room):
    """The room's test functions as plain functions without arguments; parametrized ones once for each set of values

    Tests that need a fixture not in FIXTURES, are slow, may be skipped or are expected to fail do not judge.
    """
    for module in map(importlib.import_module, JUDGES[room]):
        for name, test in vars(module).items():
            marks = getattr(test, "pytestmark", [])
            if name.startswith("test_") and not {mark.name for mark in marks} & {"slow", "xfail", "skip", "skipif"}:
                for values in itertools.product(*(parameters(m) for m in marks if m.name == "parametrize")):
                    arguments = {k: v for part in values for k, v in part.items()}
                    wanted = set(inspect.signature(test).parameters) - set(arguments)
                    if wanted <= set(FIXTURES):
                        yield name, functools.partial(run, test, arguments, wanted)


def run(test, arguments, wanted):
    """One run of a test with new fixtures, as in pytest"""
    test(**arguments, **{name: FIXTURES[name]() for name in wanted})


def parameters(mark):
    """The dictionaries of arguments that one parametrize mark stands for"""
    names = [n.strip() for n in mark.args[0].split(",")] if isinstance(mark.args[0], str) else list(mark.args[0])
    for values in mark.args[1]:
        if getattr(values, "marks", ()):
            continue
        values = values.values if hasattr(values, "marks") else values if len(names) > 1 else (values,)
        yield dict(zip(names, values, strict=True))


class Endless(BaseException):
    """A mutant that does not return; not an Exception, so that Hypothesis does not try it again"""


def _stop(_signal, _frame):
    raise Endless


def judge(room, report=print):
    """(number of mutants, names of the survivors) of a room"""
    panel = []
    for name, test in judges(room):
        start = time.perf_counter()
        test()  # the unchanged room must pass; the first run also pays for imports
        panel.append((time.perf_counter() - start, name, test))
    panel.sort(key=lambda entry: entry[0])
    found, survivors = mutants(room), []
    signal.signal(signal.SIGALRM, _stop)
    for name, (function, tree) in found.items():
        if not dies(function, tree, panel):
            survivors.append(name)
            report(f"survived: {name}")
    return len(found), survivors


def dies(function, tree, panel):
    """Does any of the judges fail while the mutant lives?"""
    signal.alarm(SECONDS)
    try:
        with living(function, tree):
            for _, _, test in panel:
                test()
    except (Exception, pytest.fail.Exception, Endless):
        return True
    finally:
        signal.alarm(0)
    return False


def standing():
    """The rooms of JUDGES whose file and tests all exist"""
    here = Path(__file__).resolve().parent
    exists = lambda folder, module: folder.joinpath(*module.split(".")).with_suffix(".py").exists()  # noqa: E731
    rooms = [room for room in JUDGES if exists(here.parent / "numpy_ref", room)]
    return [room for room in rooms if all(exists(here, test) for test in JUDGES[room])]


def main(rooms):
    """Judges the rooms; the exit status is 1 if a mutant survives that is not known to be equivalent"""
    import conftest  # noqa: F401  the profile and PyTorch's one thread

    failed = False
    for room in rooms or standing():
        start = time.perf_counter()
        with warnings.catch_warnings(), np.errstate(over="raise", invalid="raise", divide="raise"):
            warnings.simplefilter("error")
            count, survivors = judge(room)
        unknown = [name for name in survivors if name not in EQUIVALENT]
        failed |= bool(unknown)
        seconds = time.perf_counter() - start
        print(f"{room}: {count} mutants, {len(survivors)} survive, {len(unknown)} of them unproved; {seconds:.0f} s")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
