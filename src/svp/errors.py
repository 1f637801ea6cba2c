"""The error and the warning that a user is meant to see."""


class InputError(Exception):
    """An argument or an input file cannot be used.

    The message is one line that names the file or option, what is wrong with it and the remedy. The command line
    prints it to stderr and exits with code 2; library callers may catch it.
    """


def install(extra: str) -> str:
    """The remedy where libraries of an extra are missing."""
    return f"pip install '.[{extra}]' in the folder with SVP's pyproject.toml"


class InputWarning(UserWarning):
    """An input can be used, but perhaps not as it was meant; one line as for an error, and the work goes on."""
