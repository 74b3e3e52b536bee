"""Damaged files: bits flipped, bytes cut, lines and keys changed, unexpected values, archives that unpack to much."""

import gzip
import json

import numpy as np

NUMBERS = [0, -1, 1, 2, 0.5, -0.0, 1e308, 2**31, 2**63, 10**30, 10**400, float("nan"), float("inf")]
TEXTS = [
    "",
    " ",
    "\0",
    "\ud800",
    "\udc00\ud800",
    "\u2028",
    "\x1b[2J",
    "a\nb",
    "Größe 大 😀",
    "../..",
    "x" * 5000,
    "{}",
    "<eos>",
]
OTHERS = [
    None,
    True,
    False,
    [],
    {},
    [[]],
    [None],
    {"": {}},
    {"role": "user", "content": []},
    [{"type": "text"}],
    [1.5, "a"],
]
LITERALS = [
    b"\xff",
    b"\xc3",
    b"\0",
    b"\xef\xbb\xbf",
    b"\\ud83d",
    b"\x1f\x8b\x08",
    b"1e999",
    b"9" * 5000,
    b"[" * 3000,
    b'{"a":' * 3000,
]
LITERALS += [b"NaN", b"-", b'"', b"\\", b"}", b"\r", b"\n", b"\x0c\x85", b"\xed\xa0\x80", b"//"]


def nested(depth, inside):
    """[[[...inside...]]] if depth is odd, else {"a": {"a": ...inside...}}"""
    for _ in range(depth):
        inside = [inside] if depth % 2 else {"a": inside}
    return inside


def value(rng):
    """A value that no JSON file here is expected to hold"""
    draw = rng.integers(12)
    if draw == 0:
        return nested(int(rng.integers(1, 400)), 1)
    pool = NUMBERS if draw < 5 else TEXTS if draw < 9 else OTHERS
    return pool[rng.integers(len(pool))]


def places(tree):
    """(container, key) of everything inside a JSON value"""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, inside in list(items):
        yield tree, key
        yield from places(inside)


def change(rng, tree):
    """Replaces, removes, repeats or overwrites by another one key or value of a JSON value"""
    found = list(places(tree))
    if not found:
        return value(rng)
    container, key = found[rng.integers(len(found))]
    other, other_key = found[rng.integers(len(found))]
    match rng.integers(6):
        case 0 if isinstance(container, dict):
            container[str(value(rng))[:50]] = container.pop(key)
        case 1:
            del container[key]
        case 2:
            container[key] = json.loads(json.dumps(other[other_key]))
        case 3 if isinstance(container, list):
            container.insert(key, container[key])
        case _:
            container[key] = value(rng)
    return tree


def json_line(rng, content):
    """Makes one to three changes in a JSON text; what is not JSON stays as it is"""
    try:
        tree = json.loads(content)
        for _ in range(rng.integers(1, 4)):
            tree = change(rng, tree)
        return json.dumps(tree, ensure_ascii=bool(rng.integers(2))).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError, TypeError):
        return content


def flipped(rng, content):
    """Flips a few bits, each with probability 1/2 in the first 200 bytes"""
    content = bytearray(content)
    for _ in range(rng.integers(1, 5) if content else 0):
        end = len(content) if rng.integers(2) else min(len(content), 200)
        content[rng.integers(end)] ^= 1 << int(rng.integers(8))
    return bytes(content)


def cut(rng, content):
    """Keeps the beginning or the end, or cuts out a piece"""
    a, b = sorted(int(i) for i in rng.integers(0, len(content) + 1, 2))
    return [content[:a], content[b:], content[:a] + content[b:]][rng.integers(3)]


def inserted(rng, content):
    """Inserts something that does not belong there"""
    at, piece = rng.integers(len(content) + 1), LITERALS[rng.integers(len(LITERALS))]
    return content[:at] + piece + content[at:]


def lines(rng, content):
    """Reorders, repeats or joins lines, or changes some of them as JSON"""
    rows = content.split(b"\n")
    match rng.integers(5):
        case 0:
            rng.shuffle(rows)
        case 1:
            rows += rows
        case 2:
            return content.replace(b"\n", b"", 1)
        case _:
            i = rng.integers(len(rows))
            rows[i] = json_line(rng, rows[i])
    return b"\n".join(rows)


