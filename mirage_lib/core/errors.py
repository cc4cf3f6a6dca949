"""The one error meant for the user. Its message says what is wrong, what was expected and what to try."""


class MirageError(Exception):
    """A problem that its message explains in full: what is wrong, what was expected, what to try.

    The command line prints it without a traceback and exits with code 2.
    """
