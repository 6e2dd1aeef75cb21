"""`qa_1` and `qa_2`: a question about one or two documents among many."""
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

from evaluator.tasks.parts import drawn_from
from evaluator.tasks.ruler import world
from evaluator.tasks.ruler.corpora import Corpus, Question, load
from evaluator.tasks.ruler.draft import Count, Draft, Steps
from evaluator.tasks.ruler.draw import PUBLISHED_SEED, Draw
from vortex.errors import CampaignError

_RULE = "Answer the question from the documents {where}, in as few words as you can and with nothing else."
_TASK = "{before}\n\n{context}\n\n{after}\n\nQuestion: {question}"
_OPENING = " Answer:"
_OWN_DOCUMENTS = 2048        # written once, for all samples of a faithful run


@dataclass(frozen=True)
class Questions:
    """`own` writes documents where no data set (`source`: squad or hotpotqa) is named."""

    name: str
    own: Callable[[Random, int], Corpus]
    published: str
    least: int
    source: str = ""
    budget: int = 32
    any_answer: bool = True

    def steps(self, length: int) -> Steps:
        """See Kind."""
        return Steps(10)

    def ready(self, length: int, faithful: bool, count: Count) -> "Questions":
        """See Kind; a data set is loaded here."""
        if self.source:
            load(self.source)
        return self

    def reading(self, source: str) -> "Questions":
        """The same task about a data set."""
        return replace(self, source=source)

    def draw(self, draw: Draw, units: int) -> Draft:
        """See Kind; a unit is a document."""
        corpus, question, part = self._pick(draw, units)
        documents = _documents(draw, corpus, question, units)
        order = draw.shuffled(range(units))
        places = [order.index(documents.index(gold)) for gold in question.gold]
        shown = (corpus.documents[documents[place]] for place in order)
        context = "\n\n".join(f"Document {number}:\n{text}" for number, text in enumerate(shown, 1))
        text = _TASK.format(before=_RULE.format(where="below"), after=_RULE.format(where="above"), context=context,
                            question=question.text)
        facts = {"gold": places, "depths": [place / max(units - 1, 1) for place in places], "order": draw.order,
                 "source": self.source or "own documents", "part": part}
        return Draft(text, _OPENING, question.answers, facts)

    def _pick(self, draw: Draw, units: int) -> tuple[Corpus, Question, str]:
        """The documents, the question, and the part of the data that it is from."""
        if not self.source and not draw.faithful:
            corpus = self.own(draw.stream("documents"), units)
            return corpus, corpus.questions[0], "generated"
        corpus = load(self.source) if self.source else _fixed(self.own)
        if draw.faithful:
            return corpus, corpus.questions[draw.index % len(corpus.questions)], "whole"
        questions, part = _order(self.source, draw.seed)
        return corpus, corpus.questions[questions[draw.index % len(questions)]], part


def _documents(draw: Draw, corpus: Corpus, question: Question, count: int) -> list[int]:
    """Those that hold the answer, those close by, and as many others as are wanted."""
    context = list(question.context)
    if count < len(context):
        return [*question.gold, *(place for place in context if place not in question.gold)][:count]
    wanted = count - len(context)
    if wanted <= len(question.more):
        return context + draw.random.sample(question.more, wanted)
    near = context + list(question.more)
    apart = set(near)
    others = [place for place in range(len(corpus.documents)) if place not in apart]
    if count - len(near) > len(others):
        raise CampaignError(f"{count} documents are wanted; there are {len(corpus.documents)}",
                            hint="Ask for a shorter text, or for the task without a data set, which writes its own documents.")
    return near + draw.random.sample(others, count - len(near))


@lru_cache(maxsize=2)
def _fixed(own: Callable[[Random, int], Corpus]) -> Corpus:
    return own(Random(PUBLISHED_SEED), _OWN_DOCUMENTS)


@lru_cache(maxsize=8)
def _order(source: str, seed: int) -> tuple[list[int], str]:
    """The questions that this seed may ask, none twice before all were asked."""
    corpus = load(source)
    places, part = drawn_from(range(len(corpus.questions)), [question.text for question in corpus.questions], seed)
    Random(f"{source}/{seed}").shuffle(places)
    return places, part


QUESTIONS = (Questions("qa_1", world.towns, "squad", 1), Questions("qa_2", world.people, "hotpotqa", 2))
