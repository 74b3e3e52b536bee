"""The options of `train` and `sft`: type, default, help, and whether a resumed run keeps the value.

Each command has a class of options; its bases are groups, and the last base comes first in the help. Where a command
means an option in another way, its class declares the option again with its own help.
"""

from dataclasses import dataclass

from ..cli.main import at_least, natural, positive_int, tie_word
from ..cli.options import Options, found, option
from ..data.source import ColumnOptions
from ..errors import InputError
from ..objectives import OBJECTIVES
from ..optim import SCHEDULES
from ..ranking import TIES

LOSSES = ("pairwise", *OBJECTIVES)
CACHE = (
    "keep the tokens of the files here for the next start; default: large files (from 32 MB, packed 4 MB) in "
    "~/.cache/reward-by-hand, others in memory only"
)


@dataclass(frozen=True)
class SourceOptions(Options):
    """Which data are read"""

    data: str | None = option(
        "data",
        None,
        "pairs or ranked lists as .jsonl, .json or .csv, plain or .gz, or .parquet; the built-in world if left out",
        metavar="FILE",
    )
    eval_data: str | None = option("data", None, "held-out preferences of the same form", metavar="FILE")
    dataset_name: str | None = option(
        "data",
        None,
        "in place of --data: an id of the Hugging Face hub, or a local directory; needs the extra hf",
        metavar="NAME",
    )
    dataset_config: str | None = option("data", None, "which part of the dataset, where it has several", metavar="NAME")
    dataset_train_split: str = option("data", "train", "to train on", metavar="NAME")
    dataset_test_split: str | None = option("data", None, "held out; none if left out", metavar="NAME")
    data_sha256: str | None = found()
    eval_data_sha256: str | None = found()
    dataset_sha256: str | None = found()


@dataclass(frozen=True)
class TokenOptions(Options):
    """How the data become tokens"""

    vocab_size: int | None = option(
        "data",
        None,
        "for token ids (chosen_ids, rejected_ids): how many there are; one more than the largest if left out",
        type=positive_int,
    )
    cache_dir: str | None = option(
        "data",
        None,
        CACHE,
        metavar="DIR",
        changeable=True,
    )
    max_length: int = option(
        "data", 1024, "in tokens; a prompt with a longer response is left out and counted", type=positive_int
    )


@dataclass(frozen=True)
class DataOptions(TokenOptions, ColumnOptions, SourceOptions):
    """What is read"""


@dataclass(frozen=True)
class ModelOptions(Options):
    """What is trained"""

    init_from: str | None = option(
        "model",
        None,
        "start from this model instead of random weights: one that sft made, or a reward model; sizes and tokenizer "
        "are then that model's",
        metavar="DIR",
    )
    n_layer: int = option("model", 2, "blocks", type=positive_int)
    n_head: int = option("model", 4, "attention heads", type=positive_int)
    n_embd: int = option("model", 32, "channels", type=positive_int)
    dtype: str = option("model", "float32", "of weights and arithmetic", choices=["float32", "float64"])


@dataclass(frozen=True)
class LossOptions(Options):
    """What is minimised"""

    loss: str = option(
        "loss",
        "pairwise",
        "pairwise: Bradley-Terry on single pairs, with the file's margins; a ranked list becomes all its C(K, 2) pairs "
        "without the ties, shuffled among those of other prompts, so that a response is run K - 1 times. kwise: all "
        "pairs of a list as one batch element, each response run once. plackett-luce: each list as a row of choices, "
        "the best of all, the best of the rest, ...",
        choices=LOSSES,
    )
    ties: str = option(
        "loss",
        "drop",
        "equal ranks with --loss kwise. drop: leave ties out; half: half a win for each side; the others model them, "
        "with a parameter that is trained and reported",
        choices=list(TIES),
        type=tie_word,
    )
    margin_per_rank: float = option(
        "loss",
        0.0,
        "required lead in log-odds per place between two responses; not with plackett-luce",
        type=at_least(0),
    )
    label_smoothing: float = option("loss", 0.0, "assumed share of flipped labels", type=at_least(0, 0.5))
    center_rewards_coefficient: float = option(
        "loss", 0.0, "pulls each pair's mean reward to 0; try 0.01", type=at_least(0)
    )

    def of_learner(self):
        """Keyword arguments of a Learner about its loss; InputError for an option that the loss would ignore"""
        self._check()
        if self.loss == "pairwise":
            return {"label_smoothing": self.label_smoothing, "center_coefficient": self.center_rewards_coefficient}
        kwise = {"ties": self.ties, "margin_per_rank": self.margin_per_rank}
        return {"loss": self.loss, **(kwise if self.loss == "kwise" else {})}

    def _check(self):
        smoothing, centring = self.label_smoothing, self.center_rewards_coefficient
        needed = {
            "--ties": "kwise" if self.ties != "drop" else self.loss,
            "--margin-per-rank": "pairwise or kwise" if self.margin_per_rank else self.loss,
            "--label-smoothing": "pairwise" if smoothing else self.loss,
            "--center-rewards-coefficient": "pairwise" if centring else self.loss,
        }
        for name, loss in needed.items():
            if self.loss not in loss.split(" or "):
                raise InputError(f"{name}: --loss {self.loss} does not use it: leave it out, or take --loss {loss}")


