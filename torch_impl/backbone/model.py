"""A reward model on a pretrained body from the Hugging Face ecosystem: hidden states (reading.py), a head without bias.

A response ends at its explicit length; the pad token is never used to find the end. Padding is on the right, and
dropout is off. saved.py saves and loads the model.
"""

from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from numpy_ref.errors import InputError

from ..engine.shared_prompt import seen
from .load import load_pretrained, transformers_library, with_pad_token
from .reading import CAUSAL, blocks_of, cut_layers, features_of
from .tokenizer import BackboneTokenizer

ALONE = ("mlp", "attn.c_proj", "self_attn.o_proj", "self_attn.q_proj")  # parts of a block that treat each token alone


class BackboneReward(nn.Module):
    """tokens (B, K, T), length (B, K) -> rewards (B, K); the twin of reward_model.RewardModel on any causal body

    r = Σ over the layers of w_l · h_l,  h_l the pooled state of layer l. Without `layers` it is the last layer alone.
    The head starts at 0, where all rewards are 0 and the loss is ln 2.
    """

    def __init__(self, body, pooling="last", layers=None):
        super().__init__()
        fuse_gelu(body)
        self.body, self.lean = body, body.config.model_type in CAUSAL  # lean: see last_block_at
        self.read(layers or (body.config.num_hidden_layers,), pooling)
        self.train(False)

    def read(self, layers, pooling):
        """Gives the model a new head on these layers, in ascending order; blocks after the last of them are cut off"""
        if layers[-1] < self.body.config.num_hidden_layers:
            cut_layers(self.body, layers[-1])
        self.layers, self.pooling = tuple(layers), pooling
        device = self.body.get_input_embeddings().weight.device
        self.head = nn.Linear(len(layers) * self.body.config.hidden_size, 1, bias=False, device=device)
        nn.init.zeros_(self.head.weight)

    def train(self, mode=True):  # noqa: ARG002
        """Training mode without dropout: different masks would add noise to the difference of two rewards"""
        return super().train(False)

    @property
    def plain(self):
        """Whether transformers' sequence classifiers give the same rewards: they read the last layer's last token"""
        return self.pooling == "last" and len(self.layers) == 1

    def forward(self, tokens, length):
        features = self.features(tokens.flatten(0, 1), length.flatten())
        return self.head(features.to(self.head.weight.dtype)).view(length.shape)

    def features(self, tokens, length):
        """The head's input from L layers        (n, T), (n,) -> (n, L C)"""
        with self.last_block_at(tokens, length[:, None] - 1):
            return features_of(self.body, tokens, length, self.layers, [self.pooling]).flatten(1)

    def packed_features(self, tokens, position, branch, last):
        """The head's input for K responses in one row after their prompt        (n, S) ..., (n, K) -> (n, K, C)"""
        dtype = self.head.weight.dtype
        mask = torch.where(seen(branch), torch.zeros((), dtype=dtype), torch.finfo(dtype).min)  # added to the scores
        with self.last_block_at(tokens, last):
            states = self.body(input_ids=tokens, attention_mask=mask, position_ids=position, use_cache=False)
        return states.last_hidden_state[torch.arange(len(last), device=last.device)[:, None], last]

    @contextmanager
    def last_block_at(self, tokens, last):
        """Runs the parts ALONE of the last block at these tokens only        (n, T), (n, K)

        At all other tokens their output is 0 and is never read. Attention needs only the keys and values there, and
        these are still computed.
        """
        modules = self.parts_alone() if self.lean and self.pooling == "last" else []
        read = torch.zeros(tokens.shape, dtype=torch.bool, device=tokens.device)
        at = read.scatter_(1, last.clamp(min=0), True).nonzero(as_tuple=True)
        for module in modules:
            module.forward = partial(run_at, module.forward, at)
        try:
            yield
        finally:
            for module in modules:
                del module.forward  # the forward of its class is used again

    def parts_alone(self):
        """The modules of the last block that ALONE names, if the block has them"""
        owner, name = blocks_of(self.body)
        last = getattr(owner, name)[-1]
        return [module for path in ALONE if (module := at_path(last, path)) is not None]

    def packs(self):
        """Whether responses may share a row: the body must obey the caller's mask, and the head read the last token"""
        sliding = "sliding_attention" in (getattr(self.body.config, "layer_types", None) or [])
        return self.plain and self.body.config.model_type in CAUSAL and not sliding


def fuse_gelu(body):
    """Replaces the GELU that transformers computes in eight operations by PyTorch's, which has the same formula

    A training step of GPT-2's shape takes about 13 % less time (tests/benchmarks/trainer.py).
    """
    for module in list(body.modules()):
        for name, part in module.named_children():
            if type(part).__name__ == "NewGELUActivation":
                setattr(module, name, nn.GELU(approximate="tanh"))


def at_path(module, path):
    """The module at a dotted path, or None"""
    for name in path.split("."):
        module = getattr(module, name, None)
    return module


def run_at(forward, at, x):
    """forward(x) at some tokens, 0 at the others        at: two of (M,), (n, T, C) -> (n, T, O)"""
    out = forward(x[at])
    return out.new_zeros(*x.shape[:2], out.shape[-1]).index_put(at, out)


def load_backbone(name_or_path=None, gguf_file=None, pooling="last", dtype=torch.float32, template=None):
    """(BackboneReward, BackboneTokenizer) with a new head on pretrained weights"""
    body, tokenizer = load_pretrained(name_or_path, gguf_file, dtype)
    classifier_of(body.config, gguf_file or name_or_path)  # before any training: can a classifier hold the result?
    with_pad_token(body, tokenizer)
    words = BackboneTokenizer(tokenizer, positions(body.config), template)
    if words.encode("a", "b")[-1] == tokenizer.pad_token_id:
        raise InputError(f"--template: ends in {tokenizer.pad_token}, which marks padding: end it in another token")
    return BackboneReward(body, pooling), words


def positions(config):
    """The largest number of tokens that the model reads"""
    return getattr(config, "max_position_embeddings", None) or 2**20


def classifier_of(config, name):
    """This architecture's sequence classifier, without weights; InputError unless it has the head trained here"""
    transformers = transformers_library()
    config = type(config).from_dict(config.to_dict() | {"num_labels": 1})
    try:
        with torch.device("meta"):
            classifier = transformers.AutoModelForSequenceClassification.from_config(config)
    except ValueError:
        classifier = None
    if getattr(getattr(classifier, "score", None), "weight", torch.empty(0)).shape != (1, config.hidden_size):
        raise InputError(
            f"{name}: models of type {config.model_type} have no sequence classifier with a linear head on the last "
            "token: give a causal language model such as GPT-2, Llama or Qwen"
        )
    return classifier
