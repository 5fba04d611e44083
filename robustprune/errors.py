"""The two ways a user's input can be wrong; both end in one line on stderr."""


class InputError(Exception):
    """Wrong use or bad input: the message says what, where, what was expected and what would work."""


class MissingData(InputError):
    """A data set or weight file is not on this machine; the message says how to get it."""
