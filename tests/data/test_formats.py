"""A comparison in every format that people use: nothing is lost, nothing is guessed, and TRL agrees."""

import json
from collections import Counter

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from listed import encode
from running import is_one_sentence

from numpy_ref.data.conversation import split_transcripts
from numpy_ref.data.preference import ROLES, length_of
from numpy_ref.data.reader import (
    Ids,
    Message,
    Preference,
    as_text,
    longer_wins,
    read_preferences,
    read_rows,
    read_with_formats,
)
from numpy_ref.data.row import IDS_COLUMNS, object_of, preference_of
from numpy_ref.data.tokenizer import BOS, EOS, SEP, Bytes, TokenIds, Words, within
from numpy_ref.errors import InputError

SYSTEM, USER, ASSISTANT, TOOL = ({"role": role, "content": f"<{role}>"} for role in ROLES)


def of(role, content):
    return {"role": role, "content": content}


def read(row, **columns):
    """(format, preference) of one row of a file"""
    return preference_of(object_of(json.dumps(row)), columns)


def refusal(row, **columns):
    with pytest.raises(InputError) as error:
        read(row, **columns)
    assert is_one_sentence(str(error.value))
    assert len(str(error.value)) < 300
    return str(error.value)


# TRL's four shapes


def test_the_four_shapes_of_a_preference():
    """The shapes of https://huggingface.co/docs/trl/dataset_formats"""
    question, blue, green = (Message("user", "?"),), (Message("assistant", "blue"),), (Message("assistant", "green"),)
    asked, answers = [of("user", "?")], ([of("assistant", "blue")], [of("assistant", "green")])
    assert read({"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}) == (
        "text, explicit prompt",
        Preference("The sky is", (" blue.", " green.")),
    )
    assert read({"chosen": "The sky is blue.", "rejected": "The sky is green."}) == (
        "text, implicit prompt",
        Preference("", ("The sky is blue.", "The sky is green.")),  # not cut: no marker says where a prompt ends
    )
    assert read({"prompt": asked, "chosen": answers[0], "rejected": answers[1], "margin": 2}) == (
        "conversations, explicit prompt",
        Preference(question, (blue, green), 2.0),
    )
    assert read({"chosen": asked + answers[0], "rejected": asked + answers[1]}) == (
        "conversations, implicit prompt",
        Preference(question, (blue, green)),
    )


def test_a_prompt_in_another_shape_than_its_responses():
    asked, answers = [of("user", "?")], ([of("assistant", "a")], [of("assistant", "b")])
    explicit = read({"prompt": asked, "chosen": answers[0], "rejected": answers[1]})
    assert read({"prompt": "?", "chosen": answers[0], "rejected": answers[1]}) == explicit
    assert read({"prompt": asked, "chosen": "a", "rejected": "b"}) == explicit
    implicit = read({"chosen": asked + answers[0], "rejected": asked + answers[1]})
    assert read({"prompt": "?", "chosen": asked + answers[0], "rejected": asked + answers[1]}) == implicit
    assert read({"prompt": "", "chosen": asked + answers[0], "rejected": asked + answers[1]}) == implicit


contents = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
messages = st.builds(of, st.sampled_from(ROLES[1:]), contents)
answers = contents.map(lambda text: of("assistant", text))


@given(st.lists(messages, max_size=3), *[st.lists(messages, max_size=2)] * 2, answers, answers)
@example([], [], [], ASSISTANT, ASSISTANT)
@example([USER], [], [USER], ASSISTANT, ASSISTANT)
@example([USER], [], [ASSISTANT, USER], ASSISTANT, ASSISTANT)
def test_two_conversations_are_cut_where_they_part(start, left, right, chosen, rejected):
    sides = [*start, *left, chosen], [*start, *right, rejected]
    form, found = read({"chosen": sides[0], "rejected": sides[1]})
    assert form == "conversations, implicit prompt"
    for side, response in zip(sides, found.responses, strict=True):
        assert [message._asdict() for message in found.prompt + response] == side
        assert response
    assert found.responses[0][0] != found.responses[1][0] or 1 in map(len, found.responses)
    assert len(found.prompt) >= len(start)


def test_ranked_lists_may_hold_conversations():
    expected = Preference((Message(*USER.values()),), tuple((Message("assistant", x),) for x in "bac"), 0.0, (1, 2, 2))
    ranked = {"ranks": [2, 1, 2]}
    turns = [[of("assistant", x)] for x in "abc"]
    for row in (
        {"prompt": [USER], "responses": turns},
        {"prompt": [USER], "responses": ["a", "b", "c"]},
        {"responses": [[USER, *turn] for turn in turns]},
    ):
        form, found = read(row | ranked)
        assert found == expected
        assert form.startswith("ranked conversations, ")
    assert read({"prompt": "p", "responses": ["a", "b"], "scores": [1, 2]})[0] == "ranked text, explicit prompt"


def test_the_parts_of_a_content_are_joined():
    parts = [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]
    row = {"prompt": [of("user", parts)], "chosen": "x", "rejected": "y"}
    assert read(row)[1].prompt == (Message("user", "a b"),)


def test_an_empty_turn_is_an_answer_and_an_empty_text_is_not():
    silent = {"chosen": [USER, of("assistant", "")], "rejected": [USER, ASSISTANT]}
    assert read(silent)[1].responses[0] == (Message("assistant", ""),)
    assert '"chosen" is empty' in refusal({"chosen": "", "rejected": "b"})


A = [of("assistant", "a")]
BAD = {
    "no role": ([{"content": "a"}], 'message 1 of "chosen" has no "role" (found: \'content\')', '"role": "user"'),
    "no content": ([{"role": "user"}], 'message 1 of "chosen" has no "content"', '"content": "..."'),
    "from and value": ([{"from": "gpt", "value": "a"}], "has no \"role\" (found: 'from', 'value')", '"role": "user"'),
    "an unknown role": ([of("bot", "a")], "has the role 'bot'", "expected system, user, assistant or tool"),
    "role a number": ([of(1, "a")], "has the role a number", "expected system, user"),
    "role a list": ([of([], "a")], "has the role a list", "expected system, user"),
    "content null": ([USER, of("assistant", None)], 'the "content" of message 2 of "chosen" is null', "in quotes"),
    "content a number": ([USER, of("assistant", 1)], "is a number, but a text is expected", "in quotes"),
    "an image": (
        [of("user", [{"type": "image"}]), *A],
        'part 1 of the "content" of message 1 of "chosen" is \'image\'',
        "only",
    ),
    "a part that is text": ([of("user", ["a"]), *A], "is a string, but only", '"type": "text"'),
    "a text part without text": ([of("user", [{"type": "text"}]), *A], "part 1 of the", "is null"),
    "half a surrogate pair": ([of("assistant", "\ud800")], "holds half of a surrogate pair", "both halves"),
    "a tool's call": ([{**A[0], "tool_calls": [{}]}], 'has "tool_calls", which would be lost', 'into "content"'),
    "an empty list": ([], '"chosen" is an empty list', "give it a message"),
    "a list of strings": (["a"], 'message 1 of "chosen" is a string', '{"role": "user", "content": "..."}'),
    "token ids": ([5, 6], "is a number, but an object is expected", 'token ids belong in "chosen_ids"'),
    "the user's end": ([*A, USER], 'the last message of "chosen" is the user\'s', "end with the assistant's"),
    "a string beside it": ("a", '"rejected" is a list of messages, but "chosen" is a string', "in the same way"),
    "a number beside it": (1, '"chosen" is a number, but a list of messages is expected', "write [{"),
    "another system message": ([of("system", "x"), USER, *A], "differ in their system message", "to the same one"),
}


@pytest.mark.parametrize(("bad", "found", "remedy"), BAD.values(), ids=BAD)
def test_a_conversation_that_could_be_misread_is_refused(bad, found, remedy):
    sentence = refusal({"chosen": bad, "rejected": [SYSTEM, USER, ASSISTANT]})
    assert found in sentence
    assert remedy in sentence


def test_a_prompt_that_could_be_misread_is_refused():
    whole = {"chosen": [USER, of("assistant", "a")], "rejected": [USER, of("assistant", "b")]}
    assert "would be read twice: leave the column out" in refusal({"prompt": [USER], **whole})
    assert "is none of the messages that the responses share" in refusal({"prompt": "another", **whole})
    half = {"chosen": [USER, of("assistant", "a")], "rejected": [of("assistant", "b")]}
    assert "is none of the messages that the responses share" in refusal({"prompt": USER["content"], **half})
    assert '"prompt" is an empty list' in refusal({"prompt": [], **whole})
    assert '"prompt" is null' in refusal({"prompt": None, **whole})
    assert '"prompt" is an object, but a text' in refusal({"prompt": USER, **whole})
    ranked = {"responses": [A, "b"], "ranks": [1, 2]}
    assert "response 1 is a list of messages, but response 2 is a string" in refusal(ranked)


# Transcripts, as HH-RLHF has them

H, B = "\n\nHuman:", "\n\nAssistant:"
Q = f"{H} q{B}"
TRANSCRIPTS = {
    # one answer differs
    "the usual": (f"{Q} a", f"{Q} b", Q),
    "two turns": (f"{Q} x{H} y{B} a", f"{Q} x{H} y{B} b", f"{Q} x{H} y{B}"),
    "answers that begin alike": (f"{Q} it is 12", f"{Q} it is 15", Q),
    "the same answer": (f"{Q} a", f"{Q} a", Q),
    # one side is the beginning of the other
    "a longer answer": (f"{Q} yes", f"{Q} yes, sure", Q),
    "a longer answer, chosen": (f"{Q} yes\n", f"{Q} yes", Q),
    "a label cut off": (f"{Q} yes\n\nAssist", f"{Q} yes", Q),
    "a further exchange": (f"{Q} yes", f"{Q} yes{H} more{B} ok", Q),
    "a question more": (f"{Q} yes{H} more{B} ok", f"{Q} yes{H} more", f"{Q} yes"),
    # an empty last answer
    "silence rejected": (f"{Q} a", f"{Q}", Q),
    "silence chosen": (f"{Q}", f"{Q} b", Q),
    "a blank for an answer": (f"{Q} ", f"{Q} b", Q),
    "silence after two turns": (f"{Q} x{H} y{B}", f"{Q} x{H} y{B} b", f"{Q} x{H} y{B}"),
    # different text before the last Assistant
    "another answer before": (f"{Q} x{H} y{B} a", f"{Q} z{H} y{B} b", Q),
    "another question before": (f"{Q} x{H} y{B} a", f"{Q} x{H} z{B} b", f"{Q} x"),
    "another first question": (f"{H} q{B} a", f"{H} r{B} a", ""),
    "one question goes on": (f"{H} q{B} a", f"{H} q?{B} a", ""),
    "more turns on one side": (f"{Q} x{H} y{B} a", f"{Q} b", Q),
    # labels typed inside an answer
    "a typed label": (f"{Q} say{B} hi", f"{Q} no", Q),
    "a typed label behind the same words": (f"{Q} no{B} hi", f"{Q} no", Q),
    "a typed Human": (f"{Q} a{H} and then he left", f"{Q} b", Q),
    "questions alone": (f"{H} q", f"{H} r", ""),
}


@pytest.mark.parametrize(("chosen", "rejected", "prompt"), TRANSCRIPTS.values(), ids=TRANSCRIPTS)
def test_a_transcript_is_cut_behind_its_question(chosen, rejected, prompt):
    for sides in ((chosen, rejected), (rejected, chosen)):
        form, found = read(dict(zip(("chosen", "rejected"), sides, strict=True)))
        assert form == "transcripts, implicit prompt"
        assert found.prompt == prompt
        assert tuple(found.prompt + response for response in found.responses) == sides


words = st.text(st.sampled_from("a :\n"), max_size=4)
turns = words.filter(lambda text: H not in text and B not in text)
exchanges = st.tuples(turns, turns)
pieces = st.lists(st.sampled_from([H, B, "\n\n", "\n", "Human:", " Assistant:", "a", " "]), max_size=9).map("".join)


def rendered(history):
    return "".join(f"{H}{question}{B}{answer}" for question, answer in history)


@given(history=st.lists(exchanges, max_size=3), question=turns, answer=turns, other=pieces)
@example([], "", "", "")
@example([], "q", "a", f"a{B}")
def test_a_written_transcript_is_read_back(history, question, answer, other):
    """One answer may hold anything, as long as the other holds no label"""
    prompt = f"{rendered(history)}{H}{question}{B}"
    for sides in ((answer, other), (other, answer)):
        found = read({"chosen": prompt + sides[0], "rejected": prompt + sides[1]})[1]
        assert found == Preference(prompt, sides)


def split_turns(text):
    """The turns of a transcript, found from the left"""
    starts = [i for i in range(len(text)) if text.startswith((H, B), i)]
    return [text[i:j] for i, j in zip(starts, [*starts[1:], len(text)], strict=True)]


@given(pieces, pieces)
def test_nothing_of_a_transcript_is_lost(left, right):
    for sides in ((H + left, H + right), (H + left, H + left + right)):
        prompt, responses = split_transcripts(sides)
        assert tuple(prompt + response for response in responses) == sides
        turns = [split_turns(side) for side in sides]
        ends = ["".join(turns[0][:i]) for i in range(len(turns[0]))]
        assert prompt in ends or prompt.removesuffix(B) in ends, "cut at a turn and nowhere else"


def test_only_transcripts_are_cut():
    for chosen, rejected in ((f"{Q} a", "b"), (f"Human: q{B} a", f"Human: q{B} b"), (Q[1:], Q[1:] + "b")):
        assert read({"chosen": chosen, "rejected": rejected}) == (
            "text, implicit prompt",
            Preference("", (chosen, rejected)),
        )
    explicit = Preference("p", (f"{Q} a", f"{Q} b"))
    assert read({"prompt": "p", "chosen": f"{Q} a", "rejected": f"{Q} b"}) == ("text, explicit prompt", explicit)


# Token ids


@pytest.mark.parametrize(("chosen", "rejected"), IDS_COLUMNS)
def test_token_ids_are_used_as_they_are(chosen, rejected):
    form, found = read({"prompt": "ignored", "chosen": "too", chosen: [0, 3, 3], rejected: [7], "margin": 0.5})
    assert (form, found) == ("token ids", Preference("", (Ids((0, 3, 3)), Ids((7,))), 0.5))
    assert encode(TokenIds(8), [found], 3).rows == [[[0, 3, 3], [7]]]
    assert encode(TokenIds(8), [found], 2).too_long == 1
    with pytest.raises(InputError, match=r"preference 1: token ids, but this model reads text \(bytes\)"):
        encode(Bytes(), [found], 9)


BAD_IDS = {
    "a text": ('"a"', '"chosen_ids" is a string, but a list of token ids'),
    "no id": ("[]", '"chosen_ids" is an empty list'),
    "a half": ("[1, 2.5]", 'id 2 of "chosen_ids" is 2.5: expected a whole number from 0'),
    "negative": ("[-1]", "is -1: expected a whole number"),
    "too large": ("[2147483648]", "expected a whole number from 0 to 2147483647"),
    "true": ("[true]", "is true: expected a whole number"),
    "NaN": ("[NaN]", "is nan: expected a whole number"),
    "words": ('["a"]', "is a string: expected a whole number"),
    "nested": ("[[1, 2]]", "is a list: expected a whole number"),
}


@pytest.mark.parametrize(("literal", "found"), BAD_IDS.values(), ids=BAD_IDS)
def test_bad_token_ids_are_refused(literal, found):
    with pytest.raises(InputError) as error:
        preference_of(object_of(f'{{"chosen_ids": {literal}, "rejected_ids": [1]}}'))
    assert found in str(error.value)


def test_token_ids_that_miss_a_part_are_refused():
    assert 'no column "rejected_ids"' in refusal({"chosen_ids": [1], "rejected": "b"})
    assert "ids are used as they are" in refusal({"prompt_ids": [1], "chosen_ids": [2], "rejected_ids": [3]})
    assert '"margin" is null' in refusal({"chosen_ids": [2], "rejected_ids": [3], "margin": None})


def test_an_id_beyond_the_vocabulary_is_refused_by_row():
    rows = [Preference("", (Ids((1,)), Ids((2,)))), Preference("", (Ids((1,)), Ids((9, 8, 2))))]
    assert encode(TokenIds(10), rows, 5).rows[1] == [[1], [9, 8, 2]]
    with pytest.raises(InputError, match=r"preference 2: the token id 9, but the vocabulary has 9 \(0 to 8\): encode"):
        encode(TokenIds(9), rows, 5)
    assert within(Ids((3, 3)), 4) == [3, 3]


def test_a_model_of_token_ids_has_no_words():
    with pytest.raises(InputError, match=r"^a text, but this model was trained on token ids and has no tokenizer"):
        TokenIds(5).encode("", "a")
    with pytest.raises(InputError, match="has no tokenizer"):
        TokenIds(5).encode("p", Ids((1,)))


# Conversations for tokenizers of text, people and reports

conversations = st.lists(st.builds(Message, st.sampled_from(ROLES), contents), max_size=4).map(tuple)


def test_how_people_read_it():
    assert as_text("a text") == "a text"
    assert as_text((Message("user", "2 + 2?"),)) == "2 + 2?"
    assert as_text((Message("assistant", "4"),)) == "4"
    assert as_text((Message("system", "Be brief."),)) == "System: Be brief."
    assert as_text((Message("user", "2?"), Message("tool", "4"))) == "User: 2?\n\nTool: 4"
    assert as_text(()) == ""
    assert as_text(Ids((5, 17))) == "5 17"
    assert (length_of(Ids((5, 17))), length_of("éa"), length_of((Message("assistant", "abc"),))) == (2, 2, 3)


@given(conversations, conversations | contents)
def test_text_tokenizers_read_messages_as_people_do(prompt, response):
    ids = Bytes().encode(prompt, response)
    assert ids == Bytes().encode(as_text(prompt), as_text(response))
    assert [i for i in ids if i < 4] == [BOS, SEP, EOS]


def test_a_question_and_its_answer_are_the_same_as_messages_and_as_texts():
    words = Words(("sort", "b", "a"))
    asked, answered = (Message("user", "sort b a"),), (Message("assistant", "a b"),)
    assert words.encode(asked, answered) == words.encode("sort b a", "a b")
    assert Bytes().encode(asked, answered) == Bytes().encode("sort b a", "a b")


def test_the_longer_response_is_told_for_every_part():
    message = (Message("assistant", "aa"),), (Message("assistant", "bbb"),)
    assert longer_wins([Preference("", message), Preference("", (Ids((1000, 2)), Ids((1,))))]) == 0.5
    assert longer_wins([Preference("", message[::-1]), Preference("", (Ids((1000, 2)), Ids((1,))))]) == 1.0


# Other names of columns


def test_columns_may_have_other_names():
    row = {"question": "p", "winner": "a", "loser": "b", "lead": 2, "chosen": 7, "prompt": "?"}
    named = {"prompt": "question", "chosen": "winner", "rejected": "loser", "margin": "lead"}
    assert read(row, **named)[1] == Preference("p", ("a", "b"), 2.0)
    assert read({"chosen": "b", "rejected": "a"}, chosen="rejected", rejected="chosen")[1].responses == ("a", "b")
    ranked = {"instruction": "p", "outputs": ["a", "b"], "stars": [1, 5]}
    swapped = read(ranked, prompt="instruction", responses="outputs", scores="stars")[1]
    assert swapped == Preference("p", ("b", "a"), 0.0, (1, 2))
    assert read({"responses": ["a", "b"], "ranks": [1, 5]}, scores="ranks")[1].responses == ("b", "a")
    assert read({"outputs": ["a", "b"], "place": [1, 1]}, responses="outputs", ranks="place")[1].ranks == (1, 1)


def test_a_named_column_that_is_not_there_is_refused():
    row = {"question": "p", "winner": "a", "loser": "b"}
    sentence = refusal(row, chosen="winer", rejected="loser")
    assert sentence.startswith(
        "--chosen-column winer: there is no such column (found: 'question', 'winner', 'loser'): "
    )
    assert "did you mean 'winner'?" in sentence
    assert "name one of these" in refusal(row, margin="zzz")


# Files


def written(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("cut", [1, 5, 12, 17, -1])
def test_a_file_that_ends_in_the_middle_of_a_line_seems_cut_off(tmp_path, cut):
    good = json.dumps({"chosen": "é a", "rejected": "b"}, ensure_ascii=False).encode()
    path = written(tmp_path / "rows.jsonl", good + b"\n" + good[:cut])
    with pytest.raises(InputError, match=r"rows.jsonl, line 2: .*the file seems cut off in the middle of this line"):
        read_preferences(path)
    written(path, good + b"\n" + good[:cut] + b"\n" + good)
    with pytest.raises(InputError, match=r"write one object a line|save the file as UTF-8"):
        read_preferences(path)
    assert read_preferences(written(path, good)) == [Preference("", ("é a", "b"))]


def test_a_file_may_hold_several_formats(tmp_path):
    text, messages = {"chosen": "a", "rejected": "b"}, {"chosen": [USER, ASSISTANT], "rejected": [USER, *A]}
    lines = [json.dumps(row) for row in (text, messages, text)]
    path = written(tmp_path / "rows.jsonl", "\n".join(lines).encode())
    rows, formats = read_with_formats(path)
    assert formats == Counter({"text, implicit prompt": 2, "conversations, implicit prompt": 1})
    assert list(read_rows(path)) == list(enumerate(rows, 1))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | contents | st.sampled_from(ROLES),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "type", "text"]), inner)
    ),
    max_leaves=6,
)
sides = json_values | st.lists(messages, max_size=3) | pieces.map(H.__add__)
names = st.sampled_from(["prompt", "chosen", "rejected", "chosen_ids", "rejected_ids", "responses", "ranks"])


