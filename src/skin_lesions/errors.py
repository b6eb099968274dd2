"""The one error for what a user can mend: it names the thing, what was expected, and the remedy."""


class InputError(ValueError):
    """Something given to us (a folder, a table, a parameter, a file) cannot be used as it is.

    The command line shows its text alone, without a traceback.
    """
