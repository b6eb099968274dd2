"""The one error for what a user can mend: it names the thing, what was expected, and the remedy."""


class InputError(ValueError):
    """Something given to us (a folder, a table, a parameter, a file) cannot be used as it is.

    The command line shows its text alone, without a traceback.
    """


def disk_full_message(error: OSError) -> str:
    """Tell that the disk is full, and what to do."""
    return (
        f"the disk is full ({error}). What is whole is kept: make room, or take another "
        "place with --params data_root=/path, and run the same command again"
    )
