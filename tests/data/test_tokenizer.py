"""Text to ids and back without loss, the same ids in the ecosystem, and no text that spells a special."""

import copy
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from numpy_ref.data.tokenizer import BOS, EOS, PAD, SEP, SPECIALS, Bytes, Words, load, save
from numpy_ref.errors import InputError

VOCABULARY = ("sort", "b", "a", "é", "名", "a<eos>", "<eos>a", "<", "<b", "a-b")
TYPED = ["<eos>", "a <eos>", "<pad>a", "<bos><sep>", "a<eos>b", "< eos >", "<eos", " <sep> ", "\n<eos>\n", "<unk>"]
TYPED += ["<|endoftext|>", "</s>", "[PAD]", "<|im_start|>user\n<|im_end|>"]  # other tokenizers' specials
ALL_LANGUAGES = [
    "",
    " ",
    "é",
    "e\u0301",
    "🙂",
    "👩‍👩‍👧‍👦",
    "\u202eabc",
    "नमस्ते",
    "สวัสดี",
    "안녕",
    "\0\x7f\x85\u2028",
    "ﬁ Å Å",
    "  a  b ",
    "\r\n\t",
]

any_text = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(TYPED + ALL_LANGUAGES)
word = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda text: text.split() == [text]
)
vocabularies = st.lists(word, unique=True, max_size=8).filter(lambda words: not {*SPECIALS, "<unk>"} & {*words})


@st.composite
def words_and_texts(draw):
    vocabulary = draw(vocabularies.filter(bool) | st.just(VOCABULARY))
    texts = st.lists(st.sampled_from(vocabulary), max_size=8).map(" ".join)
    return Words(vocabulary), draw(texts), draw(texts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tokenizer")


def parts(ids):
    """The ids of prompt and response; the specials stand in the places of the layout and nowhere else"""
    middle = ids.index(SEP)
    assert [i for i in ids if i < 4] == [BOS, SEP, EOS]
    assert (ids[0], ids[-1]) == (BOS, EOS)
    return ids[1:middle], ids[middle + 1 : -1]


def test_the_layout():
    assert (PAD, BOS, SEP, EOS) == (0, 1, 2, 3)
    assert Words(VOCABULARY).encode("sort b a", "a b") == [BOS, 4, 5, 6, SEP, 6, 5, EOS]
    assert Words(VOCABULARY).encode("", "") == [BOS, SEP, EOS]
    assert Bytes().encode("é", "a\n") == [BOS, 4 + 0xC3, 4 + 0xA9, SEP, 4 + 97, 4 + 10, EOS]
    assert (Words(VOCABULARY).name, Words(VOCABULARY).vocab_size) == ("words", 4 + len(VOCABULARY))
    assert (Bytes().name, Bytes().vocab_size) == ("bytes", 260)


@given(prompt=any_text, response=any_text)
@example("<eos>", "<pad><bos><sep><eos>")
@settings(deadline=None)
def test_bytes_round_trip_any_text(prompt, response):
    ids = Bytes().encode(prompt, response)
    assert [bytes(i - 4 for i in part).decode() for part in parts(ids)] == [prompt, response]
    assert Bytes().decode(ids) == f"<bos>{prompt}<sep>{response}<eos>"
    assert max(ids) < Bytes().vocab_size


@given(words_and_texts())
@settings(deadline=None)
def test_words_round_trip_their_texts(drawn):
    tokenizer, prompt, response = drawn
    ids = tokenizer.encode(prompt, response)
    assert [" ".join(tokenizer.words[i - 4] for i in part) for part in parts(ids)] == [prompt, response]
    assert tokenizer.decode(ids).split() == f"<bos> {prompt} <sep> {response} <eos>".split()
    assert max(ids) < tokenizer.vocab_size


@given(st.lists(st.integers(0, 259)))
@settings(deadline=None)
def test_any_bytes_can_be_shown(ids):
    shown = Bytes().decode(ids)
    assert all(shown.count(special) >= ids.count(i) for i, special in enumerate(SPECIALS))


def test_half_a_character_before_a_special_hides_neither():
    assert Bytes().decode([4 + 0xF0, 4 + 0x9F, EOS, PAD]) == "\N{REPLACEMENT CHARACTER}<eos><pad>"


@pytest.mark.parametrize(
    "text", ["<eos>", "a <pad>", "sort  b", " a", "a ", "a\nb", "a\tb", "Sort", "<unk>", "<|endoftext|>", "x" * 1000]
)
def test_an_unknown_word_is_refused_by_name(text):
    unknown = next(word for word in text.split(" ") if word not in VOCABULARY)
    for prompt, response in ((text, ""), ("", text)):
        with pytest.raises(InputError, match=r"knows only the 10 words of the built-in world.* --data") as error:
            Words(VOCABULARY).encode(prompt, response)
        assert f"unknown word {unknown[:12]!r}"[:-1] in str(error.value)
        assert len(str(error.value)) < 250


@pytest.mark.parametrize("text", ["ab\ud800", "\udcff"])
def test_half_a_surrogate_pair_is_refused(text):
    with pytest.raises(InputError, match=f"character {len(text)} of the text is half of a surrogate pair"):
        Bytes().encode("", text)
    with pytest.raises(InputError, match="half of a surrogate pair"):
        Words((text,))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("<eos>",), "'<eos>' is not one"),
        (("a", "<pad>"), "'<pad>' is not one"),
        (("<unk>",), "'<unk>' is not one"),
        (("a b",), "'a b' is not one"),
        (("a", ""), "'' is not one"),
        ((" a",), "' a' is not one"),
        (("a\u3000",), r"'a\u3000' is not one"),
        (("a\n",), r"'a\n' is not one"),
        (("a", "b", "a"), "one occurs twice"),
    ],
)
def test_a_vocabulary_holds_distinct_words(words, found):
    with pytest.raises(InputError, match="distinct words without spaces") as error:
        Words(words)
    assert str(error.value).endswith(f": {found}")


