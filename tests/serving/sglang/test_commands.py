"""What schedulers do when they are asked, with an engine that only remembers what it was told."""
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.compiler.test_cpu import POINT, geometry_of
from tests.compiler.world import built_in
from tests.serving.sglang.pool import Pool
from vortex.config import OperatingPoint
from vortex.errors import BudgetError, EngineError, GraphError, PointError, VortexError
from vortex.ir import Graph
from vortex.serving.sglang.commands import Commands
from vortex.serving.sglang.counters import Counters
from vortex.serving.sglang.log import Log
from vortex.serving.sglang.served import Served

QUEST, STATEFUL = (built_in(name, geometry_of(name)) for name in ("quest", "h2o"))
TOLD = json.loads(POINT.model_dump_json())


@dataclass
class Backend:
    """Serves a Pool's summaries for whichever flow it is told to use; `refuses` flows of these names."""

    refuses: tuple[str, ...] = ()
    served: Served | None = None
    recorder: Any = None
    counters: Counters = field(default_factory=lambda: Counters(device=torch.device("cpu")))
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    used: list[str | None] = field(default_factory=list)
    captured: int = 0

    def use(self, graph: Graph | None, point: OperatingPoint) -> None:
        if graph is not None and graph.name in self.refuses:
            raise BudgetError("does not fit", hint="Take less.")
        self.used.append(None if graph is None else graph.name)
        self.served = None if graph is None else Pool(graph, point, [40, 95]).served

    def recapture(self) -> None:
        self.captured += 1

    def summarise_all(self) -> None:
        assert self.served is not None
        self.served.rebuild(torch.arange(1, self.served.pages.k(0).shape[1]))


@dataclass
class Host:
    """`others` is what the other ranks say."""

    rank: int = 3
    sharing: bool = True
    others: bool = True
    holds: bool = False
    did: list[str] = field(default_factory=list)
    agreed: list[bool] = field(default_factory=list)

    @contextmanager
    def retracted(self) -> Iterator[None]:
        self.did.append("retract")
        try:
            yield
        finally:
            self.did.append("continue")

    def flush(self) -> None:
        if self.holds:
            raise EngineError("requests still hold pages")
        self.did.append("flush")

    def share_prefixes(self, wanted: bool) -> bool:
        self.did.append(f"share {wanted}")
        return wanted and self.sharing

    def agree(self, well: bool) -> bool:
        self.agreed.append(well)
        return well and self.others

    def settle(self) -> None:
        self.did.append("settle")

    def health(self) -> Mapping[str, Any]:
        return {"running": 2, "waiting": 1}


def made(graph: Graph | None = QUEST, **settings: Any) -> tuple[Commands, Backend, Host]:
    backend, host = Backend(refuses=settings.pop("refuses", ())), Host(**settings)
    backend.use(graph, POINT)
    commands = Commands(backend, host, graph, POINT)
    host.did.clear()
    return commands, backend, host


def asked(commands: Commands, **body: Any) -> dict[str, Any]:
    return commands.answer(json.dumps(body))


def use(commands: Commands, graph: Graph | None) -> dict[str, Any]:
    return asked(commands, do="use", graph=graph and json.loads(graph.to_json()), point=TOLD)


def test_a_flow_is_swapped_while_nothing_runs_and_what_it_costs_is_told() -> None:
    commands, backend, host = made(None)
    answer = use(commands, QUEST)
    assert backend.used == [None, "quest"] and host.did == ["retract", "share True", "continue"]
    assert backend.served is not None and answer["index_bytes"] == backend.served.summaries.bytes > 0
    assert (answer["flow"], answer["radix"]) == ("quest", True) and answer["seconds"] > 0
    assert use(commands, None)["index_bytes"] == 0 and asked(commands, do="counters")["swaps"] == 2


def test_flows_with_state_empty_the_prefix_cache_and_keep_it_off_until_one_without_comes() -> None:
    commands, _, host = made()
    assert not use(commands, STATEFUL)["radix"]
    assert host.did == ["retract", "flush", "share False", "continue"]
    assert not asked(commands, do="counters")["radix"] and use(commands, QUEST)["radix"]


def test_a_server_that_begins_with_a_flow_with_state_shares_no_prefixes() -> None:
    host = Host()
    Commands(Backend(), host, STATEFUL, POINT)
    assert host.did == ["share False"]


def test_a_server_without_a_prefix_cache_never_gets_one() -> None:
    commands, _, _ = made(STATEFUL, sharing=False)
    assert not use(commands, QUEST)["radix"]


