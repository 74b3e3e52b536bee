"""Features of a frozen body, computed once for each distinct response and kept on disk.

The cache is one memory-mapped .npy file, named by what it depends on: the weights, the layers, the poolings and the
token ids. If one of these changes, so does the name. A damaged file is computed again. If two processes need the same
features, one computes them while the other waits.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from numpy_ref.batches import collate
from numpy_ref.cli.text import progress_bar
from numpy_ref.files import built, lock, remove_left

from .reading import features_of

TOKENS_AT_ONCE = 4096


def cached_features(model, rows, layers, poolings, directory, max_tokens=TOKENS_AT_ONCE):
    """Features of M rows of ids, of each layer and pooling, memory-mapped        -> (M, L, P, C) float32"""
    body = model.body
    shape = (len(rows), len(layers), len(poolings), body.config.hidden_size)
    path = Path(directory, f"features-{fingerprint(body, rows, layers, poolings)[:32]}.npy")
    path.parent.mkdir(parents=True, exist_ok=True)
    with lock(path.with_suffix(".lock"), wait=True) as alone:  # another process may be computing the same
        if (found := _whole(path, shape)) is None:
            if alone:
                remove_left(path)
            with built(path, replace=True) as building:
                out = np.lib.format.open_memmap(building, "w+", np.float32, shape)
                _fill(out, body, rows, layers, poolings, max_tokens)
                out.flush()
            found = np.load(path, mmap_mode="r")
    return found


def fingerprint(body, rows, layers, poolings):
    """SHA-256 of everything that the features depend on"""
    digest = hashlib.sha256(json.dumps([type(body).__name__, list(layers), list(poolings), rows]).encode())
    digest.update(json.dumps(body.config.to_dict(), sort_keys=True, default=str).encode())
    for name, tensor in body.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _whole(path, shape):
    """The cached array, or None if there is no usable one"""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):  # no file, a torn one, or no array
        return None
    return found if found.shape == shape and found.dtype == np.float32 and np.isfinite(found).all() else None


@torch.no_grad()
def _fill(out, body, rows, layers, poolings, max_tokens):
    """Batches of responses of similar length, the longest first, so that a lack of memory shows at once"""
    device = body.get_input_embeddings().weight.device
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    with progress_bar(total=sum(map(len, rows)), desc="features", unit="token") as bar:
        while order:
            size = max(1, max_tokens // len(rows[order[0]]))
            chunk, order = order[:size], order[size:]
            tokens, length = collate([[rows[i]] for i in chunk])
            ends = torch.from_numpy(length[:, 0]).to(device)
            features = features_of(body, torch.from_numpy(tokens[:, 0]).to(device), ends, layers, poolings)
            out[chunk] = features.float().cpu().numpy()
            bar.update(int(length.sum()))
