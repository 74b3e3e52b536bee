"""A reward model on a pretrained body from the Hugging Face ecosystem: its last hidden state, a head without bias.

The end of a response is its explicit length, never looked for by the pad token; padding stands on the right; dropout
is off. How it is saved and loaded: see saved.py.
"""

from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from numpy_ref.errors import InputError

from ..engine.shared_prompt import seen
from .load import load_pretrained, transformers_library, with_pad_token
from .tokenizer import BackboneTokenizer

POOLINGS = ("last", "mean")
PACKED = ("gpt2", "llama", "qwen2", "qwen3")  # types whose rewards are tested to be the same in packed rows
ALONE = ("mlp", "attn.c_proj", "self_attn.o_proj", "self_attn.q_proj")  # parts of a block that see each token alone
LAYERS, NORMS = ("layers", "h"), ("norm", "ln_f", "final_layer_norm")  # what architectures call them


def pooled(states, length, pooling):
    """The state of the last real token, or the mean over all real ones        (B, T, C), (B,) -> (B, C)"""
    if pooling == "last":
        return states[torch.arange(len(states), device=states.device), length - 1]
    real = real_tokens(states.shape[1], length)
    return (states * real[..., None]).sum(1) / length[:, None]


def real_tokens(n, length):
    """1 where a token is real, 0 where it is padding        (B,) -> (B, T)"""
    return (torch.arange(n, device=length.device) < length[:, None]).long()


class BackboneReward(nn.Module):
    """tokens (B, K, T), length (B, K) -> rewards (B, K); the twin of reward_model.RewardModel on any causal body

    The head starts at 0, where all rewards are 0 and the loss is ln 2.
    """

    def __init__(self, body, pooling="last"):
        super().__init__()
        self.body, self.pooling = body, pooling
        self.lean = body.config.model_type in PACKED  # whether the last block may leave out what is not read
        self.head = nn.Linear(body.config.hidden_size, 1, bias=False)
        nn.init.zeros_(self.head.weight)
        self.train(False)

    def train(self, mode=True):  # noqa: ARG002
        """Dropout stays off: two masks would add noise to a difference of two rewards"""
        return super().train(False)

    def forward(self, tokens, length):
        features = self.features(tokens.flatten(0, 1), length.flatten())
        return self.head(features.to(self.head.weight.dtype)).view(length.shape)

    def features(self, tokens, length):
        """What the head reads        (n, T), (n,) -> (n, C)"""
        mask = real_tokens(tokens.shape[1], length)
        with self.last_block_at(tokens, length[:, None] - 1):
            states = self.body(input_ids=tokens, attention_mask=mask, use_cache=False).last_hidden_state
        return pooled(states, length, self.pooling)

    def packed_features(self, tokens, position, branch, last):
        """What the head reads of K responses in one row behind their prompt        (n, S) ..., (n, K) -> (n, K, C)"""
        dtype = self.head.weight.dtype
        mask = torch.where(seen(branch), torch.zeros((), dtype=dtype), torch.finfo(dtype).min)  # added to the scores
        with self.last_block_at(tokens, last):
            states = self.body(input_ids=tokens, attention_mask=mask, position_ids=position, use_cache=False)
        return states.last_hidden_state[torch.arange(len(last), device=last.device)[:, None], last]

    @contextmanager
    def last_block_at(self, tokens, last):
        """The last block's parts that see each token alone run at these tokens only        (n, T), (n, K)

        What they give at all other tokens is 0 and is never read: keys and values alone are needed of these.
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
                del module.forward  # the class has its own

    def parts_alone(self):
        """The modules ALONE of the last block, as far as it has them"""
        owner, name = blocks_of(self.body)
        last = getattr(owner, name)[-1]
        return [module for path in ALONE if (module := at_path(last, path)) is not None]

    def packs(self):
        """Whether responses may share a row: bodies that are known to follow a mask of their caller, read at the end"""
        sliding = "sliding_attention" in (getattr(self.body.config, "layer_types", None) or [])
        return self.pooling == "last" and self.body.config.model_type in PACKED and not sliding


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
    classifier_of(body.config, gguf_file or name_or_path)  # before any training: can the result be saved?
    with_pad_token(body, tokenizer)
    words = BackboneTokenizer(tokenizer, positions(body.config), template)
    if words.encode("a", "b")[-1] == tokenizer.pad_token_id:
        raise InputError(f"--template: ends in {tokenizer.pad_token}, which marks padding: end it in another token")
    return BackboneReward(body, pooling), words


def positions(config):
    """How many tokens the model reads at most"""
    return getattr(config, "max_position_embeddings", None) or 2**20


def classifier_of(config, name):
    """The sequence classifier of this architecture without weights, which must have the head that is trained here"""
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


def cut_layers(body, n):
    """Leaves the first n blocks; the final norm then reads the state after block n"""
    owner, name = blocks_of(body)
    setattr(owner, name, getattr(owner, name)[:n])
    body.config.num_hidden_layers = n
    if getattr(body.config, "layer_types", None):
        body.config.layer_types = body.config.layer_types[:n]


def blocks_of(body):
    """(the module that holds the list of blocks, its name there)"""
    for name in LAYERS:
        if isinstance(getattr(body, name, None), nn.ModuleList):
            return body, name
    kind, n = body.config.model_type, body.config.num_hidden_layers
    raise InputError(f"models of type {kind} keep their blocks where they are not looked for: use --layer {n}")


def final_norm(body):
    """The norm after the last block"""
    return next(norm for name in NORMS if (norm := getattr(body, name, None)) is not None)