def test_a_refused_flow_leaves_the_old_one_and_requests_go_on() -> None:
    commands, backend, host = made(refuses=("h2o",))
    with pytest.raises(BudgetError, match="does not fit"):
        use(commands, STATEFUL)
    assert backend.used == ["quest"] and host.did[-1] == "continue"
    told = asked(commands, do="counters")
    assert (told["flow"], told["swaps"], told["radix"]) == ("quest", 0, True)


def test_a_flow_that_another_rank_refuses_is_taken_back_here() -> None:
    commands, backend, host = made()
    host.others = False
    with pytest.raises(EngineError, match="another rank"):
        use(commands, None)
    assert backend.used == ["quest", None, "quest"] and asked(commands, do="counters")["flow"] == "quest"
    assert backend.captured == 1


def test_it_is_taken_back_even_where_it_lies_in_the_memory_of_the_old_one() -> None:
    commands, backend, host = made()
    host.others = False
    old = backend.served
    assert old is not None

    def same_place(graph: Graph | None, point: OperatingPoint) -> None:
        backend.used.append(graph and graph.name)
        backend.served = old              # the same id

    backend.use = same_place  # type: ignore[method-assign]
    with pytest.raises(EngineError, match="another rank"):
        use(commands, STATEFUL)
    assert backend.used == ["quest", "h2o", "quest"]


def test_graphs_that_cannot_be_captured_bring_the_old_flow_and_its_graphs_back() -> None:
    commands, backend, _ = made()
    healthy = backend.recapture

    def broken() -> None:
        backend.recapture = healthy  # type: ignore[method-assign]
        raise RuntimeError("out of memory")

    backend.recapture = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="out of memory"):
        use(commands, None)
    assert backend.used == ["quest", None, "quest"] and backend.captured == 1


def test_a_flow_that_breaks_while_it_is_built_is_undone() -> None:
    commands, backend, _ = made()
    healthy = backend.use

    def broken(graph: Graph | None, point: OperatingPoint) -> None:
        backend.served, backend.use = None, healthy  # type: ignore[method-assign]
        raise MemoryError("no room")

    backend.use = broken  # type: ignore[method-assign]
    with pytest.raises(MemoryError, match="no room"):
        use(commands, None)
    assert backend.used == ["quest", "quest"] and backend.served is not None


def test_a_flow_that_cannot_be_brought_back_does_not_keep_other_ranks_waiting() -> None:
    commands, backend, host = made()

    def broken(graph: Graph | None, point: OperatingPoint) -> None:
        backend.served = None
        raise MemoryError(f"no room for {graph and graph.name}")

    backend.use = broken  # type: ignore[method-assign]
    with pytest.raises(MemoryError, match="no room for quest"):
        use(commands, STATEFUL)
    assert host.agreed == [False, False] and backend.captured == 1


def test_requests_that_hold_pages_keep_a_flow_with_state_out() -> None:
    commands, backend, host = made()
    host.holds = True
    with pytest.raises(EngineError, match="still hold pages"):
        use(commands, STATEFUL)
    assert backend.used == ["quest"] and host.did == ["retract", "continue"]


@pytest.mark.parametrize(("body", "kind", "says"), [
    ({"do": "fly"}, EngineError, "unknown request 'fly'"),
    ({}, EngineError, "'do'"),
    ({"do": "use", "graph": {}, "point": TOLD}, GraphError, "not a Graph"),
    ({"do": "use", "graph": None}, EngineError, '"point" is missing'),
    ({"do": "use", "graph": None, "point": {"topk": 3}}, PointError, "topk is not a setting"),
    ({"do": "record", "what": "tokens"}, EngineError, "cannot record 'tokens'"),
    ({"do": "record"}, EngineError, "cannot record None"),
    ({"do": "stop-record", "path": "x"}, EngineError, "nothing is being recorded"),
    ({"do": "audit"}, EngineError, '"on" is true or false'),
    ({"do": "step-times", "on": 1}, EngineError, '"on" is true or false'),
])
def test_what_cannot_be_is_refused_and_changes_nothing(body: Any, kind: type[VortexError], says: str) -> None:
    commands, backend, host = made()
    with pytest.raises(kind, match=says):
        commands.answer(json.dumps(body))
    assert backend.used == ["quest"] and host.did == [] and commands.audit is None


@pytest.mark.parametrize("text", ["", "7", "[]", "null", '"use"', "{"])
def test_a_request_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(EngineError, match="a request is a JSON object"):
        made()[0].answer(text)


@pytest.mark.parametrize("name", ["wipe", "rebuild"])
def test_where_no_flow_is_served_there_is_nothing_to_wipe_or_rebuild(name: str) -> None:
    with pytest.raises(EngineError, match="no flow is served"):
        asked(made(None)[0], do=name)


