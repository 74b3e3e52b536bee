"""Models on disk, in the ecosystem's own format: config.json and model.safetensors of a GPT-2 sequence classifier.

`transformers.AutoModelForSequenceClassification.from_pretrained(directory)` gives the same rewards; a language model is
written as AutoModelForCausalLM reads it. GPT-2's linear layers are stored (in, out), ours (out, in): the only
arithmetic here is that transpose. Pickles are never read. The checkpoints of a run are written by run.py.
"""

import re
import shlex
from pathlib import Path
from reprlib import repr as shortened

import numpy as np

from ..cli import memory
from ..data import tokenizer as tokenizers
from ..errors import InputError
from ..files import check_input, read_json, write_json, written_whole
from ..tree import flatten, unflatten
from .checksums import BY_HAND, verify

GPT2_NAMES = {
    "body": "transformer",
    "tok": "wte",
    "pos": "wpe",
    "blocks": "h",
    "ln1": "ln_1",
    "ln2": "ln_2",
    "ln": "ln_f",
    "qkv": "c_attn",
    "ffn": "mlp",
    "fc": "c_fc",
    "proj": "c_proj",
    "head": "score",
    "unembedding": "lm_head",
}
# The top of a model: its name in the ecosystem, and how a message describes it
ARCHITECTURES = {"head": "GPT2ForSequenceClassification", "unembedding": "GPT2LMHeadModel"}
IS_A = {"head": "a reward model", "unembedding": "a language model, which has no rewards"}
# With any other value the model would compute a different function.
ARITHMETIC = {
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "n_inner": None,
}


def gpt2_name(name):
    """body.blocks.0.attn.qkv.weight -> transformer.h.0.attn.c_attn.weight"""
    return ".".join(GPT2_NAMES.get(part, part) for part in name.split("."))


def _is_transposed(name):
    return re.search(r"\.(attn|ffn)\.\w+\.weight$", name) is not None


def _transposed(name, array):
    return np.ascontiguousarray(array.T) if _is_transposed(name) else array


def shapes(vocab_size, n_positions, n_embd, n_layer, top="head"):
    """Name and shape of every parameter, in the tree's order; lazy: a bad config.json may have a huge n_layer"""
    C = n_embd
    yield from {"body.tok.weight": (vocab_size, C), "body.pos.weight": (n_positions, C)}.items()
    attention, feed_forward = {"qkv": (3 * C, C), "proj": (C, C)}, {"fc": (4 * C, C), "proj": (C, 4 * C)}
    layer = flatten({"ln1": (C,), "attn": attention, "ln2": (C,), "ffn": feed_forward})
    for i in range(n_layer):
        for name, shape in layer.items():
            yield f"body.blocks.{i}.{name}.weight", shape
            yield f"body.blocks.{i}.{name}.bias", shape[:1]
    rows = 1 if top == "head" else vocab_size
    yield from {"body.ln.weight": (C,), "body.ln.bias": (C,), f"{top}.weight": (rows, C)}.items()


def config_of(params, n_head):
    """config.json, as transformers' GPT-2 and our own loader need it"""
    tok, pos = params["body"]["tok"]["weight"], params["body"]["pos"]["weight"]
    top = next(name for name in params if name != "body")
    of_top = (
        {"id2label": {"0": "reward"}, "label2id": {"reward": 0}} if top == "head" else {"tie_word_embeddings": False}
    )
    return {
        "architectures": [ARCHITECTURES[top]],
        "model_type": "gpt2",
        "vocab_size": tok.shape[0],
        "n_positions": pos.shape[0],
        "n_embd": tok.shape[1],
        "n_layer": len(params["body"]["blocks"]),
        "n_head": n_head,
        **{name: value for name, value in ARITHMETIC.items() if value is not None},
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "resid_pdrop": 0.0,
        **of_top,
        "pad_token_id": tokenizers.PAD,
        "bos_token_id": tokenizers.BOS,
        "eos_token_id": tokenizers.EOS,
        "dtype": str(tok.dtype),
    }


def save_model(directory, params, n_head, tokenizer, learned_ties=None):
    """Writes config.json, model.safetensors and the tokenizer's files into a directory

    learned_ties    name and parameter of a tie model, added to config.json
    """
    write_arrays(
        Path(directory, "model.safetensors"),
        {gpt2_name(name): _transposed(name, array) for name, array in flatten(params).items()},
    )
    write_json(
        Path(directory, "config.json"),
        config_of(params, n_head) | tokenizers.config_without_specials(tokenizer) | (learned_ties or {}),
    )
    tokenizers.save(tokenizer, directory)


