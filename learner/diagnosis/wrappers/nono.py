"""nono's command line (0.74: its flags page), with the profile that it names."""

import json
import os
from collections.abc import Mapping

from learner.diagnosis.case import Fix
from learner.diagnosis.wrappers.wrapper import Remedy, Wrapper
from learner.errors import UsageError
from learner.gaps import Gap
from learner.names import to_text
from learner.policy import Grant, NetworkGrant, Policy, Right
from learner.targets import nono_flags
from learner.targets.coarse import smallest
from learner.targets.importing import Imported
from learner.targets.nono import NONO, sensitive
from learner.targets.nono_reader import ACCESS, endpoints, everywhere, grant
from learner.targets.nono_reader import NONO as READER
from learner.targets.nono_terms import FLAGS, Key, unfit
from learner.targets.settling import read_text, settle
from learner.variables import Variables

_SHORT = {"-a": Key.ALLOW, "-r": Key.READ, "-w": Key.WRITE}
_PATHS: Mapping[str, Key] = {flag: key for key, flag in FLAGS.items() if key in ACCESS} | _SHORT
_DOMAINS = frozenset({"--allow-domain", "--proxy-allow", "--allow-proxy"})
_CONNECT = frozenset({"--allow-connect-port", "--open-port", "--allow-port"})
_LISTEN = frozenset({"--listen-port", "--open-port", "--allow-port"})
_LIMITING = frozenset({"--block-net", "--net-block", "--network-profile", "--credential"})
_PROFILE = frozenset({"--profile", "-p"})
_VALUES = frozenset(
    {
        *("--theme", "--network-profile", "--credential", "--allow-endpoint", "--upstream-proxy", "--upstream-bypass"),
        *("--proxy-port", "--allow-command", "--block-command", "--bypass-protection", "--override-deny", "--name"),
        *("--env-credential", "--env-allow", "--env-deny", "--workdir", "--audit-sign-key", "--config"),
    }
)
_SYSTEM = (
    *(f"{top}/{name}" for top in ("", "/usr", "/usr/local") for name in ("bin", "sbin", "lib", "lib64")),
    *("/etc/ld.so.cache", "/usr/share"),
)
"""What nono opens for reading besides (its group system_read_linux), unless a profile excludes that."""

_READY = frozenset({"run", "wrap"})


class Nono(Wrapper):
    """See :class:`~learner.diagnosis.wrappers.wrapper.Wrapper`."""

    name = "nono"
    hides = False

    def __init__(
        self,
        words: tuple[str, ...],
        policy: Policy,
        variables: Variables,
        *,
        network: bool,
        notes: tuple[Gap, ...],
        profile: bool,
    ) -> None:
        """``profile``: whether its words name one of the user's own."""
        super().__init__(words, policy, network=network, notes=notes)
        self._variables = variables
        self._profile = profile

    def mediates(self, rights: Right) -> Right:
        """See :class:`~learner.enforcers.enforcer.Enforcer`: Landlock's rights."""
        return rights & ~(Right.ATTRIBUTES | Right.CONNECT)

    def remedy(self, fix: Fix) -> Remedy:
        """See :class:`~learner.diagnosis.wrappers.wrapper.Wrapper`: flags, and what says the same in a profile."""
        opened, words = smallest(fix.grants)
        bypass = sensitive(fix.policy, self._variables)
        arguments = [*nono_flags.flags(fix.grants, fix.network)]
        settings = [*NONO.admit(fix.grants, fix.network)]
        for path in bypass:
            arguments += [FLAGS[Key.BYPASS], path]
            settings.append(json.dumps({"filesystem": {Key.BYPASS.value: [path]}}))
        cannot = [
            f"nono cannot be told to grant {to_text(one.path)}: {why}"
            for one in opened
            if (why := unfit(one.path, lists=False))
        ]
        told = (*words, *cannot, *self.to_be_made(one.path for one in opened))
        return Remedy(tuple(arguments), tuple(settings) if self._profile else (), told)


