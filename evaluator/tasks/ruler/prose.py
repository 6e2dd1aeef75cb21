"""Plain English without end: a grammar of sentence forms and several hundred words, a new scene every few sentences.

It stands where RULER takes essays. Sentences differ in people, places, things and numbers, so that the keys of a
haystack differ as those of real text do; it says nothing true and holds no number of more than four digits.
"""
import re
from collections.abc import Iterator
from functools import lru_cache
from random import Random

_SLOTS = {
    "person": """Agnes Albert Amara Anton Beatrix Bela Bruno Carla Cedric Clara Darius Dora Edgar Elif Emil Farida Felix Frieda
      Gideon Greta Hamid Hedda Hugo Ines Ivo Jana Joost Kamal Karin Leif Lena Lorenz Magda Malik Mira Nadia Niels Odile Omar
      Paula Pavel Quentin Ramona Rasmus Rosa Samir Sigrid Stefan Tessa Tomas Ulrike Viktor Wanda Yusuf Zora""",
    "trade": """apothecary baker beekeeper binder boatbuilder carpenter clockmaker cooper dyer engraver ferryman gardener glazier
      harbourmaster joiner librarian locksmith mapmaker mason miller notary organist painter plumber postman potter printer
      roofer saddler schoolteacher shepherd surveyor tailor tanner translator upholsterer watchman weaver winemaker""",
    "place": """abbey archive arcade bakery barn boathouse brewery cellar chapel courtyard customs-house dairy embankment forge
      foundry garden granary greenhouse guesthouse inn kitchen laundry library lighthouse market meadow mill observatory
      orchard pier quarry school shipyard stable station tannery theatre town-hall tower vineyard warehouse well workshop""",
    "thing": """almanac anchor atlas barrel basket bell bench blanket boiler bucket cabinet candle chart chest clock compass
      crate drawing engine fiddle flag gate hammer harness instrument kettle key ladder lamp lantern ledger lens letter loom
      machine map mirror model net notebook oar organ painting parcel pump recipe rope sail saw scale shutter sketch statue
      stove sundial telescope thermometer toolbox trunk umbrella vase wagon wheel window""",
    "look": """ancient borrowed brass broken bright carved clumsy copper cracked crooked dented dusty elegant empty fragile
      freshly-painted half-finished heavy hollow ivory leather long-forgotten narrow oaken ornate pale patched polished
      rusty shallow silver slender sturdy tarnished tin unfinished unusual valuable wooden worn""",
    "manner": """at last|by candlelight|carefully|cheerfully|for the second time|gladly|grudgingly|in a hurry|in silence|patiently
      |quietly|reluctantly|slowly|twice|with great care|with some pride|without a word""",
    "move": "brought carried delivered dragged drove moved returned sent took wheeled",
    "deed": "bought cleaned copied described examined found hid lent lost measured mended ordered painted repaired sold weighed",
    "weather": """a cold wind came down from the hills|fog lay over the river|hail beat against the roofs|it rained until noon
      |snow covered the road|the air smelled of smoke|the frost had not yet left the fields|the heat was hard to bear
      |the sky cleared toward evening|thunder could be heard far away""",
    "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "season": "spring summer autumn winter",
    "crop": "apples barley beans cabbages cherries flax hay honey hops mushrooms oats onions pears plums rye wheat wool",
    "belief": """a good plan leaves room for mistakes|every rule was once somebody's excuse|few things age as well as a simple
      tool|most quarrels begin with a guess|no list is ever complete|old habits are cheaper than new ones|one honest page is
      worth a shelf of praise|people remember the story and forget the sum|the second attempt is the one that counts
      |what is easy to measure is seldom what matters|whoever keeps the keys hears the complaints
      |work expands when nobody is watching the clock""",
    "matter": """the bridge|the budget|the chimney|the choir|the contract|the drainage|the election|the fishing rights
      |the footpath|the harvest|the heating|the inheritance|the lease|the new road|the post|the roof|the school fees
      |the tolls|the wedding|the well""",
    "feeling": "amused angry calm curious delighted doubtful hopeful impatient pleased proud relieved sad surprised tired uneasy",
}
_FORMS = (
    "{person} the {trade} {deed} the {look} {thing} in the {place}.",
    "On {day} {person} {move} the {thing} from the {place} to the {place2} {manner}.",
    "{a_person}, who was {feeling}, asked {b_person} about {matter}.",
    "Nobody in the {place} had seen such a {look} {thing} before.",
    "It was {season}, and {weather}.",
    "{b_person} said that {belief}.",
    "There were {count} {crops} of {crop} in the {place}, and {count2} more in the {place2}.",
    "For {count} years the {trade} had kept a {look} {thing} behind the {place}.",
    "{a_person} wrote to the {trade} about {matter}, but the answer took {count} weeks.",
    "When {weather}, the {trade} left the {place} and {deed} a {thing} instead.",
    "The price of {crop} rose by {count} percent that {season}.",
    "Was it wise to leave the {look} {thing} with {b_person}?",
    "{a_person} thought that {belief}, and {deed} the {thing} {manner}.",
    "Behind the {place} stood a {look} {thing}, {look2} and {count} feet high.",
    "The {trade} from the {place2} was {feeling} when {person} {deed} the {thing}.",
    "By {day} the question of {matter} was settled, and {b_person} was {feeling}.",
    "In the year {year} the {place} burned down and only the {look} {thing} was saved.",
    "{a_person} and {b_person} met at the {place} every {day} to talk about {matter}.",
    "If {belief}, then the {trade} had little to fear.",
    "After {count} days of work the {thing} was still {look}, and {a_person} went home {feeling}.",
    "A {trade} will tell you that a {look} {thing} is better than a {look2} one.",
    "They {deed} {count} of them {manner} and left the {thing} in the {place}.",
    "{person} had never liked the {place}, least of all in {season}.",
    "Some blamed {matter}; others blamed {b_person} and the {look} {thing}.",
    "Around {hour} the {trade} opened the {place}, {manner} as always.",
    "\"{belief_capital},\" {a_person} used to say, and {deed} another {thing}.",
    "The second {trade} offered {count} coins for the {thing}, which made {a_person} {feeling}.",
    "What the {trade} {deed} in {season} was forgotten by the time of {matter}.",
    "Between the {place} and the {place2} runs a path of {count} steps.",
    "{b_person} drew a plan of the {place} and marked the {thing} in red.",
    "Every {season} the people of the {place} argue over {crop} and {matter}.",
    "Later that {day} {weather}, so {person} {move} the {look} {thing} inside.",
)
_MEASURES = ("baskets", "boxes", "carts", "loads", "sacks")
_SCENE = 9                   # sentences that share their people
_CORPUS_SEED = 42
_BEFORE_VOWEL = re.compile(r"\b([Aa]) (?=[aeiou])")


