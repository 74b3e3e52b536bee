"""Reward models on pretrained bodies; `load_saved` reads one back for `score`. In reading order:

model, saved        the reward model on any body, and how it is saved and loaded
load, tokenizer     a body and its tokenizer, from a directory, the hub or a GGUF file
reading             which hidden states a head reads
features, frozen    a head alone on features that are computed once
options             what can be asked for
card                what a model's README says of it
learner             all weights, or LoRA additions
normalize, command  `normalize` and `train` for such models
"""

from .saved import load_saved

__all__ = ["load_saved"]