def load_model(directory, tops=("head",)):
    """(params, n_head, tokenizer) of a model directory written by either package, or of a run's newest checkpoint

    tops    accepted kinds: "head", a reward model; "unembedding", a language model
    """
    directory = directory_of(directory)
    verify(directory)
    config = read_config(directory)
    top = top_of(config)
    if top not in tops:
        advice = f": train a reward model from it with train --init-from {shlex.quote(str(directory))}" * (
            top != "head"
        )
        raise InputError(f"{directory}: {IS_A[top]}, where {IS_A[tops[0]].split(',')[0]} is expected{advice}")
    size = {key: config[key] for key in ("vocab_size", "n_positions", "n_embd", "n_layer")} | {"top": top}
    path = directory / "model.safetensors"
    arrays, flat = read_arrays(path), {}
    for name, shape in shapes(**size):
        theirs, wanted = gpt2_name(name), shape[::-1] if _is_transposed(name) else shape
        stored = arrays.pop(theirs, None)
        if stored is None:
            raise InputError(f"{path}: the tensor {theirs} is missing: use a whole checkpoint")
        if stored.shape != wanted:
            raise InputError(
                f"{path}: {theirs} has the shape {stored.shape}, but config.json asks for {wanted}: "
                "the two files belong to different models"
            )
        flat[name] = _transposed(name, stored)
    if arrays:
        raise InputError(f"{path}: unknown tensor {min(arrays)}: not a model of this project")
    tokenizer = tokenizers.load(directory)
    if tokenizer.vocab_size != config["vocab_size"]:
        raise InputError(
            f"{directory}: the tokenizer has {tokenizer.vocab_size} tokens, the model {config['vocab_size']}: "
            "the files belong to different models"
        )
    return unflatten(flat), config["n_head"], tokenizer


def top_of(config):
    """ "unembedding" if config.json describes a language model, else "head" """
    return "unembedding" if config.get("architectures") == [ARCHITECTURES["unembedding"]] else "head"


def read_config(directory):
    """config.json as a dict; InputError unless it has the sizes that our model needs"""
    path = Path(directory, "config.json")
    config = read_json(path)
    sizes = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")
    fits = isinstance(config, dict) and all(type(config.get(key)) is int and config[key] > 0 for key in sizes)
    if not fits or config.get("model_type") != "gpt2" or config["n_embd"] % config["n_head"]:
        raise InputError(f"{path}: not the configuration of a model saved by this project")
    for name, ours in ARITHMETIC.items():
        if config.get(name, ours) != ours:
            raise InputError(f"{path}: {name} is {shortened(config[name])}, where our model has {shortened(ours)}")
    return config


def directory_of(directory):
    """The directory itself if it holds a finished model, else the checkpoint that its file `latest` points to"""
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(f"{directory}: there is no such directory: give a run or model directory made by train")
    if any((directory / name).is_file() for name in ("model.safetensors", BY_HAND)):
        return directory
    if (directory / "latest").is_file():
        return newest(directory)
    pickled = [path.name for path in sorted(directory.glob("*")) if path.suffix in {".bin", ".pt", ".pth", ".pkl"}]
    if pickled:
        raise InputError(
            f"{directory / pickled[0]}: a pickle can run any code and is never loaded: convert it to safetensors"
        )
    raise InputError(f"{directory}: holds no model.safetensors: give a run or model directory made by train")


def newest(run):
    """The checkpoint that a run's file `latest` points to"""
    with open(run / "latest", encoding="utf-8", errors="replace") as file:
        name = file.read(100).strip()
    if not re.fullmatch(r"checkpoint-\d+", name) or not (run / name).is_dir():
        raise InputError(f"{run / 'latest'}: points to {shortened(name)}, which is no checkpoint of this run")
    return run / name


def read_arrays(path):
    """The tensors of a safetensors file; InputError if it is missing, damaged, or not float32 or float64 throughout"""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    check_input(path)
    try:
        memory.check(path.stat().st_size, path, "use a smaller model, or a larger machine")
        arrays = load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file: the checkpoint is not whole") from None
    except InputError:
        raise
    except (SafetensorError, OSError, KeyError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({error}): the checkpoint is damaged") from None
    dtypes = {str(array.dtype) for array in arrays.values()}
    if len(dtypes) > 1 or not dtypes <= {"float32", "float64"}:
        raise InputError(f"{path}: tensors of type {', '.join(sorted(dtypes))}: float32 or float64 expected throughout")
    return arrays


def write_arrays(path, arrays):
    """Writes a safetensors file; older versions of transformers need the metadata"""
    from safetensors.numpy import save

    with written_whole(path, "wb") as file:
        file.write(save(arrays, metadata={"format": "pt"}))
