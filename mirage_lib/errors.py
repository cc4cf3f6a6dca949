"""The one error a user is meant to read: what is wrong, what was expected, what to try."""


class MirageError(Exception):
    """A problem its message explains whole: the thing, what was expected, the remedy.

    The command line prints it without a traceback and exits with code 2.
    """
