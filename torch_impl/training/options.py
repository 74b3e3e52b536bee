"""The options of the commands that train: numpy_ref's, and those of PyTorch."""

from dataclasses import dataclass

from numpy_ref.cli.main import at_least
from numpy_ref.cli.options import option
from numpy_ref.training import dpo, options

from ..backbone.learner import FULL_RATE, LORA_RATE
from ..backbone.options import BackboneOptions
from ..engine.options import DeviceOptions, EngineOptions


@dataclass(frozen=True)
class TrainOptions(DeviceOptions, BackboneOptions, EngineOptions, options.TrainOptions):
    """The options of `train`"""

    cache_dir: str | None = option(
        "data",
        None,
        f"{options.CACHE}. With --freeze-backbone: keep the features here; default: beside the run's directory",
        metavar="DIR",
        changeable=True,
    )
    learning_rate: float = option(
        "optimisation",
        options.TrainOptions.learning_rate,
        f"peak learning rate; default: {FULL_RATE:g} for a pretrained model, {LORA_RATE:g} with --use-peft, else "
        "%(default)s",
        type=at_least(0),
    )


@dataclass(frozen=True)
class SftOptions(DeviceOptions, options.SftOptions):
    """The options of `sft`"""


@dataclass(frozen=True)
class DpoOptions(DeviceOptions, dpo.DpoOptions):
    """The options of `dpo`"""
