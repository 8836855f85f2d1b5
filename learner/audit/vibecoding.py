"""VibeCoding's (now MothX's) configuration: settings.json, gateway.json and allow.json of the user and of a project.

Source of the names and defaults: "Configuration Guide", "Security & Sandbox" and "Gateway Mode" in the documentation of
github.com/startvibecoding/vibecoding (now mothx).
"""

import os
import re
from collections.abc import Iterator

from learner.audit import servers, startup
from learner.audit.commands import gives_shell
from learner.audit.context import Config, Context, Layer, Source
from learner.audit.document import Format, at, texts
from learner.audit.finding import Action, Edit, Hit, Keys, Rule, Severity, Topic
from learner.audit.secret_values import secrets
from learner.names import to_text
from learner.places import Map, is_systems, is_within
from learner.policy import Right
from learner.sensitive import Catalogue
from learner.vibecoding import parse_bind

SHELL_CONFIG = "VIBECODING_ALLOW_SHELL_CONFIG"
_DEFAULT_WHITELIST = ("go ", "make ", "git ", "npm ", "yarn ", "node ", "python ", "pip ")
_YOLO = "yolo"
_ALLOWED = re.compile(rf"\b{SHELL_CONFIG}[= ]+[\"']?1\b")


def _set(config: Config, keys: Keys, value: object) -> tuple[Edit, ...]:
    return (Edit(config.document.path, Action.SET, keys, value),)


def _sandbox_off(config: Config) -> Iterator[Hit]:
    keys: Keys = ("sandbox", "enabled")
    if config.setting(keys, False) is False:
        said = "is false" if at(config.document.data, keys) is False else "is not set, so it is off"
        yield Hit(f"sandbox.enabled {said}", keys, _set(config, keys, True))


def _level_none(config: Config) -> Iterator[Hit]:
    keys: Keys = ("sandbox", "level")
    if at(config.document.data, keys) == "none":
        yield Hit('sandbox.level is "none"', keys, _set(config, keys, "standard"))


def _network(config: Config) -> Iterator[Hit]:
    keys: Keys = ("sandbox", "allowNetwork")
    if at(config.document.data, keys) is True:
        yield Hit("sandbox.allowNetwork is true", keys, _set(config, keys, False))


def _devices(config: Config) -> Iterator[Hit]:
    keys: Keys = ("sandbox", "allowDevices")
    if at(config.document.data, keys) is True:
        yield Hit("sandbox.allowDevices is true", keys, _set(config, keys, False))


def _binds(config: Config) -> Iterator[Hit]:
    keys: Keys = ("sandbox", "extraBinds")
    context = config.context
    places, catalogue = Map(context.project or "/nonexistent", context.home), Catalogue(context.home)
    for number, text in enumerate(texts(at(config.document.data, keys))):
        edit = Edit(config.document.path, Action.REMOVE, keys, (text,))
        try:
            source = os.path.realpath(parse_bind(text, context.home).source)
        except ValueError as problem:
            yield Hit(f"sandbox.extraBinds: {problem}", (*keys, number), (edit,))
            continue
        entry = catalogue.match(source, Right.READ | Right.WRITE)
        if entry is not None:
            why = entry.reason
        elif places.is_shared(source):
            why = "it holds more than one program's files"
        elif (context.project and is_within(source, context.project)) or is_systems(source):
            continue
        else:
            why = "it lies outside of the project"
        yield Hit(f"sandbox.extraBinds: {to_text(text)}: {why}", (*keys, number), (edit,))


def _yolo(config: Config) -> Iterator[Hit]:
    if config.own("defaultMode") == _YOLO:
        yield Hit('defaultMode is "yolo"', ("defaultMode",), _set(config, ("defaultMode",), "agent"))


def _whitelist(config: Config) -> Iterator[Hit]:
    keys: Keys = ("approval", "bashWhitelist")
    said = at(config.document.data, keys)
    if said is None and config.layer is Layer.USER:
        names = ", ".join(entry.strip() for entry in _DEFAULT_WHITELIST)
        yield Hit(f"approval.bashWhitelist is not set, so it is {names}", keys, _set(config, keys, ()))
    yield from _entries(config, keys)


def _entries(config: Config, keys: Keys) -> Iterator[Hit]:
    for number, entry in enumerate(texts(at(config.document.data, keys))):
        why = gives_shell(entry)
        if why:
            edit = Edit(config.document.path, Action.REMOVE, keys, (entry,))
            name = ".".join(str(key) for key in keys)
            yield Hit(f'{name}: "{to_text(entry)}" is allowed: {why}', (*keys, number), (edit,))