def _choices(slot: str) -> tuple[str, ...]:
    text = _SLOTS[slot]
    return tuple(" ".join(part.split()) for part in (text.split("|") if "|" in text else text.split()))


WORDS = {slot: _choices(slot) for slot in _SLOTS}


def sentences(rng: Random) -> Iterator[str]:
    """Without end."""
    while True:
        people = dict(zip(("a_person", "b_person"), rng.sample(WORDS["person"], 2), strict=True))
        for form in rng.sample(_FORMS, _SCENE):
            yield _BEFORE_VOWEL.sub(r"\1n ", form.format_map(_Filling(rng, people)))


class _Filling(dict[str, str]):
    """Draws what a form asks for, when it asks."""

    def __init__(self, rng: Random, people: dict[str, str]) -> None:
        super().__init__(people)
        self._rng = rng

    def __missing__(self, slot: str) -> str:
        rng = self._rng
        if slot in ("count", "count2"):
            return str(rng.randint(2, 96))
        if slot == "year":
            return str(rng.randint(1704, 1962))
        if slot == "hour":
            return f"{rng.randint(1, 11)} o'clock"
        if slot == "crops":
            return rng.choice(_MEASURES)
        if slot == "belief_capital":
            belief = rng.choice(WORDS["belief"])
            return belief[0].upper() + belief[1:]
        return rng.choice(WORDS[slot.rstrip("2")])


def words(rng: Random, count: int) -> list[str]:
    """The first `count` words of a text; a longer text of the same stream begins with them."""
    found: list[str] = []
    for sentence in sentences(rng):
        found += sentence.split()
        if len(found) >= count:
            return found[:count]
    return found


def corpus_words(count: int) -> list[str]:
    """The first words of one text that is the same for every sample: how the published generator uses its essays."""
    size = 1024
    while size < count:
        size *= 2
    return list(_corpus(size)[:count])


@lru_cache(maxsize=8)
def _corpus(size: int) -> tuple[str, ...]:
    return tuple(words(Random(_CORPUS_SEED), size))
