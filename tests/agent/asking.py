"""A campaign's rounds with a language model that is played: what tests of proposers share."""
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent import mix
from agent.attendance import Attendance
from agent.caller import Caller
from agent.campaign import Campaign, from_json
from agent.desk import Desk
from agent.models.base import Answer, Ask, Stop, Text, Usage
from agent.prepare import Ready
from agent.proposers.base import Parent
from agent.purse import Limits, Purse
from agent.rounds import Rounds
from search.candidate import FlowRecord, flow_record
from search.store.archive import Archive
from vortex import flows
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.errors import VortexError
from vortex.ir import Geometry, Parameter

PROBE = Geometry(block_size=16, head_dim=64, group=2)
FLOW = '''```python
"""Idea {n}."""
from vortex import ops, register, vFlow


@register("idea-{n}")
class Idea(vFlow):
    def forward_cache(self, cache):
        cache["mean"] = cache["k"].mean(dim=1) + cache["k"].max(dim=1) * {n}.5

    def forward_indexer(self, q, cache):
        return ops.topk((q @ cache["mean"].T).max(dim=1))
```
Mechanism: peaks of page {n} count.
Prediction: accuracy up by 0.02
'''


@dataclass
class Model:
    """Answers with one new flow a call, unless `fails` says what is raised at a call."""

    name: str = "scripted:test"
    fails: dict[int, BaseException] = field(default_factory=dict)
    asks: list[Ask] = field(default_factory=list)
    text: str = FLOW

    def ask(self, ask: Ask) -> Answer:
        self.asks.append(ask)
        if (error := self.fails.get(len(self.asks))) is not None:
            raise error
        return Answer(parts=(Text(self.text.format(n=len(self.asks))),), stop=Stop.END, usage=Usage(input=100, output=10),
                      model=self.name)


def campaign(*proposers: dict[str, object], **budget: object) -> Campaign:
    return from_json({"campaign": {"name": "made", "seed": 5, "plateau": 2}, "proposer": list(proposers),
                      "budget": {"candidates": 12, "round_size": 4, **budget}}, "made")


def quick(text: str, path: str, parameters: Sequence[Parameter] = ()) -> tuple[FlowRecord, VortexError | None]:
    """The loader without its child process."""
    try:
        graph = load(text, path, PROBE, parameters=parameters)
    except VortexError as error:
        return flow_record(path, text, None), error
    return flow_record(graph.name, text, graph), None


def rounds(made: Campaign, archive: Archive, models: dict[str, Model], told: list[str] | None = None) -> Rounds:
    if archive.campaign(made.name) is None:
        archive.create_campaign(made.name, "", made.to_json(), made.seed)
    notes = [] if told is None else told
    purse = Purse(ledger=archive.ledger(made.name), campaign=Limits(dollars=made.dollars, calls=made.calls))
    desks = {label: Desk(campaign=made.name, goal="", proposer=label, key="", archive=archive, entries=(), note=notes.append,
                         load=quick, caller=Caller(model, archive.ledger(made.name), purse, label))
             for label, model in models.items()}
    seeds = tuple(Parent(name=name, graph=load(flows.read(name)[1], name, PROBE), point=OperatingPoint())
                  for name in ("quest", "centroid"))
    return Rounds(campaign=made, archive=archive, ready=Ready(PROBE, seeds), desks=desks,
                  attendance=Attendance(mix.seats(made.proposers), notes.append))
