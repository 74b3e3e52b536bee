"""The submission's own process: loads the file, calls its functions on request, answers each in one line of JSON.

Whatever the submission prints goes nowhere; whatever it raises, sys.exit included, becomes an answer.
"""

import ast
import contextlib
import importlib
import inspect
import json
import linecache
import os
import sys
import traceback
import types

import numpy as np

from .functions import FUNCTIONS
from .source import borrowed, is_definition, parse, roots
from .wire import decode, encode, is_tensor

DOUT = 4.0  # handed to the backward of a loss and divided out again: one that ignores it comes back a quarter


class Host:
    def __init__(self):
        self.module = types.ModuleType("submission")
        self.labels, self.modes = set(), {}

    def load(self, blocks, definitions_only):
        """Statement by statement, so that what fails at the top level takes nothing else with it"""
        sys.modules["submission"] = self.module
        notes: list[str] = []
        broken: dict[str, str] = {}
        statements: list[ast.stmt] = []
        for label, source in blocks:
            self.labels.add(label)
            linecache.cache[label] = len(source), None, source.splitlines(True), label  # for torch.jit.script
            body, errors = parse(label, source)
            for names, sentence in errors:
                broken |= dict.fromkeys(names, sentence)
                notes.append(sentence)
            for node in body:
                if definitions_only and not is_definition(node):
                    continue
                statements.append(node)
                if (problem := self.execute(node, label)) is not None:
                    notes.append(f"at the top level a statement {problem}; it was left out")
        library = borrowed(statements)
        defined = [name for name in FUNCTIONS if name not in library and self.find(name) is not None]
        return {"defined": defined, "broken": broken, "notes": notes[:10]}

    def execute(self, node, label):
        """None, or what went wrong"""
        try:
            exec(compile(ast.Module([node], []), label, "exec"), self.module.__dict__)
        except BaseException as error:
            return describe(error, self.labels)[1]
        return None

    def find(self, name):
        """The function and the keyword of its own under which it takes our last argument (or "")"""
        function = getattr(self.module, name, None)
        if callable(function):
            return function, ""
        general = name.replace(name.split("_")[0], "pairwise", 1)
        function = getattr(self.module, general, None)
        for keyword in FUNCTIONS[name].option if callable(function) else ():
            forward = getattr(self.module, general.removesuffix("_backward"), None)
            if keyword in parameters(function) or (is_idiom(function) and keyword in parameters(forward)):
                return function, keyword
        return None

    def call(self, name, arguments, autograd=None):
        """The answer to one call; `autograd` holds a cotangent when the gradient is asked, not the value

        A function gets NumPy arrays or PyTorch tensors: what its code suggests, or else what first went well.
        """
        found = self.find(name)
        if found is None:
            return {"status": "missing"}
        arguments = [decode(argument) for argument in arguments]
        modes = ["torch", "numpy"] if uses_torch(found[0]) else ["numpy", "torch"]
        modes = [self.modes[name]] if name in self.modes else modes if "torch" in sys.modules else ["numpy"]
        answers = []
        for mode in modes:
            answers.append(self.attempt(name, found, arguments, mode, autograd))
            if answers[-1]["status"] == "ok":
                self.modes[name] = mode
                return answers[-1]
            if answers[-1]["kind"] not in ("TypeError", "AttributeError", "RuntimeError", "ValueError"):
                break
        return answers[0]

    def attempt(self, name, found, arguments, mode, autograd):
        given = [to_tensor(a, autograd is not None) if mode == "torch" else copy(a) for a in arguments]
        try:
            function, keyword = found
            value = self.apply(name, function, keyword, given)
            tensor = any(map(is_tensor, value if isinstance(value, tuple) else (value,)))
            if autograd is not None:
                value = gradient(value, given, autograd) if tensor else None
            value = encode(value)
        except BaseException as error:
            kind, words = describe(error, self.labels)
            return {"status": "raised", "kind": kind, "words": words}
        wrote = [i for i, (a, b) in enumerate(zip(arguments, given, strict=True)) if not same(a, b)]
        return {"status": "ok", "value": value, "wrote": wrote, "tensor": tensor}

    def apply(self, name, function, keyword, arguments):
        published = FUNCTIONS[name]
        if not is_idiom(function):
            if keyword:
                return single(published, function(*arguments[:-1], **{keyword: arguments[-1]}))
            return single(published, function(*fit(function, published, arguments)))
        if published.arguments[0] != "dout":
            return unscaled(self.apply_idiom(published, function, keyword, DOUT, arguments))
        return self.apply_idiom(published, function, keyword, arguments[0], arguments[1:])

    def apply_idiom(self, published, function, keyword, dout, inputs):
        """f_backward(dout, cache), the cache from f of the same inputs, or else the inputs themselves"""
        forward_name = "pairwise_loss" if keyword else published.forward
        forward = getattr(self.module, forward_name, None) if forward_name else None
        if callable(forward):
            made = forward(*inputs[:-1], **{keyword: inputs[-1]}) if keyword else forward(*inputs)
            if isinstance(made, tuple) and len(made) == 2:
                return single(published, function(dout, made[1]))
        return single(published, function(dout, inputs[0] if len(inputs) == 1 else tuple(inputs)))


