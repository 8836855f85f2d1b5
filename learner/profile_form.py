"""The shape of a profile file: what is in the TOML, key by key. The JSON Schema is generated from it."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from learner.agent import Source
from learner.policy import NetworkAction, Right, Scope, right_names
from tracers.events import Operation, Transport

VERSION = 1
"""The version written, and the newest one read."""
RIGHT_WORDS = right_names(~Right(0))

_Text = Annotated[str, Meta(min_length=1)]
_Path = Annotated[
    str,
    Meta(
        min_length=1,
        description="Absolute path, or one that begins with $PROJECT or $HOME. A $ in a name is doubled, "
        "a backslash too; bytes that cannot be shown are \\xNN.",
    ),
]
_RightWord = Annotated[str, Meta(extra_json_schema={"enum": list(RIGHT_WORDS)})]


class WitnessForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program that was seen to need the grant."""

    program: _Text
    operations: Annotated[tuple[Operation, ...], Meta(description="What it did.")]
    example: Annotated[str, Meta(min_length=1, description="One object that it touched.")]
    objects: Annotated[int, Meta(ge=1, description="How many objects it touched.")] = 1


class GrantForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rights on a path."""

    path: _Path
    scope: Annotated[Scope, Meta(description="The object alone, or everything beneath it too.")]
    rights: tuple[_RightWord, ...]
    ensure: Annotated[bool, Meta(description="Make this directory at launch when it is missing.")] = False
    needed_by: tuple[WitnessForm, ...] = ()


class NetworkForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An endpoint that may be reached or taken."""

    action: NetworkAction
    host: Annotated[
        str, Meta(min_length=1, description="A name, *.DOMAIN, group:NAME, an address, or an abstract socket's name.")
    ]
    port: Annotated[int, Meta(ge=0, le=65535, description="0 to bind means any port that is free.")]
    transport: Transport
    abstract: Annotated[bool, Meta(description="host is the name of an abstract unix socket.")] = False
    needed_by: tuple[WitnessForm, ...] = ()


class ServiceForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that only macOS controls: a Mach service, a sysctl, a preference domain."""

    operation: Annotated[str, Meta(min_length=1, description="The sandbox's own word, such as mach-lookup.")]
    name: Annotated[str, Meta(description="What it is done to; empty for anything.")] = ""
    needed_by: tuple[WitnessForm, ...] = ()


_Hash = Annotated[str, Meta(description="SHA-256 of the content, in hex.")]
_Version = Annotated[str, Meta(description="Its version, if known.")]
_Package = Annotated[str, Meta(description="The package that the version is of, if one was found.")]


class RanForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program that was started."""

    name: _Text
    path: _Path
    by: Annotated[tuple[_Text, ...], Meta(description="The programs that started it.")] = ()
    sha256: _Hash = ""
    version: _Version = ""
    package: _Package = ""
    source: Source | None = None
    interpreter: Annotated[bool, Meta(description="The kernel started it for a script.")] = False


class AgentForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was learned: which program, of which version, and what else it ran. Nothing is granted by it."""

    name: _Text
    path: _Path
    sha256: _Hash = ""
    version: _Version = ""
    package: _Package = ""
    source: Source | None = None
    ran: tuple[RanForm, ...] = ()


class ProfileForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a command may touch under sbx. Everything that is not granted and can be refused is refused."""

    version: Annotated[int, Meta(ge=VERSION, le=VERSION)]
    name: _Text
    command: Annotated[str, Meta(min_length=1, description="The command as typed, without arguments.")]
    platform: _Text = "linux"
    prefix: Annotated[
        str, Meta(description="$PREFIX where the profile was learned; where it is used, the command's.")
    ] = ""
    partial: Annotated[bool, Meta(description="The recording was cut short: grants may be missing.")] = False
    links: Annotated[
        tuple[_Path, ...],
        Meta(description="Symlinks that lead to what is granted, shown by enforcers that hide everything else."),
    ] = ()
    probes: Annotated[
        tuple[_Path, ...],
        Meta(description="Paths that are looked at but not opened; the macOS sandbox would refuse that as well."),
    ] = ()
    agent: AgentForm | None = None
    grant: tuple[GrantForm, ...] = ()
    network: tuple[NetworkForm, ...] = ()
    service: tuple[ServiceForm, ...] = ()


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a profile, as published in ``docs/profile.schema.json``."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "sbx profile"}
    return head | msgspec.json.schema(ProfileForm)
