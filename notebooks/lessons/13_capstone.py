# %% [markdown]
# # 13 · Capstone: what may this model be trusted with?
#
# After this lesson you can
#
# - take a preference file that nobody has cleaned, and say what in it would mislead a model;
# - split it, train on it and evaluate the result beside what it must be compared with;
# - say in one paragraph what the model may be trusted with, and which number says so.
#
# You need lessons 8 and 10a. Reading takes about 30 minutes; your own file, at the end, about four hours.

# %%
from collections import defaultdict
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import numpy as np

import numpy_ref
from numpy_ref.data import world
from numpy_ref.data.rows import as_file
from numpy_ref.data.tokenizer import Bytes
from numpy_ref.figures.notebook import picture, table
from numpy_ref.figures.style import BLUE, INK, RUST
from numpy_ref.report import findings
from numpy_ref.report import rows as report_rows

# %% [markdown]
# ## A file
#
# A preference file has a row for each comparison: a prompt, the chosen response, the rejected one. Ours is made from
# the world of lesson 8, so that at the end, and only there, we can look at the truth. `make_file` also adds what real
# files hold: copies, contradictions, empty answers, and raters with a taste of their own that depends on the seed.


# %%
def comparisons(own, bonus, flips):
    """Two comparisons of each of 700 prompts, by raters who pay `bonus` log-odds for a word        -> rows, truth"""
    data = world.sample_responses(own, world.sample_prompts(own, 700) * 2, 2)
    words = np.array([[len(text.split()) for text in texts] for texts in data.responses])
    ranked = world.rank(own, data._replace(rewards=data.rewards + bonus * words))
    pairs = [
        p.responses[::-1] if flip else p.responses for p, flip in zip(ranked, own.random(1400) < flips, strict=True)
    ]
    rows = [{"prompt": p.prompt, "chosen": a, "rejected": b} for p, (a, b) in zip(ranked, pairs, strict=True)]
    asked = zip(data.prompts, data.responses, data.rewards, strict=True)
    return rows, {(prompt, text): float(r) for prompt, texts, two in asked for text, r in zip(texts, two, strict=True)}


# %%
def make_file(seed):
    """(rows, true rewards): a preference file with faults that depend on the seed"""
    own = np.random.default_rng(seed)
    rows, truth = comparisons(own, bonus=own.choice([0.0, 0.3, 0.6]), flips=own.choice([0.0, 0.1]))
    some = lambda n: [rows[i] for i in own.choice(len(rows), n, replace=False)]
    copies = some(40)
    turned = [row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in some(25)]
    equal, empty = [row | {"rejected": row["chosen"]} for row in some(12)], [row | {"rejected": ""} for row in some(6)]
    rows = rows + copies + turned + equal + empty
    return [rows[i] for i in own.permutation(len(rows))], truth


# %%
rows, truth = make_file(13)
for name, text in rows[0].items():
    print(f"{name:9}{text}")
print(len(rows), "rows")
assert len(rows) == 1400 + 40 + 25 + 12 + 6

# %% [markdown]
# ## Report
#
# Look before you train. The command is `python -m numpy_ref report FILE`; here we call what it calls, and show what it
# found. **Predict:** which of these lines would have made training fail, and which would have gone unnoticed?


# %%
def found(*files):
    """{name: finding} of everything that the report finds in these files, each a list of rows"""
    if len(files) == 1:
        with as_file(files[0]) as path:
            report = findings.examine(report_rows.read([path], Bytes(), 96), 96)
    else:
        with as_file(files[0]) as first, as_file(files[1]) as second:
            report = findings.examine(report_rows.read([first, second], Bytes(), 96), 96)
    return {finding.name: finding for finding in report.findings if finding.rows.any()}


trouble = found(rows)
table([[f.severity, f.what] for f in trouble.values()], ["severity", "what"])

# %%
errors = {name: int(f.rows.sum()) for name, f in trouble.items() if f.severity == "error"}
print("rows with an error:", errors)
assert errors["empty"] == 6
assert errors["identical"] >= 12
assert errors["both_orders"] >= 2 * 20

# %% [markdown]
# `train` refuses the file because of the rows that cannot be read, the empty ones; the rest would have gone unnoticed.
# Every line needs a decision that is written down. Empty answers and equal pairs go, and of copies one stays. Where a
# pair stands in both orders we know no answer, so both rows go.


# %%
def cleaned(rows):
    """One row for each comparison; none that is empty, equal or contradicted"""
    groups = defaultdict(list)
    for row in rows:
        groups[row["prompt"], *sorted((row["chosen"], row["rejected"]))].append(row)
    sound = [group[0] for group in groups.values() if len({row["chosen"] for row in group}) == 1]
    return [row for row in sound if row["chosen"] and row["rejected"] and row["chosen"] != row["rejected"]]


