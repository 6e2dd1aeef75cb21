"""What the ranks of a scheduler logged, as one recording: each knows its own kv heads."""
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch

Event = dict[str, Any]


def read_events(paths: Sequence[Path]) -> list[Event]:
    """Events of vortex.serving.recording.Recorder, from the files of the ranks in order."""
    ranks: list[list[Event]] = [torch.load(path, weights_only=True) for path in paths]
    return [merged(same) for same in zip(*ranks, strict=True)]


def merged(ranks: Sequence[Event]) -> Event:
    """One layer of one step, with the kv heads of all ranks."""
    event = dict(ranks[0])
    if len(ranks) == 1:
        return event
    if "lists" in event:
        event["lists"] = [list(chain.from_iterable(own)) for own in zip(*(e["lists"] for e in ranks), strict=True)]
    if "q" in event:
        event["q"] = torch.cat([e["q"] for e in ranks], dim=1)
    for name in {"k", "v", "mass"} & event.keys():
        event[name] = [torch.cat(own) for own in zip(*(e[name] for e in ranks), strict=True)]
    return event
