"""``sbx completion``: the script by which a shell completes commands, options and profile names."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    bash:  echo 'eval "$(sbx completion bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(sbx completion zsh)"' >> ~/.zshrc
    fish:  sbx completion fish > ~/.config/fish/completions/sbx.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None  # click has all three
    click.echo(kind(ctx.find_root().command, {}, "sbx", "_SBX_COMPLETE").source())
