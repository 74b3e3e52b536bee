"""The commands `train`, `sft` and `dpo` of torch_impl, on a device, in one process or several."""

from pathlib import Path

import torch

from numpy_ref.errors import InputError
from numpy_ref.files import read_json
from numpy_ref.storage.checkpoint import newest
from numpy_ref.training import command, dpo, sft

from ..backbone import command as backbone
from ..backbone.options import is_wanted
from ..engine import processes as distributed
from ..engine.learner import Engine
from ..learners import LanguageLearner, PolicyLearner
from .options import DpoOptions, SftOptions, TrainOptions

REWARD_MODEL = command.REWARD_MODEL._replace(learner_options=lambda o: o.of_learner() | o.of_engine())


def use_device(options):
    """The torch.device, after setting the threads; InputError if the device is misspelled or missing"""
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        torch.empty(1, device=options.device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: a PyTorch built without CUDA
        reason = str(error).splitlines()[0]
        raise InputError(f"--device {options.device}: not available here ({reason}): use --device cpu") from None
    return torch.device(options.device)


def train(args):
    """The command `train`; returns the exit status"""
    return train_with(TrainOptions.parsed(args))


def train_with(options):
    """`train` with these TrainOptions"""
    processes, device = distributed.start(options.device), use_device(options)
    job = {"n_processes": processes.size, "writes": processes.rank == 0, "device": device, "processes": processes}

    if options.bf16 and device.type == "cpu":
        print("note      --bf16 on a CPU: on most a step takes longer (1.8 times on the one measured)")

    def run():
        if is_wanted(options, record_of(options.resume)):
            return backbone.run(options, **job)
        return command.run(options, REWARD_MODEL, Engine, **job)

    return distributed.end_together(run, processes)


def record_of(run):
    """The options recorded by the run that is resumed, unchecked; {} if it has none, None if no run is resumed"""
    if run is None:
        return None
    if not Path(run, "latest").is_file():
        return {}
    state = read_json(newest(Path(run)) / "state.json")
    record = state.get("options") if isinstance(state, dict) else None
    return record if isinstance(record, dict) else {}


def in_one_process(kind, stage, learner_class):
    """(add_arguments, run) of a command that trains on a device in one process"""

    def run(args):
        distributed.alone(stage.command)
        options = kind.parsed(args)
        return command.run(options, stage, learner_class, device=use_device(options))

    return kind.add_arguments, run


TRAIN = TrainOptions.add_arguments, train
SFT = in_one_process(SftOptions, sft.LANGUAGE_MODEL, LanguageLearner)
DPO = in_one_process(DpoOptions, dpo.POLICY, PolicyLearner)