def unscaled(value):
    if isinstance(value, tuple | list):
        return type(value)(map(unscaled, value))
    return value / DOUT if is_tensor(value) or isinstance(value, np.ndarray | np.generic | float) else value


def parameters(function):
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def is_idiom(function):
    """The project's own: f_backward(dout, cache)"""
    return list(parameters(function))[1:2] == ["cache"]


def fit(function, published, arguments):
    """A default of ours for what the function insists on; without our last ones where it does not take them"""
    kinds = [p for p in parameters(function).values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if not kinds or any(p.kind == p.VAR_POSITIONAL for p in parameters(function).values()):
        return arguments
    required = sum(p.default is p.empty for p in kinds)
    left_out = set(published.arguments) - {p.name for p in kinds}
    if len(kinds) + len(left_out) == len(arguments) and left_out <= {"pad", "bias"}:
        by_name = dict(zip(published.arguments, arguments, strict=True))
        return [by_name[p.name] for p in kinds]
    return [*arguments, *published.optional[: max(0, required - len(arguments))]]


def single(published, value):
    """(out, cache) is out; (dx, {"weight": dw, "bias": db}) is (dx, dw, db); a dict of one is that one"""
    names = published.results
    if isinstance(value, dict):
        value = (value,)
    if isinstance(value, tuple) and any(isinstance(item, dict) for item in value) and "backward" in published.name:
        flat: list[object] = []
        for item in value:
            flat += by_name(item, names) if isinstance(item, dict) else [item]
        value = tuple(flat)
    if isinstance(value, tuple) and len(names) == 1 and (len(value) == 1 or "backward" not in published.name):
        return value[0] if value else None
    return value


def by_name(grads, names):
    order = {name.removeprefix("d"): place for place, name in enumerate(names)}
    return [grads[key] for key in sorted(grads, key=lambda key: order.get(str(key).removeprefix("d"), len(order)))]


def uses_torch(function):
    """Whether the function's own code names torch or one of its modules"""
    code, names = getattr(function, "__code__", None), getattr(function, "__globals__", {})
    roots = {name for name in code.co_names if name in names} if code else set()
    return any(
        str(getattr(names[n], "__name__", getattr(names[n], "__module__", ""))).startswith("torch") for n in roots
    )


def to_tensor(value, requires_grad):
    torch = sys.modules["torch"]
    if not isinstance(value, np.ndarray) or (value.ndim == 0):
        return value.item() if isinstance(value, np.ndarray) else value
    tensor = torch.from_numpy(value.copy())
    return tensor.requires_grad_(requires_grad and value.dtype.kind == "f")


def copy(value):
    return value.copy() if value.ndim else value.item()


def same(before, after):
    after = after.detach().numpy() if is_tensor(after) else np.asarray(after)
    return before.shape == after.shape and np.array_equal(before, after, equal_nan=before.dtype.kind == "f")


def gradient(value, given, cotangent):
    """What autograd makes of it: d <value, cotangent> / d every array of floats"""
    torch = sys.modules["torch"]
    if not value.requires_grad:
        raise RuntimeError("autograd cannot see through it: detach(), .item() or NumPy cuts the graph")
    inputs = [tensor for tensor in given if is_tensor(tensor) and tensor.requires_grad]
    weighted = (value * torch.from_numpy(decode(cotangent))).sum()
    return torch.autograd.grad(weighted, inputs, allow_unused=True)


def describe(error, labels):
    """(the exception's name, what happened in a few words with the submission's own line)"""
    kind, text = type(error).__name__, " ".join(str(error).split())[:300]
    lines = [
        f"{f.filename}, line {f.lineno}" for f in traceback.extract_tb(error.__traceback__) if f.filename in labels
    ]
    where = f" ({lines[-1]})" if lines else ""
    if isinstance(error, MemoryError):
        return "MemoryError", f"asked for more memory than a submission may have{where}"
    if isinstance(error, SystemExit):
        return kind, f"called exit({text}){where}: a function must return instead"
    if isinstance(error, NotImplementedError):
        return kind, f"is not written yet: it raises NotImplementedError{where}"
    return kind, f"raised {kind}{': ' + text if text else ''}{where}"


def limit_memory(size):
    """`size` bytes above what is in use now, where the system has such a limit (Linux)"""
    try:
        import resource

        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + size, used + size))
    except (ImportError, OSError, ValueError):
        pass


def prepare(folder, blocks, memory):
    """The libraries that the submission imports come first: their time and memory are not the submission's"""
    for name in sorted(set().union(*(roots(parse(label, source)[0]) for label, source in blocks))):
        with contextlib.suppress(Exception):  # the submission's own import will say what is wrong
            importlib.import_module(name)
    sys.path.insert(0, folder)
    limit_memory(memory)


def main():
    """The conversation goes over copies of stdin and stdout; the submission's own lead to nowhere"""
    requests, answers = os.fdopen(os.dup(0), "r", encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    host = Host()
    for line in requests:
        request = json.loads(line)
        if request["do"] == "prepare":
            prepare(**{key: request[key] for key in ("folder", "blocks", "memory")})
            answer = {"status": "ready"}
        elif request["do"] == "load":
            answer = host.load(request["blocks"], request["definitions_only"])
        else:
            answer = host.call(request["name"], request["arguments"], request["autograd"])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
