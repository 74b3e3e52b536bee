"""A reward model on a pretrained body as a directory: other programs load it correctly or not at all.

last token of one layer     an ordinary sequence classifier: config.json and model.safetensors. Plain transformers gives
                            the same rewards.
mean, or several layers     no class of transformers reads these, and a sequence classifier would read the last token of
                            the last layer and report nothing. So the model has a type of its own, which stops Auto
                            classes and pipelines, and its weights are in reward.safetensors, which stops classes that
                            are named, such as LlamaForSequenceClassification.

Version 0.1.0 saved the mean as a classifier too; `load_saved` still reads it.
"""

from pathlib import Path
from reprlib import repr as shortened

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
from .model import BackboneReward, classifier_of, positions
from .reading import POOLINGS
from .tokenizer import BackboneTokenizer

MEAN_POOLED, SEVERAL_LAYERS = "reward_by_hand_mean_pooled", "reward_by_hand_several_layers"
ONLY_HERE = (
    "note      {what}: transformers has no class that reads this model, and refuses it.\n"
    '          Load it with torch_impl.load("{directory}")'
)


def own_type(model):
    """The model_type of a model that transformers must refuse"""
    return SEVERAL_LAYERS if len(model.layers) > 1 else MEAN_POOLED


def note_on_loading(model, directory):
    """Prints how to load a model that transformers refuses"""
    if not model.plain:
        what = f"a head on {len(model.layers)} layers" if len(model.layers) > 1 else "mean pooling"
        print(ONLY_HERE.format(what=what, directory=directory))


def save_model(directory, model, tokenizer, learned_ties=None, gathered=None):
    """Writes config.json, the weights and the tokenizer's files into a directory

    gathered  {name: array} to save in place of the model's own weights, which may be spread over processes
    """
    Path(directory).mkdir(parents=True, exist_ok=True)
    classifier = classifier_of(model.body.config, model.body.config.model_type)
    whole = {name: torch.from_numpy(array) for name, array in (gathered or {}).items() if ".lora_" not in name}
    body = plain_state(model.body) | {n.removeprefix("body."): t for n, t in whole.items() if n.startswith("body.")}
    state = {f"{classifier.base_model_prefix}.{name}": tensor for name, tensor in body.items()}
    state["score.weight"] = whole.get("head.weight", model.head.weight.detach())
    state = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
    ours = {"id2label": {0: "reward"}, "label2id": {"reward": 0}, "reward_pooling": model.pooling}
    ours |= {"reward_template": tokenizer.template} if tokenizer.template is not None else {}
    classifier.config.update(ours | (learned_ties or {}))
    classifier.config.pad_token_id = tokenizer.tokenizer.pad_token_id
    if model.plain:
        classifier.load_state_dict(state, assign=True)
        classifier.save_pretrained(directory)
    else:
        save_refused(Path(directory), classifier.config, state, model)
    tokenizer.tokenizer.save_pretrained(directory)
    write_text(Path(directory, "README.md"), card.short(model, tokenizer))


def save_refused(directory, config, state, model):
    """config.json and reward.safetensors, which every class of transformers refuses"""
    config.dtype = model.body.dtype
    config = config.to_dict()
    config |= {"model_type": own_type(model), "architectures": None, "reward_body_type": config["model_type"]}
    config |= {"reward_layers": list(model.layers)} if len(model.layers) > 1 else {}
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
    """Whether save_model wrote this directory, or this run's newest checkpoint"""
    try:
        config = read_json(directory_of(directory) / "config.json")
    except InputError:  # loading the directory reports it
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
        body, weight, tokenizer = load_parts(Path(directory), config)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{directory}: cannot be loaded: {reason}; use a whole checkpoint") from None
    model = BackboneReward(body, pooling, layers_of(directory, config, body.config.num_hidden_layers))
    if weight.shape != model.head.weight.shape:
        shapes = f"{tuple(weight.shape)}, and its layers make {tuple(model.head.weight.shape)}"
        raise InputError(f"{directory}: cannot be loaded: the head is {shapes}; use a whole checkpoint")
    model.head.weight = torch.nn.Parameter(weight)
    return model, BackboneTokenizer(tokenizer, positions(body.config), config.get("reward_template"))


def layers_of(directory, config, n_layer):
    """The layers that the head reads, None for the last alone; InputError if the model has no such layers"""
    if (layers := config.get("reward_layers")) is None:
        return None
    known = [n for n in range(1, n_layer + 1) if n in layers] if isinstance(layers, list) else []
    if not known or layers != known:
        raise InputError(
            f"{directory}/config.json: reward_layers is {shortened(layers)}: expected some of the layers 1 to "
            f"{n_layer}, in ascending order"
        )
    return known


def load_parts(directory, config):
    """(body, the head's weight, tokenizer); raises the error of transformers if a file is damaged"""
    transformers = transformers_library()
    options = {"trust_remote_code": False}
    if config.get("model_type") not in (MEAN_POOLED, SEVERAL_LAYERS):
        auto = transformers.AutoModelForSequenceClassification
        classifier = auto.from_pretrained(directory, use_safetensors=True, **options)
        tokenizer = transformers.AutoTokenizer.from_pretrained(directory, **options)
        return classifier.base_model, classifier.score.weight, tokenizer
    config = transformers.AutoConfig.for_model(**config | {"model_type": config["reward_body_type"]})
    body = transformers.AutoModel.from_config(config, dtype=config.dtype, **options)
    state = load_file(directory / BY_HAND)
    weight = state.pop("score.weight")
    body.load_state_dict({name.removeprefix(f"{body.base_model_prefix}."): array for name, array in state.items()})
    return body.eval(), weight, transformers.AutoTokenizer.from_pretrained(directory, config=config, **options)