def test_tokenizers_cannot_be_changed():
    words = list(VOCABULARY)
    tokenizer = Words(words)
    words.append("more")
    assert tokenizer == Words(VOCABULARY)
    with pytest.raises(AttributeError):
        tokenizer.words = ()


def test_the_letters_of_bytes_are_gpt2s():
    letters = Bytes().pieces[4:]
    assert len(set(Bytes().pieces)) == 260
    assert "".join(letters[byte] for byte in "a é\n\0\x7f\xad~".encode()) == "aĠÃ©ĊĀġÂŃ~"


@given(st.builds(Words, vocabularies) | st.builds(Bytes))
@settings(deadline=None)
def test_what_is_saved_is_loaded(folder, tokenizer):
    save(tokenizer, folder)
    assert load(folder) == tokenizer
    assert b"\r" not in (folder / "tokenizer.json").read_bytes()


def saved(folder, tokenizer):
    save(tokenizer, folder)
    return json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))


def refusal(folder, content=None):
    """The sentence in which the file is refused: it names the file and is one line"""
    if content is not None:
        (folder / "tokenizer.json").write_bytes(content)
    with pytest.raises(InputError) as error:
        load(folder)
    sentence = str(error.value)
    assert sentence.startswith(f"{folder / 'tokenizer.json'}: not a tokenizer that this project saved: ")
    assert sentence.isprintable()
    return sentence


def leaves(document, path=()):
    branches = document.items() if isinstance(document, dict) else enumerate(document)
    for key, branch in branches:
        if isinstance(branch, dict | list) and branch:
            yield from leaves(branch, (*path, key))
        else:
            yield (*path, key)


