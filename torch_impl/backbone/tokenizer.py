"""A pretrained model's own tokenizer with this project's interface: (prompt, response) -> ids, with one eos at the end.

Two strings are joined as they are if one of them brings the white space between them, as TRL expects of its data, and
by a newline otherwise: "Why?" + "Because" must not become "Why?Because". Messages go through the tokenizer's chat
template. If a user types the name of a special token, in a string or a message, it stays text: only the template's own
text and this file make special tokens.
"""

import hashlib
import re
from pathlib import Path
from reprlib import repr as shortened

from numpy_ref.errors import InputError

TEMPLATE_PARTS = re.compile(r"(\{prompt\}|\{response\})")
PLACEHOLDER = "contentofmessage{}here"  # letters and digits only: no template trims, quotes or escapes them


class BackboneTokenizer:
    """Wraps a Hugging Face tokenizer; max_length is the largest number of tokens that the model reads

    template  the text to make of two strings, such as "Question: {prompt} Answer: {response}", with any special
              tokens. Nothing else is added, neither bos nor eos
    """

    def __init__(self, tokenizer, max_length, template=None):
        if tokenizer.eos_token_id is None:
            raise InputError("this model's tokenizer has no eos token, at which the reward is read: give another model")
        self.tokenizer, self.max_length, self.vocab_size = tokenizer, max_length, len(tokenizer)
        self.template = template
        if template is not None and sorted(TEMPLATE_PARTS.findall(template)) != ["{prompt}", "{response}"]:
            raise InputError(f"--template {shortened(template)}: write {{prompt}} and {{response}} once each")
        names = sorted(tokenizer.all_special_tokens, key=len, reverse=True)
        self.specials = re.compile("|".join(map(re.escape, names)))

    @property
    def expects(self):
        """A description of the text that is made of two strings"""
        if self.template is not None:
            return f"{self.template!r}"
        return f"the prompt, a new line, the response, and {self.tokenizer.eos_token} at the end"

    @property
    def fingerprint(self):
        """A digest of everything that decides the ids, for the cache of tokens; "" if it cannot be computed"""
        rules = getattr(self.tokenizer, "backend_tokenizer", None)
        if rules is None:
            return ""
        own = type(self.tokenizer).__name__, self.tokenizer.chat_template, self.template, self.tokenizer.eos_token
        code = Path(__file__).read_text(encoding="utf-8")
        return hashlib.sha256(repr((own, rules.to_str(), code)).encode()).hexdigest()

    def encode(self, prompt, response):
        """Each a string or a sequence of messages with .role and .content -> list of ids"""
        if isinstance(prompt, str) and isinstance(response, str):
            if self.template is not None:
                return self._in_template({"{prompt}": prompt, "{response}": response})
            return self._of_text(joined(prompt, response))
        turns = [*_turns(prompt, "user"), *_turns(response, "assistant")]
        if not self.tokenizer.chat_template:
            return self._of_text("\n\n".join(f"{turn['role'].capitalize()}: {turn['content']}" for turn in turns))
        return self._of_conversation(turns)

    def _of_text(self, text):
        """The tokenizer adds bos where its model was trained with one"""
        ids = self.tokenizer(text, split_special_tokens=True)["input_ids"]
        return ids if ids[-1:] == [self.tokenizer.eos_token_id] else [*ids, self.tokenizer.eos_token_id]

    def _in_template(self, contents):
        first, name, between, other, last = TEMPLATE_PARTS.split(self.template)
        pieces, inside = [first, between, last], [contents[name], contents[other]]
        return self._of_marked(_interleaved(pieces, inside), _spans(pieces, inside))

    def _of_conversation(self, turns):
        text, own = self._rendered(turns)
        ids = self._of_marked(text, own)
        if self.tokenizer.eos_token in text[own[-1][0] :]:
            return ids
        return [*ids, self.tokenizer.eos_token_id]

    def _rendered(self, turns):
        """The rendered text, and the spans of it that are the template's own, around the contents

        The template is rendered with placeholders and with the contents. If the contents in place of the placeholders
        give the same text, the spans are known. Some templates trim the contents.
        """
        marks = [PLACEHOLDER.format(i) for i in range(len(turns))]
        marked = self._template([turn | {"content": mark} for turn, mark in zip(turns, marks, strict=True)])
        pieces = re.split("|".join(f"{mark}(?!\\d)" for mark in marks), marked)
        text = self._template(turns)
        for trimmed in (str, str.strip):
            contents = [trimmed(turn["content"]) for turn in turns]
            if len(pieces) == len(turns) + 1 and _interleaved(pieces, contents) == text:
                return text, _spans(pieces, contents)
        raise InputError(
            "the chat template rewrites or leaves out messages, so that its own text cannot be told from what people "
            f"wrote in {shortened(turns[-1]['content'])}: leave these messages out, or give plain strings"
        )

    def _template(self, turns):
        try:
            return self.tokenizer.apply_chat_template(turns, tokenize=False)
        except Exception as error:  # jinja has many classes of errors
            if not type(error).__module__.startswith("jinja2"):
                raise
            roles = ", ".join(turn["role"] for turn in turns)
            raise InputError(f"the chat template refuses messages of {roles}: {error}; mend their order") from None

    def _of_marked(self, text, own):
        """The ids that Hugging Face gives; if there is a special in the text outside `own`, it becomes text"""
        spans = [match.span() for match in self.specials.finditer(text)]
        if all(any(low <= start and end <= high for low, high in own) for start, end in spans):
            return self._ids(text, split_special_tokens=False)
        return self._around_typed_specials(text, own)

    def _around_typed_specials(self, text, own):
        """The ids of `text`, in which the template's specials are tokens and the others are text"""
        ids, start = [], 0
        for low, high in own:
            for match in self.specials.finditer(text, low, high):
                ids += self._ids(text[start : match.start()], split_special_tokens=True)
                ids.append(self.tokenizer.convert_tokens_to_ids(match[0]))
                start = match.end()
        return ids + self._ids(text[start:], split_special_tokens=True)

    def _ids(self, text, split_special_tokens):
        if not text:
            return []
        return self.tokenizer(text, add_special_tokens=False, split_special_tokens=split_special_tokens)["input_ids"]


def joined(prompt, response):
    """Why?, Because -> Why?<newline>Because;  Why?, " Because" -> Why? Because"""
    apart = not prompt or not response or prompt[-1].isspace() or response[0].isspace()
    return prompt + ("" if apart else "\n") + response


def _turns(part, role):
    if isinstance(part, str):
        return [{"role": role, "content": part}] if part else []
    return [{"role": message.role, "content": message.content} for message in part]


def _interleaved(pieces, contents):
    return pieces[0] + "".join(content + piece for content, piece in zip(contents, pieces[1:], strict=True))


def _spans(pieces, contents):
    """The position of each piece in the joined text"""
    spans, start = [], 0
    for piece, content in zip(pieces, [*contents, ""], strict=True):
        spans.append((start, start + len(piece)))
        start += len(piece) + len(content)
    return spans
