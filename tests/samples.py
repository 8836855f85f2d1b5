"""A profile that has one of everything, for the tests of its writers and readers, and strategies for hostile ones."""

import functools
import operator
import os

from hypothesis import strategies as st

from learner.policy import (
    NO_RIGHT,
    Grant,
    NetworkAction,
    NetworkGrant,
    Policy,
    Right,
    Scope,
    ServiceGrant,
    Witness,
)
from learner.profile import Profile
from learner.variables import Variables
from tracers.events import Operation, Transport

VARIABLES = Variables(project="/home/ada/work/engine", home="/home/ada")
HOSTILE = "/home/ada/evil[red]\x1b[31m\n\udcff'\"$HOME\\x"

VIBE = Profile(
    name="vibe",
    command="vibe",
    policy=Policy(
        grants=(
            Grant("/", Scope.FILE, Right.LIST, (Witness("vibe", (Operation.LIST,), "/"),)),
            Grant("/etc", Scope.TREE, Right.READ, (Witness("vibe", (Operation.READ,), "/etc/passwd", 3),)),
            Grant(
                "/home/ada/.gitconfig",
                Scope.FILE,
                Right.READ,
                (
                    Witness("git", (Operation.READ,), "/home/ada/.gitconfig"),
                    Witness("vibe", (Operation.READ,), "/home/ada/.gitconfig"),
                ),
            ),
            Grant(
                "/home/ada/.vibe",
                Scope.TREE,
                Right.READ | Right.LIST | Right.WRITE | Right.CREATE | Right.REMOVE,
                (
                    Witness("git", (Operation.READ,), "/home/ada/.vibe/config.toml"),
                    Witness("vibe", (Operation.LIST, Operation.READ, Operation.WRITE), "/home/ada/.vibe/logs", 31),
                ),
                ensure=True,
            ),
            Grant(HOSTILE, Scope.FILE, Right.READ, ()),
            Grant(
                "/home/ada/work/engine",
                Scope.TREE,
                Right.READ | Right.LIST,
                (Witness("vibe", (Operation.LIST,), "/home/ada/work/engine"),),
            ),
            Grant(
                "/usr/bin/git",
                Scope.FILE,
                Right.READ | Right.EXEC,
                (Witness("vibe", (Operation.EXEC,), "/usr/bin/git"),),
            ),
            Grant(
                "/usr/lib",
                Scope.TREE,
                Right.READ | Right.EXEC,
                tuple(Witness(name, (Operation.READ,), "/usr/lib/libc.so.6", 40) for name in "abcdef"),
            ),
        ),
        network=(
            NetworkGrant(NetworkAction.BIND, "::", 0, Transport.UDP, ()),
            NetworkGrant(
                NetworkAction.CONNECT,
                "127.0.0.1",
                4000,
                Transport.TCP,
                (Witness("vibe", (Operation.CONNECT,), "127.0.0.1:4000/tcp"),),
            ),
            NetworkGrant(NetworkAction.CONNECT, r"\x00a", 0, Transport.OTHER, (), abstract=True),
        ),
    ),
    partial=True,
)

hostile_names = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.sampled_from([b"\n", b"'''", b'"""', b"\\", b"$HOME", b"$", b"\x7f", b"\xff\xfe", b"# x", b"]]", b"...", b" "]),
    st.sampled_from([b"x" * 255, "\u202eabc\u2028".encode(), "é".encode()]),
).map(lambda raw: os.fsdecode(raw.replace(b"/", b"_").replace(b"\0", b"_")).replace("/", "_"))
"""File names as programs make them, as str with surrogates."""

_components = hostile_names.filter(lambda name: name not in (".", ".."))
_roots = st.sampled_from(["", VARIABLES.home, VARIABLES.project, "/home/ada-2", "/tmp"])
paths = st.builds(lambda root, parts: "/".join([root, *parts]) or "/", _roots, st.lists(_components, max_size=4))
"""Absolute paths, some below the variables' directories."""

witnesses = st.builds(
    Witness,
    program=hostile_names,
    operations=st.lists(st.sampled_from(Operation), max_size=3, unique=True).map(tuple),
    example=st.one_of(paths, hostile_names),
    objects=st.integers(min_value=1, max_value=10**9),
)
_witness_tuples = st.lists(witnesses, max_size=3).map(lambda found: tuple(sorted(found)))
rights = st.lists(st.sampled_from(Right), max_size=4).map(lambda some: functools.reduce(operator.or_, some, NO_RIGHT))

grants = st.builds(Grant, paths, st.sampled_from(Scope), rights, _witness_tuples, st.booleans())
network_grants = st.builds(
    NetworkGrant,
    st.sampled_from(NetworkAction),
    hostile_names,
    st.integers(min_value=0, max_value=65535),
    st.sampled_from(Transport),
    _witness_tuples,
    st.booleans(),
)
service_grants = st.builds(ServiceGrant, hostile_names, st.one_of(st.just(""), hostile_names), _witness_tuples)
profiles = st.builds(
    Profile,
    name=hostile_names,
    command=st.one_of(hostile_names, paths),
    policy=st.builds(
        Policy,
        grants=st.lists(grants, max_size=4).map(tuple),
        network=st.lists(network_grants, max_size=3).map(tuple),
        links=st.lists(paths, max_size=3, unique=True).map(lambda some: tuple(sorted(some))),
        services=st.lists(service_grants, max_size=3).map(lambda some: tuple(sorted(some))),
        probes=st.lists(paths, max_size=3, unique=True).map(lambda some: tuple(sorted(some))),
    ),
    partial=st.booleans(),
    platform=hostile_names,
)
