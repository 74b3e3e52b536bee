"""Training from Python by PyTorch, pretrained bodies included."""

from typing import Any

from numpy_ref.data.rows import Rows
from numpy_ref.evaluation.model import TrainedModel
from numpy_ref.training.python import Place, trained

from ..evaluation.model import load
from .command import train_with
from .options import TrainOptions


def train_reward_model(
    data: Rows | None, output_dir: Place = None, eval_data: Rows | None = None, **options: Any
) -> TrainedModel:
    """Trains a reward model by autograd, as `python -m torch_impl train` does; arguments as numpy_ref's"""
    device = options.get("device", "cpu")
    return trained(
        lambda values: train_with(TrainOptions.of(values)),
        lambda directory: load(directory, device),
        data,
        output_dir,
        eval_data,
        options,
    )
