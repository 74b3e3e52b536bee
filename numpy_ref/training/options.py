"""The options of `train` and `sft`: type, default, help, and whether a resumed run may change the value.

Each command has a class of options; its bases are groups, and the last base comes first in the help. If an option means
something else in one command, the class of that command declares it again with its own help.
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
    "keep the tokens of the data files in this directory for the next start; default: ~/.cache/reward-by-hand for "
    "large files (from 32 MB, packed 4 MB), memory only for smaller ones"
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
    dataset_config: str | None = option(
        "data", None, "the configuration of the dataset, if it has several", metavar="NAME"
    )
    dataset_train_split: str = option("data", "train", "the split to train on", metavar="NAME")
    dataset_test_split: str | None = option("data", None, "the held-out split; none if left out", metavar="NAME")
    data_sha256: str | None = found()
    eval_data_sha256: str | None = found()
    dataset_sha256: str | None = found()


@dataclass(frozen=True)
class TokenOptions(Options):
    """How the data become tokens"""

    vocab_size: int | None = option(
        "data",
        None,
        "size of the vocabulary, for data that are token ids (chosen_ids, rejected_ids); largest id + 1 if left out",
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
        "data",
        1024,
        "most tokens of a prompt with its response; a row with a longer response is left out and counted",
        type=positive_int,
    )


@dataclass(frozen=True)
class DataOptions(TokenOptions, ColumnOptions, SourceOptions):
    """All options about the data"""


@dataclass(frozen=True)
class ModelOptions(Options):
    """The model that is trained"""

    init_from: str | None = option(
        "model",
        None,
        "start from this model instead of random weights: one that sft made, or a reward model; sizes and tokenizer "
        "are then that model's",
        metavar="DIR",
    )
    n_layer: int = option("model", 2, "number of blocks", type=positive_int)
    n_head: int = option("model", 4, "attention heads of each block", type=positive_int)
    n_embd: int = option("model", 32, "number of channels", type=positive_int)
    dtype: str = option(
        "model", "float32", "floating-point type of the weights and of the arithmetic", choices=["float32", "float64"]
    )


@dataclass(frozen=True)
class LossOptions(Options):
    """What is minimised"""

    loss: str = option(
        "loss",
        "pairwise",
        "pairwise: Bradley-Terry on single pairs, with the file's margins; a ranked list becomes all its C(K, 2) pairs "
        "without the ties, shuffled among those of other prompts, so that a response is run K - 1 times. kwise: all "
        "pairs of a list as one batch element, each response run once. plackett-luce: each list as a row of choices: "
        "the best of all, then the best of the rest, ...",
        choices=LOSSES,
    )
    ties: str = option(
        "loss",
        "drop",
        "how --loss kwise treats equal ranks. drop: leave ties out; half: half a win for each side; the others model "
        "them, with a parameter that is trained and reported",
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
    size = (
        f"batch size in {what}; if left out, 16 for a file and 64 for the built-in world; a batch is run at once, "
        "padded to its longest text"
    )
    return option("optimisation", None, size, type=positive_int)


@dataclass(frozen=True)
class OptimisationOptions(Options):
    """How long to train, with which batches and learning rates"""

    learning_rate: float = option("optimisation", 5e-3, "peak learning rate", type=at_least(0))
    warmup_steps: int | None = option(
        "optimisation",
        None,
        "steps in which the learning rate rises to its peak; a tenth of all if left out",
        type=natural,
    )
    num_train_epochs: float = option("optimisation", 1.0, "passes over the data", type=at_least(0))
    max_steps: int | None = option(
        "optimisation", None, "number of steps; overrides --num-train-epochs", type=positive_int
    )
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
    seed: int = option(
        "optimisation",
        0,
        "random seed for the built-in world, the initial weights and the order of the data",
        type=natural,
    )
    batch_size: int | None = found()

    @property
    def pieces(self):
        """Number of pieces into which each process splits a step"""
        return 1


@dataclass(frozen=True)
class EvaluationOptions(Options):
    """When to evaluate, which weights to keep, and when to stop early"""

    eval_steps: int | None = option(
        "evaluation",
        None,
        "steps between two evaluations on the held-out data; only at the end if left out",
        type=positive_int,
        changeable=True,
    )
    load_best_model_at_end: bool = option(
        "evaluation", False, "keep the weights of the best evaluation and make them the finished model"
    )
    metric_for_best_model: str = option(
        "evaluation",
        "loss",
        "the score that decides which evaluation is best, by its name in metrics.jsonl",
        metavar="NAME",
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
    """Where the run is written, and how often"""

    output_dir: str | None = option(
        "run",
        None,
        "a new directory for the run; if left out, runs/COMMAND, runs/COMMAND-2, ...",
        metavar="DIR",
        recorded=False,
    )
    logging_steps: int = option(
        "run", 10, "steps averaged in one line of metrics.jsonl", type=positive_int, changeable=True
    )
    save_steps: int = option("run", 100, "steps between two checkpoints", type=positive_int, changeable=True)
    resume: str | None = option(
        "run",
        None,
        "directory of a run to go on with, from its last save and with its own options",
        metavar="DIR",
        recorded=False,
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
