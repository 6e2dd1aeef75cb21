"""Words, numbers and uuids that needles are made of. Word lists: the package wonderwords (MIT)."""
from functools import lru_cache
from importlib import metadata, resources
from random import Random
from string import ascii_lowercase, ascii_uppercase
from uuid import UUID

from vortex.errors import MissingExtra

_HEAD = "b bl br c ch cl d dr f fl g gr h j k l m n p pl pr qu r s sh sl st t th tr v w z"
_CORE = "a e i o u ai ea io oa ou"
_TAIL = "b ck d ft g l lk m mp n nd nt p r rd rn s sh st t th x"
_HEADS, _CORES, _TAILS = _HEAD.split(), _CORE.split(), ["", *_TAIL.split()]


def version() -> str:
    """Of the word lists."""
    return f"wonderwords {metadata.version('wonderwords')}"


@lru_cache(maxsize=2)
def singles(shuffle_seed: int | None = None) -> tuple[str, ...]:
    """Nouns, adjectives and verbs, sorted and then shuffled by that seed."""
    words = sorted({*_listed("noun"), *_listed("adjective"), *_listed("verb")})
    if shuffle_seed is not None:
        Random(shuffle_seed).shuffle(words)
    return tuple(words)


def pair(rng: Random) -> str:
    """`adjective-noun`, one of 6,171,620; the list of them all, sorted, is not made for it."""
    adjectives, nouns = _sorted("adjective"), _sorted("noun")
    adjective, noun = divmod(rng.randrange(len(adjectives) * len(nouns)), len(nouns))
    return f"{adjectives[adjective]}-{nouns[noun]}"


def number(rng: Random) -> str:
    """Seven digits."""
    return str(rng.randint(10 ** 6, 10 ** 7 - 1))


def uuid(rng: Random) -> str:
    """36 characters."""
    return str(UUID(int=rng.getrandbits(128), version=4))


def letters(rng: Random, count: int, upper: bool = False) -> str:
    return "".join(rng.choices(ascii_uppercase if upper else ascii_lowercase, k=count))


def invented(rng: Random, count: int) -> list[str]:
    """So many different words that no language has; they take the place of a list where it is too short."""
    words: dict[str, None] = {}
    while len(words) < count:
        words["".join(rng.choice(_HEADS) + rng.choice(_CORES) + rng.choice(_TAILS) for _ in range(2))] = None
    return list(words)


def name(rng: Random) -> str:
    """A proper name that means nothing to anybody."""
    return "".join(rng.choice(_HEADS) + rng.choice(_CORES) for _ in range(rng.randint(1, 2))).capitalize() + \
        rng.choice(_HEADS) + rng.choice("aeiou") + rng.choice(("l", "m", "n", "nd", "r", "rn", "s", "t", "x"))


@lru_cache(maxsize=3)
def _listed(kind: str) -> tuple[str, ...]:
    try:
        text = resources.files("wonderwords.assets").joinpath(f"{kind}list.txt").read_text("utf-8")
    except ModuleNotFoundError:
        raise MissingExtra("wonderwords is not installed", hint='pip install "vortex-platform[tasks]"') from None
    return tuple(line.rstrip() for line in text.splitlines())


@lru_cache(maxsize=3)
def _sorted(kind: str) -> tuple[str, ...]:
    return tuple(sorted(set(_listed(kind))))
