"""Side by side with the ecosystem's trainer: the same model, the same pairs, the same threads, in one run.

    python tests/benchmarks/trainer.py [--threads 2] [--steps 20] [--repeats 3] [--parts pairs,...] [--clock wall]

A GPT-2-shaped backbone (4 layers, 4 heads, 128 channels, 512 tokens), pairs of 48 to 128 tokens, 16 pairs a step,
float32, no dropout, AdamW with clipping. The runs take turns, so that other load on the machine slows all of them.

    pairs   TRL's RewardTrainer, a bare loop with transformers' model, this project's bare loop and its whole harness
    losses  the first ten of TRL and of this project, from the same weights on the same batches: both do the same work
    lists   ranked lists with K = 9: all 36 comparisons of a prompt by nine forward passes, and by TRL as 36 pairs
    shares  pairs whose prompt is 1/4, 1/2 and 3/4 of the tokens, with and without computing it once
    means   how much each optimisation gains alone
    bodies  pretrained bodies of a GPT-2 and a Llama shape: pairs, and lists with K = 9, from the same weights as TRL

Times are processor time, which a busy machine disturbs less than wall time; the work of all threads is counted.
"""

import argparse
import os
import sys
import time
from functools import partial
from itertools import combinations
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--steps", type=int, default=20, help="timed steps of a run")
parser.add_argument("--repeats", type=int, default=3, help="runs of each, in turns; medians are shown")
parser.add_argument("--parts", default="losses,pairs,lists,shares,means,bodies")
parser.add_argument("--clock", choices=["processor", "wall"], default="processor")
parser.add_argument("--device", default="cpu")
arguments = parser.parse_args()
now = {"processor": time.process_time, "wall": time.perf_counter}[arguments.clock]
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(arguments.threads)  # read when the libraries are loaded, below
os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import shutil  # noqa: E402
import tempfile  # noqa: E402
import warnings  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

from numpy_ref.batches import collate  # noqa: E402
from numpy_ref.cli.main import keep_freed_memory  # noqa: E402
from numpy_ref.cli.text import table  # noqa: E402
from numpy_ref.data.tokenizer import Words  # noqa: E402
from numpy_ref.data.tokens import Encoded  # noqa: E402
from numpy_ref.reward_model import init_params  # noqa: E402
from numpy_ref.storage.checkpoint import save_model  # noqa: E402
from numpy_ref.storage.run import processor  # noqa: E402
from numpy_ref.train import BETA2, MAX_NORM, train  # noqa: E402
from numpy_ref.training.log import Log  # noqa: E402
from numpy_ref.tree import flatten, unflatten  # noqa: E402
from torch_impl.backbone.learner import BackboneLearner  # noqa: E402
from torch_impl.backbone.model import BackboneReward  # noqa: E402
from torch_impl.engine import last_token, shared_prompt  # noqa: E402
from torch_impl.engine.learner import Engine  # noqa: E402
from torch_impl.optim import adamw  # noqa: E402
from torch_impl.reward_model import pairs  # noqa: E402
from torch_impl.train import Learner, model_of  # noqa: E402

N_HEAD, PAIRS, RATE = 4, 16, 1e-4
WORDS = Words(tuple(f"w{i}" for i in range(508)))  # and four specials: 512 tokens
WEIGHTS = flatten(init_params(np.random.default_rng(0), WORDS.vocab_size, 128, 128, 4, np.float32))
SETTLING = 3  # steps before the clock starts


def lists(n, K=2, share=0.0, seed=1):
    """n lists of K responses of 48 to 128 tokens; the prompt, the same for all, is a share of the tokens"""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        lengths = rng.integers(48, 129, K)
        prompt = rng.integers(4, WORDS.vocab_size, round(share * lengths.min())).tolist()
        rows.append(
            [[*prompt, *rng.integers(4, WORDS.vocab_size, length - len(prompt)).tolist()] for length in lengths]
        )
    ranks = [tuple(range(1, K + 1))] * n
    return Encoded(rows, np.zeros(n), 0, 0, ranks)


