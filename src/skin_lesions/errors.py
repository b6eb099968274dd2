"""The one error for what a user can mend: it names the thing, what was expected, and the remedy."""


class InputError(ValueError):
    """Something given to us (a folder, a table, a parameter, a file) cannot be used as it is.

    The command line shows its text alone, without a traceback.
    """


def shown(text: object) -> str:
    r"""Make a name that others chose safe to print: what would steer a terminal is spelt out.

    >>> shown("naevus 日本.jpg"), shown("a\x1b[2Jb\n.jpg")
    ('naevus 日本.jpg', 'a\\x1b[2Jb\\n.jpg')
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))
