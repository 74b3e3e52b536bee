"""Finds the published functions among what a submission defines, and calls them. `published` comes from outside."""

import contextlib
import sys
import time

import numpy as np

from . import adapt
from .loader import Loader, describe, fresh
from .wire import decode, encode, is_tensor

TRY_OTHER = "TypeError", "AttributeError", "RuntimeError", "ValueError"  # what an array of the wrong library raises


class Host:
    """Of one submission; `published` is {name: {name, arguments, optional, results, forward, option}}"""

    def __init__(self, published, forbid=lambda _: None):
        self.published, self.module = published, fresh()
        self.loader, self.modes = Loader(self.module, forbid), {}

    def load(self, blocks, stage="all", wanted=()):
        """Loader.load, and of the defined names those that are published"""
        loaded = self.loader.load(blocks, stage, self.published, wanted)
        names = [n for n in self.published if self.find(n) is not None and n not in loaded["lent"]]
        return loaded | {"defined": names, "names": loaded["defined"]}

    def find(self, name):
        """The function and the keyword of its own under which it takes our last argument (or "")"""
        function = getattr(self.module, name, None)
        if callable(function):
            return function, ""
        general = name.replace(name.split("_")[0], "pairwise", 1)
        function = getattr(self.module, general, None)
        for keyword in self.published[name]["option"] if callable(function) else ():
            forward = getattr(self.module, general.removesuffix("_backward"), None)
            if adapt.takes(function, keyword) or (adapt.is_idiom(function) and adapt.takes(forward, keyword)):
                return function, keyword
        return None

    def call(self, name, arguments, autograd=None, layout=""):
        """The answer to one call; `autograd` holds a cotangent when the gradient is asked, not the value

        A function gets NumPy arrays or PyTorch tensors: what its code suggests, or else what first went well.
        """
        found = self.find(name)
        if found is None:
            return {"status": "missing"}
        arguments = [decode(argument) for argument in arguments]
        options = dict(
            zip(self.published[name]["optional"], arguments[len(self.published[name]["arguments"]) :], strict=False)
        )
        if not all(self.takes(name, found[0], option) for option in options):
            return {"status": "without"}
        modes = ["torch", "numpy"] if adapt.uses_torch(found[0]) else ["numpy", "torch"]
        modes = [self.modes[name]] if name in self.modes else modes if "torch" in sys.modules else ["numpy"]
        answers = []
        for mode in modes:
            answers.append(self.attempt(name, found, arguments, mode, autograd, layout))
            if answers[-1]["status"] == "ok":
                self.modes[name] = mode
                return answers[-1]
            if answers[-1]["kind"] not in TRY_OTHER:
                break
        return answers[0]

    def takes(self, name, function, option):
        """Has the function, or the forward that makes its cache, this option?"""
        forward = getattr(self.module, self.published[name]["forward"] or "", None)
        return adapt.takes(function, option) or (adapt.is_idiom(function) and adapt.takes(forward, option))

    def attempt(self, name, found, arguments, mode, autograd, layout):
        """One call, with what it took: the value, the arguments that were written into, processor seconds"""
        tensors = mode == "torch"
        given = [adapt.to_tensor(a, autograd is not None) if tensors else adapt.copied(a, layout) for a in arguments]
        start = time.process_time()
        try:
            function, keyword = found
            value = self.apply(name, function, keyword, given)
            tensor = any(map(is_tensor, value if isinstance(value, tuple) else (value,)))
            if autograd is not None:
                value = adapt.gradient(value, given, decode(autograd)) if tensor else None
            value = encode(value)
        except BaseException as error:
            kind, words = describe(error, self.loader.labels)
            return {"status": "raised", "kind": kind, "words": words, "seconds": time.process_time() - start}
        seconds = time.process_time() - start
        wrote = [i for i, (a, b) in enumerate(zip(arguments, given, strict=True)) if not adapt.same(a, b)]
        return {"status": "ok", "value": value, "wrote": wrote, "tensor": tensor, "seconds": seconds}

    def apply(self, name, function, keyword, arguments):
        """The published call, in the function's own convention"""
        published = self.published[name]
        count = len(published["arguments"])
        arguments, options = arguments[:count], dict(zip(published["optional"], arguments[count:], strict=False))
        if not adapt.is_idiom(function):
            if keyword:
                return adapt.single(published, function(*arguments[:-1], **{keyword: arguments[-1]}))
            return adapt.single(published, adapt.called(function, published, arguments, options))
        if published["arguments"][0] != "dout":
            return adapt.unscaled(self.apply_idiom(published, function, keyword, adapt.DOUT, arguments, {}))
        return self.apply_idiom(published, function, keyword, arguments[0], arguments[1:], options)

    def apply_idiom(self, published, function, keyword, dout, inputs, options):
        """f_backward(dout, cache), the cache from f of the same inputs, or else the inputs themselves"""
        forward_name = "pairwise_loss" if keyword else published["forward"]
        forward = getattr(self.module, forward_name, None) if forward_name else None
        if callable(forward):
            made = forward(*inputs[:-1], **{keyword: inputs[-1]}) if keyword else forward(*inputs, **options)
            if isinstance(made, tuple) and len(made) == 2:
                return adapt.single(published, function(dout, made[1]))
        return adapt.single(published, function(dout, inputs[0] if len(inputs) == 1 else tuple(inputs)))


def answer(host, request):
    """The reply to one request of the checker"""
    with np.errstate(all="ignore"), contextlib.suppress(RecursionError):
        if request["do"] == "load":
            return host.load(request["blocks"], request["stage"], request["wanted"]) | {"status": "loaded"}
        return host.call(request["name"], request["arguments"], request["autograd"], request["layout"])
    return {"status": "raised", "kind": "RecursionError", "words": "raised RecursionError", "seconds": 0.0}
