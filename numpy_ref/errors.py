"""What a user can put right: the commands print it as one sentence and end with status 2, without a traceback."""

LONGEST = 1000  # characters; a sentence quotes what it found, and a damaged file may hold anything


class InputError(ValueError):
    """Names the file, line or option, what was found, what was expected and what to do; one printable line"""

    def __init__(self, text):
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
        half = LONGEST // 2
        super().__init__(text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}")
