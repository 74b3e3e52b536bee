"""Any bytes are read as rows exactly as they were written, or refused in one sentence."""

import gzip
import json
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from numpy_ref.data.parquet import first_line
from numpy_ref.data.reader import Preference, longer_wins, read_preferences
from numpy_ref.errors import InputError
from numpy_ref.files import MAX_LINE

UKP = Path(__file__).parents[3] / "shared" / "data" / "ukp_convincing"
ROW = b'{"chosen": "a", "rejected": "b"}'
PLAIN = Preference("", ("a", "b"), 0.0)

characters = st.characters(exclude_categories=["Cs"])
texts = st.text(characters)
responses = texts.filter(lambda text: text.strip())
margins = st.floats(allow_nan=False, allow_infinity=False)
preferences = st.builds(Preference, texts, st.tuples(responses, responses), margins, st.just((1, 2)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("preferences")


def written(folder, content, packed=False):
    path = folder / ("rows.jsonl.gz" if packed else "rows.jsonl")
    path.write_bytes(gzip.compress(content, 1) if packed else content)
    return path


def refusal(path):
    """The sentence: it names the file first and is one line"""
    with pytest.raises(InputError) as error:
        read_preferences(path)
    sentence = str(error.value)
    assert sentence.startswith(str(path))
    assert sentence.isprintable()
    return sentence.removeprefix(str(path))


@given(
    rows=st.lists(preferences, min_size=1, max_size=5),
    end=st.sampled_from(["\n", "\r\n", "\n\n", "\r\n \t\r\n"]),
    last=st.booleans(),
    escaped=st.booleans(),
    packed=st.booleans(),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    further=st.dictionaries(st.sampled_from(["id", "score_chosen", "prompt_id"]), st.none() | st.integers()),
)
@settings(deadline=None)
def test_what_is_written_is_read(folder, rows, end, last, escaped, packed, mark, further):
    lines = [
        json.dumps(
            {
                **further,
                "prompt": row.prompt,
                "chosen": row.responses[0],
                "rejected": row.responses[1],
                "margin": row.margin,
            },
            ensure_ascii=escaped,
        )
        for row in rows
    ]
    content = mark + (end.join(lines) + end * last).encode()
    assert read_preferences(written(folder, content, packed)) == rows


def test_prompt_and_margin_may_be_left_out(folder):
    assert read_preferences(written(folder, ROW)) == [PLAIN]
    assert read_preferences(written(folder, ROW[:-1] + b', "margin": 3}')) == [PLAIN._replace(margin=3.0)]
    assert read_preferences(written(folder, ROW[:-1] + b', "prompt": " "}')) == [PLAIN._replace(prompt=" ")]


def test_further_columns_are_ignored(folder):
    further = row(prompt_id="[1]", score_chosen="NaN", margin_of_error='"?"', responses="null")
    assert read_preferences(written(folder, further)) == [PLAIN]


def test_a_preference_cannot_be_changed():
    with pytest.raises(AttributeError):
        PLAIN.margin = 1.0  # type: ignore[misc]


def row(**columns):
    """The bytes of a good row with some columns replaced by literal JSON"""
    columns = {"chosen": '"a"', "rejected": '"b"', **columns}
    return ("{" + ", ".join(f'"{name}": {literal}' for name, literal in columns.items()) + "}").encode()


BAD_ROWS = {
    "not JSON": (b"chosen,rejected", "not JSON", "one object a line"),
    "two objects in one line": (ROW + ROW, "not JSON", "one object a line"),
    "old Mac line ends": (ROW + b"\r" + ROW, "not JSON", "one object a line"),
    "a row over two lines": (b'{"chosen": "a",\n"rejected": "b"}', "not JSON", "one object a line"),
    "cut short": (ROW[:-5], "not JSON", "one object a line"),
    "raw NUL": (b'{"chosen": "a\0", "rejected": "b"}', "not JSON", "one object a line"),
    "only NUL": (b"\0\0\0\0", "not JSON", "one object a line"),
    "a byte-order mark in the middle": (b"\xef\xbb\xbf" + ROW, "not JSON", "BOM"),
    "a list": (b'["a", "b"]', "a list instead of an object", "one object a line"),
    "a string": (b'"a"', "a string instead of an object", "one object a line"),
    "a number": (b"1", "a number instead of an object", "one object a line"),
    "null": (b"null", "null instead of an object", "one object a line"),
    "nested lists": (b"[" * 10**5, "nested too deeply", "one object a line"),
    "nested objects": (b'{"chosen":' * 10**5, "nested too deeply", "one object a line"),
    "no chosen": (b'{"rejected": "b"}', 'no column "chosen"', "found: 'rejected'"),
    "no rejected": (b'{"chosen": "a", "id": 1}', 'no column "rejected"', "found: 'chosen', 'id'"),
    "no column": (b"{}", 'no column "chosen"', "found: none"),
    "many columns": (json.dumps(dict.fromkeys(map(str, range(9999)))).encode(), 'no column "chosen"', "'5', ..."),
    "choosen": (b'{"choosen": "a", "rejected": "b"}', "only 'choosen'", 'did you mean "chosen"'),
    "Rejected": (b'{"chosen": "a", "Rejected ": "b"}', "only 'Rejected '", 'did you mean "rejected"'),
    "promt": (row(promt='"p"'), "only 'promt'", 'did you mean "prompt"'),
    "PROMPT": (row(PROMPT='"p"'), "only 'PROMPT'", 'did you mean "prompt"'),
    "margins": (row(margins="1"), "only 'margins'", 'did you mean "margin"'),
    "twice": (row()[:-1] + b', "chosen": "c"}', "'chosen' stands twice", "keep one"),
    "chosen a number": (row(chosen="1"), '"chosen" is a number', "in quotes"),
    "rejected null": (row(rejected="null"), '"rejected" is null', "in quotes"),
    "chosen an object": (row(chosen="{}"), '"chosen" is an object', "in quotes"),
    "prompt null": (row(prompt="null"), '"prompt" is null', "leave the column out"),
    "chosen empty": (row(chosen='""'), '"chosen" is empty', "leave the row out"),
    "rejected blank": (row(rejected='" \\n\\u3000"'), '"rejected" is empty', "leave the row out"),
    "half a surrogate pair": (
        row(chosen='"ab\\ud800"'),
        "half of a surrogate pair ('\\ud800') at character 3",
        "both halves",
    ),
    "the other half in a prompt": (row(prompt='"\\udc00\\ud800"'), "'\\udc00') at character 1", "both halves"),
    "Latin-1": (
        b'{"chosen": "caf\xe9", "rejected": "b"}',
        "byte 16 of the line (0xe9) is not UTF-8",
        "save the file as UTF-8",
    ),
    "UTF-16": (ROW.decode().encode("utf-16"), "byte 1 of the line (0xff) is not UTF-8", "save the file as UTF-8"),
    "a character cut in two": (b'{"chosen": "\xf0\x9f\x98', "byte 13 of the line (0xf0) is not UTF-8", "as UTF-8"),
    "an encoded surrogate": (b'{"chosen": "\xed\xa0\x80"}', "byte 13 of the line (0xed) is not UTF-8", "as UTF-8"),
    "gzip without its name": (gzip.compress(ROW), "byte 2 of the line (0x8b) is not UTF-8", "name the file .gz"),
    **{
        f"margin {literal[:9]}": (row(margin=literal), f'"margin" is {found}', "a finite number")
        for literal, found in {
            "NaN": "nan",
            "Infinity": "inf",
            "-Infinity": "-inf",
            "1e400": "inf",
            "1" * 400: "inf",
            "-" + "9" * 10**5: "-inf",
            "true": "true",
            "null": "null",
            '"1"': "a string",
            "[1]": "a list",
            "{}": "an object",
        }.items()
    },
}


def test_a_row_that_is_not_json_is_refused_by_the_place_of_its_first_fault(folder):
    for start in b"", b'{"chosen": "a", ', b'{"chosen": "\xc3\xa9", ':  # a letter of two bytes is one character
        sentence = refusal(written(folder, start + b"x"))
        assert f"at character {len(start.decode()) + 1})" in sentence


def test_what_another_library_says_is_cut_and_printable():
    said = first_line(ValueError("\n  Invalid \x1b[2J" + "x" * 999 + "\nsecond"))
    assert said == "Invalid ?[2J" + "x" * (200 - len("Invalid ?[2J"))
    assert first_line(ValueError("not found. ")) == "not found"
    assert first_line(KeyError()) == "KeyError"


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize(("bad", "found", "remedy"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_is_refused_by_line(folder, bad, found, remedy, packed):
    sentence = refusal(written(folder, ROW + b"\r\n\n" + bad + b"\n" + ROW, packed))
    assert sentence.startswith(", line 3: ")
    assert found in sentence
    assert remedy in sentence
    assert len(sentence) < 300


def test_a_byte_offset_counts_the_byte_order_mark(folder):
    assert "line 1: byte 16 " in refusal(written(folder, b'\xef\xbb\xbf{"chosen": "\xff"}'))


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\t\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_an_empty_file_is_refused(folder, content, packed):
    assert refusal(written(folder, content, packed)).startswith(": the file is empty: write one object a line")


def test_what_is_no_readable_file_is_refused(folder):
    assert refusal(folder / "absent.jsonl").startswith(": there is no such file: check the name")
    assert refusal(folder / "absent.jsonl.gz").startswith(": there is no such file: check the name")
    assert refusal(folder).startswith(": this is a directory: name a file in it")
    assert refusal(written(folder, ROW) / "below").startswith(": cannot be read (Not a directory)")


PACKED = gzip.compress(ROW + b"\n" + ROW[:-1] + b', "id": "' + bytes(range(97, 123)) * 9 + b'"}\n', mtime=0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (PACKED[:-9], "the gzip data end early"),
        (PACKED[:5], "the gzip data end early, after line 0"),
        (PACKED[:-1], "the gzip data end early, after line 2"),
        (ROW, "damaged gzip data after line 0 (Not a gzipped file"),
        (PACKED + b"more", "damaged gzip data after line 2 (Not a gzipped file"),
        (PACKED[:-8] + bytes(4) + PACKED[-4:], "damaged gzip data after line 2 (CRC check failed"),
        (PACKED[:20] + b"\xff\xff\xff" + PACKED[23:], "damaged gzip data after line 0 (Error -3"),
    ],
)
def test_a_broken_gzip_is_refused(folder, content, reason):
    path = folder / "broken.jsonl.gz"
    path.write_bytes(content)
    assert refusal(path).startswith(f": {reason}")


def test_a_gzip_cut_or_changed_anywhere_is_refused_or_read(folder):
    path = folder / "damaged.jsonl.gz"
    for at in range(len(PACKED)):
        path.write_bytes(PACKED[:at])
        assert refusal(path)
        for flipped in (0x01, 0x80, 0xFF):
            path.write_bytes(PACKED[:at] + bytes([PACKED[at] ^ flipped]) + PACKED[at + 1 :])
            read_or_refused(path)


def test_a_line_without_end_is_refused_before_it_fills_the_memory(folder):
    path = written(folder, ROW + b"\n" + bytes(8 * MAX_LINE), packed=True)
    tracemalloc.start()
    try:
        sentence = refusal(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sentence.startswith(f", line 2: the line is longer than {MAX_LINE} bytes")
    assert peak < 3 * MAX_LINE  # the line, and its pieces before they are joined


def test_the_longest_line_is_read(folder):
    filler = MAX_LINE - len(row(prompt='""')) - 1
    assert (
        len(read_preferences(written(folder, row(prompt=f'"{"x" * filler}"') + b"\n", packed=True))[0].prompt) == filler
    )
    assert "longer than" in refusal(written(folder, row(prompt=f'"{"x" * (filler + 1)}"') + b"\n", packed=True))


def test_a_file_is_not_held_as_a_whole(folder):
    path = written(folder, ROW + (b" " * 2**10 + b"\n") * 2**12, packed=True)
    tracemalloc.start()
    try:
        assert read_preferences(path) == [PLAIN]
        assert tracemalloc.get_traced_memory()[1] < 2**20  # a quarter of the file's 4 MiB
    finally:
        tracemalloc.stop()


def read_or_refused(path):
    try:
        preferences = read_preferences(path)
    except InputError:
        refusal(path)
    else:
        assert preferences
        assert all(response.strip() for preference in preferences for response in preference.responses)


@given(content=st.binary(max_size=400), suffix=st.sampled_from([".jsonl", ".gz"]))
@settings(deadline=None)
def test_any_bytes_are_read_or_refused(folder, content, suffix):
    path = folder / f"any{suffix}"
    path.write_bytes(content)
    read_or_refused(path)


GOOD = row(prompt='"\\u00e9\\ud83d\\ude00"', margin="-1.5e3", id="[{}, null]") + b"\n" + ROW


@given(
    st.sampled_from(["rows", "rows in gzip", "gzip"]), st.integers(0, 10**6), st.binary(max_size=6), st.integers(0, 4)
)
@settings(deadline=None, max_examples=300)
def test_a_good_file_with_bytes_replaced_is_read_or_refused(folder, where, at, piece, cut):
    content = gzip.compress(GOOD, mtime=0) if where == "gzip" else GOOD
    at %= len(content) + 1
    content = content[:at] + piece + content[at + cut :]
    path = folder / ("replaced.jsonl" if where == "rows" else "replaced.jsonl.gz")
    path.write_bytes(gzip.compress(content, 1) if where == "rows in gzip" else content)
    read_or_refused(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(["chosen", "rejected", "prompt", "margin", "choosen", "promt"]) | st.text(st.characters())


@given(rows=st.lists(st.dictionaries(names, json_values | st.text()), max_size=3), escaped=st.booleans())
@example([{"chosen": "a", "rejected": "b", "margin": 10**5000}], True).via("digits past Python's limit for integers")
@settings(deadline=None)
def test_any_json_is_read_or_refused(folder, rows, escaped):
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    content = "\n".join(json.dumps(row, ensure_ascii=escaped) for row in rows).encode("utf-8", "surrogatepass")
    sys.set_int_max_str_digits(limit)
    read_or_refused(written(folder, content))


def pair(chosen, rejected):
    return Preference("", (chosen, rejected))


def test_longer_wins_counts_ties_one_half():
    assert longer_wins([pair("aa", "b")]) == 1.0
    assert longer_wins([pair("a", "bb")]) == 0.0
    assert longer_wins([pair("a", "b")]) == 0.5
    assert longer_wins([pair("aa", "b"), pair("a", "bb"), pair("a", "b"), pair("aa", "b")]) == 0.625
    assert longer_wins([pair("éé", "abc")]) == 0.0  # characters, not bytes: é has two


@given(rows=st.lists(preferences, min_size=1))
@settings(deadline=None)
def test_longer_wins_of_the_reversed_labels_is_the_complement(rows):
    reversed_rows = [preference._replace(responses=preference.responses[::-1]) for preference in rows]
    assert longer_wins(rows) + longer_wins(reversed_rows) == pytest.approx(
        1, abs=sys.float_info.epsilon
    )  # two roundings of half an ulp


@pytest.mark.skipif(not UKP.exists(), reason=f"data: {UKP} is not here, real comparisons are not part of the project")
def test_real_comparisons_are_read():
    train, test = (read_preferences(UKP / f"pairs.{split}.jsonl.gz") for split in ("train", "test"))
    assert (len(train), len(test)) == (4379, 1625)
    assert not {preference.prompt for preference in train} & {preference.prompt for preference in test}
    assert longer_wins(test) == 1243 / 1625  # 0.765
    assert longer_wins(train) == 3439 / 4379  # 0.785
