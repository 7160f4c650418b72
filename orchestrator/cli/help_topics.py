"""`sweep help`: what does not fit into the help of one command."""

from collections.abc import Mapping

import click
from rich.console import Console

from experiments.settings import unknown

TOPICS: Mapping[str, str] = {
    "keys": "every key of a sweep file: type, default, limit; `sweep help keys schedules.cosine` for some of them"
}


@click.command("help")
@click.argument("topic", required=False)
@click.argument("key", required=False)
@click.option("--markdown", is_flag=True, help="As Markdown.")
def command(topic: str | None, key: str | None, markdown: bool) -> None:
    """Explain a topic, or list the topics."""
    if topic is None:
        for name, meaning in TOPICS.items():
            click.echo(f"sweep help {name}   {meaning}")
        return
    if topic not in TOPICS:
        raise unknown("help", "topic", topic, TOPICS)
    from orchestrator.console import key_reference
    from orchestrator.spec import reference

    sections = reference.below(key) if key else reference.sections()
    if markdown:
        click.echo(key_reference.markdown(sections), nl=False)
    else:
        key_reference.render(sections, Console())