clean = cleaned(rows)
left = found(clean)
print(f"{len(rows)} rows, {len(clean)} after cleaning; still reported: {', '.join(left)}")
assert not [name for name, f in left.items() if f.severity == "error"]

# %% [markdown]
# ## The number to beat
#
# One finding remains, and no cleaning removes it: the longer answer was chosen more often than not. A model that counts
# characters reaches this accuracy. Write it down now, beside the place where the model's accuracy will stand.

# %%
print(left["length"].what)
longer = np.mean([(np.sign(len(row["chosen"]) - len(row["rejected"])) + 1) / 2 for row in clean])
print(f"counted by hand, a tie as one half: {longer:.1%}")
assert longer > 0.55

# %% [markdown]
# ## Split
#
# Each prompt has two comparisons. If one is trained on and the other tested on, the test measures memory. So the
# *prompts* are split, before anything else is chosen.

# %%
prompts = sorted({row["prompt"] for row in clean})
held_prompts = set(np.random.default_rng(0).permutation(prompts)[: len(prompts) // 5].tolist())
train = [row for row in clean if row["prompt"] not in held_prompts]
held = [row for row in clean if row["prompt"] in held_prompts]
print(f"{len(train)} comparisons to train on, {len(held)} held out")
assert "shared_prompts" not in found(train, held)
at_random = np.random.default_rng(0).permutation(len(clean))
careless = [clean[i] for i in at_random[: len(held)]], [clean[i] for i in at_random[len(held) :]]
both_sides = {row["prompt"] for row in careless[0]} & {row["prompt"] for row in careless[1]}
print(f"a split by rows would share {len(both_sides)} prompts")
assert len(both_sides) > 100

# %% [markdown]
# ## Train
#
# One call, with the command's options; the seed is fixed, so that whoever reads the report can repeat it. **Predict:**
# the held-out accuracy, the length baseline being what it is.

# %%
options = {"max_steps": 120, "per_device_train_batch_size": 32, "learning_rate": 4e-3, "max_length": 96, "seed": 13}
with redirect_stdout(StringIO()) as log, redirect_stderr(StringIO()):
    model = numpy_ref.train_reward_model(train, n_layer=1, n_head=2, n_embd=32, **options)
    figures = model.evaluate(held)
print(f"{figures['pairs']} held-out pairs, {figures['ties']:.0%} of them tied")
assert figures["pairs"] == len(held)
assert "pairs kept" in log.getvalue()

# %% [markdown]
# ## Evaluate
#
# An accuracy alone says nothing. It has an interval, because the held-out pairs are few; and it stands beside what
# counting characters reaches on the same pairs. Do the two intervals overlap?

# %%
wide = lambda part: f"{part['low']:.2f} to {part['high']:.2f}"
beside = {"the model": figures["accuracy"], "the longer one": figures["longer_wins"]}
assert figures["accuracy"]["low"] > 0.5
table([[name, part["value"], wide(part)] for name, part in beside.items()], ["judge", "accuracy", "95 % interval"], 2)

# %% [markdown]
# Now the same accuracy, split by length. This table decides what the model is: a judge of answers, or a ruler.

# %%
by_length = [
    (part["better_is"], part["pairs"], part["accuracy"]) for part in figures["by_length"] if part["pairs"] >= 10
]
assert by_length[-1][2] - by_length[0][2] > 0.25
table(by_length, ["the better answer is", "pairs", "accuracy"], 2)


# %%
def ruler(axes):
    places = np.arange(len(by_length))
    axes.bar(places, [right for *_, right in by_length], color=BLUE, edgecolor=INK)
    axes.axhline(0.5, color=RUST, ls="--", lw=1.5, label="a coin")
    axes.set_xticks(places, [name.replace(" by ", "\nby ").replace(", ", "\n") for name, *_ in by_length], fontsize=8)
    axes.set(ylim=(0, 1))


alt = "Held-out accuracy by the length of the better answer: low where it is the shorter one, high where it is longer."
picture(
    ruler, "Right when the better answer is long", "the better answer is", "held-out accuracy", alt, size=(5.4, 3.8)
)

# %% [markdown]
# Is its confidence honest? The calibration error of a model that is perfectly calibrated is not 0 on so few pairs, so
# the two stand side by side (lesson 8).

# %%
calibration = figures["calibration"]
print(
    f"calibration error {calibration['ece']:.2f}; a calibrated model would show {calibration['ece_if_calibrated']:.2f}"
)
print(f"log loss {figures['loss']['value']:.2f} nats, a coin {np.log(2):.2f}")
assert calibration["ece"] > calibration["ece_if_calibrated"]
assert figures["loss"]["value"] > 0.6

# %% [markdown]
# ## A probe that needs no label
#
# The suspicion can be tested without any label: put two fillers into an answer, which makes it longer and not better.
# **Predict** for how many answers the reward rises.

# %%
asked = [(row["prompt"], row["chosen"].split()) for row in held[:60]]
change = [float(np.diff(model.score(q, [" ".join(t), " ".join([*t[:2], "um", "um", *t[2:]])]))[0]) for q, t in asked]
rises = np.mean(np.array(change) > 0)
print(f"two fillers raise the reward of {rises:.0%} of the answers, by {np.mean(change):.1f} log-odds on average")
assert rises > 0.5

# %% [markdown]
# ## The truth, for once
#
# Outside of this world the story ends here. In it, the true reward of every answer is known, so we can ask how often
# the model agrees with it, and how often the raters did. Did the report and the probe lead you to the right conclusion?

# %%
better = lambda row: truth[row["prompt"], row["chosen"]] - truth[row["prompt"], row["rejected"]]
margins = np.array([-np.diff(model.score(row["prompt"], [row["chosen"], row["rejected"]]))[0] for row in held])
true_lead = np.array([better(row) for row in held])
told = true_lead != 0
by_model, by_raters = np.mean((margins > 0) == (true_lead > 0), where=told), np.mean(true_lead > 0, where=told)
assert by_model < by_raters
table([["the model", by_model], ["its raters", by_raters]], ["agrees with the true reward", "share of the pairs"], 2)

# %% [markdown]
# ## The paragraph
#
# > The model was trained on 1,000 comparisons of short answers by raters who prefer long ones. On held-out prompts it
# > repeats their choices about as often as a count of characters would. Where the better answer is the shorter one it
# > is worse than a coin, and two fillers raise its reward. Its probabilities are too sure: its log loss is a coin's.

# %% [markdown]
# > It may be used to sort out answers that are much too short. It must not choose among complete answers, and nothing
# > may be optimised against it: the first thing that would grow is the length.

# %%
assert 900 < len(train) < 1200
assert figures["accuracy"]["low"] < figures["longer_wins"]["high"]  # about as often
assert by_length[0][2] < 0.5  # worse than a coin
assert by_length[-1][2] > 0.8  # much too short: it is right
assert abs(figures["loss"]["value"] - np.log(2)) < 0.1  # a coin's

# %% [markdown]
# ## Your turn
#
# Take `make_file` with a number of your own, or a file that you care about. Other seeds have other raters: some like
# length, some do not, some of their labels are flipped. Hand in the notebook and a paragraph of at most 150 words.
#
# | what is graded | points |
# |---|---|
# | report: every kind of trouble named, with its rows, and what you did about it | 4 |
# | split: by prompt, before anything was chosen, and shown to share none | 3 |
# | training: settings and seed written down; run again with the same result | 3 |
# | evaluation: accuracy with its interval, beside the length baseline, by length, and calibration | 5 |
# | paragraph: what the model may be used for, what not, and which number says so; nothing that was not measured | 5 |

# %% [markdown]
# ## What you can now assert
#
# A report comes before training, and each of its lines needs a decision. A split by prompt shares none. An accuracy
# needs its interval and its baseline, and a table by length says what the model really measures.

# %%
assert not [name for name, f in left.items() if f.severity == "error"]
assert not {row["prompt"] for row in train} & {row["prompt"] for row in held}
assert rises > 0.5
assert by_length[-1][2] > by_length[0][2]

# %% [markdown]
# ## Three questions
#
# <details><summary>The accuracy is 0.68, the length baseline 0.66. Has the model learned quality?</summary>
#
# That does not show it. The intervals overlap, and a model that only prefers the longer answer would show the same.
#
# </details>
# <details><summary>Why do both rows go where a pair stands in both orders, and not the second alone?</summary>
#
# Nothing says which of the two is right. Keeping the first keeps an accident of the file's order.
#
# </details>
# <details><summary>Half of your pairs were judged by two raters each. What would you ask the report first?</summary>
#
# How often the two agree on the same pair: that bounds what any model can reach (`--repeated-labels`).
#
# </details>

# %% [markdown]
# ## Where to read on
#
# - [numpy_ref/report/findings.py](../numpy_ref/report/findings.py): what the report looks for.
# - [numpy_ref/evaluation/measures.py](../numpy_ref/evaluation/measures.py): every figure of the evaluation.
# - [numpy_ref/training/python.py](../numpy_ref/training/python.py): training from Python.
