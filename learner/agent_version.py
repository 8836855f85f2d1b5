"""Which version an executable is of: from the package it was installed with, else (if wished) from itself.

Reads installed metadata; nothing is run but by :func:`ask`.
"""

import configparser
import contextlib
import functools
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from email.parser import HeaderParser

import msgspec

from learner.agent import Agent, Known, Ran, Source
from learner.enforcers.choice import EnforcerName, choose
from learner.folding import FOLDED
from learner.policy import Policy
from learner.ran import programs, shebangs
from learner.trace import Trace

TIMEOUT = 5.0
"""Seconds that a program has to tell its version."""
_MOST = 8 << 20
"""Bytes of a metadata file that are read."""
_SAID = 4096
"""Bytes of an answer that are looked at."""
_TOLD = re.compile(r"(?<![\w.])v?(\d+(?:\.\d+)+[0-9A-Za-z.+_-]*)")


def find_agent(trace: Trace, file: str) -> Agent:
    """What is known of the program found at ``file``, and of those that it ran in ``trace``. It reads them all."""
    real = os.path.realpath(file)
    ran = tuple(_known(one) for one in programs(trace))
    return Agent(os.path.basename(file), real, sha256(real), find_version(file), ran)


def _known(ran: Ran) -> Ran:
    if FOLDED in ran.path:
        return ran
    return msgspec.structs.replace(ran, sha256=sha256(ran.path), known=find_version(ran.path))


def sha256(path: str) -> str:
    """The hash of a file's content in hex; empty if it cannot be read or is no regular file."""
    try:
        with open(path, "rb", opener=_unblocked) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError):
        return ""


def _unblocked(path: str, flags: int) -> int:
    """Open without waiting for the other end of a FIFO."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def find_version(path: str) -> Known | None:
    """The version of the package that ``path`` was installed with, by the file itself and by what it links to."""
    here = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    for place in dict.fromkeys((here, os.path.realpath(path))):
        found = _from_dist_info(place)
        if found is not None:
            return found
    return _from_package_json(os.path.realpath(path))


def _from_dist_info(path: str) -> Known | None:
    directory, name = os.path.split(path)
    site = _site_above(path)
    if site is not None:
        return _installed(site).get(os.path.relpath(path, site))
    if os.path.basename(directory) in ("bin", "sbin"):
        for site in _sites(os.path.dirname(directory)):
            found = _scripts(site).get(name)
            if found is not None:
                return found
    return None


def _site_above(path: str) -> str | None:
    match = re.match(r".*/(?:site|dist)-packages(?=/)", path, re.DOTALL)
    return match.group() if match else None


@functools.cache
def _sites(prefix: str) -> tuple[str, ...]:
    """The directories of Python packages beneath a prefix."""
    found = []
    for library in ("lib", "lib64"):
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(f"{prefix}/{library}")):
                if re.fullmatch(r"python3(?:\.\d+t?)?", name):
                    found += [f"{prefix}/{library}/{name}/{each}" for each in ("site-packages", "dist-packages")]
    return tuple(directory for directory in found if os.path.isdir(directory))


@functools.cache
def _distributions(site: str) -> tuple[tuple[str, Known], ...]:
    """(directory, version) of each package in ``site``."""
    found = []
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(site)):
            file = {".dist-info": "METADATA", ".egg-info": "PKG-INFO"}.get(os.path.splitext(name)[1])
            if file is None:
                continue
            headers = HeaderParser().parsestr(_text(f"{site}/{name}/{file}"))
            version, package = headers["Version"], headers["Name"]
            if isinstance(version, str) and isinstance(package, str) and version.strip():
                known = Known(version.strip(), package.strip(), Source.DIST_INFO)
                found.append((f"{site}/{name}", known))
    return tuple(found)


@functools.cache
def _scripts(site: str) -> dict[str, Known]:
    """The commands that the packages in ``site`` install."""
    found: dict[str, Known] = {}
    for directory, known in _distributions(site):
        entries = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
        entries.optionxform = str  # type: ignore[assignment,method-assign]
        try:
            entries.read_string(_text(f"{directory}/entry_points.txt"))
        except configparser.Error:
            continue
        for section in ("console_scripts", "gui_scripts"):
            if entries.has_section(section):
                found |= dict.fromkeys(entries.options(section), known)
        for path in _record(directory):
            if os.path.basename(os.path.dirname(path)) == "bin" and path.startswith("../"):
                found[os.path.basename(path)] = known
    return found


@functools.cache
def _installed(site: str) -> dict[str, Known]:
    """The files of the packages in ``site``, by their path in it."""
    return {path: known for directory, known in _distributions(site) for path in _record(directory)}


def _record(directory: str) -> list[str]:
    """The files of a package, relative to what holds it (PEP 376; names with a comma are quoted and not found)."""
    return [line.split(",", 1)[0] for line in _text(f"{directory}/RECORD").splitlines()]


def _from_package_json(path: str) -> Known | None:
    """The nearest package.json with a name and a version; not beyond ``node_modules``, or a package's own root."""
    directory = os.path.dirname(path)
    while directory != "/" and os.path.basename(directory) not in ("node_modules", "bin", "lib"):
        try:
            found = json.loads(_text(f"{directory}/package.json") or "null")
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            name, version = found.get("name"), found.get("version")
            if isinstance(name, str) and isinstance(version, str) and name and version:
                return Known(version, name, Source.PACKAGE_JSON)
        if os.path.basename(os.path.dirname(directory)) == "node_modules":
            return None
        directory = os.path.dirname(directory)
    return None


def _text(path: str) -> str:
    """The content of a file, empty if it cannot be read."""
    try:
        with open(path, "rb", opener=_unblocked) as stream:
            return stream.read(_MOST).decode(errors="replace")
    except OSError:
        return ""


def ask(agent: Agent, trace: Trace, policy: Policy) -> Agent:
    """``agent`` with what ``--version`` says of itself and of its ``#!`` interpreters, where no package tells.

    Each is run with nothing to read, confined to ``policy`` and without its network, and killed after
    :data:`TIMEOUT`. A program that fails, or says nothing like a version, has none. Raises MachineError where nothing
    can be confined.
    """
    wanted = shebangs(trace)
    asked = {ran.path: _told(ran.path, policy) for ran in agent.ran if ran.known is None and ran.path in wanted}
    ran = tuple(msgspec.structs.replace(one, known=one.known or asked.get(one.path)) for one in agent.ran)
    return msgspec.structs.replace(agent, known=agent.known or _told(agent.path, policy), ran=ran)


def _told(path: str, policy: Policy) -> Known | None:
    enforcer = choose(EnforcerName.AUTO if sys.platform == "darwin" else EnforcerName.LANDLOCK).enforcer
    confinement = enforcer.prepare(msgspec.structs.replace(policy, network=()))
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    try:
        process = subprocess.Popen(
            (path, "--version"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=kept,
            start_new_session=True,
            preexec_fn=confinement.apply,  # noqa: PLW1509 - sbx has one thread
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    finally:
        confinement.close()
    try:
        said, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it may have left running, too
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    match = _TOLD.search(said[:_SAID].decode(errors="replace"))
    return Known(match.group(1), "", Source.ASKED) if match and process.returncode == 0 else None
