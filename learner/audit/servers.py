"""Addresses and commands in a configuration, whichever agent's: TLS, tokens in addresses, what an MCP server runs."""

import ipaddress
import os
import re
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, urlsplit

from learner.audit.commands import program
from learner.audit.context import Config
from learner.audit.finding import Action, Edit, Hit, Keys, Rule, Severity, Topic
from learner.places import is_within

_PLAIN = {"http": "https", "ws": "wss"}
_TOKEN = re.compile(r"(?:access[_-]?|auth[_-]?|api[_-]?)?(?:token|key)|secret|password", re.I)
_FETCHERS = {"npx", "bunx", "pnpx", "uvx"}
_FETCHING = {("pipx", "run"), ("uv", "tool"), ("npm", "exec"), ("pnpm", "dlx"), ("yarn", "dlx"), ("bun", "x")}
_PINNED = re.compile(r"[^@].*@\d|.*==\d|.*@sha256:")
_SHELLS = ("sh", "bash", "dash", "zsh", "fish", "ksh", "pwsh", "powershell")
_CONTAINERS = ("docker", "podman", "nerdctl")


def is_loopback(host: str) -> bool:
    """Whether a host of an address is this machine alone."""
    if host.lower() in ("localhost", "localhost.") or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return False


def plain_http(path: str, keys: Keys, url: object) -> Iterator[Hit]:
    """A hit where ``url`` has no TLS and leaves the machine."""
    if not isinstance(url, str):
        return
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return
    if parts.scheme in _PLAIN and not is_loopback(host):
        better = _PLAIN[parts.scheme] + url[len(parts.scheme) :]
        yield Hit(f"{keys[-1]} is {parts.scheme}://{host}", keys, (Edit(path, Action.SET, keys, better),))


def plain_http_rule(agent: str, check: Callable[[Config], Iterator[Hit]]) -> Rule[Config]:
    """The rule for addresses without TLS; ``check`` knows where they stand in the agent's files."""
    return Rule(
        f"{agent}-plain-http",
        Severity.HIGH,
        Topic.NETWORK,
        "an address without TLS",
        "The key and the conversation go over the network in clear, and anybody on the way can change the answers.",
        "Use https (plain http is fine on loopback).",
        check,
    )


def query_token(url: str) -> str:
    """The name of a query parameter of ``url`` that carries a token, "" if none does."""
    try:
        query = urlsplit(url).query
    except ValueError:
        return ""
    return next((name for name, _ in parse_qsl(query, keep_blank_values=True) if _TOKEN.fullmatch(name)), "")


def broad(words: list[str], home: str) -> str:
    """Why the command of a server is broad, "" if it is not. ``words``: the program and its arguments."""
    if not words:
        return ""
    name = program(words[0])
    if name == "env":
        rest = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        return broad(rest, home)
    if name in _SHELLS:
        return f"{name} runs whatever its arguments say"
    if name in ("sudo", "doas", "pkexec"):
        return f"{name} runs it as somebody else"
    rest = [word for word in words[1:] if not word.startswith("-")]
    fetched = rest if name in _FETCHERS else rest[1:] if rest and (name, rest[0]) in _FETCHING else None
    if fetched is not None and not (fetched and _PINNED.match(fetched[0])):
        return f"{name} fetches and runs whatever version is the newest"
    if name in _CONTAINERS and any("docker.sock" in word or word.startswith(("/:", "--privileged")) for word in words):
        return f"{name} is given the whole machine"
    for word in words[1:]:
        wide = word.replace("${HOME}", home).replace("$HOME", home)
        wide = home + word[1:] if word.startswith("~") else wide
        if wide.startswith("/") and is_within(home, os.path.normpath(wide)):
            return f"it is given {word}, which holds all your files"
    return ""
