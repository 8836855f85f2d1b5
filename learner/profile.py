"""Profiles: the policy of one command, in a TOML file that people read, edit, commit and review.

Reading is strict, and quick, since every ``sbx run`` starts with it. Writing is canonical: what
:func:`dumps` wrote, :func:`loads` and :func:`dumps` give back byte for byte.
"""

import functools
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Sequence

import msgspec

from learner import forms, words
from learner.agent import Agent, Known, Ran, Source
from learner.command import find
from learner.errors import InputFileError, SbxError
from learner.names import from_text, to_text
from learner.policy import Grant, NetworkGrant, Policy, Right, ServiceGrant, Witness, parse_rights, right_names
from learner.profile_form import (
    RIGHT_WORDS,
    VERSION,
    AgentForm,
    GrantForm,
    NetworkForm,
    ProfileForm,
    RanForm,
    ServiceForm,
    WitnessForm,
)
from learner.variables import Variables

_MAX_BYTES = 16 << 20
_MEND = "mend that line, or let `sbx learn` write the profile anew"
_TOML_LINE = re.compile(r" \(at line (\d+), column \d+\)\Z")


class Profile(msgspec.Struct, frozen=True):
    """What one command may do.

    ``command`` is argv[0] as typed, without arguments. ``partial``: the recording was cut short. ``prefix``: where the
    command is installed, on this machine if it is there, else where it was learned. ``agent``: what was learned
    from, if that is known.
    """

    name: str
    command: str
    policy: Policy
    partial: bool = False
    platform: str = "linux"
    prefix: str = ""
    agent: Agent | None = None


