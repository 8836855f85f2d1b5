"""The parser of strace's text, without strace."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracers.calls import events
from tracers.events import Endpoint, Event, Family, HostTarget, Memory, Operation, PathTarget, Transport
from tracers.programs import ProgramTable
from tracers.sockets import sockaddr
from tracers.strace_calls import raw_calls
from tracers.strace_reader import Reader
from tracers.strace_text import (
    Call,
    address,
    descriptor,
    elements,
    members,
    number,
    result,
    socket_name,
    split_call,
    string,
    unescape,
)

CWD = b"/here"


class Collector:
    """A sink that keeps everything and takes each call for repeatable."""

    def __init__(self, links: frozenset[str] = frozenset()) -> None:
        self.events: list[Event] = []
        self.forgotten = 0
        self._links = links

    def event(self, event: Event) -> bool:
        self.events.append(event)
        return True

    def forget(self) -> None:
        self.forgotten += 1

    def links(self) -> frozenset[str]:
        return self._links


def escaped(raw: bytes, angles: bool = False) -> bytes:
    """As strace prints a string: short octal unless a digit follows, letters for the usual controls."""
    letters = {10: b"\\n", 9: b"\\t", 13: b"\\r", 11: b"\\v", 12: b"\\f", 34: b'\\"', 92: b"\\\\"}
    out = b""
    for index, byte in enumerate(raw):
        if byte in letters:
            out += letters[byte]
        elif 0x20 <= byte < 0x7F and not (angles and byte in b"<>"):
            out += bytes((byte,))
        else:
            digit_follows = raw[index + 1 : index + 2].isdigit()
            out += b"\\%03o" % byte if digit_follows else b"\\%o" % byte
    return out


def read(*lines: bytes) -> tuple[Reader, Collector, ProgramTable]:
    programs, sink = ProgramTable(), Collector()
    reader = Reader(programs, sink)
    reader.feed(b"\n".join(lines) + b"\n")
    reader.close()
    return reader, sink, programs


def meaning(text: bytes) -> list[Event]:
    call = split_call(text)
    assert call is not None
    return [event for raw in raw_calls(call, CWD) for event in events(raw, 0, 1)]


# --- escapes and splitting


@given(st.binary(max_size=200))
def test_every_string_survives_its_escapes(raw: bytes) -> None:
    assert unescape(escaped(raw)) == raw
    assert unescape("".join(f"\\x{byte:02x}" for byte in raw).encode()) == raw
    assert string(b'"' + escaped(raw) + b'"') == raw


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(0, 2**31))
def test_any_name_is_split_from_its_neighbours(directory: bytes, name: bytes, flags: int) -> None:
    folder = b"/" + directory
    line = b'openat(3<%s>, "%s", %#x) = 4<%s>' % (
        escaped(folder, angles=True),
        escaped(name),
        flags,
        escaped(folder + b"/" + name, angles=True),
    )
    call = split_call(line)
    assert call is not None and len(call.args) == 3
    found, opened = descriptor(call.args[0]), descriptor(call.result)
    assert found is not None and found.path == folder
    assert string(call.args[1]) == name
    assert number(call.args[2]) == flags
    assert opened is not None and opened.path == folder + b"/" + name


@given(st.binary(max_size=300))
def test_junk_is_no_error(junk: bytes) -> None:
    split_call(junk)
    split_call(b"openat(" + junk)
    elements(b"[" + junk)
    address(b"{sa_family=0x2, " + junk)
    result(junk)
    descriptor(b"3<" + junk)
    socket_name(junk)


@given(st.lists(st.binary(max_size=80), max_size=8), st.integers(1, 50))
def test_junk_lines_are_counted_and_reading_goes_on(junk: list[bytes], size: int) -> None:
    sink = Collector()
    reader = Reader(ProgramTable(), sink)
    good = b'7 execve("/bin/a", 0x1, 0x2) = 0\n7 stat("/after", 0x1) = -1 ENOENT (No such file)\n'
    data = b'7 stat("/before", 0x1) = 0\n' + b"".join(b"7 @" + line + b"\n" for line in junk) + good
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
    reader.close()
    # Whatever a line of junk does, what comes after it is read.
    assert any(isinstance(e.target, PathTarget) and e.target.path == b"/after" for e in sink.events)


def test_long_runs_do_not_blow_up() -> None:
    assert split_call(b"open(3<" + b"a-" * 50_000) is None
    assert split_call(b'open("' + b"\\\\" * 50_000) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"0x80000", 0x80000),
        (b"|0x900", 0x900),
        (b"0x1200000|17", 0x1200011),
        (b"0644", 0o644),
        (b"010600", 0o10600),
        (b"-100</x|1>", -100),
        (b"0", 0),
        (b'"12"', 0),
        (b"NULL", 0),
    ],
)
def test_numbers(text: bytes, value: int) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"0", 0),
        (b"3</etc/a = b>", 3),
        (b"0x7f", 127),
        (b"-1 ENOENT (No such file or directory)", -errno.ENOENT),
        (b"-1 (errno 18446744073709551359)", None),
        (b"-1 (errno 133)", -133),
        (b"?", None),
        (b"? ERESTARTSYS (To be restarted if SA_RESTART is set)", -errno.EINTR),
        (b"? ERESTART_RESTARTBLOCK (Interrupted by signal)", -errno.EINTR),
        (b"? ERESTARTNOINTR (To be restarted)", None),
    ],
)
def test_results(text: bytes, value: int | None) -> None:
    assert result(text) == value


def test_strings_that_are_none() -> None:
    assert string(b"NULL") is None
    assert string(b"0x7ffd123") is Memory.UNREADABLE
    assert string(b'"/usr/lo"...') is Memory.UNREADABLE


def test_structures_nest() -> None:
    text = b'{msg_name=NULL, msg_iov=[{iov_base="a}, ]", iov_len=4}], msg_flags=0} => {x=1}'
    assert members(text)[b"msg_iov"] == b'[{iov_base="a}, ]", iov_len=4}]'
    assert elements(b"0x123") == []


def test_descriptors() -> None:
    device = descriptor(b"1</dev/pts/0<char 136:0>>")
    assert device is not None and device.device and device.path == b"/dev/pts/0"
    gone = descriptor(b"4</tmp/a\\76b>(deleted)")
    assert gone is not None and gone.deleted and gone.path == b"/tmp/a>b"
    pipe = descriptor(b"5<pipe:[12]>")
    assert pipe is not None and pipe.path is None
    assert split_call(b'sendto(5<UDP:[1.2.3.4:5->6.7.8.9:53]>, "a", 1, 0, NULL, 0) = 1') is not None


# --- sockets


def test_addresses() -> None:
    def over(text: bytes) -> object:
        raw = address(text)
        assert raw is not None
        return sockaddr(raw, "udp")

    v4 = over(b'{sa_family=0x2, sin_port="\\x00\\x35", sin_addr="\\x7f\\x00\\x00\\x01"}')
    assert v4 == Endpoint(Family.INET, "127.0.0.1", 53, Transport.UDP)
    v6 = over(
        b'{sa_family=0xa, sin6_port="\\x01\\xbb", sin6_flowinfo="\\x00\\x00\\x00\\x00", sin6_addr="'
        + b"\\x00" * 15
        + b'\\x01", sin6_scope_id=0}'
    )
    assert v6 == Endpoint(Family.INET6, "::1", 443, Transport.UDP)
    assert over(b'{sa_family=0x1, sun_path="/run/a b\\n"}') == b"/run/a b\n"
    assert over(b'{sa_family=0x1, sun_path=@"x\\1"}') == Endpoint(Family.ABSTRACT, "x\\x01")
    assert over(b"{sa_family=0x10, nl_pid=0, nl_groups=00000000}") == Endpoint(Family.NETLINK, "netlink")
    assert over(b"{sa_family=0x11}") == Endpoint(Family.OTHER, "family 17")
    assert address(b"NULL") is None and address(b"0x7ffd") is None


def test_socket_names() -> None:
    six = socket_name(b"UDPv6:[[::1]:4->[2001:db8::2]:53]")
    assert six is not None and six.transport == "udp" and six.peer is not None
    assert sockaddr(six.peer, "udp") == Endpoint(Family.INET6, "2001:db8::2", 53, Transport.UDP)
    fresh = socket_name(b"TCP:[8300]")
    assert fresh is not None and (fresh.transport, fresh.local, fresh.peer) == ("tcp", None, None)
    assert socket_name(b"pipe:[8300]") is None
    assert socket_name(b"/some/TCP:[1]") is None


QUERY = bytes.fromhex("1234010000010000000000000765786d61706c6503636f6d0000010001")


def test_a_dns_question_on_a_connected_socket() -> None:
    payload = "".join(f"\\x{byte:02x}" for byte in QUERY).encode()
    sent = meaning(b'sendto(5<UDP:[1.1.1.1:9->9.9.9.9:53]>, "%s", 29, 0, NULL, 0) = 29' % payload)
    assert [e.operation for e in sent] == [Operation.RESOLVE, Operation.SEND]
    assert isinstance(sent[0].target, HostTarget) and sent[0].target.host == "exmaple.com"
    many = meaning(
        b"sendmmsg(5<UDP:[1.1.1.1:9->9.9.9.9:53]>, [{msg_hdr={msg_name=NULL, msg_iov=[{iov_base="
        b'"%s", iov_len=29}], msg_iovlen=1}, msg_len=29}, {msg_hdr={msg_name=NULL, msg_namelen=0, msg_iov=['
        b'{iov_base="%s", iov_len=29}]}}], 2, 0x4000) = 2' % (payload, payload)
    )
    assert [e.operation for e in many] == [Operation.RESOLVE, Operation.SEND] * 2


def test_data_on_streams_is_no_event() -> None:
    assert meaning(b'sendto(8<TCP:[1.1.1.1:2->1.1.1.1:3]>, "hi", 2, 0, NULL, 0) = 2') == []
    assert meaning(b'sendto(8<UNIX-STREAM:[1->2]>, "x", 1, 0, NULL, 0) = 1') == []


def test_relative_unix_socket_starts_at_the_directory() -> None:
    (event,) = meaning(b'connect(9<UNIX-STREAM:[1]>, {sa_family=0x1, sun_path="s"}, 4) = 0')
    assert event.target == PathTarget(b"s", base=CWD)


# --- calls


def test_paths_start_where_they_should() -> None:
    (bare,) = meaning(b'stat("a", 0x7ffd0) = 0')
    assert bare.target == PathTarget(b"a", base=CWD)
    (at,) = meaning(b'newfstatat(3</dir>, "a", 0x7ffd0, 0x100) = -1 ENOENT (No such file or directory)')
    assert at.target == PathTarget(b"a", base=b"/dir", follow=False) and at.outcome == errno.ENOENT
    (closed,) = meaning(b'newfstatat(99, "a", 0x7ffd0, 0) = -1 EBADF (Bad file descriptor)')
    assert closed.target == PathTarget(b"a", base=b"")
    (cut,) = meaning(b'openat(-100</c>, "/usr/lo"..., 0) = -1 ENAMETOOLONG (File name too long)')
    assert cut.target == PathTarget(Memory.UNREADABLE)


def test_openat2_flags_stand_in_a_structure() -> None:
    made = meaning(b'openat2(-100</c>, "f", {flags=0x41, mode=0644, resolve=0}, 24) = 3</c/f>')
    assert [e.operation for e in made] == [Operation.CREATE, Operation.WRITE]


def test_ioctls_of_files_and_terminals_are_left_out() -> None:
    assert meaning(b"ioctl(3</etc/passwd>, 0x8000dead, 0) = -1 ENOTTY (x)") == []
    assert meaning(b"ioctl(3</dev/tty<char 5:0>>, 0x5401, 0x7ff) = 0") == []
    (event,) = meaning(b"ioctl(3</dev/tty<char 5:0>>, 0x5412, 0x7ff) = -1 EPERM (x)")
    assert event.target == PathTarget(b"/dev/tty", opened=b"/dev/tty")


def test_a_call_without_its_arguments_is_lost() -> None:
    reader, sink, _ = read(b'7 stat("/a", 0x1) = 0', b"7 newfstatat() = 0", b"7 ioctl() = 0")
    assert reader.lost == 2 and len(sink.events) == 1
    assert split_call(b"open()  = 0") == Call("open", (), b"0")


# --- lines


EXEC = b'7 execve("/bin/true", 0x1, 0x2) = 0'


def test_unfinished_calls_are_joined_per_thread() -> None:
    reader, sink, _ = read(
        EXEC,
        b"7 clone3({flags=0x3d0f00, exit_signal=0}, 88) = 8",
        b'7 openat(-100</c>, "a", 0 <unfinished ...>',
        b'8 openat(-100</c>, "b", 0 <unfinished ...>',
        b"7 <... openat resumed>) = 3</c/a>",
        b"8 <... openat resumed>) = -1 EACCES (Permission denied)",
        b'8 stat("x" <unfinished ...>',
        b"8 +++ killed by SIGKILL +++",
        b"7 <... openat resumed>) = 3</c/a>",
    )
    opened = [(e.target, e.outcome, e.pid) for e in sink.events[1:]]
    assert opened == [
        (PathTarget(b"a", base=b"/c", opened=b"/c/a"), 0, 7),
        (PathTarget(b"b", base=b"/c"), errno.EACCES, 7),
    ]
    assert (reader.unfinished, reader.lost) == (1, 1)


def test_threads_share_their_directory_and_children_do_not() -> None:
    _, sink, _ = read(
        EXEC,
        b"7 clone3({flags=0x3d0f00, exit_signal=0}, 88) = 8",
        b"7 clone(child_stack=NULL, flags=0x1200000|17, child_tidptr=0x7f) = 9",
        b"8 fchdir(3</moved>) = 0",
        b'7 stat("a", 0x1) = 0',
        b"9 fchdir(3</child>) = 0",
        b'8 stat("b", 0x1) = 0',
        b'9 stat("c", 0x1) = 0',
    )
    bases = [e.target.base for e in sink.events[1:] if isinstance(e.target, PathTarget)]
    assert bases == [b"/moved", b"/moved", b"/child"]


def test_a_vforked_child_that_is_heard_before_its_parent() -> None:
    _, sink, programs = read(
        EXEC,
        b"7 vfork( <unfinished ...>",
        b'8 execve("/bin/cat", 0x1, 0x2) = 0',
        b"7 <... vfork resumed>) = 8",
        b'7 stat("/a", 0x1) = 0',
        b'8 stat("/b", 0x1) = 0',
    )
    names = {e.target.path: programs[e.program].name for e in sink.events if isinstance(e.target, PathTarget)}
    assert (names[b"/a"], names[b"/b"]) == ("/bin/true", "/bin/cat")


def test_two_forks_at_once_wait_for_their_results() -> None:
    reader, sink, programs = read(
        EXEC,
        b"7 fork() = 8",
        b'8 execve("/bin/cat", 0x1, 0x2) = 0',
        b"7 vfork( <unfinished ...>",
        b"8 vfork( <unfinished ...>",
        b'10 stat("/of-8", 0x1) = 0',
        b'9 stat("/of-7", 0x1) = 0',
        b"8 <... vfork resumed>) = 10",
        b"7 <... vfork resumed>) = 9",
    )
    names = {e.target.path: programs[e.program].name for e in sink.events if isinstance(e.target, PathTarget)}
    assert (names[b"/of-7"], names[b"/of-8"]) == ("/bin/true", "/bin/cat")
    assert reader.lost == 0


def test_a_fork_in_a_pid_namespace_is_known_by_our_number() -> None:
    reader, _, _ = read(EXEC, b"7 vfork() = 2 /* 24330 in strace's PID NS */")
    assert set(reader.living()) == {7, 24330}


def test_exec_from_a_thread_takes_the_leaders_place() -> None:
    for outcome in (b"0", b"-1 (errno 18446744073709551359)"):
        reader, sink, programs = read(
            EXEC,
            b"7 clone3({flags=0x3d0f00}, 88) = 8",
            b'8 execve("/bin/cat", 0x1, 0x2 <pid changed to 7 ...>',
            b"7 +++ superseded by execve in pid 8 +++",
            b"7 <... execve resumed>) = " + outcome,
            b'7 stat("/a", 0x1) = 0',
            b"7 +++ exited with 0 +++",
        )
        assert [e.outcome for e in sink.events] == [0, 0, 0]
        assert programs[sink.events[-1].program].name == "/bin/cat"
        assert reader.main_exited and not reader.living() and reader.lost == 0


def test_a_cut_last_line_is_lost() -> None:
    sink = Collector()
    reader = Reader(ProgramTable(), sink)
    reader.feed(EXEC + b'\n7 stat("/etc/pas')
    reader.close()
    assert (reader.lost, len(sink.events)) == (1, 1)


def test_repetitions_are_counted_and_not_sent() -> None:
    line = b'7 newfstatat(-100</c>, "/usr", 0x7ffd1234567%d, 0) = 0'
    reader, sink, _ = read(EXEC, *(line % n for n in range(5)), line % 0)
    assert (reader.calls, len(sink.events)) == (7, 2)
    link = b'7 symlink("x", "/nowhere/l") = 0'
    _, sink, _ = read(EXEC, line % 1, link, line % 1)
    assert [e.call for e in sink.events] == ["execve", "newfstatat", "symlink", "newfstatat"]
    assert sink.forgotten == 1


def test_buffers_are_told_from_names_and_flags() -> None:
    _, sink, _ = read(EXEC, *(b'7 stat(", 0x7ffd1234567%d", 0x1) = 0' % n for n in range(3)))
    assert len(sink.events) == 4
    opened = (b'7 openat(-100</c>, "/a", 0x%d00000) = 3</a>' % flags for flags in (2, 4))
    _, sink, _ = read(EXEC, *opened)
    assert [e.operation for e in sink.events[1:]] == [Operation.STAT, Operation.READ]


def test_foreign_calls_carry_their_abi() -> None:
    _, sink, _ = read(
        EXEC,
        b"7 [ Process PID=7 runs in 32 bit mode. ]",
        b'7 open("/etc/hosts", 0) = 3</etc/hosts>',
        b"7 [ Process PID=7 runs in 64 bit mode. ]",
        b'7 open("/etc/hosts", 0) = 3</etc/hosts>',
    )
    assert [e.call for e in sink.events[1:]] == ["i386:open", "open"]


def test_signals_are_told() -> None:
    heard: list[int] = []
    reader = Reader(ProgramTable(), Collector())
    reader.on_signal = reader.on_stop = heard.append
    reader.feed(EXEC + b"\n7 --- SIGINT {si_signo=2} ---\n7 --- stopped by SIGTSTP ---\n7 --- SIGRT_9 {} ---\n")
    assert heard == [2, 20]
