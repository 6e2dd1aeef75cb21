"""Teacher-forced decode: tokens that are known are fed one by one, and what the model says after each is kept."""
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from vortex.serving.embedded.generation import Generation
from vortex.serving.embedded.graphed import Answer
from vortex.serving.embedded.scheduler import Running
from vortex.serving.engine import Path, Request


@dataclass
class Replay(Generation):
    """A Generation whose next tokens are those of `paths`, by the request's id; `logits` fill up by id, a row a step."""

    paths: dict[str, Path] = field(default_factory=dict)
    logits: dict[str, list[torch.Tensor]] = field(default_factory=dict)

    def _append(self, entries: Sequence[Running], found: Answer) -> None:
        for row, entry in enumerate(entries):
            step = len(entry.new)
            if step:                          # the first answer is the prefill's, which is dense whatever the flow
                # A captured step answers into the same tensor again.
                self.logits.setdefault(entry.request.id, []).append(found.logits[row].float().cpu().clone())
            entry.tokens.append(self.paths[entry.request.id].forced[step])


def asked(paths: Sequence[Path]) -> list[Request]:
    """Requests that decode as many steps as a path has tokens, and are called by its place."""
    return [Request(id=str(index), tokens=path.prompt, max_new_tokens=len(path.forced), ignore_eos=True)
            for index, path in enumerate(paths)]