def batch_size_in(what):
    """The option --per-device-train-batch-size of a command that counts `what`"""
    size = f"in {what}; 16 for a file, 64 for the world if left out; a batch is run at once, padded to its longest text"
    return option("optimisation", None, size, type=positive_int)


@dataclass(frozen=True)
class OptimisationOptions(Options):
    """How far and how fast"""

    learning_rate: float = option("optimisation", 5e-3, "its peak", type=at_least(0))
    warmup_steps: int | None = option("optimisation", None, "a tenth of all steps if left out", type=natural)
    num_train_epochs: float = option("optimisation", 1.0, "passes over the data", type=at_least(0))
    max_steps: int | None = option("optimisation", None, "overrides the epochs", type=positive_int)
    per_device_train_batch_size: int | None = batch_size_in("texts")
    weight_decay: float = option(
        "optimisation", 0.01, "AdamW's: each step shrinks all weights by this times the learning rate", type=at_least(0)
    )
    lr_scheduler_type: str = option(
        "optimisation",
        "cosine",
        "how the learning rate falls after the warm-up: along a cosine or a line to a tenth of its peak, or not at all",
        choices=list(SCHEDULES),
    )
    seed: int = option("optimisation", 0, "of the world, the weights and the order", type=natural)
    batch_size: int | None = found()

    @property
    def pieces(self):
        """Number of pieces into which each process splits a step"""
        return 1


@dataclass(frozen=True)
class EvaluationOptions(Options):
    """When to evaluate, and what follows from it"""

    eval_steps: int | None = option(
        "evaluation",
        None,
        "evaluate on the held-out data this often; only at the end if left out",
        type=positive_int,
        changeable=True,
    )
    load_best_model_at_end: bool = option(
        "evaluation", False, "keep the weights of the best evaluation and make them the finished model"
    )
    metric_for_best_model: str = option(
        "evaluation", "loss", "what says which evaluation is best; a name of metrics.jsonl", metavar="NAME"
    )
    early_stopping_patience: int | None = option(
        "evaluation",
        None,
        "end the run after this many evaluations in a row without a new best",
        metavar="N",
        type=positive_int,
    )


@dataclass(frozen=True)
class RunOptions(Options):
    """Where it is written, and how often"""

    output_dir: str | None = option(
        "run", None, "a new directory; if left out runs/COMMAND, runs/COMMAND-2, ...", metavar="DIR", recorded=False
    )
    logging_steps: int = option(
        "run", 10, "steps summed up in one line of metrics.jsonl", type=positive_int, changeable=True
    )
    save_steps: int = option("run", 100, "steps between two checkpoints", type=positive_int, changeable=True)
    resume: str | None = option(
        "run", None, "go on with this run from its last save, with its own options", metavar="DIR", recorded=False
    )


@dataclass(frozen=True)
class TrainOptions(RunOptions, EvaluationOptions, OptimisationOptions, LossOptions, ModelOptions, DataOptions):
    """The options of `train`"""

    per_device_train_batch_size: int | None = batch_size_in("prompts (in pairs with --loss pairwise)")


@dataclass(frozen=True)
class SftOptions(RunOptions, EvaluationOptions, OptimisationOptions, ModelOptions, DataOptions):
    """The options of `sft`"""

    init_from: str | None = option(
        "model",
        None,
        "start from this model that sft made instead of random weights; sizes and tokenizer are then that model's",
        metavar="DIR",
    )
