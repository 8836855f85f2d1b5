"""The peers, in the order of the table."""

from confined import Baseline
from firejail import firejail, firejail_denied, firejail_private
from greywall import greywall, greywall_denied, greywall_private
from sandlock import COLLAPSE, sandlock

from learner.policy import NO_RIGHT, Right

BASELINES = (
    Baseline(
        "greywall",
        "github.com/GreyhavenHQ/greywall, internal/sandbox: linux.go at 0177398, learning.go and learning_linux.go at"
        " 386e91c, dangerous.go at ddcf8cd, linux_landlock.go at 5aeb9c8",
        greywall,
        greywall_denied,
        greywall_private,
    ),
    Baseline(
        f"sandlock --collapse {COLLAPSE}",
        "github.com/multikernel/sandlock: crates/sandlock-cli/src/learn.rs and docs/learn.md as of pull requests 165,"
        " 209 and 220 (September 2026), crates/sandlock-core/src/{seccomp_plan,landlock}.rs",
        sandlock,
        lambda trace: lambda path: NO_RIGHT,
        lambda trace: lambda path: False,
        Right.ATTRIBUTES,
    ),
    Baseline(
        "firejail --build",
        "github.com/netblue30/firejail: src/fbuilder at ae8f62d, src/firejail/{fs,fs_bin,restrict_users}.c of 2018; the"
        " .inc files of 0.9.72 (Debian 12)",
        firejail,
        firejail_denied,
        firejail_private,
    ),
)
"""The peers, in the order of the table."""
