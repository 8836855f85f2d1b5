"""Choosing how the network is held, and saying why a jail cannot be."""

import errno
import os
from pathlib import Path

import pytest
from accesses import PROGRAMS  # noqa: F401 - the helper's directory is on the path
from jailed import network_policy

from learner.enforcers.enforcer import Strength
from learner.errors import LaunchError
from learner.gaps import Gap
from learner.jail import permission
from learner.jail.attempts import MAX_DISTINCT, Attempt, Ledger, Way
from learner.jail.plan import Mode, Networked, plan, settle
from learner.policy import NetworkAction, Policy
from tracers.events import Transport
from tracers.tracer import Command


@pytest.mark.parametrize(
    ("hosts", "mode"),
    [
        ((), Mode.PORTS),
        ((("127.0.0.1", 80), ("192.0.2.1", 443)), Mode.PORTS),
        ((("api.test", 443),), Mode.JAIL),
        ((("*.test", 443),), Mode.JAIL),
        ((("group:pypi", 443),), Mode.JAIL),
    ],
)
def test_auto_is_what_it_was_unless_hosts_are_named(hosts: tuple[tuple[str, int], ...], mode: Mode) -> None:
    assert settle(network_policy(*hosts, bind=(80,)), Mode.AUTO) is mode
    for wanted in (Mode.JAIL, Mode.PROXY, Mode.PORTS):
        assert settle(network_policy(*hosts), wanted) is wanted


class Inner:
    strength = Strength.PARTIAL
    gaps = (Gap("UDP", "open"), Gap("hosts", "by port"), Gap("metadata", "seen"))
    supervised = False

    def wrap(self, command: Command) -> Command:
        """The command itself."""
        return command

    def check(self) -> None:
        """Do nothing."""

    def apply(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def test_gaps_are_those_that_are_left() -> None:
    policy = network_policy(("api.test", 443))
    jail = plan(policy, Mode.JAIL)
    assert [g.item for g in Networked(jail, Inner()).gaps] == ["metadata", "shared servers"]
    assert jail.policy.network[0] == policy.network[0]
    assert [n.transport for n in jail.policy.network if n.anywhere] == [Transport.UDP]  # names are asked for over UDP
    assert not jail.ports
    proxy = plan(policy, Mode.PROXY)
    assert [g.item for g in Networked(proxy, Inner()).gaps] == ["UDP", "hosts", "metadata", "names", "proxy"]
    assert [n.port for n in proxy.policy.network if n.action is NetworkAction.CONNECT] == [proxy.network.port]  # type: ignore[union-attr]
    jail.network.close()
    proxy.network.close()


def problem(code: int, step: str) -> OSError:
    return OSError(code, os.strerror(code), step)


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone is 0"),
        ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces is 0"),
        ("/proc/sys/user/max_net_namespaces", "0", "user.max_net_namespaces is 0"),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor"),
        ("/proc/self/status", "Name: x\nSeccomp:\t2\n", "seccomp"),
    ],
)
def test_why_there_is_no_jail(setting: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permission, "read_setting", lambda path: value if path == setting else "")
    sentence, remedy = permission.refusal(problem(errno.EPERM, "user namespace"))
    assert says in sentence
    assert "--network proxy" in remedy


@pytest.mark.parametrize(
    ("code", "step", "says"),
    [
        (errno.EINVAL, "user namespace", "no user or network namespaces"),
        (errno.ENOSPC, "user namespace", "limit"),
        (errno.EPERM, "user namespace", "not permitted"),
        (errno.EOPNOTSUPP, "nftables", "nftables"),
        (errno.EADDRINUSE, "listeners", "ports"),
    ],
)
def test_other_reasons(code: int, step: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permission, "read_setting", lambda _path: "")
    assert says in permission.refusal(problem(code, step))[0]


def test_not_permitted_is_a_launch_error() -> None:
    failure = permission.NotPermitted("no", "do")
    assert isinstance(failure, LaunchError)
    assert failure.status == 125


def test_a_ledger_holds_each_attempt_once_and_not_too_many() -> None:
    ledger = Ledger(search=("corp.test",))
    attempt = Attempt("a.test", 0, Way.NAME, False)
    assert ledger.new("a.test", 0, Way.NAME, False)
    ledger.add(attempt)
    assert not ledger.new("a.test", 0, Way.NAME, False)
    assert not ledger.new("a.test.corp.test", 0, Way.NAME, False)  # the C library's own second try
    assert ledger.new("b.test.corp.test", 0, Way.NAME, False)
    for number in range(MAX_DISTINCT):
        if ledger.new("c.test", number, Way.CONNECT, False):
            ledger.add(Attempt("c.test", number, Way.CONNECT, False))
    assert ledger.more == 1
    assert len(ledger.attempts()) == MAX_DISTINCT


def test_groups_are_documented_where_they_are_refused(tmp_path: Path) -> None:
    from learner.errors import InputFileError

    with pytest.raises(InputFileError) as caught:
        plan(network_policy(("group:nonesuch", 443)), Mode.JAIL)
    assert "pypi" in caught.value.remedy


def test_a_policy_without_a_network() -> None:
    assert settle(Policy(), Mode.AUTO) is Mode.PORTS
