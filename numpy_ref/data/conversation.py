"""Finds where the prompt ends and the responses begin, in each shape that a preference comes in.

    {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}          text, explicit prompt
    {"chosen": "The sky is blue.", "rejected": "The sky is green."}              text, implicit prompt
    {"prompt": [{"role": "user", ...}], "chosen": [{"role": "assistant", ...}], "rejected": [...]}
    {"chosen": [{"role": "user", ...}, {"role": "assistant", ...}], "rejected": [...]}
    {"chosen": "\\n\\nHuman: ...\\n\\nAssistant: ...", "rejected": "\\n\\nHuman: ...\\n\\nAssistant: ..."}

The first four are TRL's shapes; the last is how HH-RLHF is published (Bai et al. 2022). Two plain texts with a common
beginning are not cut: "it is 12" and "it is 15" first differ inside a number, not at the end of a question, and the
reward of a whole text is well defined. A transcript is cut between its turns.
"""

import re

from ..errors import InputError
from .preference import Message, messages, same, text

TURN = re.compile(r"(?=\n\n(?:Human|Assistant):)")
OTHERWISE = ", or leave the column out"
HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"


def shape(prompt, responses, names):
    """JSON values -> (the name of the format, prompt, responses)

    names: what an error message calls each response
    An empty text is refused: it is usually a missing value. An empty turn of a conversation is kept as an answer.
    """
    kinds = [type(response) for response in responses]
    if list in kinds and str in kinds:
        conversation, string = names[kinds.index(list)], names[kinds.index(str)]
        raise InputError(f"{conversation} is a list of messages, but {string} is a string: write both in the same way")
    if list in kinds or isinstance(prompt, list):
        return _conversations(prompt, responses, names)
    for name, response in zip(names, responses, strict=True):
        if not text(name, response).strip():
            raise InputError(f"{name} is empty: give it a text, or leave the row out")
    prompt = text('"prompt"', prompt, OTHERWISE)
    if not prompt and all(response.startswith(HUMAN) for response in responses):
        return "transcripts, implicit prompt", *split_transcripts(responses)
    return f"text, {'explicit' if prompt else 'implicit'} prompt", prompt, tuple(responses)


def _conversations(prompt, responses, names):
    sides = [
        (Message("assistant", text(name, response)),) if isinstance(response, str) else messages(name, response)
        for name, response in zip(names, responses, strict=True)
    ]
    for name, side in zip(names, sides, strict=True):
        if side[-1].role != "assistant":
            raise InputError(f"the last message of {name} is the {side[-1].role}'s: end with the assistant's answer")
    if isinstance(prompt, list):
        start = messages('"prompt"', prompt)
        if all(side[: len(start)] == start for side in sides):
            raise InputError(
                'the responses begin with the messages of "prompt", which would be read twice: leave the column out'
            )
        return "conversations, explicit prompt", start, tuple(sides)
    question = text('"prompt"', prompt, OTHERWISE)
    if question and all(side[0].role == "assistant" for side in sides):
        return "conversations, explicit prompt", (Message("user", question),), tuple(sides)
    return "conversations, implicit prompt", *_split_conversations(question, sides)


def _split_conversations(question, sides):
    """The prompt is the messages that all sides share; if there is a column "prompt", it must be one of them"""
    first = [side[0] if side[0].role == "system" else None for side in sides]
    if not same(first):
        raise InputError("the conversations differ in their system message: compare answers to the same one")
    n = shared(sides)
    start = sides[0][:n]
    if question and question not in (message.content for message in start):
        raise InputError(
            '"prompt" is none of the messages that the responses share: leave out the column or the messages'
        )
    return start, tuple(side[n:] for side in sides)


def split_transcripts(texts):
    """(prompt, responses), prompt + response = text for each        "\\n\\nHuman: ...\\n\\nAssistant: ..."

    The prompt is the turns that all texts share. If every text continues with an assistant's turn, the label
    "Assistant:" belongs to the prompt too. Otherwise the responses start with the first turn that differs. A label that
    somebody typed inside an answer does no harm: the answers differ before it, or they share all that is before it.
    """
    turns = [TURN.split(text)[1:] for text in texts]  # [0] is the empty text before the first label
    n = shared(turns)
    prompt = "".join(turns[0][:n])
    if all(side[n].startswith(ASSISTANT) for side in turns):
        prompt += ASSISTANT
    return prompt, tuple(text[len(prompt) :] for text in texts)


def shared(sides):
    """The number of leading items that all sides share; each side keeps at least one item as its response"""
    limit = min(map(len, sides)) - 1
    return next((i for i in range(limit) if not same([side[i] for side in sides])), limit)
