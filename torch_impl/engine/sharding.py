"""Weights spread over processes (FSDP): sharded, gathered, and set from a whole array.

This is a separate file because PyTorch takes most of a second to load these modules.
"""

from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def shard(module):
    """Each process keeps its share of the module's weights"""
    sharded = fully_shard(module, reshard_after_forward=True)  # otherwise an evaluation leaves them gathered
    sharded.set_gradient_divide_factor(1.0)  # a sum: the losses are already weighted by their shares


def gathered(tensor):
    """The whole tensor, on every process"""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shared_as(parameter, whole):
    """This process's share of a whole tensor, placed as the parameter is"""
    if not isinstance(parameter, DTensor):
        return whole
    return distribute_tensor(whole, parameter.device_mesh, parameter.placements)