@given(st.dictionaries(names, sides))
def test_any_row_is_read_or_refused(row):
    try:
        preference = read(row)[1]
    except InputError:
        refusal(row)
    else:
        assert len(preference.responses) == len(preference.ranks) > 1
        assert len({isinstance(response, Ids) for response in preference.responses}) == 1
        assert all(isinstance(as_text(part), str) for part in (preference.prompt, *preference.responses))


# TRL itself


@pytest.mark.slow
@given(st.lists(messages, max_size=3), *[st.lists(messages, max_size=2)] * 2, answers, answers)
def test_trl_finds_the_same_prompt_in_two_conversations(start, left, right, chosen, rejected):
    from trl.data_utils import extract_prompt, is_conversational, maybe_extract_prompt

    row = {"chosen": [*start, *left, chosen], "rejected": [*start, *right, rejected]}
    theirs, ours = extract_prompt(row), read(row)[1]
    assert is_conversational(row)
    found = [[message._asdict() for message in part] for part in (ours.prompt, *ours.responses)]
    assert found == [theirs["prompt"], theirs["chosen"], theirs["rejected"]]
    if theirs["prompt"] and any(theirs[side][: len(theirs["prompt"])] != theirs["prompt"] for side in row):
        assert maybe_extract_prompt(theirs) == theirs
        assert read(theirs) == ("conversations, explicit prompt", ours)
    if any(message["content"] for message in theirs["prompt"]):  # a string beside conversations is no prompt for TRL
        beside = next(message["content"] for message in theirs["prompt"] if message["content"])
        assume(any(side[0]["role"] != "assistant" for side in row.values()))
        assert maybe_extract_prompt({"prompt": beside, **row}) == theirs
        assert read({"prompt": beside, **row})[1] == ours