def parse(words: tuple[str, ...], variables: Variables) -> Nono:
    """The sandbox that ``words`` begin. Raises UsageError for words that are not understood, InputFileError."""
    variables = variables._replace(
        project=os.getcwd(),
        temporary=os.path.realpath(os.environ.get("TMPDIR") or "/tmp"),  # noqa: S108 - nono's own
    )
    line = _Line(words)
    imported = Imported((), (), ())
    file = _profile_file(line.profile, variables) if line.profile else ""
    if file:
        imported = READER.read(read_text(file), to_text(file), variables)
    gaps = list(imported.gaps)
    if line.profile and not file:
        gaps.append(Gap(f"profile {to_text(line.profile)}", "it is none of your own: what it grants is not known here"))
    grants = [*imported.grants, *line.grants]
    if not any(name in imported.excluded for name in ("system_read_linux", "system_read_linux_core")):
        grants += [grant(Key.READ, path) for path in _SYSTEM]
    current = imported.current or (() if file else (grant(Key.READ, variables.project),))
    network = (*imported.network, *endpoints(line.domains, line.connect, line.listen, gaps))
    limited = line.limited or bool(line.domains) or (bool(file) and imported.network != everywhere())
    policy, told = settle(
        imported._replace(
            grants=tuple(grants),
            current=current if line.allow_cwd else (),
            network=_limited(network, limited),
            gaps=tuple(gaps),
        )
    )
    return Nono(words, policy, variables, network=not limited, notes=told, profile=bool(file))


def _limited(network: tuple[NetworkGrant, ...], limited: bool) -> tuple[NetworkGrant, ...]:
    return tuple(one for one in network if not one.anywhere) if limited else network


class _Line:
    """``nono [OPTION...] run [OPTION...]``, taken apart."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.grants: list[Grant] = []
        self.domains: list[str] = []
        self.connect: list[int] = []
        self.listen: list[int] = []
        self.profile = ""
        self.allow_cwd = self.limited = False
        seen = False
        todo = list(words[:0:-1])
        while todo:
            word = todo.pop()
            if word in _READY and not seen:
                seen = True
                continue
            flag, is_one_word, value = word.partition("=")
            if not word.startswith("-"):
                raise UsageError(f"--sandbox: {to_text(word)!r} is not understood", "give 'nono run … --'")
            self.limited |= flag in _LIMITING
            self.allow_cwd |= flag == "--allow-cwd"
            known = (_PATHS, _DOMAINS, _CONNECT, _LISTEN, _PROFILE, _VALUES)
            if not any(flag in table for table in known):
                continue
            if not is_one_word:
                if not todo:
                    raise UsageError(f"--sandbox: {flag} needs a value", "give 'nono run … --'")
                value = todo.pop()
            self._take(flag, value)
        if not seen:
            raise UsageError("--sandbox: of nono only `nono run` is understood", "give 'nono run … --'")

    def _take(self, flag: str, value: str) -> None:
        if flag in _PATHS:
            self.grants.append(grant(_PATHS[flag], os.path.abspath(os.path.expanduser(value))))
        elif flag in _DOMAINS:
            self.domains.append(value)
        elif flag in _PROFILE:
            self.profile = value
        if flag in _CONNECT | _LISTEN:
            if not value.isdecimal() or int(value) > 65535:
                raise UsageError(f"--sandbox: {flag} {to_text(value)!r} is no port", "give 'nono run … --'")
            self.connect += [int(value)] if flag in _CONNECT else []
            self.listen += [int(value)] if flag in _LISTEN else []


def _profile_file(name: str, variables: Variables) -> str:
    """The file of a profile: named itself, or one of the user's; "" if there is none of that name."""
    if "/" in name or name.endswith((".json", ".jsonc")):
        return name
    config = dict(variables.xdg).get("XDG_CONFIG_HOME", os.path.join(variables.home, ".config"))
    places = [os.path.join(config, "nono", "profiles", name + suffix) for suffix in (".jsonc", ".json")]
    return next((place for place in places if os.path.isfile(place)), "")
