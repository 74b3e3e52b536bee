"""The same reward model in PyTorch's own primitives, differentiated by autograd. Read each file beside numpy_ref's.

In reading order:

losses -> layers -> attention -> transformer -> reward_model        the heart, in one sitting
ranking, listwise, ties, objectives, language_model                 other objectives
dpo, policy                                                         from reward to policy
optim -> train, learners                                            training it
compare, stages                                                     the command `compare`: both packages, side by side

bradley_terry, check, evaluation, training      the PyTorch side of numpy_ref's folders
engine                                          the training step in less time and memory, and on more processors
backbone                                        reward models on pretrained bodies

    import torch_impl
    torch_impl.pairwise_loss(chosen, rejected).backward()
    model = torch_impl.load("runs/first")

Every name of `__all__` is imported when it is first used.
"""

import importlib

_HOMES = {  # __init__.pyi says the same to type checkers; a test compares the two
    "losses": ["pairwise_loss"],
    "reward_model": ["RewardModel", "loss_and_grads"],
    "ranking": ["kwise_loss"],
    "listwise": ["plackett_luce_loss"],
    "ties": ["rao_kupper", "davidson"],
    "language_model": ["LanguageModel", "next_token_loss"],
    "dpo": ["dpo_loss"],
    "evaluation.model": ["load"],
    "training.python": ["train_reward_model"],
}
_MODULE_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = [
    *("attention", "compare", "dpo", "language_model", "layers", "learners", "listwise", "losses", "objectives"),
    *("optim", "policy", "ranking", "reward_model", "ties", "train", "transformer"),
    *("backbone", "bradley_terry", "check", "engine", "evaluation", "training"),
]
__all__ = sorted([*_MODULE_OF, *_MODULES])


def __getattr__(name):
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
