"""A realistic policy, and requests to export policies, for the tests of all targets."""

from collections.abc import Iterable

from disk import Disk

from learner.agent import Agent, Ran
from learner.policy import CHANGES, Grant, NetworkAction, NetworkGrant, Policy, Right, Scope, Witness
from learner.profile import Profile
from learner.targets.target import Request
from learner.variables import Variables
from tracers.events import Operation, Transport

HOME, PROJECT = "/home/ada", "/home/ada/work/engine"
VARIABLES = Variables(PROJECT, HOME, "/tmp/sbx-1000")
READ = Right.READ | Right.LIST
ODD = f'{HOME}/it\'s "odd" ${{HOME}} $$ [a]* @{{x}} %h \\ #;\n-- é'

_PROGRAM = (Witness("vibe", (Operation.READ,), "/x"),)
_CONNECTS = (Witness("vibe", (Operation.CONNECT,), "api.mistral.ai:443/tcp"),)
POLICY = Policy(
    grants=(
        Grant("/dev/tty", Scope.FILE, Right.READ | Right.WRITE | Right.IOCTL, _PROGRAM),
        Grant("/etc/passwd", Scope.FILE, Right.READ, _PROGRAM),
        Grant("/etc/ssl/certs", Scope.TREE, READ, _PROGRAM),
        Grant(HOME, Scope.FILE, Right.LIST, _PROGRAM),
        Grant(f"{HOME}/.gitconfig", Scope.FILE, Right.READ, _PROGRAM),
        Grant(f"{HOME}/.vibe", Scope.TREE, READ | CHANGES, _PROGRAM, ensure=True),
        Grant(ODD, Scope.FILE, Right.READ, ()),
        Grant(PROJECT, Scope.TREE, READ | CHANGES | Right.EXEC, _PROGRAM),
        Grant("/proc/self/status", Scope.FILE, Right.READ, _PROGRAM),
        Grant("/run/user/1000/agent.sock", Scope.FILE, Right.CONNECT, _PROGRAM),
        Grant("/tmp", Scope.TREE, READ | Right.WRITE | Right.CREATE | Right.REMOVE, _PROGRAM),
        Grant("/usr", Scope.TREE, READ | Right.EXEC, _PROGRAM),
    ),
    network=(
        NetworkGrant(NetworkAction.BIND, "127.0.0.1", 0, Transport.TCP, _CONNECTS),
        NetworkGrant(NetworkAction.CONNECT, "127.0.0.1", 4000, Transport.TCP, _CONNECTS),
        NetworkGrant(NetworkAction.CONNECT, "api.mistral.ai", 443, Transport.TCP, _CONNECTS),
    ),
    links=("/bin", "/etc/localtime"),
)
DENIED = (f"{HOME}/.vibe/.env", f"{PROJECT}/keys")
MACHINE = Disk(
    {
        "/bin": "-> usr/bin",
        "/boot": None,
        "/dev/null": "char",
        "/dev/tty": "char",
        "/etc/localtime": "-> /usr/share/zoneinfo/UTC",
        "/etc/passwd": "",
        "/etc/ssl/certs": None,
        f"{HOME}/.gitconfig": "",
        f"{HOME}/.ssh/id": "",
        f"{HOME}/.vibe/.env": "",
        f"{HOME}/.local/bin/vibe": f"-> {PROJECT}/vibe",
        ODD: "",
        f"{PROJECT}/keys/key": "",
        f"{PROJECT}/vibe": "",
        "/opt": None,
        "/proc": None,
        "/run/user/1000/agent.sock": "",
        "/tmp": None,
        "/usr/bin/sh": "",
        "/usr/share/zoneinfo/UTC": "",
    }
)
AGENT = Agent("vibe", f"{PROJECT}/vibe", ran=(Ran("python3.12", "/usr/bin/python3.12", ("vibe",), interpreter=True),))


def request_of(policy: Policy, denied: Iterable[str] = (), machine: Disk = MACHINE, name: str = "vibe") -> Request:
    """``policy`` as the profile of a command ``vibe``, on a made-up machine."""
    profile = Profile(name, "vibe", policy, agent=AGENT)
    links = tuple((link, machine.readlink(link)) for link in policy.links if link in machine.objects)
    file = f"{HOME}/.local/bin/vibe"
    return Request(profile, ("vibe", "-p", "it's"), VARIABLES, tuple(sorted(denied)), links, file=file, view=machine)


def holding(paths: Iterable[str]) -> Disk:
    """The made-up machine with these files on it as well."""
    return Disk({**MACHINE.objects, **dict.fromkeys(paths, "")})


SAMPLE = request_of(POLICY, DENIED)

_WORDS = r"""-a ~ ~root %h %% $HOME ${HOME} $$ $(id) `id` a:b a,b * ? [a] ] {a,b} @{HOME} @{ ^a \ \\ \101 a\ \n ' " #
    -- --bind a)b ( !a a;b a|b a& +a =a a@b é"""
TRICKS = (
    *_WORDS.split(),
    *("a b", " a", "a ", "a  b", " #a", "\t", "a\r", "a\x7f", "\x01", "\udcff", '"""', "\nwhitelist _home"),
    *("a\nread-write _", "a\n\n[Service]\nExecStart=x", '"\n"_**" rwx,\n"', 'x"]\n[[path_beneath]]\nparent = ["_'),
)
"""Names that mean something in one format or another."""
