"""Everything that sbx tells a user as an error.

::

    SbxError                  exit status 1
    ├── UsageError            2   the command line asks for something that makes no sense
    ├── MachineError          3   this machine cannot do it (``remedy`` says how to get it)
    ├── InputFileError        4   a profile, trace or log that cannot be used
    └── LaunchError         125   the command could not be started confined
        ├── NotExecutable   126
        └── NotFound        127

The message is one sentence; ``remedy`` is what to do next. The command line prints both and exits with ``status``.
"""


class SbxError(Exception):
    """Base of all; ``remedy`` may be empty."""

    status = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class UsageError(SbxError):
    """The command line asks for something that makes no sense."""

    status = 2


class MachineError(SbxError):
    """This machine cannot do what was asked."""

    status = 3


class InputFileError(SbxError):
    """A file that was given cannot be used. The message begins with its name, and a line or key where known."""

    status = 4


class LaunchError(SbxError):
    """The command could not be started under confinement."""

    status = 125


class NotExecutable(LaunchError):  # noqa: N818 - named as the shell's statuses are
    """The command was found but cannot be executed."""

    status = 126


class NotFound(LaunchError):  # noqa: N818
    """The command was not found."""

    status = 127
