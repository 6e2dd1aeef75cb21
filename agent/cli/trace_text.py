"""What `vortex trace` prints."""
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.text import columns

if TYPE_CHECKING:                         # torch: what is printed needs none of it
    from evaluator.traces.profile import FlowProfile, Heads
    from evaluator.traces.store import Manifest

UNITS = ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB"))
MOST_HEADS = 64                           # cells of a table that people read; the picture and --json hold all


def bytes_text(count: int) -> str:
    """`12.3 MB`"""
    size, unit = next(((size, unit) for size, unit in UNITS if count >= size), (1, "bytes"))
    return f"{count / size:.1f} {unit}" if size > 1 else f"{count} {unit}"


def size_text(prompts: int, expected: int, to: Path) -> str:
    return f"{prompts} prompts, at most {bytes_text(expected)} in {to}"


def captured_text(manifest: "Manifest", prompts: int, to: Path) -> str:
    rows = [("trajectory", "prompt", "said", "captured", "size"),
            *((str(one["id"]), str(one["prompt_tokens"]), str(one["tokens"]), f"{one['captured']} steps",
               bytes_text(int(one["bytes"]))) for one in manifest.files)]
    short = prompts - len(manifest.files)
    note = f"\n{short} answers were shorter than three tokens and left no trace" if short else ""
    total = bytes_text(sum(int(one["bytes"]) for one in manifest.files))
    return f"{columns(rows)}{note}\n{to}  {total}  traces {manifest.fingerprint}\ntry: vortex trace profile {to} --flow quest"


def profile_text(manifest: "Manifest", trajectories: int, sinks: "Heads", best: "Mapping[float, Heads]",
                 found: "Mapping[tuple[str, float], FlowProfile]") -> str:
    """Tables: heads first, then flows."""
    head = f"{manifest.model}: {trajectories} trajectories of {', '.join(manifest.tasks)}, state at its first value"
    parts = [head, _heads_text(sinks, best)]
    if found:
        rows = [("flow", "share", "mass", "recall", "output error", "worst head"),
                *(_flow_row(name, share, one) for (name, share), one in found.items())]
        parts.append(columns(rows))
    return "\n\n".join(parts)


def _heads_text(sinks: "Heads", best: "Mapping[float, Heads]") -> str:
    rows = [("layer", "kv head", "sink share", *(f"most mass at {share:g}" for share in best)),
            ("all", "", f"{sinks.mean:.3f}", *(f"{one.mean:.3f}" for one in best.values()))]
    if sum(map(len, sinks.values)) <= MOST_HEADS:
        rows += [(str(layer), str(head), f"{value:.3f}", *(f"{one.values[layer][head]:.3f}" for one in best.values()))
                 for layer, heads in enumerate(sinks.values) for head, value in enumerate(heads)]
    else:
        rows.append(("worst", "", "", *(_place(one.worst(low=True)) for one in best.values())))
    return columns(rows)


def _flow_row(name: str, share: float, one: "FlowProfile") -> tuple[str, ...]:
    return (name, f"{share:g}", f"{one.mass.mean:.3f}", f"{one.recall.mean:.3f}", f"{one.error.mean:.3f}",
            _place(one.error.worst(low=False)))


def _place(worst: tuple[int, int, float]) -> str:
    layer, head, value = worst
    return f"{value:.3f} (layer {layer}, kv head {head})"