def as_pairs(data):
    """All comparisons of each list as pairs of their own"""
    rows = [[row[i], row[j]] for row in data.rows for i, j in combinations(range(len(row)), 2)]
    return Encoded(rows, np.zeros(len(rows)), 0, 0, [(1, 2)] * len(rows))


def trl_trainer(data, directory, callbacks=(), **options):
    """TRL's RewardTrainer on these pairs, as token ids"""
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, PrinterCallback
    from trl import RewardConfig, RewardTrainer

    model = AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32)
    columns = {"chosen_ids": [row[0] for row in data.rows], "rejected_ids": [row[1] for row in data.rows]}
    config = RewardConfig(
        output_dir=f"{directory}/trl",
        per_device_train_batch_size=PAIRS,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        weight_decay=0.01,
        adam_beta2=BETA2,
        max_grad_norm=MAX_NORM,
        gradient_checkpointing=False,  # TRL's default would run every forward pass twice
        bf16=False,
        max_length=None,
        train_sampling_strategy="sequential",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=arguments.device == "cpu",
        **{"logging_steps": 10, "max_steps": arguments.steps + SETTLING} | options,
    )
    tokenizer = AutoTokenizer.from_pretrained(directory)
    trainer = RewardTrainer(
        model, args=config, train_dataset=Dataset.from_dict(columns), processing_class=tokenizer, callbacks=[*callbacks]
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def trl(data, directory):
    """Seconds a step of TRL's trainer"""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        """Records when each step ended"""

        def __init__(self):
            self.ends = []

        def on_step_end(self, *_args, **_options):
            self.ends.append(now())

    clock = Clock()
    trl_trainer(data, directory, [clock]).train()
    return (clock.ends[-1] - clock.ends[SETTLING - 1]) / (len(clock.ends) - SETTLING)


def timed(step, batches):
    """Seconds a step over these batches, after some warm-up steps"""
    began = 0.0
    for i, batch in enumerate(batches):
        if i == SETTLING:
            began = now()
        step(batch)
    return (now() - began) / (i + 1 - SETTLING)


def batches_of(data, size=PAIRS):
    """(tokens, length) of each batch, as tensors"""
    for i in range(arguments.steps + SETTLING):
        chosen = [(i * size + j) % len(data.rows) for j in range(size)]
        yield [torch.from_numpy(array).to(arguments.device) for array in collate([data.rows[j] for j in chosen])]


def transformers_loop(data, directory):
    """Seconds a step of a bare loop around transformers' model, both sides in one forward pass"""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32)
    model = model.to(arguments.device).train()
    optimiser = torch.optim.AdamW(model.parameters(), RATE, betas=(0.9, BETA2), fused=True)

    def step(batch):
        tokens, length = batch
        rows = tokens.flatten(0, 1)
        mask = torch.arange(rows.shape[1], device=rows.device) < length.flatten()[:, None]
        reward = model(input_ids=rows, attention_mask=mask.long()).logits.view(length.shape)
        optimiser.zero_grad()
        pairs(reward).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimiser.step()

    return timed(step, batches_of(data))


