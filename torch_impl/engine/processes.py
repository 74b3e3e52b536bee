"""Several processes that train one model (torchrun): each takes some rows, and sums run over all processes.

    torchrun --nproc-per-node 2 -m torch_impl train ...

Each process holds the whole batch's indices and runs its share of the rows; gradients, losses and rewards are summed.
A loss is a mean over the whole batch, so a process weighs its rows by their share of it: N processes take the step that
one would take, to rounding, also where lists differ in length and the last batch does not divide.
"""

import os
import signal
import sys
import time
from datetime import timedelta

import torch
import torch.distributed as dist

from numpy_ref.errors import InputError

PATIENCE = timedelta(minutes=10)  # for a process that is slower than the others, as a save on a slow disk


class Processes:
    """This process's rank among the processes of a job, and their number; a single process is the whole job"""

    def __init__(self, rank=0, size=1):
        self.rank, self.size = rank, size
        self.met = False  # whether all of them have taken a step together

    def parts(self, n, pieces=1):
        """Slices of n rows: this process's share, in as many pieces

        Where n does not divide, some are empty: with sharded weights each piece is a meeting of all processes.
        """
        bounds = [n * i // (self.size * pieces) for i in range(self.size * pieces + 1)]
        return [slice(bounds[i], bounds[i + 1]) for i in range(self.rank * pieces, (self.rank + 1) * pieces)]

    def sum(self, tensors):
        """Replaces each tensor by its sum over all processes, in one message for each type"""
        if self.size == 1:
            return
        for dtype in {tensor.dtype for tensor in tensors}:
            same = [tensor for tensor in tensors if tensor.dtype == dtype]
            flat = torch.cat([tensor.flatten() for tensor in same])
            dist.all_reduce(flat)
            for tensor, summed in zip(same, flat.split([tensor.numel() for tensor in same]), strict=True):
                tensor.copy_(summed.view_as(tensor))
        self.met = True

    def any(self, flag):
        """Whether it is true in any process: Ctrl-C may reach one before the others"""
        if self.size == 1:
            return flag
        found = torch.tensor(int(flag), device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return bool(found)


def start(device):
    """The Processes that torchrun started, or this one alone; only the first one prints"""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Processes()
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # which "cuda" then means
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
    processes = Processes(dist.get_rank(), dist.get_world_size())
    if processes.rank:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # until the process ends
    return processes


def alone(what):
    """InputError if a command for one process was started in several"""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and "TORCHELASTIC_RUN_ID" in os.environ:
        raise InputError(f"{what} runs in one process: start it with python -m torch_impl, without torchrun")


class Ended(BaseException):
    """torchrun ends the others when one process is gone"""


def _ended(*_):
    raise Ended


def end_together(run, processes):
    """The exit status of run(), with one sentence for what went wrong in any process instead of one from each

    A process that is killed says nothing, so another must: it learns of it from a broken connection, or from torchrun,
    whichever is first, and is given half a minute to end. Before the first step only the first process could have
    failed alone, over the run's directory, and has said so.
    """
    if processes.size > 1:
        signal.signal(signal.SIGTERM, _ended)
    try:
        status = run()
    except InputError:
        if processes.size > 1:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if processes.rank:  # what strikes all is said by the first, whose end ends this one too; else it is said here
            time.sleep(20)  # a busy machine takes its time to end this one
        raise
    except (RuntimeError, Ended) as error:  # RuntimeError: what torch.distributed raises when another process is gone
        if not isinstance(error, Ended) and (processes.size == 1 or not _is_of_a_connection(error)):
            raise
        if processes.rank and not processes.met:
            raise SystemExit(2) from None
        raise InputError(
            "another process of this job ended before its time; what was saved before is whole: start the torchrun "
            "command again with --resume and the run's directory"
        ) from None
    if processes.size > 1:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        dist.destroy_process_group()
    return status


def _is_of_a_connection(error):
    return isinstance(error, dist.DistError) or any(text in str(error) for text in ("onnection", "imed out", "gloo"))
