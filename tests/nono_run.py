"""``nono run`` for tests, on nono's own core (PyPI nono-py), after its documentation; its program is on no registry.

    nono run [--profile FILE] [FLAG PATH]... [--allow-cwd] [--block-net] -- COMMAND

Nothing of sbx is used here, so that the two cannot agree on a mistake.
"""

import argparse
import json
import os
import sys
from pathlib import Path

LISTS = ("allow", "read", "write", "allow_file", "read_file", "write_file")


def install(directory: Path) -> Path:
    """Make a program ``nono`` in ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / "nono"
    program.write_text(f"#!{sys.executable} -I\nimport runpy\nrunpy.run_path({__file__!r}, run_name='__main__')\n")
    program.chmod(0o755)
    return program


def main(argv: list[str]) -> None:
    import nono_py

    parser = argparse.ArgumentParser(prog="nono run", allow_abbrev=False)
    for name in LISTS:
        short = [f"-{name[0]}"] if "_" not in name else []
        parser.add_argument(f"--{name.replace('_', '-')}", *short, dest=name, action="append", default=[])
    parser.add_argument("--bypass-protection", action="append", default=[])
    parser.add_argument("--allow-unix-socket", action="append", default=[])
    parser.add_argument("--allow-connect-port", action="append", type=int, default=[])
    parser.add_argument("--listen-port", action="append", type=int, default=[])
    parser.add_argument("--profile", "-p")
    parser.add_argument("--allow-cwd", action="store_true")
    parser.add_argument("--block-net", action="store_true")
    assert argv[0] == "run", argv
    at = argv.index("--")
    given, command = parser.parse_args(argv[1:at]), argv[at + 1 :]

    profile = json.loads(Path(given.profile).read_text()) if given.profile else {}
    unknown = {*profile} - {"meta", "groups", "workdir", "filesystem", "network", "environment"}
    unknown |= {*profile.get("filesystem", {})} - {*LISTS, "bypass_protection", "unix_socket", "unix_socket_subtree"}
    unknown |= {*profile.get("network", {})} - {"block", "connect_port", "listen_port"}
    if unknown:
        sys.exit(f"nono: unknown field {', '.join(sorted(unknown))}")

    caps = nono_py.CapabilitySet()
    policy = nono_py.load_embedded_policy()
    default = json.loads(nono_py.embedded_policy_json())["profiles"]["default"]["security"]["groups"]
    excluded = profile.get("groups", {}).get("exclude", [])
    policy.validate_group_exclusions(excluded)
    groups = [name for name in default if name not in excluded]
    os.environ.setdefault("TMPDIR", "/tmp")
    resolved = policy.resolve_groups(groups, caps)
    modes = {
        "allow": nono_py.AccessMode.READ_WRITE,
        "read": nono_py.AccessMode.READ,
        "write": nono_py.AccessMode.WRITE,
    }
    bypassed = {os.path.realpath(path) for path in given.bypass_protection}
    bypassed |= {os.path.realpath(expand(path)) for path in profile.get("filesystem", {}).get("bypass_protection", [])}
    for name in LISTS:
        for path in [*map(expand, profile.get("filesystem", {}).get(name, [])), *getattr(given, name)]:
            add = caps.allow_file if name.endswith("_file") else caps.allow_path
            if name == "read" and os.path.isfile(path):
                add = caps.allow_file
            try:
                add(path, modes[name.removesuffix("_file")])
            except FileNotFoundError:
                continue
    if given.allow_cwd:
        access = profile.get("workdir", {}).get("access", "none") if profile else "read"
        if access != "none":
            caps.allow_path(os.getcwd(), modes[{"readwrite": "allow"}.get(access, access)])
    nono_py.validate_deny_overlaps([p for p in resolved.deny_paths if os.path.realpath(p) not in bypassed], caps)
    network = profile.get("network", {})
    if given.block_net or network.get("block"):
        caps.block_network()
    for port in [*given.allow_connect_port, *network.get("connect_port", [])]:
        caps.allow_tcp_connect_port(port)
    for port in [*given.listen_port, *network.get("listen_port", [])]:
        caps.allow_bind_port(port)
    os.environ.update(profile.get("environment", {}).get("set_vars", {}))
    nono_py.apply(caps)
    try:
        os.execvp(command[0], command)
    except FileNotFoundError as problem:
        print(f"nono: {command[0]}: {problem.strerror}", file=sys.stderr)
        os._exit(127)
    except OSError as problem:
        print(f"nono: {command[0]}: {problem.strerror}", file=sys.stderr)
        os._exit(126)


def expand(path: str) -> str:
    """A path of a profile, its variables replaced as nono does: anywhere, and with no way to quote them."""
    for variable, value in (("$WORKDIR", os.getcwd()), ("$TMPDIR", "/tmp"), ("$HOME", os.environ["HOME"])):
        path = path.replace(variable, value)
    if any(letter in path for letter in "*?[]{}"):
        sys.exit(f"nono: a pattern: {path!r}")
    return path


def supported() -> bool:
    """Whether nono-py is installed, and enforces on this kernel."""
    try:
        import nono_py
    except ImportError:
        return False
    return bool(nono_py.is_supported())


if __name__ == "__main__":
    main(sys.argv[1:])