@pytest.mark.parametrize("tokenizer", [Words(VOCABULARY), Bytes()], ids=lambda tokenizer: tokenizer.name)
def test_a_file_with_any_one_value_changed_is_refused(tmp_path, tokenizer):
    document = saved(tmp_path, tokenizer)
    for path in leaves(document):
        if path in [("truncation",), ("padding",)]:
            continue
        changed = copy.deepcopy(document)
        branch = changed
        for key in path[:-1]:
            branch = branch[key]
        branch[path[-1]] = 7.5 if branch[path[-1]] is None else None
        refusal(tmp_path, json.dumps(changed).encode())
        del branch[path[-1]]
        if path[-1] != tokenizer.pieces[-1]:  # a vocabulary without its last word is valid too
            refusal(tmp_path, json.dumps(changed).encode())


@pytest.mark.parametrize(
    "content",
    [
        *(
            b"",
            b"{",
            b"[]",
            b"null",
            b"1",
            b"\xff\xfe",
            b"[" * 10**5,
            b"1" * 5000,
            b"{}",
            b'{"model": 3}',
            b'{"model": {}}',
        ),
        b'{"model": {"type": "BPE"}}',
        b'{"model": {"type": "WordLevel"}}',
        b'{"model": {"type": "WordLevel", "vocab": []}}',
        b'{"model": {"type": "WordLevel", "vocab": {"a": 1, "b": 2, "c": 3, "d": 4, "\\ud800": 5, "\\n": 6}}}',
    ],
)
def test_another_file_is_refused(tmp_path, content):
    refusal(tmp_path, content)


def test_no_file_is_refused(tmp_path):
    assert "it cannot be read (No such file or directory); give a model directory" in refusal(tmp_path)
    (tmp_path / "tokenizer.json").mkdir()
    assert "it cannot be read (Is a directory); give a model directory" in refusal(tmp_path)


@given(content=st.binary(max_size=200), at=st.integers(0, 10**6), cut=st.integers(0, 3), whole=st.booleans())
@settings(deadline=None)
def test_any_bytes_are_loaded_or_refused(folder, content, at, cut, whole):
    save(Words(("sort", "a")), folder)
    good = (folder / "tokenizer.json").read_bytes()
    at %= len(good)
    (folder / "tokenizer.json").write_bytes(content if whole else good[:at] + content[:3] + good[at + cut :])
    try:
        assert isinstance(load(folder), Words)
    except InputError:
        refusal(folder)


# The ecosystem reads the same file. Below: the tokenizers and transformers of Hugging Face.


@pytest.fixture(scope="module", params=["alone", "beside a GPT-2 model"])
def pretrained(request, tmp_path_factory):
    """A function that saves a tokenizer as a trained model's directory has it, and opens it with AutoTokenizer"""
    from transformers import AutoTokenizer

    def opened(tokenizer):
        directory = tmp_path_factory.mktemp("pretrained")
        save(tokenizer, directory)
        if request.param != "alone":
            config = {"model_type": "gpt2", "architectures": ["GPT2ForSequenceClassification"]}
            (directory / "config.json").write_text(json.dumps(config))
        return AutoTokenizer.from_pretrained(directory)

    return opened


@pytest.mark.slow
def test_transformers_gives_our_ids_for_any_text(pretrained):
    theirs = pretrained(Bytes())

    @given(prompt=any_text, response=any_text)
    @example("<eos>", "<pad><bos><sep><eos>")
    @settings(deadline=None, max_examples=1000)
    def agree(prompt, response):
        ids = Bytes().encode(prompt, response)
        assert theirs([prompt], [response]).input_ids == [ids]
        assert theirs(response).input_ids == Bytes().encode("", response)
        if response:
            assert theirs(prompt, response).input_ids == ids
        assert theirs.decode(ids) == Bytes().decode(ids)

    agree()


