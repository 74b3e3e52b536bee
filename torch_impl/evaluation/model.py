"""The same trained model, run by PyTorch."""

import os

import torch

from numpy_ref.evaluation.model import TrainedModel

from .score import torch_scorer


def load(directory: str | os.PathLike[str], device: str = "cpu") -> TrainedModel:
    """The model of a run or model directory of either package, or of a pretrained body; InputError if there is none"""
    return TrainedModel(torch_scorer(directory, torch.device(device)), directory, "torch_impl")
