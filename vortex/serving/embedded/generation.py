"""One call of generate: prefill whoever may enter, else decode one token for all that run, until nobody is left."""
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from vortex.serving.embedded.batch import Batch
from vortex.serving.embedded.graphed import Answer, answer
from vortex.serving.embedded.runner import Runner
from vortex.serving.embedded.sampling import next_tokens
from vortex.serving.embedded.scheduler import Running, Scheduler
from vortex.serving.engine import Completion
from vortex.serving.recording import Recorder


@dataclass
class Generation:
    """`stop_tokens` are the model's own; a request may bring others."""

    runner: Runner
    scheduler: Scheduler
    stop_tokens: tuple[int, ...]
    recorder: Recorder | None = None
    _batch: Batch | None = field(default=None, init=False)

    def run(self) -> Iterator[Completion]:
        while self.scheduler.waiting or self.scheduler.running:
            group = self.scheduler.admit()
            ended = self._prefill(group) if group else self._decode()
            if group or ended:
                self._batch = None
            for entry, finish in ended:
                yield _completion(entry, finish)

    def _prefill(self, group: Sequence[Running]) -> list[tuple[Running, Literal["stop", "length"]]]:
        began = time.perf_counter()
        start = group[0].cached
        fresh = [entry.tokens[start:] for entry in group]
        logits = self.runner.prefill(fresh, start, [entry.blocks for entry in group])
        self.scheduler.prefilled(group)
        self._append(group, answer(logits))
        for entry in group:
            entry.prefill_s = time.perf_counter() - began
        return self._leave(group)

    def _decode(self) -> list[tuple[Running, Literal["stop", "length"]]]:
        began = time.perf_counter()
        running = list(self.scheduler.running)
        if self._batch is None:
            self._batch = Batch([entry.request.id for entry in running], [entry.request.seed for entry in running],
                                [entry.blocks for entry in running],
                                [len(entry.request.tokens) + 1 for entry in running], self.runner.pool.shape.device)
        found = self.runner.decode(self._batch, [entry.tokens[-1] for entry in running],
                                   [len(entry.tokens) for entry in running], self.recorder)
        self._append(running, found)
        for entry in running:
            entry.decode_s += time.perf_counter() - began
        return self._leave(running)

    def _append(self, entries: Sequence[Running], found: Answer) -> None:
        for entry, token in zip(entries, next_tokens(found, [e.sampler for e in entries]), strict=True):
            entry.tokens.append(token)

    def _leave(self, entries: Sequence[Running]) -> list[tuple[Running, Literal["stop", "length"]]]:
        """Who is done gives its blocks back."""
        ended = [(entry, finish) for entry in entries if (finish := self._finish(entry)) is not None]
        for entry, _ in ended:
            self.scheduler.finish(entry)
        return ended

    def _finish(self, entry: Running) -> Literal["stop", "length"] | None:
        request = entry.request
        stops = self.stop_tokens if request.stop is None else request.stop
        if not request.ignore_eos and entry.tokens[-1] in stops:
            return "stop"
        return "length" if len(entry.tokens) - len(request.tokens) >= request.max_new_tokens else None


def _completion(entry: Running, finish: Literal["stop", "length"]) -> Completion:
    return Completion(id=entry.request.id, tokens=entry.new, finish=finish, prefill_s=entry.prefill_s,
                      decode_s=entry.decode_s, cached_tokens=entry.cached)