@pytest.mark.slow
@pytest.mark.parametrize(("chosen", "rejected", "prompt"), TRANSCRIPTS.values(), ids=TRANSCRIPTS)
def test_trl_cuts_two_texts_where_their_letters_part(chosen, rejected, prompt):
    """A known difference: TRL's prompt may include the common beginning of both answers; ours ends there or before"""
    from trl.data_utils import extract_prompt

    theirs = extract_prompt({"chosen": chosen, "rejected": rejected})
    assert theirs["prompt"] + theirs["chosen"] == chosen
    if chosen.startswith(rejected) or rejected.startswith(chosen):
        return  # then TRL cuts one letter before the end of the shorter one
    assert len(theirs["prompt"]) >= len(prompt) - 1
    assert (prompt + " ").startswith(theirs["prompt"]) or theirs["prompt"].startswith(prompt)


@pytest.mark.slow
def test_trl_takes_the_same_token_ids():
    from trl.trainer.reward_trainer import DataCollatorForPreference

    from numpy_ref.batches import collate

    rows = [{"chosen_ids": [5, 0, 7], "rejected_ids": [1]}, {"chosen_ids": [9], "rejected_ids": [0, 0]}]
    theirs = DataCollatorForPreference(pad_token_id=0)(rows)
    tokens, length = collate(encode(TokenIds(10), [read(row)[1] for row in rows], 5).rows)  # (B, 2, T)
    assert theirs["input_ids"].tolist() == [*tokens[:, 0].tolist(), *tokens[:, 1].tolist()]
    assert theirs["attention_mask"].sum(1).tolist() == [*length[:, 0].tolist(), *length[:, 1].tolist()]
