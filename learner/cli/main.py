"""The command ``sbx``: its subcommands, and how errors and interrupts end."""

import errno
import io
import os
import sys
from collections.abc import Sequence

import click

from learner.cli.lazy import Lazy, LazyGroup
from learner.errors import SbxError

_COMMANDS = {
    "learn": Lazy("learner.cli.learn:learn", "Watch a command once; write the profile that it needs."),
    "verify": Lazy("learner.cli.verify:verify", "Ask the kernel whether a profile does what it says."),
    "run": Lazy("learner.cli.run:run", "Run a command confined by its profile."),
    "show": Lazy("learner.cli.show:show", "What a profile grants, and which program needs it."),
    "diagnose": Lazy("learner.cli.diagnose:diagnose", "Why a command fails under its profile, and what mends it."),
    "why": Lazy("learner.cli.why:why", "Which grant admits a path, or which one would."),
    "audit": Lazy("learner.cli.audit:audit", "What an agent's own configuration and the project leave open."),
    "diff": Lazy("learner.cli.diff:diff", "What one profile, version or trace allows that another does not."),
    "check": Lazy("learner.cli.check:check", "Run a command confined; say where its profile no longer fits."),
    "export": Lazy("learner.cli.export:export", "Write a profile in the format of another sandbox."),
    "import": Lazy("learner.cli.import_:import_", "Read the configuration of another sandbox as a profile."),
    "merge": Lazy("learner.cli.merge:merge", "Join profiles into one that grants what any of them grants."),
    "list": Lazy("learner.cli.list:list_profiles", "The profiles that you have."),
    "doctor": Lazy("learner.cli.doctor:doctor", "What this machine can watch and enforce."),
    "shell-init": Lazy("learner.cli.shell_init:shell_init", "Print functions that run your commands confined."),
    "completion": Lazy("learner.cli.completion:completion", "Print the completion script of your shell."),
}
_OUTPUT_LOST = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO)
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib import metadata

        try:
            click.echo(f"sbx {metadata.version('sbx-learn')}")
        except metadata.PackageNotFoundError:
            click.echo("sbx (run from its source, not installed)")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    lazy=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version.",
)
def cli() -> None:
    """Watch a coding agent once, and run it from then on with no more access than it needed.

    \b
    sbx learn -- vibe     start vibe as usual, use it, leave it: its profile is written
    sbx show vibe         read what it needed, and which program needed it
    sbx run vibe          start it confined: whatever it did not need is refused

    `sbx COMMAND --help` tells more of each command.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``sbx`` with ``argv`` (default: the process's own) and return the exit status.

    A command returns its own status, or None for 0. An SbxError becomes two lines on stderr and its status.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no reason to fail
    try:
        status = cli.main(args=None if argv is None else list(argv), prog_name="sbx", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except OSError as error:
        if error.errno not in _OUTPUT_LOST:
            raise
        # The interpreter flushes once more as it ends: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno != errno.EPIPE:  # a reader that has gone (`sbx show | head`) is no news
            click.echo(f"sbx: the output could not be written: {error.strerror}", err=True)
        return SbxError.status
    except SbxError as error:
        click.echo(f"sbx: {error}", err=True)
        if error.remedy:
            click.echo(f"     {error.remedy}", err=True)
        return error.status
    return status if isinstance(status, int) else 0
