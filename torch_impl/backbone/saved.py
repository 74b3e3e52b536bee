"""A reward model on a pretrained body as a directory, which is read right or not at all.

last    an ordinary sequence classifier: config.json and model.safetensors. Plain transformers gives the same rewards.
mean    no class of transformers pools by the mean, and a sequence classifier would read the last token without a word.
        So the model has a type of its own, which stops Auto classes and pipelines, and its weights are in
        reward.safetensors, which stops classes that are named, such as LlamaForSequenceClassification.

Version 0.1.0 saved both kinds as classifiers; `load_saved` still reads them.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from numpy_ref.errors import InputError
from numpy_ref.evaluation.score import Scorer, standardised
from numpy_ref.files import read_json, write_json, write_text
from numpy_ref.storage.checkpoint import directory_of
from numpy_ref.storage.checksums import BY_HAND

from . import card
from .load import transformers_library
from .model import POOLINGS, BackboneReward, classifier_of, positions
from .tokenizer import BackboneTokenizer

MEAN_POOLED = "reward_by_hand_mean_pooled"
ONLY_HERE = (
    "note      mean pooling: transformers has no class that reads this model, and refuses it.\n"
    '          Load it with torch_impl.backbone.load_saved("{directory}")'
)


def save_model(directory, model, tokenizer, learned_ties=None, gathered=None):
    """Writes config.json, the weights and the tokenizer's files into a directory

    gathered  arrays by the model's names that stand for its own, which several processes may have between them
    """
    Path(directory).mkdir(parents=True, exist_ok=True)
    classifier = classifier_of(model.body.config, model.body.config.model_type)
    whole = {name: torch.from_numpy(array) for name, array in (gathered or {}).items() if ".lora_" not in name}
    body = plain_state(model.body) | {n.removeprefix("body."): t for n, t in whole.items() if n.startswith("body.")}
    state = {f"{classifier.base_model_prefix}.{name}": tensor for name, tensor in body.items()}
    state["score.weight"] = whole.get("head.weight", model.head.weight.detach())
    state = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
    classifier.load_state_dict(state, assign=True)
    ours = {"id2label": {0: "reward"}, "label2id": {"reward": 0}, "reward_pooling": model.pooling}
    ours |= {"reward_template": tokenizer.template} if tokenizer.template is not None else {}
    classifier.config.update(ours | (learned_ties or {}))
    classifier.config.pad_token_id = tokenizer.tokenizer.pad_token_id
    if model.pooling == "last":
        classifier.save_pretrained(directory)
    else:
        save_mean_pooled(Path(directory), classifier, state)
    tokenizer.tokenizer.save_pretrained(directory)
    write_text(Path(directory, "README.md"), card.short(model.pooling, tokenizer))


def save_mean_pooled(directory, classifier, state):
    """config.json and reward.safetensors, which no class of transformers takes for its own"""
    classifier.config.dtype = classifier.dtype
    config = classifier.config.to_dict()
    config |= {"model_type": MEAN_POOLED, "architectures": None, "reward_body_type": config["model_type"]}
    write_json(directory / "config.json", config)
    save_file(state, directory / BY_HAND, {"format": "pt"})


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
    try:
        loaded, tokenizer = load_classifier(Path(directory), config)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{directory}: cannot be loaded: {reason}; use a whole checkpoint") from None
    model = BackboneReward(loaded.base_model, pooling)
    model.head.weight = loaded.score.weight
    return model, BackboneTokenizer(tokenizer, positions(loaded.config), config.get("reward_template"))


def load_classifier(directory, config):
    """(transformers' sequence classifier, its tokenizer); the error of transformers where a file is not right"""
    transformers = transformers_library()
    auto, options = transformers.AutoModelForSequenceClassification, {"trust_remote_code": False}
    if config.get("model_type") != MEAN_POOLED:
        classifier = auto.from_pretrained(directory, use_safetensors=True, **options)
        return classifier, transformers.AutoTokenizer.from_pretrained(directory, **options)
    config = transformers.AutoConfig.for_model(**config | {"model_type": config["reward_body_type"]})
    classifier = auto.from_config(config, dtype=config.dtype, **options)
    classifier.load_state_dict(load_file(directory / BY_HAND))
    return classifier.eval(), transformers.AutoTokenizer.from_pretrained(directory, config=config, **options)
