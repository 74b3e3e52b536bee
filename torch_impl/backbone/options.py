"""The options for a pretrained model: which one, and which of its weights are trained."""

from dataclasses import dataclass

from numpy_ref.cli.main import positive, positive_int
from numpy_ref.cli.options import Options, option, word
from numpy_ref.errors import InputError

PRETRAINED, FROZEN = "pretrained model (needs the extra hf)", "frozen pretrained model"


def _auto(number):
    def parse(text):
        return text if text == "auto" else number(text)

    return parse


def _layers(text):
    """6,12,18 -> (6, 12, 18)"""
    return tuple(positive_int(number) for number in text.split(","))


def _template(text):
    return text.replace("\\n", "\n")


@dataclass(frozen=True)
class BackboneOptions(Options):
    """Which pretrained model, and which of its weights are trained"""

    model_name_or_path: str | None = option(
        PRETRAINED, None, "a model's directory, a hub id, or smollm2", metavar="NAME"
    )
    gguf_file: str | None = option(
        PRETRAINED, None, "a GGUF file, or an installed package that holds one", metavar="FILE"
    )
    pooling: str = option(
        PRETRAINED,
        "last",
        "last: read the state of the last token, as transformers does; mean: the mean over all tokens, which "
        "transformers cannot read; auto: with --freeze-backbone, the better one on prompts left out of --data",
        choices=["auto", "last", "mean"],
    )
    template: str | None = option(
        PRETRAINED,
        None,
        "the text to make of prompt and response, with {prompt} and {response}, \\n for a new line, and any of the "
        "model's special tokens; default: prompt, new line, response and eos",
        metavar="TEXT",
        type=_template,
    )
    use_peft: bool = option(PRETRAINED, False, "train low-rank additions (LoRA) and the head alone")
    lora_r: int = option(PRETRAINED, 16, "rank of these additions", type=positive_int)
    lora_alpha: int = option(PRETRAINED, 32, "the additions are scaled by alpha / r", type=positive_int)
    lora_target_modules: list[str] | None = option(
        PRETRAINED, None, "modules to add to, or all-linear; default: peft's choice", metavar="NAME", nargs="+"
    )
    freeze_backbone: bool = option(FROZEN, False, "train the head alone, exactly, by Newton's method")
    layer: str | int = option(
        FROZEN, "auto", "the block after which the head reads, or auto", metavar="N", type=_auto(positive_int)
    )
    head_layers: tuple[int, ...] | None = option(
        FROZEN,
        None,
        "several blocks after which one head reads, such as 6,12,18, instead of --layer; transformers cannot read such "
        "a model",
        metavar="N,N,...",
        type=_layers,
    )
    ridge: str | float = option(FROZEN, "auto", "λ of the penalty λ/2 |w|², or auto", type=_auto(positive))
    folds: int = option(FROZEN, 6, "largest number of parts into which auto splits the prompts", type=positive_int)


NAMES = ("model_name_or_path", "gguf_file")
OURS = {"n_layer": "number of layers", "n_head": "number of heads", "n_embd": "number of channels"}
OURS |= {"vocab_size": "vocabulary", "init_from": "weights"}  # options of the small models built here
EXACT = ("layer", "head_layers", "ridge", "folds")  # for a frozen model only


def is_wanted(options, record=None):
    """Whether the options, or those recorded by the run that is resumed, name a pretrained model"""
    if record is not None:
        return any(record.get(name) for name in NAMES)
    wanted = any(getattr(options, name) for name in NAMES)
    needless = (options.given & BackboneOptions.names().keys()) - set(NAMES)
    if needless and not wanted:
        raise InputError(
            f"{word(min(needless))}: speaks of a pretrained model: name one with --model-name-or-path or --gguf-file"
        )
    return wanted
