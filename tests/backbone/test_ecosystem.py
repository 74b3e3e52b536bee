"""A model that either package trained is an ordinary Hugging Face model: transformers, its pipeline and TRL use it."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from running import PACKAGES, TINY, numbers, run, write_rows

from numpy_ref.evaluation.score import numpy_scorer

pytestmark = pytest.mark.slow
TEXTS = [("larger?", "731"), ("larger?", "7"), ("Größe?", "大 groß"), ("", "no prompt")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """{package: the directory of a finished run}"""
    directory = tmp_path_factory.mktemp("trained")
    data = write_rows(directory / "rows.jsonl", numbers(12))
    for package in PACKAGES:
        arguments = [*TINY, "--data", data, "--max-length", "40", "--max-steps", "3"]
        assert run(package, "train", *arguments, "--output-dir", str(directory / package)) == 0
    return {package: directory / package for package in PACKAGES}


def ours(directory):
    """Our rewards, one text at a time"""
    scorer, found = numpy_scorer(directory), []
    for prompt, response in TEXTS:
        ids = scorer.tokenizer.encode(prompt, response)
        found.append(scorer.rewards(np.array([[ids]]), np.array([[len(ids)]]))[0, 0])
    return np.array(found, float)


def elsewhere(code, *directories):
    """The JSON that `code` prints in a fresh interpreter; its arguments are TEXTS and the directories"""
    command = [sys.executable, "-W", "ignore", "-c", code, json.dumps(TEXTS), *map(str, directories)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_a_fresh_process_loads_it_whole_and_gives_the_same_rewards(runs):
    """One label without a bias; no weight is missing or newly made; every file that a reader asks for is there

    Of each package the finished model, and a checkpoint.
    """
    places = [run / place for run in runs.values() for place in (".", "checkpoint-3")]
    every = elsewhere(
        """
import json, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
assert "numpy_ref" not in sys.modules
prompts, responses = map(list, zip(*json.loads(sys.argv[1])))
found = []
for directory in sys.argv[2:]:
    model, info = AutoModelForSequenceClassification.from_pretrained(directory, output_loading_info=True)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    with torch.no_grad():
        rewards = model.eval()(**tokenizer(prompts, responses, padding=True, return_tensors="pt")).logits
    found.append({
        "rewards": rewards[:, 0].tolist(), "labels": model.config.num_labels, "shape": list(model.score.weight.shape),
        "bias": model.score.bias is not None, "pads": [model.config.pad_token_id, tokenizer.pad_token_id],
        "wrong": [list(map(str, info[key])) for key in ("missing_keys", "unexpected_keys", "mismatched_keys")],
    })
print(json.dumps(found))
""",
        *places,
    )
    for place, found in zip(places, every, strict=True):
        # The guide promises 1e-5; in float32 5e-7 was the most.
        np.testing.assert_allclose(found["rewards"], ours(place), rtol=0, atol=1e-5)
        assert np.ptp(found["rewards"]) > 1e-3
        assert (found["labels"], found["shape"], found["bias"]) == (1, [1, 8], False)
        assert found["pads"] == [0, 0]
        assert found["wrong"] == [[], [], []]
        files = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
        assert files <= {path.name for path in place.iterdir()}


def test_the_pipeline_hides_the_reward_behind_a_sigmoid_unless_told(runs):
    """The trap of transformers#8259: score is σ(reward) by default; function_to_apply="none" gives the reward"""
    found = elsewhere(
        """
import json, sys
from transformers import pipeline
classify = pipeline("text-classification", model=sys.argv[2], device="cpu")
pairs = [{"text": prompt, "text_pair": response} for prompt, response in json.loads(sys.argv[1])]
print(json.dumps([[classify(pair, **how)["score"] for pair in pairs] for how in ({}, {"function_to_apply": "none"})]))
""",
        runs["numpy_ref"],
    )
    reward = ours(runs["numpy_ref"])
    np.testing.assert_allclose(found[0], 1 / (1 + np.exp(-reward)), rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[1], reward, rtol=0, atol=1e-5)


@pytest.mark.parametrize("package", PACKAGES)
def test_trl_trains_it_further(package, runs, tmp_path):
    """RewardTrainer takes model and tokenizer as they are: it starts from our rewards, and its step changes them"""
    pytest.importorskip("trl", reason="the extra bench is not installed")
    pytest.importorskip("datasets", reason="the extra hf is not installed")
    found = elsewhere(
        f"""
import json, sys, torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl import RewardConfig, RewardTrainer
texts, directory = json.loads(sys.argv[1]), sys.argv[2]
model = AutoModelForSequenceClassification.from_pretrained(directory)
tokenizer = AutoTokenizer.from_pretrained(directory)
rows = [[tokenizer(prompt, response)["input_ids"] for prompt, response in pair] for pair in (texts[:2], texts[2:])]
data = Dataset.from_list([{{"chosen_ids": chosen, "rejected_ids": rejected}} for chosen, rejected in rows])
options = RewardConfig(
    {str(tmp_path / "trl")!r}, per_device_train_batch_size=2, max_steps=1, learning_rate=1e-2, report_to="none",
    use_cpu=True, max_length=None, logging_steps=1, save_strategy="no", bf16=False, gradient_checkpointing=False,
)
trainer = RewardTrainer(model, args=options, train_dataset=data, processing_class=tokenizer)
before = {{name: p.detach().clone() for name, p in model.named_parameters()}}
trainer.train()
log = trainer.state.log_history[0]
moved = sum(not torch.equal(p, before[name]) for name, p in model.named_parameters())
print(json.dumps([log["loss"], log["mean_reward"], log["min_reward"], log["max_reward"], moved]))
""",
        runs[package],
    )
    reward = ours(runs[package])
    loss = np.mean(np.log1p(np.exp(-(reward[0::2] - reward[1::2]))))
    np.testing.assert_allclose(found[:4], [loss, reward.mean(), reward.min(), reward.max()], rtol=0, atol=2e-4)
    assert found[4] > 10, "it has learned"
