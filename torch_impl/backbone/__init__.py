"""Reward models on pretrained bodies.

model           the reward model on any body, saved and loaded
load, tokenizer a body and its tokenizer, from a directory, the hub or a GGUF file
features, frozen    a head alone on features that are computed once
options         what can be asked for
learner         all weights, or LoRA additions
normalize, command  `normalize` and `train` for such models
"""

from .model import load_saved

__all__ = ["load_saved"]
