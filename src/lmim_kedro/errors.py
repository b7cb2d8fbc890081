"""The one error that a user's input can raise."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is a sentence to act on: what was found, where, what was expected, what to do.
    The command line prints it alone, without a traceback.
    """
