"""What a user can put right: the commands print it as one sentence and end with status 2, without a traceback."""


class InputError(ValueError):
    """Names the file, line or option, what was found, what was expected and what to do."""
