"""How a running campaign is shown: a line a candidate, and on a terminal a bar below them; or JSON lines."""
import os
import sys
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from agent.campaign import Campaign
from agent.cli.sight import Sight, sight_text
from agent.cli.text import duration_text, to_json_line
from agent.cli.words import MOST_NAME, cells, control_text, end_text, name_text
from agent.watch import Progress, Quiet
from evaluator.report import Report, Row, StageResult
from evaluator.statistics import CONFIRM_STAGE
from search.candidate import Candidate
from search.frontier import Standing
from search.words import share_text

WIDTH = 16                            # of a stage's cell


class Lines(Quiet):
    """Lines on stdout, a bar below them where that is a terminal. A context manager."""

    def __init__(self, campaign: Campaign, place: str) -> None:
        self._campaign = campaign
        self._place = place
        self._stages = [stage.name for stage in campaign.stages if stage.name != CONFIRM_STAGE]
        self._controls: list[str] = []
        self._headed = False
        self._sight = Sight(campaign, place)
        self._console = Console(highlight=False, soft_wrap=True)
        self._bar = Bar(BarColumn(bar_width=40), TextColumn("{task.description}", markup=False), console=self._console,
                        transient=True, disable=not self._console.is_terminal)
        self._task = self._bar.add_task("", total=campaign.candidates)
        self._standing = ""
        self._doing = ""

    def __enter__(self) -> Self:
        campaign = self._campaign
        self._bar.start()
        count = f"{campaign.candidates} candidate{'s' * (campaign.candidates != 1)}"
        self._say(f"{campaign.name}  seed {campaign.seed}  {count} or {campaign.minutes:g} min  "
                  f"{campaign.point.model} on {campaign.point.engine} ({os.cpu_count()} cores)  {self._place}")
        self._see()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def candidate_started(self, candidate: Candidate) -> None:
        if candidate.tier != "control":
            self._head()
        self._doing = f"{candidate.id} {name_text(candidate)}"

    def stage_started(self, stage: str, done: int, total: int) -> None:
        self._draw(f"{self._doing}: {stage}")

    def row(self, row: Row, done: int, total: int) -> None:
        self._draw(f"{self._doing}: {row.stage} {done}/{total}")

    def candidate_ended(self, candidate: Candidate, report: Report, standing: Standing | None) -> None:
        if candidate.tier == "control" and standing is not None:
            self._controls.append(control_text(standing))
            return
        shared = [share_text(candidate.point.topk_ratio)] if self._campaign.knobs else []
        told = "".join(cell.ljust(WIDTH) for cell in [*shared, *cells(candidate, report, self._stages)])
        self._say(f"{candidate.id:>4}  {name_text(candidate).ljust(MOST_NAME)}  {told}{end_text(candidate, report, standing)}")

    def progress(self, progress: Progress) -> None:
        volume = f"{progress.first_hypervolume:.2f} → {progress.hypervolume:.2f}"
        self._standing = (f"{progress.done}/{progress.total}  {duration_text(progress.left_s)} left  "
                          f"frontier {progress.frontier}  hypervolume {volume}")
        self._bar.update(self._task, completed=progress.done)
        self._draw("")

    def note(self, text: str) -> None:
        self._say(text)

    def _head(self) -> None:
        """The controls, what their rows add to what can be resolved, and the names of the columns, once, before the first
        candidate."""
        if self._headed:
            return
        self._headed = True
        if self._controls:
            self._say("controls    " + "   ".join(self._controls))
        self._see()
        names = ["share"] if self._campaign.knobs else []
        self._say("   #  " + "flow".ljust(MOST_NAME) + "  " + "".join(n.ljust(WIDTH) for n in [*names, *self._stages]))

    def _see(self) -> None:
        if found := self._sight.news():
            self._say(sight_text(found))

    def _draw(self, doing: str) -> None:
        self._bar.update(self._task, description=f"{self._standing}  {doing}".strip())

    def _say(self, text: str) -> None:
        self._console.print(text.rstrip(), markup=False)


class JsonLines(Quiet):
    """One JSON object a line on stdout: what happened, under `event`."""

    def __init__(self, campaign: Campaign, place: str) -> None:
        self._sight = Sight(campaign, place)
        self._searching = False

    def __enter__(self) -> Self:
        self._see()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def candidate_started(self, candidate: Candidate) -> None:
        if candidate.tier != "control" and not self._searching:
            self._searching = True
            self._see()
        self._say("candidate_started", id=candidate.id, name=candidate.name, parents=candidate.parents, tier=candidate.tier,
                  round=candidate.round, hypothesis=candidate.hypothesis, point=candidate.point.model_dump(mode="json"))

    def stage_ended(self, result: StageResult) -> None:
        self._say("stage_ended", stage=result.stage, status=result.status, skipped=result.skipped, code=result.code,
                  message=result.message,
                  metrics={name: asdict(value) for name, value in result.metrics.items()})

    def candidate_ended(self, candidate: Candidate, report: Report, standing: Standing | None) -> None:
        self._say("candidate_ended", id=candidate.id, status=candidate.status, duplicate_of=candidate.duplicate_of,
                  place=None if standing is None else standing.place)

    def progress(self, progress: Progress) -> None:
        self._say("progress", **asdict(progress))

    def note(self, text: str) -> None:
        self._say("note", text=text)

    def _see(self) -> None:
        if found := self._sight.news():
            self._say("resolves", stages=[asdict(one) for one in found])

    def _say(self, event: str, **data: Any) -> None:
        sys.stdout.write(to_json_line({"event": event, **data}) + "\n")
        sys.stdout.flush()


class Nothing(Quiet):
    """Says nothing; a context manager like the others."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None


def watch_for(campaign: Campaign, place: str, *, quiet: bool, json: bool) -> "Lines | JsonLines | Nothing":
    """What the options --json and --quiet ask for; `place` is the archive as the user named it."""
    if json:
        return JsonLines(campaign, place)
    return Nothing() if quiet else Lines(campaign, place)
