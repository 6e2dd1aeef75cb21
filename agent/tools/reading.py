"""The tool `read`: the language, its words, the built-in flows and the campaign, by topic."""
from pathlib import Path
from typing import Annotated

from pydantic import Field

from agent.claims import OBJECTIVES
from agent.cli.text import columns
from agent.tools.bench import Bench, ToolError
from agent.tools.box import Arguments, Spec, spec
from vortex import flows
from vortex.language.calls import nearest
from vortex.language.ops.prose import listed, paragraph

DOCS = Path(__file__).parent.parent.parent / "docs"                   # of a checkout; a wheel goes without
PAGES = ("concepts", "errors", "measurements")


class Topic(Arguments):
    topic: Annotated[str, Field(max_length=80, description="A topic, the name of an op, or the name of a built-in flow.")] = ""


def read(bench: Bench, asked: Topic) -> str:
    """Reads up on a topic: `ops` (all words of the language), the name of one op, `flows` (the built-in flows), the name of
    one for its text, `campaign` (goal, point, knobs, stages), `claims` (what a prediction may speak of). Without a topic:
    what there is."""
    topic = asked.topic.strip()
    texts = {"": _contents, "ops": _ops, "flows": _flows, "campaign": _campaign, "claims": _claims}
    if topic in texts:
        return texts[topic](bench)
    if topic in _pages():
        return (DOCS / f"{topic}.md").read_text()
    op = next((op for op in listed() if op.name == topic.removeprefix("ops.")), None)
    if op is not None:
        return paragraph(op)
    short = flows.aliases().get(topic, topic.replace("_", "-"))
    if short in flows.names():
        return flows.read(short)[1]
    known = [*filter(None, texts), *_pages(), *(op.name for op in listed()), *flows.names()]
    raise ToolError(f"there is no topic {topic!r}", hint=nearest(topic, known))


def _pages() -> list[str]:
    return [name for name in PAGES if (DOCS / f"{name}.md").is_file()]


def _contents(bench: Bench) -> str:
    return columns([("topics", ", ".join(("ops", "flows", "campaign", "claims", *_pages()))),
                    ("ops", ", ".join(op.name for op in listed())), ("flows", ", ".join(flows.names()))])


def _ops(bench: Bench) -> str:
    return columns([(op.name, op.usage, op.meaning) for op in listed()])


def _flows(bench: Bench) -> str:
    return "\n".join(f"{name}: {_first_line(flows.read(name)[1])}" for name in flows.names())


def _campaign(bench: Bench) -> str:
    sizes = bench.geometry
    return f"{bench.about}\nblock size {sizes.block_size}, head dim {sizes.head_dim}, group {sizes.group}"


def _claims(bench: Bench) -> str:
    return columns(list(OBJECTIVES.items()))


def _first_line(source: str) -> str:
    return source.strip().strip('"').partition("\n")[0].rstrip('"')


READING_TOOLS: tuple[Spec, ...] = (spec(read, Topic),)
