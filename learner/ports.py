"""The ports that the kernel hands out by itself."""

import functools
import sys

_SETTING = "/proc/sys/net/ipv4/ip_local_port_range"
_OF_MACOS = range(49152, 65536)  # net.inet.ip.portrange.first and last, the defaults (IANA's dynamic ports)


@functools.cache
def ephemeral_ports() -> range:
    """Those of ip(7), ip_local_port_range; of macOS where this is one."""
    if sys.platform == "darwin":
        return _OF_MACOS
    with open(_SETTING) as setting:
        low, high = setting.read().split()
    return range(int(low), int(high) + 1)
