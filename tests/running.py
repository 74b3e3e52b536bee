"""What the tests of training share: small worlds, files and models, and commands run in this process."""

import importlib
import json
import math
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
from listed import encode

from numpy_ref.batches import collate
from numpy_ref.cli import main
from numpy_ref.data import world
from numpy_ref.data.held_out import WORLD_POSITIONS
from numpy_ref.data.tokenizer import Words
from numpy_ref.reward_model import init_params
from numpy_ref.train import Learner as NumpyLearner
from numpy_ref.tree import flatten
from torch_impl.train import Learner as TorchLearner

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("numpy_ref", "torch_impl")
LEARNERS = (NumpyLearner, TorchLearner)
small_world = partial(world.make_world, n_train=60, n_eval=8, visits=2, k_eval=3)
TINY = ["--n-layer", "1", "--n-head", "2", "--n-embd", "8", "--per-device-train-batch-size", "8"]


def run(package, *argv):
    """The exit status of `python -m package argv`, in this process"""
    return main.main(f"python -m {package}", importlib.import_module(f"{package}.__main__").COMMANDS, list(argv))


def start(package, *argv, **options):
    """`python -m package argv` as a process of its own"""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment.pop("PYTHONUNBUFFERED", None)  # output is buffered, as it is for most users
    command = [sys.executable, "-m", package, *argv]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen(command, env=environment, **pipes)


def torchrun(n, *argv, cwd, script=None):
    """stdout of a job of n processes"""
    program = ["--no-python", sys.executable, script] if script else ["-m"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    return subprocess.run([*command, *program, *argv], env=environment, capture_output=True, text=True, cwd=cwd)


def write_rows(path, rows):
    """A preference file"""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def numbers(n, seed=0):
    """n readable rows: the larger of two numbers was chosen"""
    rng = np.random.default_rng(seed)
    drawn = ([f"{x}" for x in sorted(rng.choice(1000, 2, replace=False), reverse=True)] for _ in range(n))
    return [{"prompt": "larger?", "chosen": a, "rejected": b, "margin": 0.5} for a, b in drawn]


def world_data(seed=0, n=60):
    """The training pairs of a small world, encoded"""
    train, _ = world.make_world(seed, n, 1, visits=1)
    preferences = world.rank(np.random.default_rng([seed, 1]), train)
    return encode(Words(world.WORDS), preferences, WORLD_POSITIONS)


def weights(seed=0, dtype=np.float64, n_embd=8, n_layer=1):
    """Flattened initial weights of a small model of the world"""
    vocab_size = Words(world.WORDS).vocab_size
    return flatten(init_params(np.random.default_rng(seed), vocab_size, WORLD_POSITIONS, n_embd, n_layer, dtype))


def batch(data, indices):
    """(tokens, length, margin) of these prompts"""
    return *collate([data.rows[i] for i in indices]), data.margin[indices]


def same_files(left, right, names):
    """Whether both directories hold the same content of these files, byte for byte"""
    return all((Path(left) / name).read_bytes() == (Path(right) / name).read_bytes() for name in names)


def is_one_sentence(text):
    """Whether the text is one printable line without a traceback, and without a blank at either end"""
    line = text.removesuffix("\n")
    return line.isprintable() and "Traceback" not in line and re.fullmatch(r"\S.*\S", line) is not None


LN_2 = math.log(2)
