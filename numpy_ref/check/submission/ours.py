"""What a submission may import from this project: what the exercises as handed out import, never what they ask for.

The names of version 0.1.0 are known here and nowhere else, so that notebooks handed out under it can be graded. Checks
and plots are inert: importing them gives a name that does nothing.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import secrets
import sys
import types
from pathlib import Path
from typing import Any

PACKAGES = "numpy_ref", "torch_impl"
MOVED = {  # 0.1.0 -> today; "" is inert
    "numpy_ref.check_cell": "",
    "numpy_ref.lesson": "",
    "numpy_ref.architecture_figure": "",
    "numpy_ref.agreement": "numpy_ref.evaluation.agreement",
    "numpy_ref.calibration": "numpy_ref.evaluation.calibration",
    "numpy_ref.games": "numpy_ref.bradley_terry.games",
    "numpy_ref.existence": "numpy_ref.bradley_terry.existence",
    "numpy_ref.inference": "numpy_ref.bradley_terry.inference",
    "numpy_ref.pairs": "numpy_ref.bradley_terry.win_counts",
    "numpy_ref.world": "numpy_ref.data.world",
    "numpy_ref.tokenizer": "numpy_ref.data.tokenizer",
    "numpy_ref.preferences": "numpy_ref.data.reader",
    "numpy_ref.commands": "numpy_ref.cli.main",
}
ELSEWHERE = {("numpy_ref.bradley_terry", "fit"): "numpy_ref.bradley_terry.strengths"}  # names that left their module
INERT = "numpy_ref.check", "numpy_ref.figures"
ALLOWED = {
    *(
        "agreement",
        "attention",
        "batches",
        "bradley_terry",
        "calibration",
        "cli",
        "commands",
        "data",
        "errors",
        "games",
    ),
    *("evaluation", "existence", "gradient_check", "inference", "language_model", "layers", "listwise", "losses"),
    *("metrics", "objectives", "optim", "pairs", "ranking", "reward_model", "ties", "tokenizer", "train"),
    *("transformer", "tree", "world"),
}
VARIANTS = "margin_loss", "smoothed_loss", "centered_loss"  # options of pairwise_loss, which would be their answer


class Inert:
    """A check, a figure, a colour: callable, and nothing happens"""

    def __call__(self, *_, **__):
        return self

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, _):
        return self

    def __iter__(self):
        return iter(())


class Facade(types.ModuleType):
    """A module of ours, without the names that are asked for"""

    def __init__(self, name, load, forbidden):
        super().__init__(name)
        self.__dict__.update(__path__=[], _load=load, _forbidden=forbidden)

    def __getattr__(self, name):
        if name == "__all__":
            return [n for n in dir(self._load()) if not n.startswith("_") and n not in self._forbidden]
        if name.startswith("__"):
            raise AttributeError(name)
        if name in self._forbidden:
            raise ImportError(f"{self.__name__}.{name} is the answer itself: write it")
        submodule = f"{self.__name__}.{name}"
        if name in ALLOWED or MOVED.get(submodule) is not None:
            return importlib.import_module(submodule)
        if (self.__name__, name) in ELSEWHERE:
            return getattr(importlib.import_module(ELSEWHERE[self.__name__, name]), name)
        return getattr(self._load(), name)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """A meta path finder for `numpy_ref` and `torch_impl`; the real modules get a name that nobody guesses"""

    def __init__(self, root):
        self.root, self.private = Path(root), f"_{secrets.token_hex(8)}"
        self.forbidden: set[str] = set()

    def forbid(self, names):
        """From here on these names are not to be had"""
        self.forbidden |= set(names)
        if any(name.removesuffix("_backward") in VARIANTS for name in names):
            self.forbidden |= {"pairwise_loss", "pairwise_loss_backward"}

    def find_spec(self, name, path=None, target=None):  # noqa: ARG002  the protocol's
        """Answers for every name of ours, so that an installed copy is never reached"""
        if name.startswith(self.private) or name.split(".")[0] not in PACKAGES:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        """A facade, an inert module, or ImportError in a sentence"""
        name = MOVED.get(spec.name, spec.name)
        if not name or name.startswith(INERT):
            return self.inert(spec.name)
        if spec.name in PACKAGES:
            return Facade(spec.name, lambda: self.package(spec.name), self.forbidden)
        if spec.name.split(".")[1] not in ALLOWED:
            raise ImportError(f"{spec.name} is not among the imports of the exercises")
        return Facade(spec.name, lambda: self.real(name), self.forbidden)

    def exec_module(self, module):
        """Nothing: a facade loads when it is asked"""

    def inert(self, name):
        """A module all of whose names do nothing"""
        module = types.ModuleType(name)
        inert = Inert()
        module.__dict__.update(__path__=[], __getattr__=lambda name: _unless_dunder(name, inert))
        return module

    def package(self, name):
        """The package under its private name"""
        private, folder = f"{self.private}_{name}", str(self.root / name)
        if private not in sys.modules:
            file = str(self.root / name / "__init__.py")
            spec: Any = importlib.util.spec_from_file_location(private, file, submodule_search_locations=[folder])
            sys.modules[private] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[private])
        return sys.modules[private]

    def real(self, name):
        """The module itself"""
        package, _, rest = name.partition(".")
        return importlib.import_module(f"{self.package(package).__name__}.{rest}")


def _unless_dunder(name, inert):
    if name.startswith("__"):
        raise AttributeError(name)
    return inert


def install(root):
    """From here on `import numpy_ref` finds what is allowed"""
    finder = Finder(root)
    sys.meta_path.insert(0, finder)
    return finder
