"""Mistral Vibe's configuration, 2.0 to 3.0: config.toml of the user and of a project, agents/*.toml, trusted folders.

Source of the names and defaults: the configuration models of mistral-vibe 2.0.2, 2.26.1 and 3.0.3 as installed.
"""

import fnmatch
import os
import re
from collections.abc import Iterator, Sequence

from learner.audit import servers, startup
from learner.audit.commands import gives_shell
from learner.audit.context import Config, Context, Layer, Source, mode_of
from learner.audit.denylist import CHANGING, READING, missing
from learner.audit.document import Format, tables, texts
from learner.audit.finding import Action, Edit, Hit, Keys, Rule, Severity, Topic
from learner.audit.secret_values import secrets
from learner.names import to_text
from learner.places import is_within

_READERS = ("read_file", "read")
_WRITERS = ("write_file", "edit", "search_replace")
"""``edit`` took the place of ``search_replace`` after 2.0."""
_EDITED = ("write_file", "edit")
"""What the built-in agent accept-edits never asks for (3.0.3)."""
_SHELLS = ("bash", "experimental_bash", "git_bash", "powershell")
_FETCHERS = ("web_fetch", "webfetch")
_ALWAYS_BY_DEFAULT = ("read_file", "grep")
"""Tools that ask nobody unless they are told to; all others ask. The same in 2.0.2, 2.26.1 and 3.0.3."""
_EVERYTHING = ("*", "**", "/*", "/**", "**/*")
_AUTO_APPROVE, _ACCEPT_EDITS = "auto-approve", "accept-edits"
_BYPASSING = ("VIBE_BYPASS_TOOL_PERMISSIONS", "VIBE_AUTO_APPROVE")
_UNASKED = re.compile(
    r"\bvibe\b.*\s(?:--auto-approve|--yolo|--agent[= ]auto-approve)\b"
    r"|\b(?:VIBE_BYPASS_TOOL_PERMISSIONS|VIBE_AUTO_APPROVE)[= ]+[\"']?(?:1|true|yes|on)\b",
    re.IGNORECASE,
)
_FINDS_SAFELY = "bash_read_only_defaults_v1"
_GUARDED = ("find",)
"""A Vibe that notes this migration in the file asks for ``find -exec`` although ``find`` is allowed, and it
puts ``find`` into every allowlist at each start (2.26.1, 3.0.3). In 2.0.2 the entry allows them."""


def _file(name: str) -> str:
    return f"tools.{name}"


def _enabled(config: Config, tool: str) -> bool:
    """Whether the agent is given ``tool`` at all (``enabled_tools``, ``disabled_tools``: globs, or ``re:``)."""
    only, without = texts(config.effective("enabled_tools")), texts(config.effective("disabled_tools"))
    return (not only or _named(tool, only)) and not _named(tool, without)


def _named(tool: str, patterns: Sequence[str]) -> bool:
    for pattern in patterns:
        if pattern.startswith("re:"):
            try:
                if re.fullmatch(pattern[3:], tool, re.IGNORECASE):
                    return True
            except re.error:
                continue
        elif fnmatch.fnmatchcase(tool.lower(), pattern.lower()):
            return True
    return False


