"""The errors a person can act on.

Each message says what went wrong, where (file, key, clip id) and what to do. The command line prints the message as
one line and leaves with `exit_code`; with `--debug` it prints the traceback as well. Anything else that escapes is a
defect of blipvid.
"""


class BlipvidError(Exception):
    """Base of every error that blipvid raises on purpose.

    Attributes:
        exit_code: Exit status of the command line: 1 when work failed, 2 when what was asked for cannot be asked.
    """

    exit_code = 1


class ConfigError(BlipvidError):
    """A YAML file, a name or an option is wrong; raised before any work starts."""

    exit_code = 2


class DataError(BlipvidError):
    """An annotation file or media file is absent, or does not hold what the benchmark says it holds."""

    exit_code = 2


class DecodeError(BlipvidError):
    """One media file gives no trustworthy frames."""

    exit_code = 1


class CheckpointError(BlipvidError):
    """A weight file cannot be read, does not fit the model, or is not the one that was named."""

    exit_code = 2


class CapabilityError(BlipvidError):
    """The model cannot do what the benchmark needs; raised before any decoding."""

    exit_code = 2


class TrainingError(BlipvidError):
    """A training run cannot go on: a loss is no longer a number."""

    exit_code = 1
