"""What the command line says of itself: whole sentences, and a script for each shell's completion."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli.main import cli
from tests.support.command import ROOT

SHELLS = {"bash": "complete -o", "zsh": "#compdef sweep", "fish": "complete --no-files --command sweep"}


@pytest.mark.parametrize("verb", ["", *sorted(cli.commands)])
@pytest.mark.parametrize("width", [80, 120])
def test_no_sentence_is_cut(verb: str, width: int) -> None:
    shown = CliRunner().invoke(cli, [*filter(None, [verb]), "--help"], terminal_width=width).output
    assert shown.startswith("Usage: ")
    assert "..." not in shown.replace("[ARGS]...", "")


def test_the_list_of_commands_says_what_each_is_for_in_a_sentence() -> None:
    shown = CliRunner().invoke(cli, ["--help"], terminal_width=80).output
    listed = dict(re.findall(r"^  ([\w-]+) +(\S.*)$", shown.partition("Commands:")[2], re.MULTILINE))
    assert set(listed) == set(cli.commands)
    assert all(re.search(r"[.?]$", sentence) for sentence in listed.values()), listed


def test_every_option_has_a_description() -> None:
    undescribed = {
        f"{name} {option.opts[0]}"
        for name, verb in cli.commands.items()
        for option in verb.params
        if isinstance(option, click.Option) and not option.help
    }
    assert undescribed == {"plan --format", "report --format"}


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_for_a_shell_is_a_script(shell: str, tmp_path: Path) -> None:
    program = "import sys; sys.argv[0] = 'sweep'; from orchestrator.cli.main import main; main()"
    variables = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**variables, "_SWEEP_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, SHELLS[shell] in done.stdout) == (0, True), done.stdout + done.stderr


def test_completion_knows_commands_and_options(tmp_path: Path) -> None:
    program = "import sys; sys.argv[0] = 'sweep'; from orchestrator.cli.main import main; main()"
    for typed, expected in (("sweep lr", "plain,lr-find"), ("sweep report --fo", "plain,--format")):
        variables = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "COMP_WORDS": typed}
        variables |= {"COMP_CWORD": str(len(typed.split()) - 1), "_SWEEP_COMPLETE": "bash_complete"}
        done = subprocess.run(
            [sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == [expected]
