"""The rewards of any saved model by PyTorch, for `score`, `evaluate` and `normalize`."""

import torch

from numpy_ref.evaluation.score import Scorer, standardised
from numpy_ref.storage.checkpoint import directory_of, load_model, read_config
from numpy_ref.tree import flatten

from ..backbone import saved as backbone
from ..train import model_of


def torch_scorer(directory, device):
    """The Scorer of a run or model directory of either package, or of a pretrained body"""
    if backbone.is_saved(directory):
        return backbone.load_saved(directory, device)
    params, n_head, tokenizer = load_model(directory)
    model = model_of(flatten(params), n_head).to(device)

    @torch.no_grad()
    def rewards(tokens, length):
        return model(torch.from_numpy(tokens).to(device), torch.from_numpy(length).to(device)).cpu().numpy()

    config = read_config(directory_of(directory))
    return Scorer(standardised(rewards, config), tokenizer, len(params["body"]["pos"]["weight"]))
