"""What a user did that cannot work, in one sentence with the way out, and its exit code."""


class AdaferError(Exception):
    """A run that failed; exit code 1."""

    exit_code = 1


class WordsError(AdaferError):
    """Wrong words: an unknown command, recipe, flag or value; exit code 2."""

    exit_code = 2


class DataError(AdaferError):
    """Wrong data: a missing path, a broken file, a label out of range; exit code 3."""

    exit_code = 3


class MachineError(AdaferError):
    """Wrong machine: a device, memory or disk that is not there; exit code 4."""

    exit_code = 4
