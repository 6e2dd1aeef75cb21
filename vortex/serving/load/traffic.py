"""Which requests arrive when: a Poisson process with prompts of random ids, the same for the same seed."""
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from vortex.errors import EngineError

FIRST_ID = 3                              # below stand the ids that models keep for the ends of texts


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request; `at_s` counts from the start of the load."""

    id: str
    at_s: float
    tokens: tuple[int, ...]
    new_tokens: int


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """`rate` requests a second on average (infinite: all at once), prompts of evenly drawn lengths, fixed outputs.

    Raises EngineError for what cannot arrive.
    """

    rate: float
    requests: int
    prompt_tokens: tuple[int, int]
    output_tokens: int
    vocabulary: int
    seed: int = 0

    def __post_init__(self) -> None:
        shortest, longest = self.prompt_tokens
        if not self.rate > 0:
            raise EngineError(f"a rate of {self.rate:g} requests a second", hint="Above 0; inf sends all at once.")
        if self.requests < 1 or self.output_tokens < 1:
            raise EngineError("a load of no requests or no tokens", hint="At least one request, of at least one new token.")
        if not 1 <= shortest <= longest:
            raise EngineError(f"prompts of {shortest} to {longest} tokens", hint="The shortest first, 1 token or more.")
        if self.vocabulary <= FIRST_ID:
            raise EngineError(f"a vocabulary of {self.vocabulary} ids", hint=f"More than {FIRST_ID} are needed.")

    def asks(self) -> Iterator[Ask]:
        """In the order of their arrival; the first is there at once. Lengths and ids do not depend on the rate."""
        gaps, prompts = random.Random(f"gaps {self.seed}"), random.Random(f"prompts {self.seed}")
        at = 0.0
        for number in range(self.requests):
            tokens = [prompts.randrange(FIRST_ID, self.vocabulary) for _ in range(prompts.randint(*self.prompt_tokens))]
            yield Ask(id=f"{self.seed}-{number}", at_s=at, tokens=tuple(tokens), new_tokens=self.output_tokens)
            at += 0.0 if math.isinf(self.rate) else gaps.expovariate(self.rate)
