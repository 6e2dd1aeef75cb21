"""What the commands say of candidates and stages, in a few words each."""
from collections.abc import Sequence

from evaluator import statistics
from evaluator.report import Report, StageResult, Status
from search.candidate import Candidate
from search.frontier import Place, Standing
from search.words import accuracy_text, share_text, speed_text

MOST_NAME, MOST_MESSAGE = 48, 72


def short(text: str, most: int) -> str:
    """One line of at most `most` letters."""
    line = text.partition("\n")[0]
    return line if len(line) <= most else line[: most - 1] + "…"


def name_text(candidate: Candidate) -> str:
    """`quest + value energy (from 4)`"""
    parents = " and ".join(str(parent) for parent in dict.fromkeys(candidate.parents))
    origin = f" (from {parents})" if parents else ""
    return short(candidate.name, MOST_NAME - len(origin)) + origin


def stage_text(result: StageResult) -> str:
    """A figure where the stage measured one, `ok` where it did not, else how it ended, or that it was left out."""
    if result.skipped:
        return "skipped"
    if result.status is not Status.OK:
        return str(result.status)
    if "confirmed" in result.facts:
        return "confirmed" if result.facts["confirmed"] else "not confirmed" if "text" in result.facts else "measured"
    figure = result.metrics.get(result.stage)
    if figure is None:
        return "ok"
    return speed_text(figure) if result.stage == statistics.SPEED_STAGE else accuracy_text(figure)


def end_text(candidate: Candidate, report: Report, standing: Standing | None) -> str:
    """What became of it, after the cells of its stages."""
    if candidate.status is Status.DUPLICATE:
        return f"same as {candidate.duplicate_of} after rewriting: not run again"
    if candidate.status is not Status.OK and report.results:
        last = report.results[-1]
        told = " ".join(last.message.split())
        return short(told if last.code in told else f"{last.code}: {told}", MOST_MESSAGE)
    return "on the frontier" if standing is not None and standing.place is Place.BEST else ""


def control_text(standing: Standing) -> str:
    """`quest 1/8 0.93 ±.02 3.1x`"""
    share = "" if standing.candidate.is_dense else f" {share_text(standing.share)}"
    return f"{standing.candidate.name}{share} {accuracy_text(standing.accuracy)} {speed_text(standing.speed)}"


def cells(candidate: Candidate, report: Report, stages: Sequence[str]) -> list[str]:
    """One cell a stage up to the last that was run, in the order of the funnel."""
    found = {result.stage: stage_text(result) for result in report.results}
    reached = max((place for place, stage in enumerate(stages, 1) if stage in found), default=0)
    if candidate.status is Status.DUPLICATE:
        return []
    return [found.get(stage, "skipped") for stage in stages[:reached]]
