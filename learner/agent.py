"""What a profile knows of its agent: which executable, of which version, and which programs it ran. Pure records."""

import enum

import msgspec


class Source(enum.StrEnum):
    """Where a version was read, the most trusted first."""

    DIST_INFO = "dist-info"
    """The metadata of an installed Python package."""
    PACKAGE_JSON = "package.json"
    ASKED = "--version"
    """The program said so itself: it was run for that, because the user wished it."""


class Known(msgspec.Struct, frozen=True, order=True):
    """A version, the package that it is of (empty if the program was asked), and where it was read."""

    version: str
    package: str
    source: Source


class Ran(msgspec.Struct, frozen=True, order=True):
    """A program that was started. ``name``: its label; ``path``: absolute; ``by``: labels of those that started it.

    ``interpreter``: the kernel started it for a script. ``sha256`` of the content (hex), empty if it could not be read
    or is another one in each run.
    """

    name: str
    path: str
    by: tuple[str, ...] = ()
    sha256: str = ""
    known: Known | None = None
    interpreter: bool = False

    @property
    def described(self) -> str:
        """Version, or the first digits of the hash."""
        return _described(self.known, self.sha256)


class Agent(msgspec.Struct, frozen=True):
    """The program that a profile is of. ``path``: the executable, links resolved. ``ran``: sorted, itself included."""

    name: str
    path: str
    sha256: str = ""
    known: Known | None = None
    ran: tuple[Ran, ...] = ()

    @property
    def described(self) -> str:
        """Version, or the first digits of the hash."""
        return _described(self.known, self.sha256)


def _described(known: Known | None, sha256: str) -> str:
    if known is not None:
        return known.version
    return f"sha256 {sha256[:12]}" if sha256 else ""