def encoded(rng, content):
    """The same text in another encoding, or one line of it"""
    name = ["utf-16", "utf-32", "latin-1", "utf-8-sig", "cp037", "utf-16-be"][rng.integers(6)]
    rows = content.split(b"\n")
    which = range(len(rows)) if rng.integers(2) else [rng.integers(len(rows))]
    for i in which:
        rows[i] = rows[i].decode("utf-8", "replace").encode(name, "replace")
    return b"\n".join(rows)


def table(rng, content):
    """Changes, removes, doubles or quotes a cell of a table, or changes the separator"""
    rows = [line.split(b",") for line in content.split(b"\n")]
    row = rows[rng.integers(len(rows))]
    at = rng.integers(len(row))
    match rng.integers(6):
        case 0:
            del row[at]
        case 1:
            row.insert(at, row[at])
        case 2:
            row[at] = b'"' + row[at] + [b'"', b"", b'""'][rng.integers(3)]
        case 3:
            return content.replace(b",", [b";", b"\t", b"|", b" "][rng.integers(4)])
        case _:
            other = value(rng)
            other = other if isinstance(other, str) else json.dumps(other)
            row[at] = other.encode("utf-8", "surrogatepass")
    return b"\n".join(b",".join(row) for row in rows)


def packed(_rng, content):
    """The content as gzip"""
    return gzip.compress(content, 1, mtime=0)


def tensors(rng, content):
    """Changes the header of a safetensors file as JSON, states a wrong length of it, or changes some numbers"""
    size = int.from_bytes(content[:8], "little")
    if not 8 < size < len(content):
        return flipped(rng, content)
    header, data = content[8 : 8 + size], content[8 + size :]
    if rng.integers(2):
        header = json_line(rng, header)
        return len(header).to_bytes(8, "little") + header + data
    if rng.integers(3) == 0:
        lie = [0, 1, size - 1, size + 1, 2 * size, len(content), 2**31, 2**63, 2**64 - 1][rng.integers(9)]
        return lie.to_bytes(8, "little") + content[8:]
    data, numbers = bytearray(data), [np.nan, np.inf, -np.inf, 3e38, 1e-45, -1.0]
    for at in rng.integers(0, len(data) // 4, rng.integers(1, 30)):
        data[4 * at : 4 * at + 4] = np.float32(numbers[rng.integers(6)]).tobytes()
    return content[: 8 + size] + bytes(data)


ANY = [flipped, cut, inserted, encoded]
BY_KIND = {
    ".jsonl": [lines, lines, lines],
    ".json": [json_line, json_line, json_line],
    ".csv": [table, table, table, lines],
    ".safetensors": [tensors, tensors],
}


def mutated(rng, name, content):
    """Applies one to three of the changes above that fit the name of the file"""
    ending = name[name.index(".") :] if "." in name else ""
    gz = ending.endswith(".gz")
    makers = ANY + BY_KIND.get(ending.removesuffix(".gz"), [])
    for _ in range([1, 1, 1, 2, 3][rng.integers(5)]):
        content = makers[rng.integers(len(makers))](rng, content)
    if gz:
        content = packed(rng, content)
        if rng.integers(3) == 0:
            content = [flipped, cut, packed, inserted][rng.integers(4)](rng, content)
    return content


def bombs():
    """(what, bytes) of small archives that unpack to much"""
    row = b'{"chosen": "a", "rejected": "b"}\n'
    numbers = b'{"chosen_ids": [' + b"1," * 2**22 + b'1], "rejected_ids": [2]}\n'
    repeated = {
        "zeros": (bytes(2**20), 200),
        "lines without anything": (b"\n" * 2**20, 200),
        "one row again and again": (row * 2**15, 200),
        "long lists of ids": (numbers, 20),
        "empty lists": (b'{"chosen": [' + b"[]," * 2**22 + b"[]]}\n", 4),
        "deep nesting": (b"[" * 2**23 + b"\n", 4),
    }
    for what, (piece, times) in repeated.items():
        packer = gzip.compress(piece, 9, mtime=0)
        yield what, packer * times  # a gzip file may consist of several, one after the other
