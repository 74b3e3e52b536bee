"""Finds the published functions among what a submission defines, and calls them."""

import contextlib
import sys
import time

import numpy as np

from . import adapt
from .loader import Loader, describe, fresh
from .wire import decode, encode, is_tensor

TRY_OTHER = "TypeError", "AttributeError", "RuntimeError", "ValueError"  # raised for arrays of the wrong library


class Host:
    """The functions of one submission; `published` is {name: {name, arguments, optional, results, forward, option}}"""

    def __init__(self, published, forbid=lambda _: None):
        self.published, self.module = published, fresh()
        self.loader, self.modes = Loader(self.module, forbid), {}

    def load(self, blocks, stage="all", wanted=()):
        """Loader.load; `defined` then lists the published functions, `names` all names that were defined"""
        loaded = self.loader.load(blocks, stage, self.published, wanted)
        names = [n for n in self.published if self.find(n) is not None and n not in loaded["lent"]]
        return loaded | {"defined": names, "names": loaded["defined"]}

    def find(self, name):
        """(function, its own keyword for our last argument or ""); None if the submission has no such function"""
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
        """The answer to one call; `autograd` holds a cotangent if autograd's gradient is asked for instead of the value

        A function gets NumPy arrays or PyTorch tensors. The kind that its code suggests is tried first; the first that
        works is kept for all later calls.
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

    def pair(self, names, arguments, dout=None):
        """Calls any forward and backward: the forward's output, or with `dout` the backward's result"""
        forward, backward = (getattr(self.module, name) for name in names)
        given = {name: adapt.copied(decode(value)) for name, value in arguments.items()}
        before = {name: decode(value) for name, value in arguments.items()}
        start = time.process_time()
        try:
            out = adapt.by_name(forward, given)
            second = list(adapt.parameters(backward))[1:2]
            cached = isinstance(out, tuple) and len(out) == 2 and len(adapt.parameters(backward)) == 2
            cached = cached and not set(second) & set(given)
            value = out[0] if cached else out
            if dout is not None:
                adapt.by_name(
                    forward, {name: adapt.halved(decode(v)) for name, v in arguments.items()}
                )  # replaces a cache that the module keeps
                cotangent = adapt.shaped(decode(dout))
                value = backward(cotangent, out[1]) if cached else adapt.by_name(backward, given, cotangent)
            if wrote := [name for name, old in before.items() if not adapt.same(old, given[name])]:
                raise ValueError(f"{wrote[0]} was changed: a pass must not write into its arguments")
            value = encode(value)
        except BaseException as error:
            kind, words = describe(error, self.loader.labels)
            return {"status": "raised", "kind": kind, "words": words, "seconds": time.process_time() - start}
        return {"status": "ok", "value": value, "wrote": [], "tensor": False, "seconds": time.process_time() - start}

    def takes(self, name, function, option):
        """Whether the function takes this option, or the forward that makes its cache does"""
        forward = getattr(self.module, self.published[name]["forward"] or "", None)
        return adapt.takes(function, option) or (adapt.is_idiom(function) and adapt.takes(forward, option))

    def attempt(self, name, found, arguments, mode, autograd, layout):
        """Makes one call; gives its value, the arguments that it wrote into, and its processor seconds"""
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
        """Makes the published call in the function's own convention"""
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
        """f_backward(dout, cache); the cache comes from f(inputs), or is the inputs themselves if f gives none"""
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
        if request["do"] == "pair":
            return host.pair(request["names"], request["arguments"], request["dout"])
        return host.call(request["name"], request["arguments"], request["autograd"], request["layout"])
    return {"status": "raised", "kind": "RecursionError", "words": "raised RecursionError", "seconds": 0.0}
