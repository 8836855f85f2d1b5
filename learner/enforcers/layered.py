"""All that the kernel has, one inside the other: namespaces, the seccomp companion, Landlock.

What each leaves open another holds: namespaces hide names and sockets, Landlock tells kinds of rights, ports and
signals apart, the companion refuses sockets and calls that neither sees. The order is the kernel's: a thread under
Landlock may not mount, so the root is built first; and the companion forbids what building it takes, so it comes last.
"""

import os

from learner.access import Access
from learner.enforcers.companion import companion, supported
from learner.enforcers.companion import gaps as companion_gaps
from learner.enforcers.enforcer import Strength
from learner.enforcers.landlock import LandlockEnforcer, abi, kernel_gaps, policy_gaps
from learner.enforcers.namespaces import NamespaceConfinement
from learner.errors import MachineError
from learner.gaps import Gap
from learner.policy import Policy, Right
from learner.ports import ephemeral_ports
from tracers.events import Transport
from tracers.tracer import Command

_HELD_BY_NAMESPACES = frozenset({"metadata", "attributes", "unix sockets by path", "shared memory and queues"})
_HELD_BY_COMPANION = frozenset({"UDP", "other sockets", "TCP Fast Open", "keyrings", "terminal"})
_SINCE_LANDLOCK = {"kinds of rights": 1, "TCP": 4, "servers": 4, "abstract unix sockets and signals": 6}
"""What Landlock holds of what namespaces do not, and from which ABI on."""


class LayeredConfinement:
    """Namespaces, rules and a filter for one launch."""

    supervised = False

    def __init__(self, policy: Policy, *, ports: bool = True) -> None:
        self._policy = policy
        self._ports = ports
        self._outer = NamespaceConfinement(policy, inner=True)
        self._filter = companion(policy)
        self.gaps = tuple(sorted(set(_gaps(policy, self._outer))))
        self.strength = Strength.PARTIAL if self.gaps else Strength.FULL
        ephemeral_ports()  # there may be no /proc to read them from inside

    def wrap(self, command: Command) -> Command:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""
        self._outer.wrap(command)
        return Command(command.file, command.argv, self.apply)

    def apply(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""
        self._outer.apply()
        # Rules stand on objects: those of the new root exist only now, and what was not planned is not there.
        found = tuple(grant for grant in self._policy.grants if os.path.exists(grant.path))
        try:
            rules = LandlockEnforcer(ports=self._ports, alone=False).prepare(Policy(found, self._policy.network))
        except MachineError as problem:
            raise OSError(0, f"{problem}; {problem.remedy}") from None
        rules.apply()
        rules.close()
        if self._filter is not None:
            self._filter.install()

    def check(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""

    def close(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""


class LayeredEnforcer:
    """Confines with namespaces outside, seccomp and Landlock inside. ``ports``: as of Landlock."""

    name = "layered"
    hides = True

    def __init__(self, *, ports: bool = True) -> None:
        self._ports = ports

    def prepare(self, policy: Policy) -> LayeredConfinement:
        """See :class:`~learner.enforcers.enforcer.Enforcer`."""
        if abi() == 0:
            raise MachineError(
                "this kernel has no Landlock, or it is switched off",
                "use --enforcer bubblewrap, or Linux 5.13 or newer",
            )
        return LayeredConfinement(policy, ports=self._ports)

    def mediates(self, rights: Right) -> Right:
        """See :class:`~learner.enforcers.enforcer.Enforcer`. What is not bound is not there, whatever the right."""
        return rights

    def gates(self, access: Access) -> bool:
        """See :class:`~learner.enforcers.enforcer.Enforcer`."""
        end = access.endpoint
        if end is not None and end.transport is Transport.UDP:
            return supported()
        return LandlockEnforcer().gates(access)


def _gaps(policy: Policy, outer: NamespaceConfinement) -> list[Gap]:
    held = _HELD_BY_NAMESPACES | (_HELD_BY_COMPANION if supported() else frozenset())
    found = [g for g in kernel_gaps(abi()) if g.item not in held and not (g.item == "TCP" and outer.own_network)]
    found += policy_gaps(policy)
    for gap in outer.gaps:
        if gap.item == "hosts":
            continue
        if gap.item not in _SINCE_LANDLOCK or (
            abi() < _SINCE_LANDLOCK[gap.item] and gap.item not in {g.item for g in found}
        ):
            found.append(gap)
    return [*found, *companion_gaps(policy)]