def load(path: str, variables: Variables) -> Profile:
    """The profile in the file at ``path``. Raises InputFileError for whatever makes it unusable."""
    where = to_text(path)
    try:
        with open(path, "rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
                raise InputFileError(f"{where} is not a file", "name a profile, or the .toml file of one")
            data = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputFileError(
            f"{where}: there is no such profile",
            "`sbx list` shows those that exist, `sbx learn -- COMMAND` makes one",
        ) from None
    except IsADirectoryError:
        raise InputFileError(f"{where} is a directory", "name a profile, or the .toml file of one") from None
    except OSError as error:
        raise InputFileError(f"{where} cannot be read: {error.strerror}", "mend its permissions or path") from None
    if len(data) > _MAX_BYTES:
        raise InputFileError(f"{where} is larger than any profile ({_MAX_BYTES >> 20} MiB)", "name another file")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputFileError(
            f"{where}:{line}: not UTF-8 (byte {data[error.start]:#04x})",
            "save it as UTF-8; a name's bytes are \\xNN",
        ) from None
    return loads(text, where, variables)


def loads(text: str, where: str, variables: Variables) -> Profile:
    """The profile that ``text`` (TOML) holds.

    ``where`` is the printable name that errors begin with. Raises InputFileError, naming the line where it
    is no TOML and the key (``grant[3].rights[0]``) where it is no profile.
    """
    document = _parse(text, where)
    version = document.get("version")
    if type(version) is int and version > VERSION:
        raise InputFileError(
            f"{where}: version {version} is newer than this sbx reads ({VERSION})",
            "upgrade: pip install --upgrade sbx-learn",
        )
    form = forms.convert(document, ProfileForm, where, _MEND)
    reader = _Reader(where, variables)
    command = reader.text(form.command, "command", variables.expand_any)
    if form.prefix:
        recorded = reader.text(form.prefix, "prefix", variables.expand)
        variables = variables._replace(prefix=_prefix(command, variables) or recorded)
        reader = _Reader(where, variables)
    grants = [reader.grant(each, f"grant[{index}]") for index, each in enumerate(form.grant)]
    network = [reader.network(each, f"network[{index}]") for index, each in enumerate(form.network)]
    services = [reader.service(each, f"service[{index}]") for index, each in enumerate(form.service)]
    links = [reader.text(each, f"links[{index}]", variables.expand) for index, each in enumerate(form.links)]
    probes = [reader.text(each, f"probes[{index}]", variables.expand) for index, each in enumerate(form.probes)]
    return Profile(
        name=reader.text(form.name, "name", from_text),
        command=command,
        policy=Policy(
            grants=tuple(sorted(grants, key=lambda grant: _grant_order(grant, grant.path))),
            network=tuple(sorted(network, key=_network_order)),
            links=tuple(sorted(links)),
            services=tuple(sorted(services)),
            probes=tuple(sorted(probes)),
        ),
        partial=form.partial,
        platform=reader.text(form.platform, "platform", from_text),
        prefix=variables.prefix if form.prefix else "",
        agent=reader.agent(form.agent) if form.agent else None,
    )


def _prefix(command: str, variables: Variables) -> str:
    """Where ``command`` is installed here, "" if it is not."""
    try:
        return variables.with_program(find((command,)).file).prefix
    except SbxError:
        return ""


def dumps(profile: Profile, variables: Variables, head: Sequence[str] = ()) -> str:
    """``profile`` as TOML: sorted, each grant under a comment on which programs need it, and for what.

    ``head``: the comment at the beginning, by default what a profile is and how it is used.
    """
    variables = variables._replace(prefix="")
    command, prefix = variables.contract(profile.command), variables.contract(profile.prefix)
    variables = variables._replace(prefix=profile.prefix)
    texts = [(grant, variables.contract(grant.path)) for grant in profile.policy.grants]
    blocks = [_agent_toml(profile.agent, variables)] if profile.agent else []
    blocks += [grant_toml(grant, variables) for grant, _ in sorted(texts, key=lambda item: _grant_order(*item))]
    blocks += [network_toml(grant, variables) for grant in sorted(profile.policy.network, key=_network_order)]
    blocks += [service_toml(grant, variables) for grant in sorted(profile.policy.services)]
    about = (
        f"What `{command}` may touch when `sbx run` starts it: what it was seen to need, and no more.",
        "Whatever is not granted here, and can be refused, is refused. Edit it, commit it: it holds",
        "no secrets (no arguments, no environment). $PROJECT, $HOME and the like are those of whoever runs it.",
        "After a change run `sbx verify`: it asks the kernel whether the policy does what it says.",
    )
    lines = [
        *(f"# {line}" for line in head or about),
        f"version = {VERSION}",
        f"name = {_quote(to_text(profile.name))}",
        f"command = {_quote(command)}",
        f"platform = {_quote(to_text(profile.platform))}",
    ]
    links = [_quote(variables.contract(link)) for link in profile.policy.links]
    probes = [_quote(variables.contract(probe)) for probe in profile.policy.probes]
    if any('"$PREFIX' in text for text in (*blocks, *links, *probes)):
        lines.append("# $PREFIX, where the command is installed; used as long as the command is not found by its name.")
        lines.append(f"prefix = {_quote(prefix)}")
    if profile.partial:
        lines.append("# The recording was cut short: `sbx learn` again finds the grants that are missing.")
        lines.append("partial = true")
    if links:
        lines.append("# Symlinks that lead to what is granted: shown where everything else is hidden.")
        lines += ["links = [", *(f"  {link}," for link in sorted(links)), "]"]
    if probes:
        lines.append("# Looked at, but not opened: the macOS sandbox would refuse even that.")
        lines += ["probes = [", *(f"  {probe}," for probe in sorted(probes)), "]"]
    return "\n".join(["\n".join(lines) + "\n", *blocks])


def grant_toml(grant: Grant, variables: Variables) -> str:
    """The table of one grant, under its comment."""
    return (
        f"{_comment(words.reasons(grant.witnesses, variables, grant.path))}"
        "[[grant]]\n"
        f"path = {_quote(variables.contract(grant.path))}\n"
        f"scope = {_quote(grant.scope)}\n"
        f"rights = {_list(right_names(grant.rights))}\n"
        + ("ensure = true\n" if grant.ensure else "")
        + _witnesses_toml(grant.witnesses, variables)
    )


def network_toml(grant: NetworkGrant, variables: Variables) -> str:
    """The table of one network grant, under its comment."""
    return (
        f"{_comment(words.reasons(grant.witnesses, variables, words.endpoint(grant)))}"
        "[[network]]\n"
        f"action = {_quote(grant.action)}\n"
        f"host = {_quote(to_text(grant.host))}\n"
        f"port = {grant.port}\n"
        f"transport = {_quote(grant.transport)}\n"
        + ("abstract = true\n" if grant.abstract else "")
        + _witnesses_toml(grant.witnesses, variables)
    )


def service_toml(grant: ServiceGrant, variables: Variables) -> str:
    """The table of one macOS grant, under its comment."""
    return (
        f"{_comment(words.reasons(grant.witnesses, variables, grant.name or grant.operation))}"
        "[[service]]\n"
        f"operation = {_quote(to_text(grant.operation))}\n"
        + (f"name = {_quote(words.service_name(grant, variables))}\n" if grant.name else "")
        + _witnesses_toml(grant.witnesses, variables)
    )


def _parse(text: str, where: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
        match = _TOML_LINE.search(reason)
        line = int(match[1]) if match else text.count("\n") + 1
        reason = _TOML_LINE.sub("", reason).removesuffix(" (at end of document)")
        raise InputFileError(f"{where}:{line}: not TOML: {to_text(reason)}", _MEND) from None
    except (ValueError, RecursionError):  # a number of 5,000 digits, brackets 1,000 deep
        raise InputFileError(f"{where}: not TOML that can be read", _MEND) from None


class _Reader:
    """Turns forms into records. Each method takes the key path of what it is given."""

    def __init__(self, where: str, variables: Variables) -> None:
        self._where = where
        self._variables = variables

    def text(self, text: str, key: str, decode: Callable[[str], str]) -> str:
        """``text`` decoded."""
        try:
            return decode(text)
        except ValueError as error:
            raise InputFileError(f"{self._where}: {key}: {to_text(str(error))}", _MEND) from None

    def grant(self, form: GrantForm, key: str) -> Grant:
        """A grant on a path."""
        return Grant(
            path=self.text(form.path, f"{key}.path", self._variables.expand),
            scope=form.scope,
            rights=self._rights(form.rights, f"{key}.rights"),
            witnesses=self._witnesses(form.needed_by, f"{key}.needed_by"),
            ensure=form.ensure,
        )

    def network(self, form: NetworkForm, key: str) -> NetworkGrant:
        """A grant of an endpoint."""
        return NetworkGrant(
            action=form.action,
            host=self.text(form.host, f"{key}.host", from_text),
            port=form.port,
            transport=form.transport,
            witnesses=self._witnesses(form.needed_by, f"{key}.needed_by"),
            abstract=form.abstract,
        )

    def service(self, form: ServiceForm, key: str) -> ServiceGrant:
        """A grant of what only macOS controls."""
        from learner.seatbelt.services import is_about_paths  # a profile of Linux has none, and is read at every start

        operation = self.text(form.operation, f"{key}.operation", from_text)
        decode = self._variables.expand if form.name and is_about_paths(operation) else from_text
        return ServiceGrant(
            operation=operation,
            name=self.text(form.name, f"{key}.name", decode),
            witnesses=self._witnesses(form.needed_by, f"{key}.needed_by"),
        )

    def agent(self, form: AgentForm) -> Agent:
        """The program that was learned."""
        return Agent(
            name=self.text(form.name, "agent.name", from_text),
            path=self.text(form.path, "agent.path", self._variables.expand_any),
            sha256=self.text(form.sha256, "agent.sha256", from_text),
            known=self._known(form, "agent"),
            ran=tuple(sorted((self._ran(ran, f"agent.ran[{n}]") for n, ran in enumerate(form.ran)), key=_ran_order)),
        )

    def _ran(self, form: RanForm, key: str) -> Ran:
        return Ran(
            name=self.text(form.name, f"{key}.name", from_text),
            path=self.text(form.path, f"{key}.path", self._variables.expand_any),
            by=tuple(sorted(self.text(name, f"{key}.by[{n}]", from_text) for n, name in enumerate(form.by))),
            sha256=self.text(form.sha256, f"{key}.sha256", from_text),
            known=self._known(form, key),
            interpreter=form.interpreter,
        )

    def _known(self, form: AgentForm | RanForm, key: str) -> Known | None:
        version, package = (self.text(text, key, from_text) for text in (form.version, form.package))
        return Known(version, package, form.source or Source.ASKED) if version else None

    def _rights(self, rights: tuple[str, ...], key: str) -> Right:
        for index, word in enumerate(rights):
            if word not in RIGHT_WORDS:
                expected = "one of " + ", ".join(f'"{known}"' for known in RIGHT_WORDS)
                forms.refuse(self._where, f"{key}[{index}]", expected, word, _MEND)
        return _parse_rights(rights)

    def _witnesses(self, witnesses: tuple[WitnessForm, ...], key: str) -> tuple[Witness, ...]:
        return tuple(
            Witness(
                program=self.text(form.program, f"{key}[{index}].program", from_text),
                operations=form.operations,
                example=self.text(form.example, f"{key}[{index}].example", self._variables.expand_any),
                objects=form.objects,
            )
            for index, form in enumerate(witnesses)
        )


_parse_rights = functools.cache(parse_rights)  # few sets of rights, many grants; joining flags is slow


def _grant_order(grant: Grant, path: str) -> tuple[object, ...]:
    """A directory stands before what is in it. ``path`` is the grant's, as it is or as portable text."""
    return path.split("/"), grant.scope, grant.rights.value, grant.ensure, grant.witnesses


def _network_order(grant: NetworkGrant) -> tuple[object, ...]:
    return grant.action, grant.abstract, grant.host, grant.port, grant.transport, grant.witnesses


def _ran_order(ran: Ran) -> tuple[str, str]:
    return ran.path, ran.name


def _agent_toml(agent: Agent, variables: Variables) -> str:
    """The table of what was learned from."""
    rows = "".join(f"  {{{', '.join(_ran_items(ran, variables))}}},\n" for ran in sorted(agent.ran, key=_ran_order))
    return (
        "# Which program this was learned from, and what it ran. Nothing is granted by it: `sbx diff` reads it.\n"
        "[agent]\n" + "\n".join(_ran_items(agent, variables)) + "\n" + (f"ran = [\n{rows}]\n" if rows else "")
    )


def _ran_items(ran: Agent | Ran, variables: Variables) -> list[str]:
    items = [f"name = {_quote(to_text(ran.name))}", f"path = {_quote(variables.contract(ran.path))}"]
    if isinstance(ran, Ran) and ran.by:
        items.append(f"by = {_list(to_text(name) for name in ran.by)}")
    items += ["interpreter = true"] if isinstance(ran, Ran) and ran.interpreter else []
    items += [f"sha256 = {_quote(to_text(ran.sha256))}"] if ran.sha256 else []
    if ran.known is not None:
        items.append(f"version = {_quote(to_text(ran.known.version))}")
        items += [f"package = {_quote(to_text(ran.known.package))}"] if ran.known.package else []
        items.append(f"source = {_quote(ran.known.source)}")
    return items


def _witnesses_toml(witnesses: tuple[Witness, ...], variables: Variables) -> str:
    if not witnesses:
        return ""
    rows = "".join(
        f"  {{program = {_quote(to_text(witness.program))}, operations = {_list(witness.operations)}, "
        f"example = {_quote(variables.contract(witness.example))}"
        f"{f', objects = {witness.objects}' if witness.objects != 1 else ''}}},\n"
        for witness in sorted(witnesses)
    )
    return f"needed_by = [\n{rows}]\n"


def _comment(reasons: list[str]) -> str:
    return f"# {'; '.join(reasons) or words.BY_HAND}\n"


def _list(words: Iterable[str]) -> str:
    return "[" + ", ".join(_quote(word) for word in words) + "]"


def _quote(text: str) -> str:
    """A TOML string.

    ``text`` is printable (:func:`to_text`), so only its backslashes and quotes could break out.
    """
    if "\\" not in text and '"' not in text:
        return f'"{text}"'
    if "'" not in text:
        return f"'{text}'"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
