"""README.md of a finished model: what it is, what it was trained on, what was measured, how to load it.

The Hugging Face hub reads its header. The card states only what was recorded or measured.
"""

import re
from pathlib import Path

from ..cli.options import word
from ..cli.text import counted, printable, signed
from ..data.tokenizer import Words
from ..files import write_text

HEADER = """---
library_name: transformers
pipeline_tag: text-classification
tags:
- reward-model
- bradley-terry
- rlhf
{known}---
"""
LOAD = """```python
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

directory = "."  # where this file lies
tokenizer = AutoTokenizer.from_pretrained(directory)
model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
prompt, responses = {prompt!r}, {responses!r}
batch = tokenizer([prompt] * 2, responses, padding=True, return_tensors="pt")
with torch.no_grad():
    rewards = model(**batch).logits[:, 0]
print(rewards, "P(first is preferred):", torch.sigmoid(rewards[0] - rewards[1]))
```"""
LIMITS = """\
- A reward means something only beside the reward of another response to the same prompt: the loss sees no other
  difference, and rewards of different prompts have no common zero.
- P(first is preferred) = σ(reward of the first - reward of the second) is as good as the log loss above shows.
- `pipeline("text-classification")` puts a single label through a sigmoid: ask it for `function_to_apply="none"`.
- A text of more than {max_length} tokens has no place: it was left out of the training, and is refused by `score`.
- What is not listed under Measured was not measured: other data, other languages, safety, use as a target to
  optimise."""
TITLES = {"eval_accuracy": "accuracy", "eval_loss": "log loss", "eval_brier": "Brier score"}
NOT_SHOWN = {"data", "eval_data", "data_sha256", "eval_data_sha256", "dataset_sha256"}
NO_OPTION = {"batch_size": "batch of a step, on all devices"}  # recorded, but determined by the run


def write(directory, learner, weights, tokenizer, data, measured, options):
    """Writes README.md beside the finished model

    weights     all weights of the learner
    data        the training data, with counts of the rows left out
    measured    the result of training.data.report: {} if nothing was held out
    options     the recorded options of the training (training.resume.recorded), with the SHA-256 of each file
    """
    parts = [header(options.get("dataset_name")) + "# Reward model", *what(learner, weights, tokenizer)]
    parts += ["## Data", *data_table(data, options), "## Training", *options_table(learner.versions(), options)]
    parts += ["## Measured", *measured_table(measured), "## Limits"]
    parts.append(LIMITS.format(max_length=len(weights["body.pos.weight"])))
    parts += ["## Load it", load_it(tokenizer)]
    write_text(Path(directory, "README.md"), "\n\n".join(parts) + "\n")


def header(dataset=None, base_model=None):
    """The YAML header for the hub; it names a dataset only if that is a hub id: owner/name or name"""
    of_the_hub = dataset and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", dataset) and not Path(dataset).exists()
    known = f"datasets:\n- {dataset}\n" if of_the_hub else ""
    return HEADER.format(known=known + (f"base_model: {base_model}\n" if base_model else ""))


def what(learner, weights, tokenizer):
    """One paragraph: the kind of model and its size"""
    n_layer = len({name.split(".")[2] for name in weights if name.startswith("body.blocks.")})
    size, head = sum(array.size for array in weights.values()), weights["head.weight"]
    texts = {"words": "the words of a small built-in world", "bytes": "bytes"}.get(tokenizer.name, "token ids")
    yield (
        f"A reward model: it gives a response to a prompt one number, its reward. A GPT-2 sequence classifier with "
        f"{size:,} parameters ({n_layer} blocks, {learner.n_head} heads, {head.size} channels, {head.dtype}), which "
        f"reads {texts}, trained by `{learner.side}`."
    )


def data_table(data, options):
    """The data files by name and SHA-256, and how many rows were used"""
    unit = "comparisons" if options.get("loss", "pairwise") == "pairwise" else "ranked lists"
    left_out = f"{data.too_long:,} too long, {data.identical:,} identical, {data.all_tied:,} all tied"
    dataset = options.get("dataset_name")
    if not options.get("data") and not dataset:
        seed = options.get("seed")
        yield f"The built-in world of seed {seed}: {len(data.rows):,} {unit}, labels drawn from known rewards."
        return
    rows = [
        ("training" if name == "data" else "held-out", Path(path).name, options.get(f"{name}_sha256", ""))
        for name in ("data", "eval_data")
        for path in as_list(options.get(name))
    ]
    rows += [("dataset", shown(dataset), options.get("dataset_sha256", ""))] if dataset else []
    yield markdown_table(("", "file", "SHA-256"), rows)
    yield f"Trained on {len(data.rows):,} {unit}; left out: {left_out}."


