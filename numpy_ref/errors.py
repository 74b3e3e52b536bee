"""The error that a user can put right: a command prints it as one sentence and ends with status 2, no traceback."""

LONGEST = 1000  # characters: a message quotes its input, and a damaged file may hold anything


class InputError(ValueError):
    """Names the file, line or option, what was found, what was expected and what to do; one printable line"""

    def __init__(self, text):
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
        half = LONGEST // 2
        super().__init__(text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}")
