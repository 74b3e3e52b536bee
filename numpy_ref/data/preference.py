"""A prompt or a response is a text, the messages of a conversation, or the token ids of somebody's tokenizer."""

import json
from collections.abc import Sequence
from reprlib import repr as shortened
from typing import Any, NamedTuple

from ..errors import InputError

ROLES = ("system", "user", "assistant", "tool")
MESSAGE = '{"role": "user", "content": "..."}'
LARGEST_ID = 2**31 - 1


class Message(NamedTuple):
    """One turn of a conversation"""

    role: str
    content: str


class Ids(tuple[int, ...]):
    """The token ids of a whole text, prompt and response together; they are used unchanged, without bos, sep or eos"""

    __slots__ = ()


Part = str | tuple[Message, ...] | Ids


class Preference(NamedTuple):
    """Responses to one prompt, best first, with their ranks: 1 is best, equal ranks are ties

    A pair is (chosen, rejected) with ranks (1, 2). The responses are all texts, all messages, or all Ids. Ids hold the
    prompt too, so their prompt is "".
    margin: how far the chosen response should lead, in log-odds; 0 for a list
    """

    prompt: Part
    responses: tuple[Part, ...]
    margin: float = 0.0
    ranks: tuple[int, ...] = (1, 2)


def as_text(part: Part) -> str:
    """The text that people read, and that tokenizers without a chat template encode

    A text is unchanged. One user or assistant message is its content, so a question and its answer are the same as
    messages and as texts. In a longer conversation each turn has a label ("System: ...", "User: ...", "Assistant: ...",
    "Tool: ...") and a blank line stands between turns. A label that somebody typed inside a message looks like a turn.
    """
    if isinstance(part, str):
        return part
    if isinstance(part, Ids):
        return " ".join(map(str, part))
    if len(part) == 1 and part[0].role in ("user", "assistant"):
        return part[0].content
    return "\n\n".join(f"{role.capitalize()}: {content}" for role, content in part)


def length_of(part: Part) -> int:
    """The length in characters, or in tokens for token ids, whose text is unknown"""
    return len(part) if isinstance(part, Ids) else len(as_text(part))


def text(name, value, otherwise="") -> str:
    """Checks that a JSON value is a text; `name` is what an error message calls it, `otherwise` a second remedy"""
    if not isinstance(value, str):
        raise InputError(f"{name} is {kind(value)}, but a text is expected: write it in quotes{otherwise}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{name} holds half of a surrogate pair ({value[error.start]!a}) at character {error.start + 1}: "
            "write both halves or the character itself"
        ) from None
    return value


def messages(name, value) -> tuple[Message, ...]:
    """Checks that a JSON value is a list of messages"""
    if not isinstance(value, list):
        raise InputError(f"{name} is {kind(value)}, but a list of messages is expected: write [{MESSAGE}, ...]")
    if not value:
        raise InputError(f"{name} is an empty list: give it a message, as {MESSAGE}, or leave the row out")
    return tuple(_message(f"message {i} of {name}", message) for i, message in enumerate(value, 1))


def _message(name, value) -> Message:
    if not isinstance(value, dict):
        ids = ' (token ids belong in "chosen_ids" and "rejected_ids")' if isinstance(value, float) else ""
        raise InputError(f"{name} is {kind(value)}, but an object is expected{ids}: write {MESSAGE}")
    for key in ("role", "content"):
        if key not in value:
            found = ", ".join(shortened(other) for other in list(value)[:6]) or "none"
            raise InputError(f'{name} has no "{key}" (found: {found}): write {MESSAGE}')
    if value["role"] not in ROLES:
        found = shortened(value["role"]) if isinstance(value["role"], str) else kind(value["role"])
        raise InputError(f"{name} has the role {found}, expected {', '.join(ROLES[:-1])} or {ROLES[-1]}: rename it")
    if value.get("tool_calls"):
        raise InputError(f'{name} has "tool_calls", which would be lost: write the call into "content"')
    return Message(value["role"], _content(f'the "content" of {name}', value["content"]))


def _content(name, value) -> str:
    """A text, or [{"type": "text", "text": ...}, ...] joined"""
    if not isinstance(value, list):
        return text(name, value)
    for i, part in enumerate(value, 1):
        if not isinstance(part, dict) or part.get("type") != "text":
            found = shortened(part["type"]) if isinstance(part, dict) and "type" in part else kind(part)
            raise InputError(f'part {i} of {name} is {found}, but only {{"type": "text", "text": "..."}} can be read')
    return "".join(text(f"part {i} of {name}", part.get("text")) for i, part in enumerate(value, 1))


def ids(name, value) -> Ids:
    """Checks that a JSON value is a list of token ids"""
    if not isinstance(value, list):
        raise InputError(f"{name} is {kind(value)}, but a list of token ids is expected: write [5, 17, ...]")
    if not value:
        raise InputError(f"{name} is an empty list: give it token ids, or leave the row out")
    for i, number in enumerate(value, 1):
        if not isinstance(number, float) or not number.is_integer() or not 0 <= number <= LARGEST_ID:
            found = f"{number:g}" if isinstance(number, float) else kind(number)
            raise InputError(f"id {i} of {name} is {found}: expected a whole number from 0 to {LARGEST_ID}")
    return Ids(map(int, value))


def found_in(row: dict[str, Any]) -> str:
    """The first column names of a row, for an error message"""
    return ", ".join(shortened(name) for name in list(row)[:6]) + ", ..." * (len(row) > 6) or "none"


def same(values: Sequence) -> bool:
    """Whether all items are equal"""
    return all(value == values[0] for value in values)


def kind(value) -> str:
    """What an error message calls a value"""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    names = {str: "a string", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), f"of the type {type(value).__name__}")
