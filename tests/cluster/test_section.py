"""The README's section on clusters has every command that the tests on hosts run, and they are commands."""

import pytest
from click.testing import CliRunner

from orchestrator.cli.main import cli
from tests.cluster.conftest import README, TO_LOOK_AT, readme
from tests.support.command import ROOT

COMMANDS = (
    *("make install", "ray get-auth-token", "cp", "$EDITOR", "ray up", "ray exec", "ray down"),
    *("sweep submit", "sweep status", "sweep stop"),
)


@pytest.mark.parametrize("begins", COMMANDS)
def test_a_command_stands_there_once(begins: str) -> None:
    assert readme(begins).startswith(begins)


@pytest.mark.parametrize("verb", ["submit", "status", "stop"])
def test_the_verbs_have_the_options_that_are_shown(verb: str) -> None:
    shown = [word for word in readme(f"sweep {verb}").split() if word.startswith("--")]
    described = CliRunner().invoke(cli, [verb, "--help"]).output
    assert shown
    assert all(option in described for option in shown)


def test_the_values_to_look_at_are_in_the_file() -> None:
    text = (ROOT / readme("cp").split()[1]).read_text()
    assert all(example in text for example in TO_LOOK_AT)
    assert "cluster-local.yaml" in README