def _unasked(config: Config, tools: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(tool, why) for each that this file lets run without a question."""
    for tool in tools:
        said = config.own("tools", tool, "permission")
        if said is None and config.layer is Layer.USER and tool in _ALWAYS_BY_DEFAULT:
            said = "always by default"
        elif said is None and tool in _EDITED and config.own("default_agent") == _ACCEPT_EDITS:
            said = f"always for the default agent, {_ACCEPT_EDITS}"
        unlisted = any(each in _EVERYTHING for each in texts(config.own("tools", tool, "allowlist")))
        if not _enabled(config, tool):
            continue
        if isinstance(said, str) and said.lower().startswith("always"):
            yield tool, f"{_file(tool)}: permission is {said}"
        elif unlisted and tool not in _SHELLS:
            yield tool, f"{_file(tool)}: its allowlist is everything"


def _without_denylist(config: Config, tools: Sequence[str], wanted: tuple[str, ...]) -> Iterator[Hit]:
    for tool, why in _unasked(config, tools):
        denied = texts(config.effective("tools", tool, "denylist"))
        lacking = missing(denied, wanted, config.context.home)
        if lacking:
            keys: Keys = ("tools", tool, "denylist")
            some = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
            own = texts(config.own("tools", tool, "denylist"))
            # An overlay's list replaces the one below, so it has to repeat it.
            value = tuple(dict.fromkeys((*(() if own else denied), *lacking)))
            edit = Edit(config.document.path, Action.EXTEND, keys, value)
            yield Hit(f"{why}, and its denylist lacks {some}", ("tools", tool, "permission"), (edit,))


def _always(config: Config, tools: Sequence[str]) -> Iterator[Hit]:
    for tool, why in _unasked(config, tools):
        keys: Keys = ("tools", tool, "permission")
        edits = [Edit(config.document.path, Action.SET, keys, "ask")]
        wide = tuple(each for each in texts(config.own("tools", tool, "allowlist")) if each in _EVERYTHING)
        if wide:
            edits.append(Edit(config.document.path, Action.REMOVE, ("tools", tool, "allowlist"), wide))
        yield Hit(why, keys, tuple(edits))


def _read_open(config: Config) -> Iterator[Hit]:
    yield from _without_denylist(config, _READERS, READING)


def _write_open(config: Config) -> Iterator[Hit]:
    yield from _without_denylist(config, _WRITERS, CHANGING)


def _grep_always(config: Config) -> Iterator[Hit]:
    yield from _always(config, ("grep",))


def _shell_always(config: Config) -> Iterator[Hit]:
    yield from _always(config, _SHELLS)


def _fetch_always(config: Config) -> Iterator[Hit]:
    yield from _always(config, _FETCHERS)


def _bypass(config: Config) -> Iterator[Hit]:
    for key in ("bypass_tool_permissions", "auto_approve"):
        if config.own(key) is True:
            yield Hit(f"{key} is true", (key,), (Edit(config.document.path, Action.SET, (key,), False),))
    if config.own("default_agent") == _AUTO_APPROVE:
        edit = Edit(config.document.path, Action.SET, ("default_agent",), "ask")
        yield Hit(f'default_agent is "{_AUTO_APPROVE}"', ("default_agent",), (edit,))
    if config.layer is Layer.USER:
        for name in _BYPASSING:
            if config.context.environ.get(name, "").lower() in ("1", "true", "yes", "on"):
                yield Hit(f"{name} is set in the environment")
        yield from startup.hits(config.context, _UNASKED, "vibe is started so that it asks nobody")


def _allowlist(config: Config) -> Iterator[Hit]:
    guarded = _GUARDED if _FINDS_SAFELY in texts(config.effective("applied_migrations")) else ()
    for tool in _SHELLS:
        keys: Keys = ("tools", tool, "allowlist")
        for number, entry in enumerate(texts(config.own("tools", tool, "allowlist"))):
            why = "" if entry in guarded else gives_shell(entry)
            if why and _enabled(config, tool):
                edit = Edit(config.document.path, Action.REMOVE, keys, (entry,))
                yield Hit(f'{_file(tool)}: "{to_text(entry)}" is allowed: {why}', (*keys, number), (edit,))


def _on(config: Config, key: str) -> Iterator[Hit]:
    """A switch whose default is on in every version that has it."""
    if config.setting((key,), "on by default") not in (None, False):
        detail = f"{key} is true" if config.own(key) is not None else f"{key} is not set, so it is on"
        yield Hit(detail, (key,), (Edit(config.document.path, Action.SET, (key,), False),))


def _auto_update(config: Config) -> Iterator[Hit]:
    yield from _on(config, "enable_auto_update")


def _update_checks(config: Config) -> Iterator[Hit]:
    yield from _on(config, "enable_update_checks")


def _telemetry(config: Config) -> Iterator[Hit]:
    yield from _on(config, "enable_telemetry")


def _secret(config: Config) -> Iterator[Hit]:
    for keys in secrets(config.document.data):
        yield Hit(f"{'.'.join(str(k) for k in keys)} holds what looks like a secret", keys)


def _plain_http(config: Config) -> Iterator[Hit]:
    for table, key in (("providers", "api_base"), ("transcribe_providers", "api_base"), ("tts_providers", "api_base")):
        for number, provider in tables(config.own(table)):
            yield from servers.plain_http(config.document.path, (table, number, key), provider.get(key))
    for number, server in tables(config.own("mcp_servers")):
        yield from servers.plain_http(config.document.path, ("mcp_servers", number, "url"), server.get("url"))
    for key in ("vibe_base_url", "console_base_url", "vibe_code_sessions_base_url", "otel_endpoint"):
        yield from servers.plain_http(config.document.path, (key,), config.own(key))


def _mcp(config: Config) -> Iterator[Hit]:
    for number, server in tables(config.own("mcp_servers")):
        command, arguments = server.get("command"), texts(server.get("args"))
        words = command.split() if isinstance(command, str) else texts(command)
        why = servers.broad([*words, *arguments], config.context.home)
        if why:
            name = server.get("name")
            shown = to_text(name) if isinstance(name, str) else str(number)
            yield Hit(f"the MCP server {shown}: {why}", ("mcp_servers", number, "command"))


def _trusted(config: Config) -> Iterator[Hit]:
    for number, folder in enumerate(texts(config.own("trusted"))):
        real = os.path.realpath(os.path.expanduser(folder))
        if is_within(config.context.home, real):
            edit = Edit(config.document.path, Action.REMOVE, ("trusted",), (folder,))
            yield Hit(f"{to_text(folder)} is trusted", ("trusted", number), (edit,))


def _readable(config: Config) -> Iterator[Hit]:
    mode = mode_of(config.document.path)
    if mode & 0o077:
        edit = Edit(config.document.path, Action.MODE, (), mode & 0o700)
        yield Hit(f"its mode is {mode:04o}", (), (edit,))


_SILENT = "What it does then, nobody sees before it is done; a file that it read may have told it to."

RULES: tuple[Rule[Config], ...] = (
    Rule(
        "vibe-bypass",
        Severity.CRITICAL,
        Topic.SHELL,
        "every tool runs unasked",
        f"No question is asked for any tool, bash included. {_SILENT}",
        "Set it to false (default_agent: to another agent), and give single tools what they need.",
        _bypass,
    ),
    Rule(
        "vibe-shell-always",
        Severity.CRITICAL,
        Topic.SHELL,
        "the shell runs unasked",
        f"A denylist of commands cannot hold a shell: there are too many ways to say the same. {_SILENT}",
        'Set permission = "ask" and list harmless commands in allowlist (`sbx audit --approvals`).',
        _shell_always,
    ),
    Rule(
        "vibe-shell-allowlist",
        Severity.HIGH,
        Topic.SHELL,
        "an allowed command gives away a shell",
        "An entry is the beginning of a command: whatever follows is the agent's to choose.",
        "Take the entry out, or name a subcommand that only tells, such as `git status`.",
        _allowlist,
    ),
    Rule(
        "vibe-read-open",
        Severity.HIGH,
        Topic.READ,
        "files are read unasked, secrets too",
        "What is read goes to the model's provider, and .env and keys are files as any other.",
        "Add a denylist of sensitive places to the tool.",
        _read_open,
    ),
    Rule(
        "vibe-write-open",
        Severity.HIGH,
        Topic.WRITE,
        "files are written unasked, start-up files too",
        "A shell's start-up file or a git hook that is written today runs outside of any sandbox tomorrow.",
        "Add a denylist of sensitive places to the tool, or let it ask.",
        _write_open,
    ),
    Rule(
        "vibe-grep-always",
        Severity.MEDIUM,
        Topic.READ,
        "files are searched unasked",
        "grep's denylist is matched against the directory that is searched, not against the files that it finds.",
        'Set permission = "ask".',
        _grep_always,
    ),
    Rule(
        "vibe-fetch-always",
        Severity.MEDIUM,
        Topic.NETWORK,
        "pages are fetched unasked",
        "An address can carry what was read before to anybody, and a page can tell the agent what to do next.",
        'Set permission = "ask".',
        _fetch_always,
    ),
    Rule(
        "vibe-auto-update",
        Severity.MEDIUM,
        Topic.UPDATE,
        "the agent replaces itself",
        "A profile is learned for one version; another one may do other things, and nobody looked at it.",
        "Set enable_auto_update = false, and update it yourself with `sbx diff` at hand.",
        _auto_update,
    ),
    Rule(
        "vibe-telemetry",
        Severity.MEDIUM,
        Topic.NETWORK,
        "telemetry is sent",
        "It tells a third party of your work, and takes a network grant that nothing else needs.",
        "Set enable_telemetry = false.",
        _telemetry,
    ),
    Rule(
        "vibe-update-checks",
        Severity.LOW,
        Topic.NETWORK,
        "it looks for updates at each start",
        "It takes a network grant that nothing else needs.",
        "Set enable_update_checks = false.",
        _update_checks,
    ),
    Rule(
        "vibe-secret",
        Severity.HIGH,
        Topic.READ,
        "a secret in the configuration",
        "The agent reads this file, and it is often kept in a dotfiles repository.",
        "Keep it in ~/.vibe/.env or the keyring, name the variable here, and replace the secret: it has been seen.",
        _secret,
    ),
    servers.plain_http_rule("vibe", _plain_http),
    Rule(
        "vibe-mcp-command",
        Severity.HIGH,
        Topic.SHELL,
        "an MCP server with a broad command",
        "It runs with all your rights, and its tools act for the agent.",
        "Name a program of a fixed version, and the one directory that it is for.",
        _mcp,
    ),
)
TRUST: tuple[Rule[Config], ...] = (
    Rule(
        "vibe-trusted-home",
        Severity.HIGH,
        Topic.OTHER,
        "trusted folders that cover the home directory",
        "A configuration in any directory beneath a trusted one is followed, that of a checkout from elsewhere too.",
        "Trust single projects.",
        _trusted,
    ),
)
ENVIRONMENT: tuple[Rule[Config], ...] = (
    Rule(
        "vibe-env-readable",
        Severity.HIGH,
        Topic.READ,
        "a .env that others may read",
        "It holds the key of the model's provider.",
        "chmod 600.",
        _readable,
    ),
)


def sources(context: Context) -> Iterator[Source]:
    """Vibe's files of this account and project, whether or not they exist."""
    home = context.environ.get("VIBE_HOME") or os.path.join(context.home, ".vibe")
    home = os.path.abspath(os.path.expanduser(home))
    user = os.path.join(home, "config.toml")
    yield Source(user, Format.TOML, Layer.USER, RULES)
    yield from _agents(os.path.join(home, "agents"), user)
    yield Source(os.path.join(home, "trusted_folders.toml"), Format.TOML, Layer.USER, TRUST)
    yield Source(os.path.join(home, ".env"), Format.TEXT, Layer.USER, ENVIRONMENT)
    local = os.path.join(context.project, ".vibe")
    if context.project and os.path.realpath(local) != os.path.realpath(home):
        yield Source(os.path.join(local, "config.toml"), Format.TOML, Layer.OVERLAY, RULES, user)
        yield from _agents(os.path.join(local, "agents"), user)


def recognised(path: str) -> Source | None:
    """How a file that was given by name is to be audited, None if it is none of Vibe's."""
    name, directory = os.path.basename(path), os.path.basename(os.path.dirname(os.path.abspath(path)))
    if name == "trusted_folders.toml":
        return Source(path, Format.TOML, Layer.USER, TRUST)
    if name == ".env":
        return Source(path, Format.TEXT, Layer.USER, ENVIRONMENT)
    if name.endswith(".toml"):
        return Source(path, Format.TOML, Layer.OVERLAY if directory == "agents" else Layer.USER, RULES)
    return None


def _agents(directory: str, user: str) -> Iterator[Source]:
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return
    for name in names:
        if name.endswith(".toml"):
            yield Source(os.path.join(directory, name), Format.TOML, Layer.OVERLAY, RULES, user)
