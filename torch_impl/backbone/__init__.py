"""Reward models on pretrained bodies; `load_saved` reads one back for `score`. In reading order:

model           the reward model on any body
saved           saves it as a directory and loads it
load            a body and its tokenizer from a directory, the hub or a GGUF file
tokenizer       the tokenizer with this project's interface
reading         the hidden states that a head reads
features        features of a frozen body, computed once
frozen          trains a head alone on these features
options         the options for pretrained models
card            the README of a saved model
learner         trains all weights, or LoRA additions
normalize       `normalize` for such models
command         `train` for such models
"""

from .saved import load_saved

__all__ = ["load_saved"]
