"""Documents about towns that do not exist, and questions about them: what `qa` asks where no data set is named.

As in SQuAD several documents are about one topic; as in HotpotQA an answer may take two of them.
"""
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from random import Random

from evaluator.tasks.ruler import prose, words
from evaluator.tasks.ruler.corpora import Corpus, Question

_BUILDINGS = ("bridge", "school", "mill", "library", "harbour", "lighthouse", "theatre", "brewery", "waterworks", "hospital",
              "observatory", "chapel")
_STYLES = ("brick", "granite", "limestone", "oak", "sandstone", "slate", "steel", "timber")
_TRADES = prose.WORDS["trade"]
_CONTEXT = 10                # documents that come along with a question of two hops
_ASIDE = 2                   # sentences in a document that tell nothing


@dataclass(frozen=True)
class _Building:
    town: str
    kind: str
    year: int
    cost: int
    builder: str
    surname: str
    trade: str
    born: str
    material: str

    @property
    def document(self) -> str:
        return (f"The {self.kind} of {self.town} was finished in {self.year}. It was built by {self.builder} {self.surname} of "
                f"{self.material} and cost the town {self.cost} crowns, which were paid back over "
                f"{self.cost % 17 + 9} years.")

    @property
    def person(self) -> str:
        return f"{self.builder} {self.surname} was born in {self.born} and first worked as a {self.trade} there."


def _buildings(rng: Random) -> Iterator[list[_Building]]:
    """Town after town, each with its buildings."""
    towns: set[str] = set()
    while True:
        town = words.name(rng)
        if town in towns:
            continue
        towns.add(town)
        kinds = rng.sample(_BUILDINGS, rng.randint(6, 10))
        years = rng.sample(range(1704, 1962), len(kinds))
        yield [_Building(town, kind, year, rng.randint(1001, 9999), rng.choice(prose.WORDS["person"]), words.name(rng),
                         rng.choice(_TRADES), words.name(rng), rng.choice(_STYLES))
               for kind, year in zip(kinds, years, strict=True)]


def towns(rng: Random, documents: int) -> Corpus:
    """At least so many documents, one a building; every question is answered by one of them."""
    asides = prose.sentences(Random(rng.random()))
    texts: list[str] = []
    questions: list[Question] = []
    for town in _buildings(rng):
        places = range(len(texts), len(texts) + len(town))
        texts += [_with_asides(one.document, asides) for one in town]
        questions += [_about(rng, one, place, tuple(p for p in places if p != place))
                      for one, place in zip(town, places, strict=True)]
        if len(texts) >= documents:
            return Corpus(tuple(questions), tuple(texts))
    raise AssertionError("there are always more towns")


def _about(rng: Random, one: _Building, place: int, more: tuple[int, ...]) -> Question:
    asked = (
        (f"In which year was the {one.kind} of {one.town} finished?", (str(one.year),)),
        (f"Who built the {one.kind} of {one.town}?", (f"{one.builder} {one.surname}", one.surname)),
        (f"How many crowns did the {one.kind} of {one.town} cost?", (str(one.cost), f"{one.cost:,}")),
    )
    question, answers = rng.choice(asked)
    return Question(question, answers, (place,), (place,), more)


def people(rng: Random, documents: int) -> Corpus:
    """At least so many titled documents, of buildings and of their builders; an answer takes one of each."""
    asides = prose.sentences(Random(rng.random()))
    texts: list[str] = []
    questions: list[Question] = []
    for town in _buildings(rng):
        first = len(texts)
        texts += [f"The {one.kind} of {one.town}\n{_with_asides(one.document, asides)}" for one in town]
        texts += [f"{one.builder} {one.surname}\n{_with_asides(one.person, asides)}" for one in town]
        around = range(first, len(texts))
        for offset, one in enumerate(town):
            gold = (first + offset, first + len(town) + offset)
            others = rng.sample([place for place in around if place not in gold], _CONTEXT - len(gold))
            context = rng.sample([*gold, *others], _CONTEXT)
            questions.append(_through(rng, one, tuple(context), gold))
        if len(texts) >= documents:
            return Corpus(tuple(questions), tuple(texts))
    raise AssertionError("there are always more towns")


def _through(rng: Random, one: _Building, context: tuple[int, ...], gold: tuple[int, ...]) -> Question:
    builder = f"the person who built the {one.kind} of {one.town}"
    question, answer = rng.choice(((f"Where was {builder} born?", one.born),
                                   (f"What was the first trade of {builder}?", one.trade)))
    return Question(question, (answer,), context, gold)


def _with_asides(fact: str, asides: Iterator[str]) -> str:
    """Facts never stand at the same place of a document."""
    other = list(islice(asides, _ASIDE))
    place = len(fact) % (_ASIDE + 1)
    return " ".join(chain(other[:place], [fact], other[place:]))