def _allow_prefixes(config: Config) -> Iterator[Hit]:
    yield from _entries(config, ("bashPrefixes",))


def _shell_config(config: Config) -> Iterator[Hit]:
    for keys, value in _strings(config.document.data):
        if value.startswith("!") and any(isinstance(k, str) and re.search("key|header", k, re.I) for k in keys):
            yield Hit(f"{_dotted(keys)} is a shell command", keys)
    if config.context.environ.get(SHELL_CONFIG) == "1":
        yield Hit(f"{SHELL_CONFIG}=1 is in the environment")
    yield from startup.hits(config.context, _ALLOWED, f"{SHELL_CONFIG} is set to 1")


def _secret(config: Config) -> Iterator[Hit]:
    for keys in secrets(config.document.data):
        yield Hit(f"{_dotted(keys)} holds what looks like a secret", keys)


def _plain_http(config: Config) -> Iterator[Hit]:
    for keys, value in _strings(config.document.data):
        if keys[-1] in ("baseUrl", "url", "endpoint"):
            yield from servers.plain_http(config.document.path, keys, value)


def _query_token(config: Config) -> Iterator[Hit]:
    for keys, value in _strings(config.document.data):
        name = servers.query_token(value) if "://" in value else ""
        if name:
            yield Hit(f"{_dotted(keys)} carries {to_text(name)} in its query", keys)


def _gateway(config: Config) -> Iterator[Hit]:
    listen = config.setting(("listen",), ":8080")
    mode = config.setting(("defaultMode",), _YOLO)
    if not isinstance(listen, str) or mode != _YOLO or config.own("auth", "enabled") is True:
        return
    host, _, port = listen.rpartition(":")
    if servers.is_loopback(host):
        return
    edits = _set(config, ("listen",), f"127.0.0.1:{port}")
    yield Hit(f"it listens on {to_text(listen)} in yolo mode, without auth", ("listen",), edits)


def _cors(config: Config) -> Iterator[Hit]:
    keys: Keys = ("cors", "allowOrigins")
    if config.own("cors", "enabled") is True and "*" in texts(at(config.document.data, keys)):
        yield Hit("cors.allowOrigins is *", keys, (Edit(config.document.path, Action.REMOVE, keys, ("*",)),))


def _strings(data: object, keys: Keys = ()) -> Iterator[tuple[Keys, str]]:
    if isinstance(data, str):
        yield keys, data
    elif isinstance(data, dict):
        for name, value in data.items():
            yield from _strings(value, (*keys, name))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from _strings(value, (*keys, number))


def _dotted(keys: Keys) -> str:
    return ".".join(to_text(str(key)) for key in keys)


