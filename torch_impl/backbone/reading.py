"""The input of a head: the states of a body after one or several blocks, at the last token or as the mean over tokens.

Layer n is the final norm applied to the state after block n: the last hidden state of the body cut to n blocks.
"""

import torch
from torch import nn

from numpy_ref.errors import InputError

POOLINGS = ("last", "mean")
CAUSAL = ("gpt2", "llama", "qwen2", "qwen3")  # types whose rewards are tested to be the same in packed and padded rows
LAYERS, NORMS = ("layers", "h"), ("norm", "ln_f", "final_layer_norm")  # their names in the architectures


def features_of(body, tokens, length, layers, poolings):
    """The pooled states of all these layers from one forward pass        (B, T), (B,) -> (B, L, P, C)

    A body that is known to be causal gets no mask: padding is on the right, so no real token sees it, and attention is
    faster without a mask.
    """
    last, found = body.config.num_hidden_layers, {}

    def keep(layer, states):
        found[layer] = torch.stack([pooled(states, length, pooling) for pooling in poolings], 1)  # (B, P, C)

    hooks = []
    for layer in layers:
        if layer != last:
            owner, name = blocks_of(body)

            def read(_module, _inputs, output, layer=layer):
                keep(layer, final_norm(body)(output[0] if isinstance(output, tuple) else output))

            hooks.append(getattr(owner, name)[layer - 1].register_forward_hook(read))
    try:
        mask = None if body.config.model_type in CAUSAL else real_tokens(tokens.shape[1], length)
        states = body(input_ids=tokens, attention_mask=mask, use_cache=False).last_hidden_state
    finally:
        for hook in hooks:
            hook.remove()
    if last in layers:
        keep(last, states)
    return torch.stack([found[layer] for layer in layers], 1)


def pooled(states, length, pooling):
    """The state of the last real token, or the mean over all real ones        (B, T, C), (B,) -> (B, C)"""
    if pooling == "last":
        return states[torch.arange(len(states), device=states.device), length - 1]
    real = real_tokens(states.shape[1], length)
    return (states * real[..., None]).sum(1) / length[:, None]


def real_tokens(n, length):
    """1 where a token is real, 0 where it is padding        (B,) -> (B, T)"""
    return (torch.arange(n, device=length.device) < length[:, None]).long()


def cut_layers(body, n):
    """Keeps the first n blocks; the final norm then reads the state after block n"""
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
    raise InputError(f"models of type {kind} keep their blocks under an unknown name: use --layer {n}")


def final_norm(body):
    """The norm after the last block"""
    return next(norm for name in NORMS if (norm := getattr(body, name, None)) is not None)
