"""`normalize` for a model on a pretrained body: into the weights where its last norm has a bias, else beside them."""

import torch

from numpy_ref.evaluation.normalize import numbers_in_config
from numpy_ref.files import write_text, written_directory
from numpy_ref.storage.checkpoint import directory_of
from numpy_ref.storage.checksums import seal
from numpy_ref.storage.model_card import BESIDE, FOLDED, normalised

from .model import final_norm, load_model, save_model


def write(source, target, numbers):
    """The model with these numbers in its weights or in config.json; says which"""
    source = directory_of(source)
    model, tokenizer = load_model(source)
    mean, scale, *_ = numbers
    bias = getattr(final_norm(model.body), "bias", None)
    with written_directory(target) as building:
        if bias is not None:
            fold(model.head.weight, bias, mean, scale)
        save_model(building, model, tokenizer)
        if bias is None:
            numbers_in_config(building, mean, scale)
        write_text(building / "README.md", normalised(source, *numbers, where=FOLDED if bias is not None else BESIDE))
        seal(building)
    return "folded" if bias is not None else "beside"


@torch.no_grad()
def fold(head, bias, mean, scale):
    """b ← b - mean w / (w · w), w ← w / scale: a mean over tokens keeps the shift too"""
    w = head[0]
    bias -= mean * w / (w @ w)
    head /= scale
