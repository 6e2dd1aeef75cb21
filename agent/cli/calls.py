"""`vortex calls CAMPAIGN [ID]`: the calls of language models, what they cost, and what was said in one."""
import json as jsons
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

from agent.cli.money import money_text, spent_text
from agent.cli.options import DEFAULT_DB, Db, Json
from agent.cli.text import columns, to_json
from agent.opening import recorded
from agent.quoting import plain
from agent.transcript import transcript as told
from search.store.archive import open_archive
from search.store.calls import CallRecord

HEAD = ("#", "call", "model", "ended", "in", "cached", "out", "cost", "time")


def command(
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The name of a campaign.")],
    call: Annotated[int | None, typer.Argument(metavar="[ID]", help="The number of a call: all that was said in it.")] = None,
    proposer: Annotated[str | None, typer.Option(help="Only those of this proposer.")] = None,
    settle: Annotated[float | None, typer.Option(min=0, metavar="DOLLARS", help="What a lost call did cost.")] = None,
    transcript: Annotated[bool, typer.Option("--transcript", help="All that was said, from start to end, each once.")] = False,
    db: Db = DEFAULT_DB,
    json: Json = False,
) -> None:
    """List the calls of a campaign, or show one in full: prompt, thinking, answer, tools, tokens, money.

    A lost call is one whose process ended before its answer was kept; the most it could cost stays counted until it is settled.
    """
    archive = open_archive(db, create=False)
    ledger = archive.ledger(recorded(archive, campaign).name)
    if call is not None:
        record = ledger.call(call) if settle is None else ledger.settle(call, settle)
        print(to_json(_body(record)) if json else _whole(record))
        return
    if settle is not None:
        raise typer.BadParameter("say which call: vortex calls CAMPAIGN ID --settle DOLLARS")
    records = [one for one in ledger.calls() if proposer in (None, one.proposer)]
    if transcript:
        print(told(records))
    elif json:
        print(to_json([{key: value for key, value in _body(one).items() if key not in ("ask", "answer")} for one in records]))
    elif not records:
        print("no call was made")
    else:
        print(columns([HEAD, *map(_line, records)]))
        print(spent_text(ledger.spent(proposer)))


def _body(record: CallRecord) -> dict[str, Any]:
    return {**asdict(record), "tokens": record.tokens}


def _line(one: CallRecord) -> tuple[str, ...]:
    held = money_text(one.dollars) if one.state in ("answered", "failed") else f"≤ {money_text(one.reserved_dollars)}"
    again = f" (attempt {one.attempt})" if one.attempt > 1 else ""
    ended = f"{one.state}: {one.code}" if one.code else one.state
    return (str(one.id), one.key + again, one.model, ended, f"{one.input:,}", f"{one.cache_read + one.cache_write:,}",
            f"{one.output:,}", held, f"{one.seconds:.1f} s")


def _whole(one: CallRecord) -> str:
    rows = [(f"{one.id}", f"{one.key}, attempt {one.attempt}"), ("proposer", one.proposer), ("model", one.model),
            ("ended", f"{one.state} {one.code} {one.message}".strip()),
            ("tokens", f"{one.input:,} in, {one.cache_read:,} read from the cache, {one.cache_write:,} written to it, "
                       f"{one.output:,} out"),
            ("cost", f"{money_text(one.dollars)} of at most {money_text(one.reserved_dollars)}"),
            ("time", f"{one.seconds:.1f} s")]
    settings = {name: value for name, value in one.ask.items() if not isinstance(value, list) and value is not None}
    rows.append(("settings", ", ".join(f"{name} {value}" for name, value in settings.items())))
    # What a model wrote could hold sequences that a terminal obeys.
    return plain("\n".join([columns(rows), *_prompt(one.ask), *_answer(one.answer)]))


def _prompt(ask: Mapping[str, Any]) -> Iterator[str]:
    yield "\n=== system"
    yield from (part["text"] for part in ask.get("system", ()))
    if ask.get("tools"):
        yield f"\n=== tools: {', '.join(tool['name'] for tool in ask['tools'])}"
    for message in ask.get("messages", ()):
        yield f"\n=== {message['role']}"
        yield from map(_part, message["parts"])


def _answer(answer: Mapping[str, Any] | None) -> Iterator[str]:
    if answer is not None:
        yield f"\n=== answer ({answer['stop']})"
        yield from map(_part, answer["parts"])


def _part(part: Mapping[str, Any]) -> str:
    """A part as people read it."""
    match part["kind"]:
        case "thinking":
            return f"(thinks) {part['text']}"
        case "call":
            return f"(calls {part['name']}) {part['broken'] or jsons.dumps(part['arguments'], ensure_ascii=False)}"
        case "result":
            return f"({'failed' if part['failed'] else 'told'}) {part['text']}"
    return str(part["text"])
