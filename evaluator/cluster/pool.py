"""Who may use which worker, and when: slots on nodes, lent in the order of asking. No Ray in here."""
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from evaluator.report import Status
from evaluator.worker import JobError

_LOOK_S = 0.5
Place: TypeAlias = tuple[str, int]              # node and number of a slot


@dataclass(frozen=True, kw_only=True)
class Node:
    """A machine that holds up to `room` workers; with `gpus`, each of them has its own."""

    id: str
    room: int
    gpus: bool = False


@dataclass(eq=False)
class Slot:
    """A place for one worker. `warm` tells what was last loaded and used there; `held` is the worker, while there is one."""

    node: Node
    number: int
    lent: bool = False
    warm: tuple[str, ...] = ()
    held: Any = None

    @property
    def name(self) -> str:
        return f"{self.node.id[:8]}/{self.number}"


@dataclass(frozen=True, kw_only=True)
class Want:
    """`warm`: what would be welcome in the worker, dearest first. `alone`: nothing else may run on its node
    meanwhile, unless each worker there has a GPU to itself. `avoid`: names of slots where the job was lost before."""

    warm: tuple[str, ...] = ()
    alone: bool = False
    avoid: Collection[str] = ()


@dataclass(eq=False)
class _Waiter:
    want: Want
    granted: list[Slot] = field(default_factory=list)


class Pool:
    """Lends slots, `most` of them at once. `nodes` tells which machines there are now: they come and go. Whoever waits while
    there is no slot at all gives up after `patience_s`."""

    def __init__(self, nodes: Callable[[], Collection[Node]], most: int | None = None, patience_s: float = 60.0) -> None:
        self._nodes = nodes
        self._most = most
        self._patience_s = patience_s
        self._retired: set[Place] = set()
        self._changed = threading.Condition()
        self._slots: list[Slot] = []
        self._waiting: list[_Waiter] = []
        self._closed = False
        self.refresh()

    @property
    def slots(self) -> list[Slot]:
        with self._changed:
            return list(self._slots)

    @contextmanager
    def lend(self, want: Want) -> Iterator[Slot]:
        """Waits for a slot and holds it. Raises JobError (infrastructure) when there will be none."""
        waiter = _Waiter(want)
        try:
            self._wait(waiter)
            yield waiter.granted[0]
        finally:
            with self._changed:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
                for slot in waiter.granted:
                    slot.lent = False
                self._grant()

    def refresh(self) -> None:
        """Drops slots of nodes that are gone and makes those of nodes that came, evenly, up to the most."""
        alive = {node.id: node for node in self._nodes()}
        with self._changed:
            self._slots = [slot for slot in self._slots if slot.node.id in alive]
            while more := _next_slot(alive, self._slots, self._retired, self._most):
                self._slots.append(more)
            self._grant()

    def retire(self, slot: Slot) -> None:
        """Never lends it again: what ran there cannot be ended."""
        with self._changed:
            self._retired.add((slot.node.id, slot.number))
            self._slots = [other for other in self._slots if other is not slot]

    def close(self) -> None:
        """Whoever waits is told that there will be no turn."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait(self, waiter: _Waiter) -> None:
        with self._changed:
            self._waiting.append(waiter)
        hopeful = time.monotonic()
        while True:
            self.refresh()
            with self._changed:
                if not waiter.granted and not self._closed:
                    self._changed.wait(_LOOK_S)
                if waiter.granted:
                    return
                if self._closed:
                    raise JobError(Status.INFRASTRUCTURE, "closed", "the workers were ended while a stage waited for its turn")
                hopeful = time.monotonic() if self._slots else hopeful
            if time.monotonic() - hopeful > self._patience_s:
                raise JobError(Status.INFRASTRUCTURE, "no-worker", f"no node held a worker for {self._patience_s:g} s")

    def _grant(self) -> None:
        """Goes through those who wait, first come first served; who wants a node alone keeps it from later ones."""
        kept: set[str] = set()
        for waiter in list(self._waiting):
            free = [slot for slot in self._slots if slot.node.id not in kept and not slot.lent]
            if waiter.want.alone:
                busy = {node: sum(slot.lent for slot in slots) for node, slots in self._by_node().items() if node not in kept}
                free = [slot for slot in free if slot.node.gpus or not busy[slot.node.id]]
                if busy and not free:
                    kept.add(min(busy, key=lambda node: busy[node]))
            if free:
                self._give(waiter, max(free, key=lambda slot: _liking(slot, waiter.want)))
        self._changed.notify_all()

    def _give(self, waiter: _Waiter, slot: Slot) -> None:
        others = self._by_node()[slot.node.id] if waiter.want.alone and not slot.node.gpus else [slot]
        waiter.granted = [slot, *(other for other in others if other is not slot)]
        for one in waiter.granted:
            one.lent = True
        self._waiting.remove(waiter)

    def _by_node(self) -> Mapping[str, list[Slot]]:
        found: dict[str, list[Slot]] = {}
        for slot in self._slots:
            found.setdefault(slot.node.id, []).append(slot)
        return found


def _liking(slot: Slot, want: Want) -> tuple[bool, int, bool]:
    """Elsewhere than before, then as much as possible of what is wanted loaded; rather none than other things."""
    same = 0
    for have, wanted in zip(slot.warm, want.warm, strict=False):
        if have != wanted:
            break
        same += 1
    return slot.name not in want.avoid, same, not slot.warm


def _next_slot(nodes: Mapping[str, Node], slots: Collection[Slot], retired: Collection[Place], most: int | None) -> Slot | None:
    """One more slot, on the node that has the fewest; None where no more fits."""
    if most is not None and len(slots) >= most:
        return None
    held = {node: sum(slot.node.id == node for slot in slots) for node in nodes}
    taken = {*retired, *((slot.node.id, slot.number) for slot in slots)}
    free = [(node.id, number) for node in nodes.values() for number in range(node.room) if (node.id, number) not in taken]
    if not free:
        return None
    node, number = min(free, key=lambda place: held[place[0]])
    return Slot(nodes[node], number)