def test_wiped_summaries_come_back_from_the_pages() -> None:
    commands, backend, _ = made()
    assert backend.served is not None
    field_ = next(iter(backend.served.summaries.fields[0].values()))
    asked(commands, do="wipe")
    assert field_.isnan().all()
    asked(commands, do="rebuild")
    assert not field_[:, 1:].isnan().any()


def test_a_recording_is_saved_by_rank_under_the_names_of_requests(tmp_path: Path) -> None:
    commands, backend, _ = made()
    asked(commands, do="record", what="selections")
    with pytest.raises(EngineError, match="under way"):
        asked(commands, do="record", what="mass")
    pool = Pool(QUEST, POINT, [40, 95])
    step = pool.step(backend.recorder)
    step.batch = type(step.batch)(names=("vortex:5:a", "b"), lens=step.batch.lens, tables=step.batch.tables, seeds=(5, 6))
    step.attend(1, pool.query(), 1.0)
    answer = asked(commands, do="stop-record", path=str(tmp_path / "events"))
    (event,) = torch.load(tmp_path / "events.3")
    assert answer["events"] == 1 and answer["path"] == str(tmp_path / "events.3") and answer["bytes"] > 0
    assert event["requests"] == ["a", "b"] and event["layer"] == 1 and event["lens"] == [40, 95]
    assert backend.recorder is None


def test_a_recording_that_grows_too_large_stops_and_is_refused(tmp_path: Path) -> None:
    pool, log = Pool(QUEST, POINT, [40, 95]), Log("qkv", most=10_000)
    for _ in range(4):
        pool.step(log).attend(0, pool.query(), 1.0)
    assert len(log.recording.events) == 1
    with pytest.raises(EngineError, match="grew past 10,000 bytes"):
        log.save(tmp_path / "events")


def test_a_recording_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot write"):
        Log("mass").save(tmp_path / "nowhere" / "events")


def test_answers_are_written_for_who_waits_whatever_happens(tmp_path: Path) -> None:
    commands, backend, _ = made()

    def told() -> Any:
        return json.loads((tmp_path / "3.json").read_text())

    commands.carry_out('{"do": "health"}', str(tmp_path))
    assert told() == {"ok": True, "rank": 3, "running": 2, "waiting": 1}
    commands.carry_out('{"do": "fly"}', str(tmp_path))
    assert not told()["ok"] and told()["error"]["code"] == "EngineError"
    backend.counters = None  # type: ignore[assignment]
    commands.carry_out('{"do": "counters"}', str(tmp_path))
    assert told()["error"]["message"].startswith("AttributeError")
    commands.carry_out('{"do": "health"}', str(tmp_path / "gone"))


def test_step_times_are_those_from_one_decode_step_to_the_next() -> None:
    commands, _, _ = made()
    assert asked(commands, do="step-times", on=False) == {"steps": []}
    asked(commands, do="step-times", on=True)
    clock = commands.clock
    assert clock is not None
    for batch, decode in ((2, True), (2, True), (2, False), (3, True), (3, True)):
        clock.result(batch, decode)
    clock.idle()
    clock.result(4, True)
    steps = asked(commands, do="step-times", on=False)["steps"]
    assert [batch for batch, _ in steps] == [2, 3] and all(seconds >= 0 for _, seconds in steps) and commands.clock is None


def test_steps_of_no_request_do_not_count() -> None:
    counters = Counters(device=torch.device("cpu"))
    counters.chose(torch.tensor([[2, 3]]))
    with counters.apart():
        counters.chose(torch.tensor([[100, 100]]))
    counters.chose(torch.tensor([[4, 1]]))
    assert counters.told()["selected_blocks"] == 10


def test_counters_tell_what_steps_chose_of_what_there_was() -> None:
    counters, pool = Counters(device=torch.device("cpu")), Pool(QUEST, POINT, [40, 95, 333])
    step = pool.step()
    step.counters = counters
    lists = [pool.served.program.select(step.plan, q := pool.query(), pool.served.pages.k(0), pool.served.pages.v(0),
                                        pool.served.summaries.fields[0], {}, 0)]
    step.attend(0, q, 1.0)
    counters.step(dense=True)
    told = counters.told()
    assert told["possible_blocks"] == 2 * (3 + 6 + 21) and told["selected_blocks"] == int(lists[0].counts.sum())
    assert (told["steps"], told["dense_steps"]) == (1, 1)
    counters.layer((3, 6, 21), 2, None)
    assert counters.told()["selected_blocks"] == int(lists[0].counts.sum()) + 60
