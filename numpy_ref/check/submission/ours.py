"""Restricts a submission's imports from this project to those of the exercise notebooks, without the answers.

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
ELSEWHERE = {("numpy_ref.bradley_terry", "fit"): "numpy_ref.bradley_terry.strengths"}  # names that have moved
INERT = "numpy_ref.check", "numpy_ref.figures"
LAYERS = "linear", "layer_norm", "softmax", "embedding", "gelu"
IMPORTS = {  # module -> the names that exercises import from it or use in it, today and in version 0.1.0
    "numpy_ref.attention": "attention attention_backward merge_heads self_attention self_attention_backward"
    " split_heads",
    "numpy_ref.batches": "all_rewards batch_indices collate encode steps_per_epoch",
    "numpy_ref.bradley_terry": "fit",
    "numpy_ref.bradley_terry.existence": "describe_groups groups_of",
    "numpy_ref.bradley_terry.games": "BASEBALL read_games",
    "numpy_ref.bradley_terry.inference": "standard_errors",
    "numpy_ref.bradley_terry.linear_head": "fit_heads",
    "numpy_ref.bradley_terry.strengths": "fit",
    "numpy_ref.bradley_terry.win_counts": "pairs_of_rows",
    "numpy_ref.cli.main": "keep_freed_memory",
    "numpy_ref.cli.text": "table",
    "numpy_ref.data.responses": "enumerate_responses",
    "numpy_ref.data.tokenizer": "BOS EOS PAD SEP Words",
    "numpy_ref.data.tokens": "encode",
    "numpy_ref.data.world": "FACTS Responses WORDS floors make_world rank reward sample_prompts sample_response"
    " sample_responses",
    "numpy_ref.dpo": "dpo_loss dpo_loss_backward implicit_reward log_probability",
    "numpy_ref.errors": "InputError",
    "numpy_ref.evaluation.agreement": "cohen_kappa percent_agreement",
    "numpy_ref.gradient_check": "central_difference check_backward complex_step",
    "numpy_ref.language_model": "init_unembedding loss_and_grads next_token_loss to_reward_model",
    "numpy_ref.layers": " ".join(f"{name} {name}_backward" for name in LAYERS),
    "numpy_ref.learners": "LanguageLearner PolicyLearner",
    "numpy_ref.losses": "log_sigmoid pairwise_loss pairwise_loss_backward sigmoid",
    "numpy_ref.metrics": "accuracy log_loss pair_differences spearman summary",
    "numpy_ref.optim": "adamw adamw_state clip_by_global_norm warmup_cosine",
    "numpy_ref.policy": "best_of_n clipped_loss clipped_loss_backward group_advantage kl log_softmax optimum"
    " penalised_reward penalised_reward_backward reinforce_loss reinforce_loss_backward",
    "numpy_ref.ranking": "ABSENT kwise_loss kwise_loss_backward",
    "numpy_ref.reward_model": "init_params loss_and_grads rewards rewards_backward",
    "numpy_ref.ties": "rao_kupper",
    "numpy_ref.train": "Learner check_alive train",
    "numpy_ref.training.dpo": "starts",
    "numpy_ref.transformer": "block block_backward feed_forward feed_forward_backward transformer transformer_backward",
    "numpy_ref.tree": "flatten tree_map unflatten",
    "torch_impl.reward_model": "RewardModel",
    "torch_impl.train": "Learner loss_and_grads model_of",
}
FOLDERS = {name.rpartition(".")[0] for name in IMPORTS} - {"numpy_ref", "torch_impl"}
ALLOWED = {*IMPORTS, *FOLDERS, *MOVED}  # modules
VARIANTS = "margin_loss", "smoothed_loss", "centered_loss"  # options of pairwise_loss, which would then be the answer


class Inert:
    """Stands in for a check, a figure or a colour; it can be called and does nothing"""

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
    """Stands in for a module of this project: has the names that exercises import, except those that they ask for"""

    def __init__(self, name, home, load, forbidden):
        super().__init__(name)
        names = set(IMPORTS.get(home, "").split())
        self.__dict__.update(__path__=[], __getattr__=lambda wanted: resolve(name, wanted, names, load, forbidden))


def resolve(module, name, names, load, forbidden):
    """The object that a facade has under a name; ImportError with a sentence if it has none"""
    if name == "__all__":
        return sorted(names - forbidden)
    if name.startswith("__"):
        raise AttributeError(name)
    if name in forbidden:
        raise ImportError(f"{module}.{name} is the answer itself: write it")
    if f"{module}.{name}" in ALLOWED or f"{module}.{name}".startswith(INERT):
        return importlib.import_module(f"{module}.{name}")
    if (module, name) in ELSEWHERE:
        return getattr(importlib.import_module(ELSEWHERE[module, name]), name)
    if name not in names:
        raise ImportError(f"{module}.{name} is not among the imports of the exercises")
    return getattr(load(), name)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """A meta path finder for `numpy_ref` and `torch_impl`; the real modules get a random name that nobody can guess"""

    def __init__(self, root):
        self.root, self.private = Path(root), f"_{secrets.token_hex(8)}"
        self.forbidden: set[str] = set()

    def forbid(self, names):
        """From now on these names cannot be imported"""
        self.forbidden |= set(names)
        if any(name.removesuffix("_backward") in VARIANTS for name in names):
            self.forbidden |= {"pairwise_loss", "pairwise_loss_backward"}

    def find_spec(self, name, path=None, target=None):  # noqa: ARG002  the protocol's arguments
        """Answers for every name of this project, so that an installed copy is never imported"""
        if name.startswith(self.private) or name.split(".")[0] not in PACKAGES:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        """A facade, an inert module, or ImportError with a sentence"""
        name = MOVED.get(spec.name, spec.name)
        if not name or name.startswith(INERT):
            return self.inert(spec.name)
        if spec.name not in ALLOWED and spec.name not in PACKAGES:
            raise ImportError(f"{spec.name} is not among the imports of the exercises")
        return Facade(spec.name, name, lambda: self.real(name), self.forbidden)

    def exec_module(self, module):
        """Does nothing: a facade loads a name when it is asked for"""

    def inert(self, name):
        """A module in which every name does nothing"""
        module = types.ModuleType(name)
        inert = Inert()
        module.__dict__.update(__path__=[], __getattr__=lambda name: _unless_dunder(name, inert))
        return module

    def package(self, name):
        """The real package, loaded under its private name"""
        private, folder = f"{self.private}_{name}", str(self.root / name)
        if private not in sys.modules:
            file = str(self.root / name / "__init__.py")
            spec: Any = importlib.util.spec_from_file_location(private, file, submodule_search_locations=[folder])
            sys.modules[private] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[private])
        return sys.modules[private]

    def real(self, name):
        """The real module behind a facade"""
        package, _, rest = name.partition(".")
        return importlib.import_module(f"{self.package(package).__name__}.{rest}")


def _unless_dunder(name, inert):
    if name.startswith("__"):
        raise AttributeError(name)
    return inert


def install(root):
    """From now on `import numpy_ref` finds only what is allowed"""
    finder = Finder(root)
    sys.meta_path.insert(0, finder)
    return finder
