"""A saved model is read right or not at all: each pooling, layer and body, by each route that people take.

A route is one process that does not import this project. It gets every model, and prints the scores of the same texts
or why it refuses.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from numpy_ref.batches import collate

pytest.importorskip("transformers", reason="the extra hf is not installed")
pytest.importorskip("trl", reason="the extra bench is not installed")

import tiny

import torch_impl
from torch_impl.backbone.model import load_backbone
from torch_impl.backbone.saved import load_saved, save_model
from torch_impl.backbone.tokenizer import joined

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
READINGS = {"last": ((3,), "last"), "mean": ((3,), "mean"), "layers": ((1, 3), "last"), "layers-mean": ((1, 2), "mean")}
PROMPT, RESPONSES = "Should bottles be banned?", ["Yes.", "A longer argument gives reasons; a shorter one does not."]

START = """
import json, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers import pipeline as pipeline_of
directories, texts = json.loads(sys.argv[1]), json.loads(sys.argv[2])

def scores(model, tokenizer, texts):
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right", add_special_tokens=False)
    with torch.no_grad():
        return model(**batch).logits[:, 0].tolist()
"""
ROUTES = {
    "AutoModel": """
def route(directory):
    model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    return scores(model, AutoTokenizer.from_pretrained(directory), texts)
""",
    "named class": """
import transformers
NAMES = {"gpt2": "GPT2", "qwen2": "Qwen2", "qwen3": "Qwen3"}

def route(directory):
    name = NAMES.get(directory.split("/")[-1].split("-")[0], "Llama")
    model = getattr(transformers, name + "ForSequenceClassification").from_pretrained(directory).eval()
    return scores(model, AutoTokenizer.from_pretrained(directory), texts)
""",
    "pipeline": """
def route(directory):
    classify = pipeline_of("text-classification", model=directory, device="cpu", function_to_apply="none")
    return [row["score"] for row in classify(texts)]
""",
    "RewardTrainer": """
from datasets import Dataset
from trl import RewardConfig, RewardTrainer
data = Dataset.from_list([{"prompt": "", "chosen": texts[0], "rejected": texts[1]}])
options = RewardConfig(
    "trl", max_steps=1, learning_rate=0.0, report_to="none", use_cpu=True, max_length=None, logging_steps=1, bf16=False,
    save_strategy="no", gradient_checkpointing=False, disable_dropout=True, model_init_kwargs={"dtype": "float32"},
)

def route(directory):
    trainer = RewardTrainer(directory, args=options, train_dataset=data)
    trainer.train()
    log = trainer.state.log_history[0]
    return [log["min_reward"], log["max_reward"]]
""",
    "GRPOTrainer": """
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer
prompts = Dataset.from_list([{"prompt": "Why?"}] * 2)
options = GRPOConfig(
    "grpo", max_steps=1, report_to="none", use_cpu=True, bf16=False, num_generations=2, max_completion_length=2,
    per_device_train_batch_size=2, model_init_kwargs={"dtype": "float32"},
)

def route(directory):
    trainer = GRPOTrainer(sys.argv[3], reward_funcs=directory, args=options, train_dataset=prompts)
    (model,), (tokenizer,) = trainer.reward_funcs, trainer.reward_processing_classes
    return scores(model.eval(), tokenizer, texts)
""",
}
END = """
found = {}
for directory in directories:
    try:
        found[directory] = route(directory)
    except (ValueError, OSError, KeyError) as error:
        found[directory] = "refused: " + " ".join(str(error).split())
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """{(body, reading): directory} of the models that save_model wrote, with our rewards of the texts"""
    place, models = tmp_path_factory.mktemp("models"), {}
    for kind in tiny.CONFIGS:
        source = tiny.directory(place / "bodies" / kind, kind)
        for name, (layers, pooling) in READINGS.items():
            model, tokenizer = load_backbone(source)
            model.read(layers, pooling)
            torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(1))
            directory = place / f"{kind}-{name}"
            save_model(directory, model, tokenizer)
            scorer = load_saved(directory)
            rows = [scorer.tokenizer.encode(PROMPT, response) for response in RESPONSES]
            models[kind, name] = str(directory), scorer.rewards(*collate([rows]))[0]
    return place, models


@pytest.fixture(scope="module", params=ROUTES)
def route(request, saved, tmp_path_factory):
    """(the route's name, {directory: scores or a refusal})"""
    place, models = saved
    words = load_saved(next(iter(models.values()))[0]).tokenizer.tokenizer
    texts = [joined(PROMPT, response) + words.eos_token for response in RESPONSES]
    policy = causal(place / "policy", words)
    directories = [directory for directory, _ in models.values()]
    code = START + ROUTES[request.param] + END
    command = [sys.executable, "-W", "ignore", "-c", code, json.dumps(directories), json.dumps(texts), policy]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    where = tmp_path_factory.mktemp("elsewhere")
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=where, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return request.param, json.loads(done.stdout.splitlines()[-1])


def causal(directory, words):
    """A language model to train by GRPO"""
    from transformers import GPT2LMHeadModel

    GPT2LMHeadModel(tiny.CONFIGS["gpt2"](vocab_size=len(words), eos_token_id=words.eos_token_id)).save_pretrained(
        directory
    )
    words.save_pretrained(directory)
    return str(directory)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("kind", tiny.CONFIGS)
def test_each_route_gives_the_same_scores_or_refuses(saved, route, kind, reading):
    (directory, ours), (name, found) = saved[1][kind, reading], route
    theirs = found[directory]
    if reading == "last":
        ours = sorted(ours) if name == "RewardTrainer" else ours  # which logs the least and the largest
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)
        assert abs(ours[0] - ours[1]) > 1e-2
    else:
        assert isinstance(theirs, str), f"{name} reads a model with another head without a word"
        assert ("mean_pooled" if reading == "mean" else "several_layers") in theirs or "model.safetensors" in theirs


@pytest.mark.parametrize("reading", READINGS)
def test_this_project_reads_all_of_them(saved, reading):
    directory, ours = saved[1]["llama", reading]
    found = torch_impl.load(directory).score(PROMPT, RESPONSES)
    np.testing.assert_allclose(found, ours, rtol=0, atol=1e-6)  # 0 measured
