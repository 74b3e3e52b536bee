"""A reward model on a pretrained body from the Hugging Face ecosystem: its last hidden state, a head without bias.

The end of a response is its explicit length, never looked for by the pad token; padding stands on the right; dropout
is off. What is saved is an ordinary sequence classifier, unless it pools by the mean: then `load_saved` reads it.
"""

from pathlib import Path

import torch
from torch import nn

from numpy_ref.errors import InputError
from numpy_ref.evaluation.score import Scorer, standardised
from numpy_ref.files import read_json, write_text
from numpy_ref.storage.checkpoint import directory_of
from numpy_ref.storage.model_card import of_backbone

from .load import load_pretrained, transformers_library, with_pad_token
from .tokenizer import BackboneTokenizer

POOLINGS = ("last", "mean")
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
        self.head = nn.Linear(body.config.hidden_size, 1, bias=False)
        nn.init.zeros_(self.head.weight)
        self.train(False)

    def train(self, mode=True):  # noqa: ARG002
        """Dropout stays off: two masks would add noise to a difference of two rewards"""
        return super().train(False)

    def forward(self, tokens, length):
        flat, ends = tokens.flatten(0, 1), length.flatten()
        mask = real_tokens(flat.shape[1], ends)
        states = self.body(input_ids=flat, attention_mask=mask, use_cache=False).last_hidden_state
        features = pooled(states, ends, self.pooling).to(self.head.weight.dtype)
        return self.head(features).view(length.shape)


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


def save_model(directory, model, tokenizer, learned_ties=None, gathered=None):
    """Writes config.json, model.safetensors and the tokenizer's files into a directory

    gathered  arrays by the model's names that stand for its own, which several processes may have between them
    """
    classifier = classifier_of(model.body.config, model.body.config.model_type)
    whole = {name: torch.from_numpy(array) for name, array in (gathered or {}).items() if ".lora_" not in name}
    body = plain_state(model.body) | {n.removeprefix("body."): t for n, t in whole.items() if n.startswith("body.")}
    state = {f"{classifier.base_model_prefix}.{name}": tensor for name, tensor in body.items()}
    state["score.weight"] = whole.get("head.weight", model.head.weight.detach())
    classifier.load_state_dict({name: t.cpu().contiguous() for name, t in state.items()}, assign=True)
    ours = {"id2label": {0: "reward"}, "label2id": {"reward": 0}, "reward_pooling": model.pooling}
    ours |= {"reward_template": tokenizer.template} if tokenizer.template is not None else {}
    classifier.config.update(ours | (learned_ties or {}))
    classifier.config.pad_token_id = tokenizer.tokenizer.pad_token_id
    classifier.save_pretrained(directory)
    tokenizer.tokenizer.save_pretrained(directory)
    write_text(Path(directory, "README.md"), of_backbone(model.pooling, tokenizer.template))


def plain_state(body):
    """The body's weights by their own names, low-rank additions merged into them"""
    state = {name.replace(".base_layer", ""): t for name, t in body.state_dict().items() if ".lora_" not in name}
    for name, module in body.named_modules():
        if hasattr(module, "get_delta_weight"):
            state[f"{name}.weight"] = state[f"{name}.weight"] + module.get_delta_weight("default").detach()
    return state


def is_saved(directory):
    """Did save_model write this directory, or this run's newest checkpoint?"""
    try:
        config = read_json(directory_of(directory) / "config.json")
    except InputError:  # whoever loads it says it
        return False
    return isinstance(config, dict) and "reward_pooling" in config


def load_saved(directory, device="cpu"):
    """The Scorer of a directory that save_model wrote"""
    directory = directory_of(directory)
    model, tokenizer = load_model(directory)
    model.to(device)

    @torch.no_grad()
    def rewards(tokens, length):
        return model(torch.from_numpy(tokens).to(device), torch.from_numpy(length).to(device)).cpu().numpy()

    return Scorer(standardised(rewards, read_json(directory / "config.json")), tokenizer, tokenizer.max_length)


def load_model(directory):
    """(BackboneReward, BackboneTokenizer) of a directory that save_model wrote"""
    config = read_json(Path(directory, "config.json"))
    pooling = config.get("reward_pooling") if isinstance(config, dict) else None
    if pooling not in POOLINGS:
        raise InputError(f"{directory}/config.json: not a reward model on a pretrained body saved by this project")
    transformers = transformers_library()
    try:
        options = {"trust_remote_code": False}
        loaded = transformers.AutoModelForSequenceClassification.from_pretrained(
            directory, use_safetensors=True, **options
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(directory, **options)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{directory}: cannot be loaded: {reason}; use a whole checkpoint") from None
    model = BackboneReward(loaded.base_model, pooling)
    model.head.weight = loaded.score.weight
    return model, BackboneTokenizer(tokenizer, positions(loaded.config), config.get("reward_template"))
