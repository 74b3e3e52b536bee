"""A model on disk: bit for bit between the packages, by GPT-2's names, and refused in one sentence when damaged."""

import contextlib
import json
import pickle
import shutil

import numpy as np
import pytest
import safetensors.torch
import torch
from compare import assert_bitwise
from hypothesis import given
from hypothesis import strategies as st
from running import LEARNERS, PACKAGES, is_one_sentence, run, weights
from safetensors.numpy import load_file, save_file

from numpy_ref.batches import collate
from numpy_ref.data import tokenizer as tokenizers
from numpy_ref.data import world
from numpy_ref.data.tokenizer import Bytes, Words
from numpy_ref.errors import InputError
from numpy_ref.reward_model import init_params, rewards
from numpy_ref.storage.checkpoint import load_model, save_model
from numpy_ref.tree import flatten, tree_map, unflatten
from torch_impl.train import model_of

WORDS = Words(world.WORDS)
SCHEDULE = {"total_steps": 5, "learning_rate": 1e-3, "warmup_steps": 0}


def strange(dtype, seed=0):
    """Weights that all differ, with values that a text format could lose: subnormals, -0.0, the largest number"""
    rng, limits = np.random.default_rng(seed), np.finfo(dtype)
    flat = {name: rng.standard_normal(array.shape).astype(dtype) for name, array in weights(n_layer=2).items()}
    flat["body.tok.weight"][0, :5] = [limits.smallest_subnormal, -0.0, limits.max, limits.eps, -limits.tiny]
    return flat


def assert_same_bits(actual, desired):
    assert list(actual) == list(desired)
    for name, array in desired.items():
        assert actual[name].dtype == array.dtype, name
        assert actual[name].shape == array.shape, name
        assert actual[name].tobytes() == array.tobytes(), name


