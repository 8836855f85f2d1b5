"""Which way the network of a launch is held: jail, proxy or ports."""

import enum
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from learner.enforcers.enforcer import Confinement, Strength
from learner.gaps import Gap
from learner.policy import ANYWHERE, NetworkAction, NetworkGrant, Policy
from tracers.events import Transport
from tracers.tracer import Command

if TYPE_CHECKING:
    from learner.jail.jail import Jail
    from learner.jail.proxy import Proxy


class Mode(enum.StrEnum):
    """What ``--network`` may say."""

    AUTO = "auto"
    """A jail if the policy grants hosts by name, else ports; a proxy where no jail can be made."""
    JAIL = "jail"
    PROXY = "proxy"
    PORTS = "ports"


_CLOSED = {
    Mode.JAIL: frozenset({"UDP", "TCP", "hosts", "own ports", "abstract sockets"}),
    Mode.PROXY: frozenset({"hosts"}),
}
"""Gaps of an enforcer beside it that each mode closes, or speaks of in its own words."""


def settle(policy: Policy, wanted: Mode) -> Mode:
    """What ``wanted`` comes to for ``policy``, if this machine permits it; never AUTO."""
    if wanted is not Mode.AUTO:
        return wanted
    connects = [n for n in policy.network if n.action is NetworkAction.CONNECT]
    if not connects or any(n.anywhere for n in connects):
        return Mode.PORTS  # the usual case, without the import; or there is nothing to tell apart
    from learner.jail.rules import needs_names

    return Mode.JAIL if needs_names(policy) else Mode.PORTS


class Plan(NamedTuple):
    """How the network of one launch is held.

    ``policy``: what the enforcer of files is to hold; ``ports``: whether it holds TCP ports, too. ``network`` is what
    a supervisor serves beside the command.
    """

    mode: Mode
    policy: Policy
    network: "Jail | Proxy"
    gaps: tuple[Gap, ...]
    ports: bool
    environment: tuple[tuple[str, str], ...] = ()


def plan(policy: Policy, mode: Mode) -> Plan:
    """Make JAIL or PROXY ready. Raises InputFileError for a grant whose host is none."""
    if mode is Mode.JAIL:
        from learner.jail.jail import Jail

        jail = Jail.prepare(policy)
        # Ports and UDP are left to the jail: the enforcer would refuse before the filter can say which host was meant,
        # and names are asked for over UDP.
        names = NetworkGrant(NetworkAction.CONNECT, ANYWHERE, 0, Transport.UDP, ())
        return Plan(
            mode, msgspec.structs.replace(policy, network=(*policy.network, names)), jail, jail.gaps, ports=False
        )
    from learner.jail import proxy
    from learner.jail.rules import Rules

    made = proxy.Proxy(Rules.of(policy))
    environment = tuple(sorted(made.environment.items()))
    return Plan(mode, proxy.through(policy, made.port), made, proxy.gaps(made.port), True, environment)


class Networked:
    """A confinement inside of a plan's network: its namespaces first, Landlock last."""

    def __init__(self, chosen: Plan, inner: Confinement) -> None:
        self._plan = chosen
        self._inner = inner
        others = (gap for gap in inner.gaps if gap.item not in _CLOSED[chosen.mode])
        self.gaps = tuple(sorted({*chosen.gaps, *others}))
        self.strength = Strength.PARTIAL if self.gaps else Strength.FULL
        self.supervised = inner.supervised

    def wrap(self, command: Command) -> Command:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""
        inner = self._inner.wrap(command)
        # bwrap still has to make mounts, and gives up every capability before the command begins.
        wrapped = inner.file != command.file
        return Command(inner.file, inner.argv, lambda: self._enter(inner.confine, limit=not wrapped))

    def apply(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`. Also sets the environment of the command."""
        self._enter(self._inner.apply)

    def _enter(self, confine: Callable[[], None] | None, *, limit: bool = True) -> None:
        self._plan.network.enter(limit=limit)
        os.environ.update(self._plan.environment)
        if confine is not None:
            confine()

    def check(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""
        self._inner.check()

    def close(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""
        self._inner.close()
