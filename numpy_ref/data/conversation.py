"""Where a prompt ends and its responses begin: in a column of its own, in two conversations, in two transcripts.

    {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}          text, explicit prompt
    {"chosen": "The sky is blue.", "rejected": "The sky is green."}              text, implicit prompt
    {"prompt": [{"role": "user", ...}], "chosen": [{"role": "assistant", ...}], "rejected": [...]}
    {"chosen": [{"role": "user", ...}, {"role": "assistant", ...}], "rejected": [...]}
    {"chosen": "\\n\\nHuman: ...\\n\\nAssistant: ...", "rejected": "\\n\\nHuman: ...\\n\\nAssistant: ..."}

The first four are TRL's shapes of a preference; the last is how HH-RLHF is published (Bai et al. 2022). Two texts with
a common beginning are not split: they may start to differ after the end of the question ("it is 12" and "it is 15"
differ inside a number), and a whole text has a reward too. A transcript has turns, which show where the question ends.
"""

import re

from ..errors import InputError
from .preference import Message, messages, same, text

TURN = re.compile(r"(?=\n\n(?:Human|Assistant):)")
OTHERWISE = ", or leave the column out"
HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"


def shape(prompt, responses, names):
    """JSON values -> (the name of the format, prompt, responses); names: how a sentence calls each response

    An empty text is refused because it is usually a missing value. An empty message is accepted: some datasets
    do compare with an empty answer.
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
    """The prompt is the leading messages that all sides share; a "prompt" column may only repeat one of them"""
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

    The prompt is the leading turns that all texts share. If every next turn is the assistant's, the prompt also takes
    its label, and the responses start after it. If the questions differ, the responses start with the first turn that
    differs. A label typed inside an answer does no harm: the responses start where the texts first differ.
    """
    turns = [TURN.split(text)[1:] for text in texts]  # [0] is the nothing before the first label
    n = shared(turns)
    prompt = "".join(turns[0][:n])
    if all(side[n].startswith(ASSISTANT) for side in turns):
        prompt += ASSISTANT
    return prompt, tuple(text[len(prompt) :] for text in texts)


def shared(sides):
    """The number of leading items that all sides share; at least one item is left to each side as its response"""
    limit = min(map(len, sides)) - 1
    return next((i for i in range(limit) if not same([side[i] for side in sides])), limit)
