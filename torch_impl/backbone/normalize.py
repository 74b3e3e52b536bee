"""`normalize` for a model on a pretrained body: the scale goes into the head, the mean into the last norm's bias.

If this norm has no bias (RMSNorm, as in Llama), the mean goes into config.json as reward_mean.
"""

import torch

from numpy_ref.evaluation.normalize import mean_in_config, of_raw
from numpy_ref.files import read_json, write_text, written_directory
from numpy_ref.storage.checkpoint import directory_of
from numpy_ref.storage.checksums import seal
from numpy_ref.storage.model_card import BESIDE, FOLDED, normalised

from .reading import final_norm
from .saved import load_model, save_model

NOTE = (
    "note      the scale is in the head's weights; the last norm has no bias for the mean: reward_mean in config.json"
)


def write(source, target, numbers):
    """Writes the model with rewards (r - mean) / scale; returns "folded", or "in part" if config.json has the mean"""
    source = directory_of(source)
    model, tokenizer = load_model(source)
    mean, scale = of_raw(read_json(source / "config.json"), *numbers[:2])
    bias = getattr(final_norm(model.body), "bias", None)
    with written_directory(target) as building:
        fold(model.head.weight, bias, mean, scale)
        save_model(building, model, tokenizer)
        mean_in_config(building, mean / scale if bias is None else 0.0)
        write_text(building / "README.md", normalised(source, *numbers, where=BESIDE if bias is None else FOLDED))
        seal(building)
    if bias is None:
        print(NOTE)
    return "folded" if bias is not None else "in part"


@torch.no_grad()
def fold(head, bias, mean, scale):
    """b ← b - mean w / (w · w) if there is a b, w ← w / scale        (1, L C), (C,)

    The norm's bias reaches the head once for each layer that the head reads, so w in the first formula is the sum of
    the layers' weights. A mean over tokens leaves the shift as it is.
    """
    if bias is not None:
        w = head.view(-1, len(bias)).sum(0)  # (C,)
        bias -= mean * w / (w @ w)
    head /= scale