def options_table(versions, options):
    """Every recorded option that was set, and the versions"""
    rows = [
        (NO_OPTION.get(name) or word(name), shown(value)) for name, value in options.items() if name not in NOT_SHOWN
    ]
    yield markdown_table(("option", "value"), [row for row in rows if row[1] not in ("", "None", "False")])
    yield "Made with " + ", ".join(f"{name} {cell(value)}" for name, value in versions.items()) + "."


def measured_table(measured):
    """Held-out scores next to floors and baseline, or a sentence that nothing was measured"""
    if not measured:
        yield "Nothing was held out, so nothing was measured."
        return
    result, floors = measured["result"], measured["floors"]
    head = ("held out", "value", *(["best reachable"] if floors else []))
    rows = [
        (
            title,
            f"{result[name]:.4f}{interval(result, name)}",
            *([f"{floors[name.removeprefix('eval_')]:.4f}"] if floors else []),
        )
        for name, title in TITLES.items()
        if name in result
    ]
    rows.append(("baseline: the longer response wins", f"{measured['baseline']:.4f}", *([""] if floors else [])))
    if "eval_matched_accuracy" in result:
        pairs = f"accuracy on {counted(result['eval_matched_pairs'], 'pair')} of similar length"
        rows.append((pairs, f"{result['eval_matched_accuracy']:.4f}", *([""] if floors else [])))
    rows.append(("pairs of equal reward", f"{result.get('eval_ties', 0.0):.4f}", *([""] if floors else [])))
    yield markdown_table(head, rows)
    yield f"On {counted(measured['prompts'], 'held-out prompt')}{': ' + measured['kept'] if measured['kept'] else ''}."


def interval(result, name):
    """The 95 % interval of a score, where it was computed"""
    low, high = result.get(f"{name}_interval", (None, None))
    return "" if low is None else f" ({low:.3f} to {high:.3f})"


FOLDED = "folded into the weights"
BESIDE = (
    "where the division is folded into the head and the mean is kept as reward_mean in config.json: only this "
    "project's commands subtract it, other programs give rewards that are larger by the mean, with the same differences"
)


def normalised(source, mean, scale, why, data, n, *, where=FOLDED):
    """The card of a model made by `normalize`: the old card, if there is one, and a section on what was done"""
    path = Path(source, "README.md")
    card = path.read_text(encoding="utf-8") if path.is_file() else header() + "# Reward model\n"
    card = re.sub(r"\n## Normalised\n.*", "\n", card, flags=re.DOTALL).rstrip("\n")
    changed = (
        ""
        if scale == 1
        else (
            f"\n\nP(preferred) is now σ(margin of before / {scale:.6g}). No preference changes, so that the accuracy "
            "above holds; the log loss and the Brier score do not."
        )
    )
    return (
        f"{card}\n\n## Normalised\n\nreward = (reward of before {signed(-mean, '.6g')}) / {scale:.6g}, {where} "
        f"({why}); the mean is that of {counted(n, 'reference response')} in {cell(Path(data).name)}.{changed}\n"
    )


def load_it(tokenizer):
    """Code that loads the model from the card's directory; for token ids one sentence, as their tokenizer is unknown"""
    if tokenizer.name in ("words", "bytes"):
        return LOAD.format(**example(tokenizer))
    return "With `AutoModelForSequenceClassification`; it reads the ids of the tokenizer that made the data."


def example(tokenizer):
    """A prompt and two responses that the tokenizer can read"""
    if isinstance(tokenizer, Words):
        return {"prompt": "say cat", "responses": ["cat .", "dog"]}
    return {"prompt": "2 + 2?", "responses": ["4", "5"]}


def as_list(value):
    """One path or several, as a list"""
    return [] if not value else list(value) if isinstance(value, list | tuple) else [value]


def shown(value):
    """An option's value: 1.0 as 1, an absolute path by its last part only, as the rest describes somebody's machine"""
    if isinstance(value, float):
        return str(value).removesuffix(".0")
    values = [Path(v).name if isinstance(v, str) and Path(v).is_absolute() else str(v) for v in as_list(value)]
    return ", ".join(values) if values else str(value)


def markdown_table(head, rows):
    """A table of GitHub's Markdown"""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines)


def cell(value):
    """The text of a table cell, with bars and markup escaped and line ends replaced by blanks"""
    return re.sub(r"([|`*\\<>\[\]])", r"\\\1", printable(str(value)))
