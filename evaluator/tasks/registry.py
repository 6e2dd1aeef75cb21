"""All tasks by name, and the presets: a task at named settings."""
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

from evaluator.tasks.chain import CHAIN
from evaluator.tasks.frequent import FREQUENT
from evaluator.tasks.needles import EVERY_KEY, MULTIKEY, MULTIQUERY, MULTIVALUE, SINGLE
from evaluator.tasks.reader import Reader
from evaluator.tasks.task import Grade, ProbeTask, Sample, Task
from evaluator.tasks.tracking import TRACKING
from vortex.errors import CampaignError

_PROBE_TASKS = (SINGLE, MULTIKEY, MULTIQUERY, MULTIVALUE, TRACKING, CHAIN, FREQUENT)
TASKS: Mapping[str, Task] = {task.name: task for task in _PROBE_TASKS}


@dataclass(frozen=True)
class Preset:
    """A task at named settings; `length` counts the words of prompt, answer and end of text."""

    name: str
    task: ProbeTask
    settings: Mapping[str, int]

    def samples(self, seed: int, count: int, reader: Reader | None = None) -> tuple[Sample, ...]:
        """Samples 0 to `count` - 1 of this seed; their ids are PRESET/SEED/INDEX."""
        plain = self.task.samples(seed, count, **self.settings)
        return tuple(replace(sample, id=f"{self.name}/{seed}/{index}") for index, sample in enumerate(plain))

    def grade(self, sample: Sample, text: str) -> Grade:
        """See Task."""
        return self.task.grade(sample, text)

    def fingerprint(self) -> str:
        """See TaskSet."""
        return f"probe-1 {self.task.name} {sorted(self.settings.items())}"

    def contents(self) -> str:
        """See TaskSet."""
        return self.fingerprint()


def _preset(name: str, task: ProbeTask, length: int, **settings: int) -> Preset:
    return Preset(name, task, {"length": length, **settings})


_PRESETS = (
    _preset("single-1k", SINGLE, 1024),
    _preset("multikey-512-full", MULTIKEY, 512, keys=EVERY_KEY),
    _preset("multikey-1k-64", MULTIKEY, 1024, keys=64),
    _preset("multikey-1k-full", MULTIKEY, 1024, keys=EVERY_KEY),
    _preset("multikey-2k-half", MULTIKEY, 2048, keys=EVERY_KEY),
    _preset("multikey-4k", MULTIKEY, 4096, keys=EVERY_KEY),
    _preset("multiquery-1k", MULTIQUERY, 1024, keys=128, queries=4),
    _preset("multiquery-2k", MULTIQUERY, 2048, keys=128, queries=4),
    _preset("multivalue-1k", MULTIVALUE, 1024, keys=16),
    _preset("multivalue-2k", MULTIVALUE, 2048, keys=16),
    _preset("vt-512-4hop", TRACKING, 512, keys=64, hops=4),
    _preset("vt-1k-4hop", TRACKING, 1024, keys=128, hops=4),
    _preset("vt-2k-4hop", TRACKING, 2048, keys=128, hops=4),
    _preset("vt-4k-4hop", TRACKING, 4096, keys=128, hops=4),
    _preset("chain-15", CHAIN, 320, steps=15),
    _preset("chain-10-1k", CHAIN, 1024, steps=10),
    _preset("chain-30", CHAIN, 576, steps=30),
    _preset("chain-30-1k", CHAIN, 1024, steps=30),
    _preset("chain-60", CHAIN, 1056, steps=60),
    _preset("chain-60-2k", CHAIN, 2048, steps=60),
    _preset("fwe-1k", FREQUENT, 1024),
)
PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in _PRESETS}
RETRIEVAL_PRESETS = ("multikey-1k-full", "multiquery-1k", "vt-1k-4hop")      # the settings that separate best
REASONING_PRESETS = ("chain-10-1k",)


def preset(name: str) -> Preset:
    """Raises CampaignError naming the nearest preset."""
    if name in PRESETS:
        return PRESETS[name]
    near = get_close_matches(name, PRESETS, 1)
    hint = f"Did you mean {near[0]}?" if near else f"Presets: {', '.join(PRESETS)}. `vortex tasks` lists all other tasks."
    raise CampaignError(f"there is no preset {name}", hint=hint)
