"""Options of torch_impl alone: the device, and how a step is computed."""

from dataclasses import dataclass

from numpy_ref.cli.main import positive_int
from numpy_ref.cli.options import Options, option


@dataclass(frozen=True)
class DeviceOptions(Options):
    """The device and the number of threads"""

    device: str = option("device", "cpu", "cpu, cuda, cuda:1, mps", metavar="NAME", changeable=True)
    threads: int | None = option(
        "device", None, "number of threads; default: PyTorch's own", type=positive_int, changeable=True
    )


@dataclass(frozen=True)
class EngineOptions(Options):
    """How a step is cut into pieces and shared among processes; apart from rounding this does not change the model"""

    gradient_accumulation_steps: int = option(
        "processors and memory",
        1,
        "batches whose gradients are summed before a step, to save memory; each has --per-device-train-batch-size "
        "prompts; under torchrun each process has that many batches",
        type=positive_int,
        changeable=True,
    )
    gradient_checkpointing: bool = option(
        "processors and memory", False, "compute activations twice instead of keeping them", changeable=True
    )
    fsdp: bool = option(
        "processors and memory", False, "spread the weights over the processes of torchrun", changeable=True
    )
    bf16: bool = option(
        "processors and memory",
        False,
        "matrix products in bfloat16; the weights keep their type. For a GPU: most CPUs are slower with it",
    )

    @property
    def pieces(self):
        return self.gradient_accumulation_steps

    def of_engine(self):
        """The keyword arguments of Engine"""
        names = "gradient_checkpointing", "fsdp", "bf16"
        return {"pieces_each": self.pieces, **{name: getattr(self, name) for name in names}}
