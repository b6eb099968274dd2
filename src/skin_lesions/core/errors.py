"""Errors that the user can fix.

The text says what is wrong, what was expected and how to fix it.
"""

from skin_lesions.core.locations import redact_urls


class InputError(ValueError):
    """Invalid input of the user: a folder, a table, a parameter or a file.

    The command line shows only the text, without a traceback. URLs in it lose their secrets.
    """

    def __init__(self, message: str):
        super().__init__(redact_urls(message))


def disk_full_message(error: OSError) -> str:
    """Return a message about a full disk, with the fix."""
    return (
        f"Disk full ({error}). Completed files were kept. Free some space or choose another "
        "location (--params data_root=/path), then run the same command again."
    )
