"""Text to token ids and back: words of a given vocabulary, or the bytes of any text in any language.

The layout is bos, prompt, sep, response, eos, and the reward is read at eos. No text can spell one of the four special
tokens: an `<eos>` that a user types is five bytes, or an unknown word. `preference.as_text` turns messages into a text.
TokenIds is for data that are token ids already, which have no text and no layout.

On disk a tokenizer is a Hugging Face `tokenizers` file, which the ecosystem can read.
"""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, Protocol

import numpy as np

from ..errors import InputError
from ..files import write_json
from .preference import Ids, as_text

SPECIALS = ("<pad>", "<bos>", "<sep>", "<eos>")
PAD, BOS, SEP, EOS = range(4)


class Tokenizer(Protocol):
    """Turns a prompt and a response into token ids: Words, Bytes, TokenIds, or that of a pretrained model"""

    name: str  # for error messages

    @property
    def vocab_size(self) -> int:
        """The ids are 0 to vocab_size - 1"""

    def encode(self, prompt: Any, response: Any) -> list[int]:
        """The ids of prompt and response together; InputError if the text cannot be encoded"""


class _Layout:
    """The text layout, which Words and Bytes share"""

    name: str

    def text_ids(self, text) -> list[int]:
        raise NotImplementedError

    def encode(self, prompt, response):
        """bos, prompt, sep, response, eos        two texts or messages -> list of ids in 0 .. vocab_size - 1"""
        if isinstance(response, Ids):
            raise InputError(f"token ids, but this model reads text ({self.name}): give it texts or messages")
        return [BOS, *self.text_ids(as_text(prompt)), SEP, *self.text_ids(as_text(response)), EOS]


@dataclass(frozen=True)
class Words(_Layout):
    """Word i of the vocabulary is token 4 + i; one space separates words"""

    words: tuple[str, ...]
    name = "words"

    def __post_init__(self):
        object.__setattr__(self, "words", tuple(self.words))
        bad = next((word for word in self.words if word in (*SPECIALS, "<unk>") or word.split() != [word]), None)
        if bad is not None or len(set(self.words)) < len(self.words):
            found = "one occurs twice" if bad is None else f"{shortened(bad)} is not one"
            raise InputError(f"a vocabulary holds distinct words without spaces that are no specials: {found}")
        _utf8(" ".join(self.words))

    @cached_property
    def pieces(self):
        """The written form of each token, by id"""
        return (*SPECIALS, *self.words)

    @cached_property
    def vocab_size(self):
        return len(self.pieces)

    @cached_property
    def _id_of_word(self):
        return {word: len(SPECIALS) + i for i, word in enumerate(self.words)}

    def text_ids(self, text):
        """sort b a -> the ids of sort, b, a; InputError names the first unknown word"""
        words = text.split(" ") if text else []
        unknown = next((word for word in words if word not in self._id_of_word), None)
        if unknown is not None:
            raise InputError(
                f"unknown word {shortened(unknown)}: this model knows only the {len(self.words)} words of the built-in "
                "world, one space apart; for other text, train on your own with --data"
            )
        return [self._id_of_word[word] for word in words]

    def decode(self, ids):
        """ids -> a readable text such as "<bos> sort b a <sep> a b <eos>" """
        return " ".join(self.pieces[i] for i in ids)


@dataclass(frozen=True)
class Bytes(_Layout):
    """Byte b of the text's UTF-8 is token 4 + b: a vocabulary of 260 encodes any text in any language"""

    name = "bytes"
    vocab_size = len(SPECIALS) + 256

    @cached_property
    def pieces(self):
        """The written form of each token, by id: bytes in GPT-2's letters, where a space is Ġ and é is Ã©

        A byte that is printable in Latin-1 keeps its letter; the other 68 get U+0100, U+0101, ...
        Source: Radford et al. 2019.
        """
        printed = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
        others = iter(range(0x100, 0x200))
        return (*SPECIALS, *(chr(byte if byte in printed else next(others)) for byte in range(256)))

    def text_ids(self, text):
        """é -> [4 + 0xC3, 4 + 0xA9]"""
        return [len(SPECIALS) + byte for byte in _utf8(text)]

    def array(self, prompt, response):
        """`encode` as an array of 16-bit integers, five times as fast; reading a large file is mostly this"""
        if isinstance(response, Ids):
            self.encode(prompt, response)  # raises the InputError
        texts = [_utf8(as_text(part)) for part in (prompt, response)]
        ids = np.frombuffer(b"-%b-%b-" % tuple(texts), np.uint8).astype(np.uint16) + len(SPECIALS)
        ids[[0, len(texts[0]) + 1, -1]] = BOS, SEP, EOS
        return ids

    def decode(self, ids):
        """ids -> a readable text such as "<bos>prompt<sep>response<eos>"; bytes that are not UTF-8 become �"""
        raw = (SPECIALS[i].encode() if i < len(SPECIALS) else bytes([i - len(SPECIALS)]) for i in ids)
        return b"".join(raw).decode("utf-8", "replace")