@pytest.fixture
def saved(tmp_path):
    """A directory with a small model of the world"""
    save_model(tmp_path, unflatten(weights()), 2, WORDS)
    return tmp_path


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reader", LEARNERS)
@pytest.mark.parametrize("writer", LEARNERS)
def test_what_one_side_saves_the_other_loads_bit_for_bit(writer, reader, dtype, tmp_path):
    flat = strange(dtype)
    learner = writer(flat, 2, **SCHEDULE)
    save_model(tmp_path, unflatten(learner.weights()), learner.n_head, WORDS)
    params, n_head, tokenizer = load_model(tmp_path)
    assert_same_bits(flatten(params), flat)
    assert_same_bits(reader(flatten(params), n_head, **SCHEDULE).weights(), flat)
    assert (n_head, tokenizer) == (2, WORDS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saving_what_was_loaded_writes_the_same_bytes(dtype, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    save_model(tmp_path / "one", unflatten(strange(dtype)), 4, WORDS)
    save_model(tmp_path / "two", *load_model(tmp_path / "one"))
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_the_file_holds_gpt2s_names_and_shapes(tmp_path):
    """In GPT-2's files a block's linear weights are (in, out); C = 6, vocabulary 260, 9 positions"""
    params = init_params(np.random.default_rng(0), 260, 9, 6, 1, np.float32)
    save_model(tmp_path, params, 3, Bytes())
    tensors = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
        "transformer.wte.weight": (260, 6),
        "transformer.wpe.weight": (9, 6),
        "transformer.h.0.ln_1.weight": (6,),
        "transformer.h.0.ln_1.bias": (6,),
        "transformer.h.0.attn.c_attn.weight": (6, 18),
        "transformer.h.0.attn.c_attn.bias": (18,),
        "transformer.h.0.attn.c_proj.weight": (6, 6),
        "transformer.h.0.attn.c_proj.bias": (6,),
        "transformer.h.0.ln_2.weight": (6,),
        "transformer.h.0.ln_2.bias": (6,),
        "transformer.h.0.mlp.c_fc.weight": (6, 24),
        "transformer.h.0.mlp.c_fc.bias": (24,),
        "transformer.h.0.mlp.c_proj.weight": (24, 6),
        "transformer.h.0.mlp.c_proj.bias": (6,),
        "transformer.ln_f.weight": (6,),
        "transformer.ln_f.bias": (6,),
        "score.weight": (1, 6),
    }
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    square = tensors["transformer.h.0.attn.c_proj.weight"].numpy()
    np.testing.assert_array_equal(square.T, params["body"]["blocks"][0]["attn"]["proj"]["weight"])
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["GPT2ForSequenceClassification"]
    sizes = {"vocab_size": 260, "n_positions": 9, "n_embd": 6, "n_layer": 1, "n_head": 3, "dtype": "float32"}
    assert {name: config[name] for name in sizes} == sizes


TEXTS = {"words": ("say cat next two colour sky", ["cat three blue .", "cat"]), "bytes": ("Größe? 大", ["ja 是", "n"])}


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-10)])
@pytest.mark.parametrize("tokenizer", [WORDS, Bytes()], ids=["words", "bytes"])
def test_the_ecosystem_loads_it_and_gives_the_same_rewards(tokenizer, dtype, tolerance, tmp_path):
    """One response alone, and a padded batch of responses of different lengths"""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    rng = np.random.default_rng(0)
    params = init_params(rng, tokenizer.vocab_size, 64, 16, 2, dtype)
    params = tree_map(lambda leaf: leaf + (0.3 * rng.standard_normal(leaf.shape)).astype(dtype), params)
    save_model(tmp_path, params, 4, tokenizer)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path, torch_dtype="auto").eval()
    assert model.dtype == torch.from_numpy(np.empty(0, dtype)).dtype
    prompt, responses = TEXTS[tokenizer.name]
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    row = [tokenizer.encode(prompt, response) for response in responses]
    assert theirs([prompt] * len(responses), responses)["input_ids"] == row
    ours, _ = rewards(*collate([row]), **params, n_head=4)
    padded = theirs([prompt] * len(responses), responses, padding=True, return_tensors="pt")
    with torch.no_grad():
        alone = [model(torch.tensor([ids])).logits.item() for ids in row]
        together = model(**padded).logits
    assert together.shape == (len(responses), 1)
    np.testing.assert_allclose(alone, ours[0], rtol=0, atol=tolerance)
    np.testing.assert_allclose(together[:, 0].numpy(), ours[0], rtol=0, atol=tolerance)
    assert abs(ours[0, 0] - ours[0, 1]) > 1e-3


def change_arrays(change):
    def damage(directory):
        arrays = load_file(directory / "model.safetensors")
        change(arrays)
        save_file(arrays, directory / "model.safetensors")

    return damage


def change_config(**fields):
    def damage(directory):
        config = json.loads((directory / "config.json").read_text())
        (directory / "config.json").write_text(json.dumps(config | fields))

    return damage


def write(name, content):
    return lambda directory: (directory / name).write_bytes(content)


def remove(name):
    return lambda directory: (directory / name).unlink()


def reshape_head(arrays):
    arrays["score.weight"] = arrays["score.weight"].T.copy()


def half_precision(arrays):
    for name in arrays:
        arrays[name] = arrays[name].astype(np.float16)


def one_of_another_type(arrays):
    arrays["score.weight"] = arrays["score.weight"].astype(np.float32)


def cut(name, share):
    def damage(directory):
        content = (directory / name).read_bytes()
        (directory / name).write_bytes(content[: int(len(content) * share)])

    return damage


def flip_in_header(directory):
    content = bytearray((directory / "model.safetensors").read_bytes())
    content[3] ^= 0x40
    (directory / "model.safetensors").write_bytes(content)


def other_tokenizer(directory):
    tokenizers.save(Bytes(), directory)


def another_model(directory):
    save_model(directory, unflatten(weights(n_embd=12)), 2, WORDS)


def only_this_config(directory):
    config = (directory / "config.json").read_bytes()
    another_model(directory)
    (directory / "config.json").write_bytes(config)


