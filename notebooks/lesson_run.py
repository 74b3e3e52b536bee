"""Runs a lesson in a kernel of its own and checks its outputs."""

import base64
import io
import logging
import os
import re

import nbformat

from lesson_files import HERE, METADATA, ROOT
from lesson_rules import TORCH, assert_shown, broken
from numpy_ref.errors import InputError

CELL_SECONDS = 90
SILENT = logging.getLogger("lesson")  # nbclient reports a timeout here too, and raises it
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False


def execute(notebook, name, bar=None, solved=True, torch=True, timeout=CELL_SECONDS):
    """Runs the cells in a new kernel, in place; the outputs hold nothing that differs from run to run

    solved   whether the exercises must have full marks or none
    torch    whether the cells that import torch must succeed or fail
    timeout  seconds for each cell
    """
    import matplotlib.font_manager  # noqa: F401  # finds the fonts of a new machine: a lesson would report it on stderr
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    kernel = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    kernel["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    begun: list = []
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],  # ipykernel 7 warns of plain TCP on loopback
        resources={"metadata": {"path": str(HERE)}},
        on_cell_execute=lambda cell, **_: begun.append(cell),
        on_cell_executed=lambda **_: bar and bar.update(),
        log=SILENT,
    )
    try:
        client.execute(env=os.environ | kernel)
    except CellTimeoutError:
        raise broken(name, begun[-1], f"ran longer than {timeout:g} s; allow more with --timeout SECONDS") from None
    except CellExecutionError as error:
        raise InputError(f"{name}: a cell fails\n{uncoloured(str(error))}") from None
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert_output(cell, name, solved, torch)
    if solved:
        assert_shown(name, notebook.cells)
    return notebook


def uncoloured(said):
    return re.sub(r"\x1b\[[\d;]*m", "", said)  # the kernel colours its tracebacks


def assert_output(cell, name, solved, torch):
    """InputError unless solutions have full marks, and cells fail only because torch is missing

    Also puts the alt text of each picture into the metadata, where screen readers and themes look, and removes its HTML
    version, which GitHub would show instead, without its script.
    """
    errors = [output for output in cell.outputs if output.output_type == "error"]
    wanted = not torch and bool(TORCH.search(cell.source))
    if bool(errors) != wanted:
        said = uncoloured("\n".join(errors[0].traceback)) if errors else "it imports torch, and there is none"
        raise InputError(f"{name}: {'a cell fails' if errors else 'a cell does not fail'}\n{said}")
    for output in cell.outputs:
        if output.get("name") == "stderr":
            raise InputError(
                f"{name}: a cell writes to stderr, which belongs in no lesson: {output.text.strip()[:200]}"
            )
    graded = cell.metadata.get("nbgrader", {})
    if graded.get("grade"):
        points, full = int(cell.outputs[-1].data["text/plain"]), graded["points"] if solved else 0
        if points != full:
            raise InputError(f"{name}: {cell.source} gives {points} points, expected {full}")
    for output in cell.outputs:
        if "image/png" in output.get("data", {}):
            alt = alt_text(output.data["image/png"])
            if not alt:
                raise InputError(f"{name}: a picture without alt text comes out of {cell.source.splitlines()[-1]!r}")
            output.metadata["image/png"] = {"alt": alt}
            output.data.pop("text/html", None)
            cell.metadata["mystnb"] = {"image": {"alt": alt}}


def alt_text(png):
    """The description inside a PNG in base64; numpy_ref/figures/style.py puts it there"""
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        return image.info.get("Description", "")
