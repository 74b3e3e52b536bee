"""Several processes that train one model (torchrun): each takes some rows, and sums run over all processes.

    torchrun --nproc-per-node 2 -m torch_impl train ...

Each process holds the whole batch's indices and runs its share of the rows; gradients, losses and rewards are summed.
The loss is a mean over the whole batch, so each process weights its rows by their share of the batch. N processes then
take the same step as one, up to rounding, even if lists differ in length or the last batch does not divide by N.
"""

import os
import signal
import sys
import time
from datetime import timedelta

import torch
import torch.distributed as dist

from numpy_ref.errors import InputError

PATIENCE = timedelta(minutes=10)  # how long to wait for a slower process, such as one that saves to a slow disk


class Processes:
    """This process's rank among the processes of a job, and their number; a single process is the whole job"""

    def __init__(self, rank=0, size=1):
        self.rank, self.size = rank, size
        self.met = False  # whether all of them have taken a step together

    def parts(self, n, pieces=1):
        """Slices of n rows: this process's share, cut into `pieces`

        If there are fewer rows than pieces, some slices are empty. They are kept, because with sharded weights all
        processes must run the same number of pieces.
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
        """Whether the flag is true in any process: Ctrl-C may reach one before the others"""
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
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # "cuda" then means this GPU
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
    """Raised on SIGTERM: torchrun sends it to the other processes when one is gone"""


def _ended(*_):
    raise Ended


def end_together(run, processes):
    """The exit status of run(); a failure becomes a sentence, and one that all processes share is printed once

    A process that is killed prints nothing, so another one must. It notices a broken connection or gets a signal from
    torchrun, whichever comes first, and then has half a minute to end. Before the first step only process 0 can fail
    alone, over the run's directory; it prints its own sentence, so the others print nothing.
    """
    if processes.size > 1:
        signal.signal(signal.SIGTERM, _ended)
    try:
        status = run()
    except InputError:
        if processes.size > 1:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # If every process has this error, process 0 prints it and its exit ends this process. Otherwise this one does.
        if processes.rank:
            time.sleep(20)  # on a busy machine the end takes a while to arrive
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