WEIGHTS, CONFIG = "model.safetensors", "config.json"
DAMAGES = {
    "the weights are missing": (remove(WEIGHTS), "holds no model.safetensors"),
    "the config is missing": (remove(CONFIG), "config.json: there is no such file"),
    "the tokenizer is missing": (remove("tokenizer.json"), "tokenizer.json"),
    "a tensor is missing": (
        change_arrays(lambda a: a.pop("transformer.ln_f.bias")),
        "transformer.ln_f.bias is missing",
    ),
    "a tensor too many": (change_arrays(lambda a: a.update(extra=a["score.weight"])), "unknown tensor extra"),
    "two too many": (change_arrays(lambda a: a.update(y=a["score.weight"], x=a["score.weight"])), "unknown tensor x:"),
    "a bias for the head": (change_arrays(lambda a: a.update({"score.bias": a["score.weight"][0, :1]})), "score.bias"),
    "a tensor of another shape": (change_arrays(reshape_head), r"score.weight has the shape \(8, 1\)"),
    "half precision": (change_arrays(half_precision), "float16"),
    "two types": (change_arrays(one_of_another_type), "float32, float64"),
    "cut in the data": (cut(WEIGHTS, 0.7), "damaged"),
    "cut in the header": (cut(WEIGHTS, 0.01), "damaged"),
    "empty": (write(WEIGHTS, b""), "damaged"),
    "a flipped bit in the header's length": (flip_in_header, "damaged"),
    "not safetensors at all": (write(WEIGHTS, b"PK\x03\x04 some archive"), "damaged"),
    "weights of another model": (only_this_config, "has the shape"),
    "a config of another width": (change_config(n_embd=16), r"config.json asks for \(\d+, 16\)"),
    "a config of more layers": (change_config(n_layer=2), "transformer.h.1.ln_1.weight is missing"),
    "a config of more layers than fit a memory": (change_config(n_layer=10**9), "is missing"),
    "a config of more words than fit a memory": (change_config(vocab_size=10**15), "has the shape"),
    "a config of more channels than fit a memory": (change_config(n_embd=2 * 10**15), "has the shape"),
    "a config of fewer layers": (change_config(n_layer=0), "not the configuration"),
    "heads that do not divide": (change_config(n_head=3), "not the configuration"),
    "a size that is no number": (change_config(n_layer="2"), "not the configuration"),
    "a size that is true": (change_config(n_head=True), "not the configuration"),
    "another kind of model": (change_config(model_type="llama"), "not the configuration"),
    "a config that is a list": (write(CONFIG, b"[]"), "not the configuration"),
    "a config that is not JSON": (write(CONFIG, b'{"n_layer": 1,'), "not readable JSON"),
    "a config that is not UTF-8": (write(CONFIG, b'{"n_layer": "\xff"}'), "not readable JSON"),
    "a config nested without end": (write(CONFIG, b"[" * 100_000), "not readable JSON"),
    "a config with a number without end": (write(CONFIG, b'{"n_layer": ' + b"9" * 9999 + b"}"), "not readable JSON"),
    "the tokenizer of another model": (other_tokenizer, "the tokenizer has 260 tokens"),
    "a tokenizer that is not JSON": (write("tokenizer.json", b"{"), "tokenizer.json"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_one_sentence(name, saved, capsys):
    damage, expected = DAMAGES[name]
    damage(saved)
    with pytest.raises(InputError, match=expected) as error:
        load_model(saved)
    assert str(error.value).startswith(str(saved))
    assert is_one_sentence(str(error.value))
    for package in PACKAGES:
        assert run(package, "score", "--model", str(saved), "cat .", "dog .") == 2
        assert capsys.readouterr() == ("", f"python -m {package} score: error: {error.value}\n")


@pytest.mark.parametrize("place", ["nowhere", "an empty directory", "a file"])
def test_a_model_that_is_not_there_is_one_sentence(place, tmp_path):
    path = tmp_path / place
    if place == "an empty directory":
        path.mkdir()
    elif place == "a file":
        path.write_text("x")
    found = "holds no model.safetensors" if place == "an empty directory" else "there is no such directory"
    with pytest.raises(InputError, match=f"{found}: give a run or model directory made by train") as error:
        load_model(path)
    assert is_one_sentence(str(error.value))


@pytest.mark.parametrize("pointer", ["checkpoint-7", "../elsewhere", "checkpoint-1/..", "", "/tmp", "checkpoint-١"])
def test_a_pointer_that_leads_nowhere_is_one_sentence(pointer, saved):
    (saved / "latest").write_text(pointer, encoding="utf-8")
    (saved / "model.safetensors").unlink()  # a run that has not finished
    (saved.parent / "elsewhere").mkdir(exist_ok=True)
    with pytest.raises(InputError, match=r"latest: points to .*no checkpoint of this run"):
        load_model(saved)


def test_of_several_pickles_the_first_by_name_is_named(tmp_path):
    for name in "qwertyuiopasdfghjklzxcvbnm":
        (tmp_path / f"{name}.pt").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.pt: a pickle can run any code"):
        load_model(tmp_path)


class Trap:
    """An object whose pickle writes a file when it is loaded"""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "weights.pkl", "model.safetensors"])
