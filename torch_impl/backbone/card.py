"""README.md of a reward model on a pretrained body: numpy_ref's parts, and the text that the model expects."""

import re
from pathlib import Path

from numpy_ref.files import write_text
from numpy_ref.storage.model_card import cell, data_table, header, measured_table, options_table, shown

from .options import OURS

READS = """\
The reward is linear in {read}. Only differences of rewards of responses to one prompt mean anything: the first of two
is preferred with probability σ(difference).

The text is {text}. A text that ends in any other way gets another reward. Messages go through the chat template, if
there is one, and what people wrote is tokenised with `split_special_tokens=True`."""
READ_BY_TRANSFORMERS = "the last hidden state of the last token, as `AutoModelForSequenceClassification` reads it"
READ_HERE = """\
{states} {where}. No class of transformers reads that, so its `model_type` and the name
of its weights are this project's own, and transformers refuses it"""
STATES = {"last": "the last token's hidden states", "mean": "the mean over the tokens of the hidden states"}
LOAD_BY_TRANSFORMERS = """```python
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

directory = "."  # where this file lies
tokenizer = AutoTokenizer.from_pretrained(directory)
model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
prompt, responses = "2 + 2?", ["4", "5"]
texts = [{text} for response in responses]
batch = tokenizer(texts, padding=True, return_tensors="pt"{options})
with torch.no_grad():
    rewards = model(**batch).logits[:, 0]
print(rewards, "P(first is preferred):", torch.sigmoid(rewards[0] - rewards[1]))
```

A `pipeline` puts a single label through a sigmoid: ask it for `function_to_apply="none"`."""
LOAD_HERE = """```python
import torch_impl  # of reward-by-hand

prompt, responses = "2 + 2?", ["4", "5"]
rewards = torch_impl.load(".").score(prompt, responses)  # "." is where this file lies
```"""
HUB_ID = r"[\w.-]+/[\w.-]+"


def short(model, tokenizer):
    """The card of a model without a record of its training, such as a checkpoint"""
    return "\n\n".join([header() + "# Reward model", *how_it_reads(model, tokenizer)]) + "\n"


def write(directory, model, tokenizer, data, measured, options, versions):
    """README.md of a finished run

    data        the training data, as tokens.Encoded
    measured    the held-out results; {} if nothing was held out
    options     the options of the training, with the SHA-256 of each file
    """
    options = {name: value for name, value in options.items() if name not in OURS}
    parts = [header(options.get("dataset_name"), base_model(options)) + "# Reward model", about(model, options)]
    parts += ["## Data", *data_table(data, options), "## Training", *options_table(versions, options)]
    parts += ["## Measured", *measured_table(measured), *how_it_reads(model, tokenizer)]
    write_text(Path(directory, "README.md"), "\n\n".join(parts) + "\n")


def base_model(options):
    """The hub's id of the body; None if it is a directory or a file"""
    name = options.get("model_name_or_path")
    return name if name and re.fullmatch(HUB_ID, name) and not Path(name).exists() else None


def about(model, options):
    """One paragraph: the body, its size, and which weights were trained"""
    name = shown(options.get("model_name_or_path") or options.get("gguf_file"))
    what = "low-rank additions and the head" if options.get("use_peft") else "all weights"
    what = "the head alone, exactly, on a frozen body" if options.get("freeze_backbone") else what
    size, n_layer = sum(p.numel() for p in model.parameters()), model.body.config.num_hidden_layers
    return (
        f"A reward model: it gives a response to a prompt one number, its reward. {type(model.body).__name__} of "
        f"{cell(name)} with {n_layer} blocks and {size:,} weights, and a linear head. Trained: {what}."
    )


def how_it_reads(model, tokenizer):
    """The text that the model expects, and the code that loads and runs it"""
    if model.plain:
        read, load = READ_BY_TRANSFORMERS, LOAD_BY_TRANSFORMERS.format(**as_code(tokenizer))
    else:
        read, load = READ_HERE.format(states=STATES[model.pooling], where=after(model.layers)), LOAD_HERE
    yield "## What it reads"
    yield READS.format(read=read, text=tokenizer.expects)
    yield "## Load it"
    yield load


def after(layers):
    """In words, the layers that the head reads"""
    return f"after the blocks {', '.join(map(str, layers))}, all at once" if len(layers) > 1 else "after the last block"


def as_code(tokenizer):
    """The Python expression that makes the text, and the tokenizer's options for it"""
    if tokenizer.template is None:
        return {"text": r'prompt + "\n" + response + tokenizer.eos_token', "options": ""}
    text = f'{tokenizer.template!r}.replace("{{prompt}}", prompt).replace("{{response}}", response)'
    return {"text": text, "options": ", add_special_tokens=False"}