_COMMON: tuple[Rule[Config], ...] = (
    Rule(
        "vibecoding-secret",
        Severity.HIGH,
        Topic.READ,
        "a secret in the settings",
        "The agent reads this file, and it is often kept in a dotfiles repository.",
        "Name a variable (${DEEPSEEK_API_KEY}), and replace the secret: it has been seen.",
        _secret,
    ),
    servers.plain_http_rule("vibecoding", _plain_http),
    Rule(
        "vibecoding-query-token",
        Severity.MEDIUM,
        Topic.NETWORK,
        "a token in an address",
        "Addresses stand in logs and in histories of proxies and browsers; a header does not.",
        "Send it as `Authorization: Bearer`.",
        _query_token,
    ),
)
_SANDBOX: tuple[Rule[Config], ...] = (
    Rule(
        "vibecoding-sandbox-off",
        Severity.HIGH,
        Topic.OTHER,
        "the sandbox is off",
        "The shell has all your rights: every file of yours, and the network.",
        "Set sandbox.enabled to true, or start it with `sbx run`.",
        _sandbox_off,
    ),
    Rule(
        "vibecoding-level-none",
        Severity.HIGH,
        Topic.OTHER,
        "the sandbox holds nothing",
        'Level "none" is full access, whatever else is set.',
        'Set sandbox.level to "standard".',
        _level_none,
    ),
    Rule(
        "vibecoding-network",
        Severity.MEDIUM,
        Topic.NETWORK,
        "the sandbox is open to the network",
        "allowNetwork opens every host and every abstract socket, so that what was read can be sent anywhere.",
        "Set sandbox.allowNetwork to false; `sbx run` opens single hosts.",
        _network,
    ),
    Rule(
        "vibecoding-devices",
        Severity.MEDIUM,
        Topic.OTHER,
        "the sandbox has the machine's devices",
        "Disks, terminals and cameras are devices.",
        "Set sandbox.allowDevices to false.",
        _devices,
    ),
    Rule(
        "vibecoding-binds",
        Severity.HIGH,
        Topic.WRITE,
        "binds from outside of the project",
        "At level standard a bind can be changed, and it brings all that lies beneath it.",
        "Bind the one directory that is needed, none that holds secrets or other programs' files.",
        _binds,
    ),
    Rule(
        "vibecoding-yolo",
        Severity.CRITICAL,
        Topic.SHELL,
        "every tool runs unasked",
        "In yolo mode no question is asked and the level is none, unless one is set.",
        'Set defaultMode to "agent".',
        _yolo,
    ),
)
SETTINGS: tuple[Rule[Config], ...] = (
    *_SANDBOX,
    Rule(
        "vibecoding-whitelist",
        Severity.HIGH,
        Topic.SHELL,
        "an allowed command gives away a shell",
        "An entry is the beginning of a command: whatever follows is the agent's to choose. The default list is such.",
        "Take the entry out, or name a subcommand that only tells, such as `git status`.",
        _whitelist,
    ),
    Rule(
        "vibecoding-shell-config",
        Severity.HIGH,
        Topic.SHELL,
        "shell commands in the settings",
        f"With {SHELL_CONFIG}=1 each start runs the commands in apiKey, also those of a project's settings.",
        f"Use ${{VARIABLE}} references, and unset {SHELL_CONFIG}.",
        _shell_config,
    ),
    *_COMMON,
)
GATEWAY: tuple[Rule[Config], ...] = (
    Rule(
        "vibecoding-gateway-open",
        Severity.CRITICAL,
        Topic.SHELL,
        "a gateway that anybody on the network can command",
        "Whoever reaches the port has a shell here: yolo mode asks nobody, and no token is checked.",
        "Listen on 127.0.0.1, or set auth.enabled with a token and another defaultMode.",
        _gateway,
    ),
    Rule(
        "vibecoding-gateway-cors",
        Severity.MEDIUM,
        Topic.NETWORK,
        "any web page can talk to the gateway",
        "A page in your browser reaches a gateway on loopback, and CORS lets it read the answers.",
        "Name the origins that need it.",
        _cors,
    ),
    *_COMMON,
)
ALLOW: tuple[Rule[Config], ...] = (
    Rule(
        "vibecoding-allow-prefix",
        Severity.HIGH,
        Topic.SHELL,
        "a project allows commands that give away a shell",
        "The file is part of the project: a checkout brings its own, and the agent may write it.",
        "Take the prefix out, or list whole commands in bashCommands.",
        _allow_prefixes,
    ),
)

_KINDS = {"settings.json": SETTINGS, "gateway.json": GATEWAY, "allow.json": ALLOW}


def sources(context: Context) -> Iterator[Source]:
    """VibeCoding's files of this account and project, whether or not they exist."""
    home = os.path.abspath(context.environ.get("VIBECODING_DIR") or os.path.join(context.home, ".vibecoding"))
    settings = os.path.join(home, "settings.json")
    yield Source(settings, Format.JSON, Layer.USER, SETTINGS)
    yield Source(os.path.join(home, "gateway.json"), Format.JSON, Layer.USER, GATEWAY)
    older = os.path.join(context.home, ".config/vibecoding/gateway.json")
    yield Source(older, Format.JSON, Layer.USER, GATEWAY)
    if context.project:
        local = os.path.join(context.project, ".vibe")
        yield Source(os.path.join(local, "settings.json"), Format.JSON, Layer.OVERLAY, SETTINGS, settings)
        yield Source(os.path.join(local, "gateway.json"), Format.JSON, Layer.USER, GATEWAY)
        yield Source(os.path.join(local, "allow.json"), Format.JSON, Layer.OVERLAY, ALLOW)


def recognised(path: str) -> Source | None:
    """How a file that was given by name is to be audited, None if it is none of VibeCoding's."""
    rules = _KINDS.get(os.path.basename(path))
    project = os.path.basename(os.path.dirname(os.path.abspath(path))) == ".vibe" and rules is SETTINGS
    return Source(path, Format.JSON, Layer.OVERLAY if project else Layer.USER, rules) if rules else None