def test_a_pickle_is_never_loaded(name, saved, capsys):
    trap = saved / "sprung"
    (saved / "model.safetensors").unlink()
    (saved / name).write_bytes(pickle.dumps(Trap(trap)))
    with pytest.raises(
        InputError, match="damaged" if name == WEIGHTS else f"{name}: a pickle .* never loaded"
    ) as error:
        load_model(saved)
    assert is_one_sentence(str(error.value))
    for package in PACKAGES:
        assert run(package, "score", "--model", str(saved), "cat .") == 2
    assert not trap.exists()
    assert "Traceback" not in capsys.readouterr().err
    pickle.loads((saved / name).read_bytes()).close()
    assert trap.exists(), "the trap works"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole")
    save_model(directory, unflatten(weights()), 2, WORDS)
    return directory


@given(name=st.sampled_from([WEIGHTS, CONFIG, "tokenizer.json"]), data=st.data())
def test_any_byte_may_be_wrong(name, data, whole, tmp_path_factory):
    """A damaged file is refused in one sentence, or read if nothing contradicts it, as with a bit of a weight"""
    content = bytearray((whole / name).read_bytes())
    header = min(len(content), 2500)  # of the weights: their header's length, and the tensors' names, shapes and places
    for place in data.draw(st.lists(st.integers(0, header - 1), min_size=1, max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    directory = tmp_path_factory.mktemp("damaged") / "model"
    shutil.copytree(whole, directory)
    (directory / name).write_bytes(content)
    refusal = "refused in one sentence"
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, directory)
        try:
            params, n_head, _ = load_model(directory)
        except InputError as error:
            refusal = str(error)
        else:
            assert flatten(params).keys() == weights().keys()
            assert params["body"]["tok"]["weight"].shape[1] % n_head == 0
    assert is_one_sentence(refusal)


def test_a_run_is_read_at_its_newest_checkpoint_until_it_has_a_finished_model(tmp_path):
    (tmp_path / "checkpoint-20").mkdir()
    save_model(tmp_path / "checkpoint-20", unflatten(weights(seed=2)), 2, WORDS)
    (tmp_path / "latest").write_text("checkpoint-20\n")
    assert_bitwise(load_model(tmp_path)[0], unflatten(weights(seed=2)))
    save_model(tmp_path, unflatten(weights(seed=1)), 2, WORDS)
    assert_bitwise(load_model(tmp_path)[0], unflatten(weights(seed=1)))


def test_both_sides_give_the_same_rewards_from_one_file(saved):
    params, n_head, _ = load_model(saved)
    tokens, length = collate([[[1, 7, 9, 2, 8, 3], [1, 7, 9, 2, 3]]])
    by_hand = rewards(tokens, length, **params, n_head=n_head)[0]
    with torch.no_grad():
        twin = model_of(flatten(params), n_head)(torch.tensor(tokens), torch.tensor(length)).numpy()
    np.testing.assert_allclose(by_hand, twin, rtol=0, atol=1e-12)
