"""``sbx shell-init``: the functions by which a command's name runs it confined."""

import sys

import click

from learner.cli.profiles import PROFILE, open_profile
from learner.errors import InputFileError, UsageError
from learner.names import to_text
from learner.shells import Shell, Wrapper, fits, script
from learner.store import check_name, profile_files
from learner.variables import Variables


@click.command("shell-init")
@click.argument("shell", type=click.Choice([shell.value for shell in Shell]))
@click.argument("names", nargs=-1, type=PROFILE, metavar="[NAME]...")
def shell_init(shell: str, names: tuple[str, ...]) -> None:
    """Print a wrapper function for each stored profile (or for those named), for SHELL to evaluate.

    Typing `vibe` then is `sbx run vibe -- vibe`, in the current project. `command vibe` is the bare program.

    \b
    bash:  echo 'eval "$(sbx shell-init bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(sbx shell-init zsh)"' >> ~/.zshrc
    fish:  echo 'sbx shell-init fish | source' >> ~/.config/fish/config.fish
    """
    stored = {name for name, _ in profile_files()}
    for name in names:
        if check_name(name) not in stored:
            raise UsageError(f"there is no profile called {to_text(name)}", "`sbx list` shows those that exist")
    variables = Variables.here()
    wrappers, skipped = [], []
    for name in sorted(set(names) or stored):
        if not fits(name):
            skipped.append(f"{name}: a function of that name would get in the shell's way")
            continue
        try:
            command = open_profile(name, variables).command
        except InputFileError as problem:
            skipped.append(" ".join(to_text(str(problem)).split()))
            continue
        if command:
            wrappers.append(Wrapper(name, command))
        else:
            skipped.append(f"{name}: its profile names no command")
    for remark in skipped:
        click.echo(f"sbx: left out: {remark}", err=True)
    sys.stdout.buffer.write(script(Shell(shell), wrappers, skipped))
