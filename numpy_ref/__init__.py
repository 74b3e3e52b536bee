"""The reward model in plain NumPy, every gradient derived by hand.

The top level is the book. In reading order:

losses -> layers -> attention -> transformer -> reward_model        the heart, in one sitting
ranking, listwise, ties, objectives, language_model                 other objectives
dpo, policy                                                         from reward to policy
optim -> batches -> train, learners                                 training it
gradient_check, metrics                                             is a gradient right? how good is a model?
tree, files, errors                                                 nested arrays, files written whole, one error

A folder is one capability: data, training, evaluation, report, bradley_terry, check, storage, figures, cli. Every
name of `__all__` is imported when it is first used: `import numpy_ref` itself loads nothing, not even NumPy.

    import numpy_ref
    loss, cache = numpy_ref.pairwise_loss(chosen, rejected)
    dchosen, drejected = numpy_ref.pairwise_loss_backward(1.0, cache)
    model = numpy_ref.load("runs/first")
"""

import importlib

_HOMES = {  # __init__.pyi says the same to type checkers; a test compares the two
    "losses": ["sigmoid", "sigmoid_derivative", "log_sigmoid", "pairwise_loss", "pairwise_loss_backward"],
    "layers": [
        *("linear", "linear_backward", "layer_norm", "layer_norm_backward", "gelu", "gelu_backward"),
        *("softmax", "softmax_backward", "embedding", "embedding_backward"),
    ],
    "attention": ["self_attention", "self_attention_backward"],
    "transformer": ["feed_forward", "feed_forward_backward", "block", "block_backward"],
    "reward_model": ["init_params", "rewards", "rewards_backward", "loss_and_grads"],
    "ranking": ["kwise_loss", "kwise_loss_backward"],
    "listwise": ["plackett_luce_loss", "plackett_luce_loss_backward"],
    "ties": ["rao_kupper", "rao_kupper_backward", "davidson", "davidson_backward"],
    "language_model": ["next_token_loss", "next_token_loss_backward"],
    "dpo": ["dpo_loss", "dpo_loss_backward", "implicit_reward", "log_probability", "log_probability_backward"],
    "gradient_check": ["complex_step", "central_difference"],
    "errors": ["InputError"],
    "check.backward": ["check_backward", "check_second"],
    "evaluation.model": ["load", "TrainedModel"],
    "training.python": ["train_reward_model"],
}
_MODULE_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = [
    *("attention", "batches", "dpo", "errors", "gradient_check", "language_model", "layers", "learners", "listwise"),
    *("losses", "metrics", "objectives", "optim", "policy", "ranking", "reward_model", "ties", "train", "transformer"),
    *("tree", "bradley_terry", "check", "cli", "data", "evaluation", "figures", "report", "storage", "training"),
]
__all__ = sorted([*_MODULE_OF, *_MODULES])
__version__ = "0.2.0"


def __getattr__(name):
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