@pytest.mark.slow
def test_transformers_gives_our_ids_for_words(pretrained):
    theirs, ours = pretrained(Words(VOCABULARY)), Words(VOCABULARY)
    texts = st.lists(st.sampled_from(VOCABULARY), max_size=8).map(" ".join)

    @given(prompt=texts, response=texts)
    @settings(deadline=None, max_examples=300)
    def agree(prompt, response):
        ids = ours.encode(prompt, response)
        assert theirs([prompt], [response]).input_ids == [ids]
        assert theirs(response).input_ids == ours.encode("", response)
        assert theirs.decode(ids) == ours.decode(ids)

    agree()


@pytest.mark.slow
@given(drawn=words_and_texts())
@settings(deadline=None, max_examples=300)
def test_tokenizers_gives_our_ids_for_words_of_any_vocabulary(folder, drawn):
    from tokenizers import Tokenizer

    ours, prompt, response = drawn
    save(ours, folder)
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs.encode_special_tokens = True
    assert theirs.encode(prompt, response).ids == ours.encode(prompt, response)


@pytest.mark.slow
def test_transformers_takes_an_empty_second_text_for_none(pretrained):
    """A known difference that does no harm: a preference has no empty response, and lists of texts are read right"""
    theirs = pretrained(Bytes())
    assert theirs("p", "").input_ids == Bytes().encode("", "p")
    assert theirs(["p"], [""]).input_ids == [Bytes().encode("p", "")]


@pytest.mark.slow
@pytest.mark.parametrize("text", [*SPECIALS, "a <eos>", "<unk>", "<|endoftext|>", "zebra"])
def test_a_typed_special_is_an_unknown_word_there_too(pretrained, text):
    with pytest.raises(Exception, match="WordLevel error"):
        pretrained(Words(VOCABULARY))("sort", text)


@pytest.mark.slow
def test_transformers_pads_on_the_right(pretrained):
    theirs = pretrained(Bytes())
    batch = theirs(["p", ""], ["ab", "a"], padding=True)
    assert batch.input_ids == [Bytes().encode("p", "ab"), [*Bytes().encode("", "a"), PAD, PAD]]
    assert batch.attention_mask == [[1] * 6, [1] * 4 + [0] * 2]
    assert [theirs.pad_token_id, theirs.bos_token_id, theirs.sep_token_id, theirs.eos_token_id] == [PAD, BOS, SEP, EOS]


@pytest.mark.slow
@pytest.mark.parametrize("ours", [Words(VOCABULARY), Bytes()], ids=lambda tokenizer: tokenizer.name)
def test_what_transformers_saves_again_is_loaded(pretrained, ours, tmp_path):
    theirs = pretrained(ours)
    theirs(["a", "a a"], padding=True, truncation=True, max_length=9)  # the file keeps its padding and truncation
    theirs.save_pretrained(tmp_path)
    assert load(tmp_path) == ours


@pytest.mark.slow
@pytest.mark.parametrize("ours", [Words(VOCABULARY), Bytes()], ids=lambda tokenizer: tokenizer.name)
def test_every_field_is_as_the_tokenizers_library_writes_it(ours, folder):
    from tokenizers import Tokenizer

    document = saved(folder, ours)
    assert json.loads(Tokenizer.from_file(str(folder / "tokenizer.json")).to_str()) == document


@pytest.mark.slow
def test_the_setting_that_keeps_a_typed_special_text_is_needed(pretrained, folder):
    """Without split_special_tokens in the configuration, a response that contains <eos> would end twice"""
    from tokenizers import Tokenizer

    theirs = pretrained(Bytes())
    assert theirs("", "a<eos>", split_special_tokens=False).input_ids == [BOS, SEP, 4 + 97, EOS, EOS]
    assert theirs("", "a<eos>").input_ids == Bytes().encode("", "a<eos>")
    save(Bytes(), folder)
    alone = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert alone.encode("", "a<eos>").ids == [BOS, SEP, 4 + 97, EOS, EOS]
    alone.encode_special_tokens = True
    assert alone.encode("", "a<eos>").ids == Bytes().encode("", "a<eos>")