@dataclass(frozen=True)
class TokenIds:
    """No tokenizer: the data are token ids already, and are used unchanged

    No id is special. Padding has id 0 as elsewhere; its content cannot change a reward, because attention is causal and
    each response's length is known.
    """

    vocab_size: int
    name = "token ids"

    def encode(self, prompt, response):
        """The ids themselves, without bos, sep or eos        "", Ids -> list of ids"""
        if prompt or not isinstance(response, Ids):
            raise InputError(
                "a text, but this model was trained on token ids and has no tokenizer: give it token ids, in a file "
                'with "chosen_ids" and "rejected_ids"'
            )
        return within(response, self.vocab_size)


def within(ids, vocab_size):
    """Ids as a list; InputError for an id that is not in the vocabulary"""
    if max(ids) >= vocab_size:
        raise InputError(
            f"the token id {max(ids)}, but the vocabulary has {vocab_size} (0 to {vocab_size - 1}): encode with the "
            "model's own tokenizer, or train one from scratch with a larger --vocab-size"
        )
    return list(ids)


def _utf8(text):
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"character {error.start + 1} of the text is half of a surrogate pair ({text[error.start]!a}), "
            "which UTF-8 cannot hold: give whole characters"
        ) from None


def save(tokenizer, directory):
    """Writes tokenizer.json and tokenizer_config.json, which AutoTokenizer.from_pretrained(directory) reads

    TokenIds is saved as token_ids.json with its vocab_size; AutoTokenizer has nothing to read there.

    In transformers, `tokenizer(prompt, response)` then gives the ids of `encode(prompt, response)`, and
    `tokenizer(text)` those of `encode("", text)`. By default transformers also finds special tokens in a user's text: a
    typed "<eos>" would become the real one. The configuration therefore sets `split_special_tokens=True`. Whoever reads
    tokenizer.json alone with `tokenizers` sets `encode_special_tokens = True` on the tokenizer. An empty response needs
    the form for lists, `tokenizer([prompt], [""])`, because transformers treats an empty second text as none.
    """
    files = {"tokenizer.json": _document, "tokenizer_config.json": lambda _: CONFIG}
    if isinstance(tokenizer, TokenIds):
        files = {"token_ids.json": asdict}
    for name, content_of in files.items():
        write_json(Path(directory, name), content_of(tokenizer))


def config_without_specials(tokenizer):
    """Entries of config.json: TokenIds has no special ids; if 0 were declared padding, a last id 0 would be skipped"""
    names = ("pad_token_id", "bos_token_id", "eos_token_id")
    return dict.fromkeys(names) if isinstance(tokenizer, TokenIds) else {}


def load(directory):
    """The tokenizer that `save` wrote; InputError if another program wrote the file"""
    without = Path(directory) / "token_ids.json"
    path = without if without.is_file() else Path(directory) / "tokenizer.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if path == without:
            return _token_ids_of(found)
        tokenizer = _tokenizer_of(found)
        if {**found, "truncation": None, "padding": None} == _document(tokenizer):  # Hugging Face fills in these two
            return tokenizer
        reason = "it is another tokenizer's"
    except OSError as error:
        reason = f"it cannot be read ({error.strerror})"
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or not words
        reason = str(error)
    raise InputError(f"{path}: not a tokenizer that this project saved: {reason}; give a model directory made by train")


def _tokenizer_of(document):
    match document:
        case {"model": {"type": "WordLevel", "vocab": dict(vocabulary)}}:
            return Words(tuple(vocabulary)[len(SPECIALS) :])
        case {"model": {"type": "BPE"}}:
            return Bytes()
    raise InputError("it has neither words nor bytes")


def _token_ids_of(document):
    match document:
        case {"vocab_size": int(size)} if type(size) is int and size > 0 and len(document) == 1:
            return TokenIds(size)
    raise InputError("it does not hold a vocab_size of 1 or more alone")


CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "pad_token": "<pad>",
    "bos_token": "<bos>",
    "sep_token": "<sep>",
    "eos_token": "<eos>",
    "padding_side": "right",
    "clean_up_tokenization_spaces": False,
    "split_special_tokens": True,
}


def _document(tokenizer):
    """The content of a tokenizer's `tokenizers` file, with every field as that library writes it"""
    by_words = isinstance(tokenizer, Words)
    vocabulary = {piece: i for i, piece in enumerate(tokenizer.pieces)}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    bos, sep, eos = ({"SpecialToken": {"id": name, "type_id": 0}} for name in SPECIALS[1:])
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": name, **flags} for i, name in enumerate(SPECIALS)],
        "normalizer": None,
        "pre_tokenizer": SPACES if by_words else BYTE_LEVEL,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, sep, first, eos],
            "pair": [bos, first, sep, second, eos],
            "special_tokens": {
                name: {"id": name, "ids": [vocabulary[name]], "tokens": [name]} for name in SPECIALS[1:]
            },
        },
        "decoder": None if by_words else BYTE_LEVEL,
        "model": {**(WORD_LEVEL if by_words else WITHOUT_MERGES), "vocab": vocabulary},
    }


WORD_LEVEL = {"type": "WordLevel", "unk_token": "<unk>"}  # <unk> is in no vocabulary, so an unknown word is an error
# The vocabulary of words holds the special tokens. A typed <eos> must not become one, so it is cut into < and eos>.
CUT = {"type": "Split", "pattern": {"Regex": "^<(?=(pad|bos|sep|eos)>$)"}, "behavior": "Isolated", "invert": False}
SPACES = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, CUT]}

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
WITHOUT_MERGES: dict[str, object] = {
    "type": "BPE",
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
    "merges": [],
}