def bare(forward, data, size=PAIRS, objective=pairs, fused=True, prepare=lambda model: model):
    """Seconds a step of a bare loop: forward, backward, clip, AdamW"""
    model = prepare(model_of(WEIGHTS, N_HEAD).to(arguments.device))
    optimiser = adamw(model.parameters(), RATE, beta2=BETA2)
    for group in optimiser.param_groups:
        group["fused"] = fused

    def step(batch):
        model.zero_grad()
        objective(forward(model, *batch)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimiser.step()

    return timed(step, batches_of(data, size))


def harness(data, size=PAIRS, engine=Engine, start=lambda: (WEIGHTS, N_HEAD), **options):
    """Seconds a step of what `torch_impl train` runs: it makes the batches, checks and logs"""
    learner = engine(*start(), 10**6, RATE, 0, device=arguments.device, **options)
    log, began, total = Log(), 0.0, arguments.steps + SETTLING
    for step, record in train(learner, data, start=0, total_steps=total, batch_size=size, seed=0):
        log.add(record)
        if step % 10 == 0:
            log.flush(step)
        if step == SETTLING:
            began = now()
    return (now() - began) / arguments.steps


def medians(ways):
    """{name: median seconds a step}, the ways taken in turns"""
    times = {name: [] for name in ways}
    for _ in range(arguments.repeats):
        for name, way in ways.items():
            times[name].append(way())
    return {name: float(np.median(values)) for name, values in times.items()}


def show(title, seconds, per_step, unit, reference):
    """Prints how much each way does a second, relative to a reference"""
    print(f"\n{title}")
    rows = [
        [name, f"{1000 * s:.0f}", f"{n / s:.1f}", f"{n / s / (per_step[reference] / seconds[reference]):.2f}"]
        for name, s in seconds.items()
        for n in [per_step[name]]
    ]
    print("\n".join(table([["", "ms a step", f"{unit} a second", "ratio"], *rows])), flush=True)


def part_pairs(directory):
    """The goal: at least 2 times TRL; the harness at most 5 % above its own bare loop"""
    data = lists(1600)
    ways = {
        "TRL RewardTrainer": partial(trl, data, directory),
        "bare loop, transformers' model": partial(transformers_loop, data, directory),
        "bare loop, this model as it is taught": partial(bare, lambda model, *batch: model(*batch), data),
        "bare loop, this model without waste": partial(bare, shared_prompt.rewards, data),
        "torch_impl train": partial(harness, data),
    }
    seconds = medians(ways)
    show("pairs of 48 to 128 tokens, 16 a step", seconds, dict.fromkeys(ways, PAIRS), "pairs", "TRL RewardTrainer")
    overhead = seconds["torch_impl train"] / seconds["bare loop, this model without waste"] - 1
    print(f"the harness takes {overhead:+.1%} of its own bare loop")


def part_losses(directory):
    """The first ten losses, from the same weights on the same batches"""
    data, theirs = lists(1600), []
    from transformers import TrainerCallback

    class Losses(TrainerCallback):
        """What TRL logs"""

        def on_log(self, _args, _state, _control, logs=None, **_options):
            if "loss" in logs:
                theirs.append(logs["loss"])

    trl_trainer(data, directory, [Losses()], max_steps=10, logging_steps=1).train()
    learner = Engine(WEIGHTS, N_HEAD, 10**9, RATE, 0)
    ours = [learner.step(*collate(data.rows[i : i + PAIRS]), np.zeros(PAIRS))[0] for i in range(0, 10 * PAIRS, PAIRS)]
    print("\nthe first ten losses\nTRL   " + " ".join(f"{loss:.5f}" for loss in theirs))
    print("ours  " + " ".join(f"{loss:.5f}" for loss in ours))
    print(f"largest difference {max(abs(np.subtract(ours, theirs))):.1e}", flush=True)


def part_lists(directory):
    """Ranked lists with K = 9: 36 comparisons each"""
    data, size = lists(64, 9), 2
    ways = {
        "TRL RewardTrainer, 36 pairs a list": partial(trl, as_pairs(data), directory),
        "torch_impl train --loss kwise": partial(harness, data, size, loss="kwise"),
    }
    seconds = medians(ways)
    counts = dict(zip(ways, (PAIRS, 36 * size), strict=True))
    show("ranked lists, K = 9, no shared prompt", seconds, counts, "comparisons", next(iter(ways)))


def part_shares(directory):
    """Pairs whose prompt is 1/4, 1/2 and 3/4 of the tokens"""
    for share in (0.25, 0.5, 0.75):
        data = lists(1600, share=share)
        ways = {
            "TRL RewardTrainer": partial(trl, data, directory),
            "each response with its prompt": partial(bare, last_token.rewards, data),
            "the prompt once": partial(bare, shared_prompt.rewards, data),
        }
        show(
            f"the prompt is {share:.0%} of the shorter text",
            medians(ways),
            dict.fromkeys(ways, PAIRS),
            "pairs",
            "each response with its prompt",
        )


def part_means(_directory):
    """Each optimisation alone, added to the plain model of the lessons"""
    data = lists(1600)

    def plain(model, tokens, length):
        return model(tokens, length)

    def grouped(model, tokens, length):
        rows, lengths = tokens.flatten(0, 1), length.flatten()
        groups = [torch.from_numpy(group) for group in last_token.by_length(lengths.numpy())]
        last = [model.body(rows[g, : lengths[g[-1]]])[torch.arange(len(g)), lengths[g] - 1] for g in groups]
        return model.head(torch.cat(last)[torch.argsort(torch.cat(groups))]).view(length.shape)

    def last_only(model, tokens, length):
        return model.head(last_token.last_hidden(model.body, tokens.flatten(0, 1), length.flatten())).view(length.shape)

    def half(model, tokens, length):
        with torch.autocast(arguments.device, torch.bfloat16):
            return last_token.rewards(model, tokens, length).float()

    def compiled(model):
        model.body.forward = torch.compile(model.body.forward, dynamic=True)
        return model

    ways = {
        "as it is taught": partial(bare, plain, data, fused=False),
        "fused AdamW": partial(bare, plain, data),
        "groups of similar length": partial(bare, grouped, data, fused=False),
        "the last block's last token alone": partial(bare, last_only, data, fused=False),
        "these three": partial(bare, last_token.rewards, data),
        "and bfloat16": partial(bare, half, data),
        "as it is taught, torch.compile": partial(bare, plain, data, fused=False, prepare=compiled),
        "the Learner beside numpy_ref's": partial(harness, data, engine=Learner),
    }
    show("what each is worth alone", medians(ways), dict.fromkeys(ways, PAIRS), "pairs", "as it is taught")


BODIES = {
    "GPT-2": lambda **o: transformers.GPT2Config(
        n_embd=128, n_layer=4, n_head=4, n_positions=128, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **o
    ),
    "Llama": lambda **o: transformers.LlamaConfig(
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=344,
        max_position_embeddings=128,
        **o,
    ),
}


def body_directory(kind, beside):
    """A directory with a model of this shape, random weights and a tokenizer"""
    torch.manual_seed(0)
    config = BODIES[kind](vocab_size=WORDS.vocab_size, num_labels=1, pad_token_id=0, bos_token_id=1, eos_token_id=3)
    place = Path(beside, kind)
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(place)
    for path in Path(beside).glob("tokenizer*"):
        shutil.copy(path, place)
    return str(place)


def body_of(place):
    """The same weights as this project's reward model on a pretrained body"""
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(place, dtype=torch.float32)
    model = BackboneReward(loaded.base_model)
    model.head.weight = loaded.score.weight
    return (model,)


def part_bodies(directory):
    """The goals: 1.4 times TRL on pairs, 8 times on lists"""
    of_pairs, of_lists = lists(1600), lists(64, 9)
    for kind in BODIES:
        place = body_directory(kind, directory)
        ours = partial(harness, engine=BackboneLearner, start=partial(body_of, place))
        ways = {"TRL RewardTrainer": partial(trl, of_pairs, place), "torch_impl train": partial(ours, of_pairs)}
        show(f"{kind}: pairs", medians(ways), dict.fromkeys(ways, PAIRS), "pairs", "TRL RewardTrainer")
        ways = {
            "TRL RewardTrainer, 36 pairs a list": partial(trl, as_pairs(of_lists), place),
            "torch_impl train --loss kwise": partial(ours, of_lists, 2, loss="kwise"),
        }
        counts = dict(zip(ways, (PAIRS, 72), strict=True))
        show(f"{kind}: ranked lists, K = 9", medians(ways), counts, "comparisons", next(iter(ways)))
    ways = {f"torch_impl train{' --bf16' * on}": partial(ours, of_pairs, bf16=on) for on in (False, True)}
    show(f"{kind}: bfloat16", medians(ways), dict.fromkeys(ways, PAIRS), "pairs", "torch_impl train")


def main():
    from datasets import disable_progress_bars
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bars()
    warnings.simplefilter("ignore", FutureWarning)
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    print(f"{processor()}, {os.cpu_count()} cores, {arguments.threads} threads, {arguments.device}; ", end="")
    print(f"PyTorch {torch.__version__}; {sum(array.size for array in WEIGHTS.values()):,} parameters")
    with tempfile.TemporaryDirectory() as directory:
        save_model(directory, unflatten(WEIGHTS), N_HEAD, WORDS)
        for part in arguments.parts.split(","):
            globals()[f"part_{part}"](directory)


if __name__ == "__main__":
    main()
