"""`ruler:TASK:LENGTH[:SOURCE]`: the thirteen tasks by name, fitted to the tokens of the model that is asked."""
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache, partial
from itertools import count as counted
from itertools import islice

from evaluator.tasks.reader import Reader
from evaluator.tasks.ruler import corpora, words
from evaluator.tasks.ruler.counting import CommonWords, FrequentWords
from evaluator.tasks.ruler.draft import Kind
from evaluator.tasks.ruler.draw import Draw, FaithfulDraw
from evaluator.tasks.ruler.fit import Fit, climbed, largest, published, settled, shrunk
from evaluator.tasks.ruler.haystack import Essays
from evaluator.tasks.ruler.needles import NEEDLES, Needles
from evaluator.tasks.ruler.prompt import Attempt, Pen
from evaluator.tasks.ruler.questions import QUESTIONS, Questions
from evaluator.tasks.ruler.scoring import matches
from evaluator.tasks.ruler.tracking import Tracking
from evaluator.tasks.task import Grade, Sample
from vortex.errors import CampaignError

VERSION = "ruler-1"
LENGTH_MIN = 512
KINDS: dict[str, Kind] = {kind.name: kind for kind in (*NEEDLES, Tracking(), CommonWords(), FrequentWords(), *QUESTIONS)}
_LENGTH = re.compile(r"(\d{1,9})(k?)", re.IGNORECASE)


@dataclass(frozen=True)
class RulerTask:
    """One task at one length in tokens: chat template, prompt and answer together. A TaskSet.

    By default each sample has a stream of its own. In a faithful run one stream makes them all (the published run is that
    of seed 42), so that a sample depends on those before it.
    """

    name: str
    kind: Kind
    length: int
    faithful: bool
    source: str = ""
    digest: str = ""         # of the essays that it reads

    def samples(self, seed: int, count: int, reader: Reader) -> Sequence[Sample]:
        """See TaskSet."""
        run = self._faithful_run if self.faithful else self._run
        try:
            return tuple(islice(run(seed, reader), count))
        except CampaignError as error:
            message = error.message if self.name in error.message else f"{self.name}: {error.message}"
            raise CampaignError(message, hint=error.hint) from error

    def grade(self, sample: Sample, text: str) -> Grade:
        """See TaskSet."""
        return matches(sample.answers, text, self.kind.any_answer)

    def fingerprint(self) -> str:
        """See TaskSet."""
        data = corpora.load(self.source).digest if isinstance(self.kind, Questions) and self.source else self.digest
        return " ".join(part for part in (VERSION, self.key, words.version(), data) if part)

    def contents(self) -> str:
        """See TaskSet. Two tasks of one key read the same data."""
        return f"{VERSION} {self.key}"

    @property
    def key(self) -> str:
        """The same for every way to write a length."""
        mode = "faithful " if self.faithful else ""
        return f"{mode}{self.kind.name} {self.length}{' ' + self.source if self.source else ''}"

    def _run(self, seed: int, reader: Reader) -> Iterator[Sample]:
        kind, pen, fit = _typical(self, reader)
        for index in counted():
            attempt = Attempt(kind, pen, partial(Draw, self.key, seed, index))
            settled(attempt.tokens, self.length, fit, kind.least)
            yield self._sample(f"{self.name}/{seed}/{index}", attempt)

    def _faithful_run(self, seed: int, reader: Reader) -> Iterator[Sample]:
        pen = Pen.of(self.name, self.length, reader)
        kind = self.kind.ready(self.length, True, reader.count)
        draw = FaithfulDraw(self.key, seed)
        steps = kind.steps(self.length)
        searched = Attempt(kind, pen, partial(draw.at, 0))
        search = climbed if isinstance(kind, FrequentWords) else published
        fit = search(searched.tokens, self.length, steps)
        self._check_spelling(pen, searched)
        for index in counted():
            attempt = Attempt(kind, pen, partial(draw.at, index))
            shrunk(attempt.tokens, self.length, fit, steps.increment)
            yield self._sample(f"{self.name}/{seed}/{index}", attempt)

    def _check_spelling(self, pen: Pen, attempt: Attempt) -> None:
        if not pen.spells(attempt.draft):
            raise CampaignError(f"tokenizer mismatch: {pen.reader.model} cannot spell the text of {self.name}",
                                hint="Its tokenizer has a fixed list of words. Use the tasks made for it, or another model.")

    def _sample(self, name: str, attempt: Attempt) -> Sample:
        draft = attempt.draft
        facts = {"units": attempt.units, "tokens": attempt.length, "faithful": self.faithful, **draft.facts}
        return Sample(id=name, prompt=attempt.prompt, answer=", ".join(draft.answers), answers=draft.answers,
                      max_new_tokens=self.kind.budget, facts=facts)


@lru_cache(maxsize=64)
def _typical(task: RulerTask, reader: Reader) -> tuple[Kind, Pen, Fit]:
    """How many units fit a sample that is drawn for this alone; the others begin their search there."""
    pen = Pen.of(task.name, task.length, reader)
    kind = task.kind.ready(task.length, False, reader.count)
    attempt = Attempt(kind, pen, partial(Draw, f"{task.key} fit", 0, 0))
    attempt.tokens(kind.least)
    task._check_spelling(pen, attempt)
    return kind, pen, largest(attempt.tokens, task.length, kind.least)


def find(rest: str) -> RulerTask:
    """What stands after `ruler:`. Raises CampaignError naming what is allowed."""
    return named("ruler", rest)


def named(family: str, rest: str) -> RulerTask:
    """As find, for one of the two families."""
    name, _, after = rest.partition(":")
    length, _, source = after.partition(":")
    if name not in KINDS:
        near = get_close_matches(name, KINDS, 1)
        hint = f"Did you mean {family}:{near[0]}:4k?" if near else f"Tasks: {', '.join(KINDS)}."
        raise CampaignError(f"RULER has no task {name!r}", hint=hint)
    task = RulerTask(f"{family}:{rest}", KINDS[name], _tokens(f"{family}:{rest}", length), family != "ruler")
    return _with_source(task, source) if source else task


def _tokens(name: str, written: str) -> int:
    found = _LENGTH.fullmatch(written)
    length = int(found[1]) * (1024 if found[2] else 1) if found else 0
    if length < LENGTH_MIN:
        raise CampaignError(f"task {name}: {written!r} is no length",
                            hint=f"A length is a number of tokens from {LENGTH_MIN}, or 4k, 8k, 16k ... as in ruler:vt:4k.")
    return length


def _with_source(task: RulerTask, source: str) -> RulerTask:
    kind = task.kind
    known = "essays" if isinstance(kind, Needles) and kind.haystack == "essay" else ""
    known = kind.published if isinstance(kind, Questions) else known
    if source != known:
        allowed = f"{kind.name} takes :{known}, or nothing." if known else f"{kind.name} takes none."
        raise CampaignError(f"task {task.name}: there is no source {source!r}", hint=allowed)
    if isinstance(kind, Needles):
        place, digest = corpora.essays()
        return RulerTask(task.name, kind.reading(Essays(place, digest)), task.length, task.faithful, source, digest)
    assert isinstance(kind, Questions)
    return RulerTask(task.name, kind.reading(source), task.length, task.faithful, source)
