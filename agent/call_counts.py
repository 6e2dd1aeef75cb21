"""How many calls each kind of proposer makes in a round, and how much its conversations add to the prompt."""
from dataclasses import dataclass

from agent.proposers.base import Proposer
from agent.proposers.knobs import Knobs
from agent.proposers.merge import Merge
from agent.proposers.one_shot import OneShot
from agent.proposers.reflective import VARIANTS, Reflective
from agent.proposers.scientist import Scientist

# What is expected beyond what a campaign file says. A campaign that ran tells better: `vortex calls`.
REPAIRED = 0.3                        # of the flows are refused at first, and go back once
FRESH = 0.25                          # of the reflective answers hold no flow without an ancestor
TURNS_A_FLOW = 4                      # of a scientist, and as many to look around
LETTERS_OF_A_TOKEN = 4                # of an answer that stands in the next prompt


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Calls of one round, those to be expected and the most. `grown`: letters that a conversation adds to a prompt."""

    usual: float
    most: float
    grown_usual: float = 0.0
    grown_most: float = 0.0


def counts(proposer: Proposer, usual: float, most: int, answer_tokens: int) -> Counts:
    """For `usual` flows a round, and for `most` of them, where an answer has at most `answer_tokens`."""
    match proposer:
        case Knobs():
            return Counts(usual=min(usual, 1.0), most=1)
        case Scientist(settings=settings):
            turns = min(settings.turns, TURNS_A_FLOW * (usual + 1)) * min(usual, 1.0)
            return Counts(usual=turns, most=settings.turns + max(0, most - 1),
                          grown_usual=settings.characters / 2 * turns / settings.turns,
                          grown_most=settings.characters + settings.turns * answer_tokens * LETTERS_OF_A_TOKEN / 2)
        case Reflective(settings=settings):
            first, first_most = _asked(usual, settings.variants), _asked(most, settings.variants)
            fresh = float(settings.fresh and settings.variants >= VARIANTS)
            return _repaired(first * (1 + FRESH * fresh), first_most * (1 + fresh), usual, most, settings.repairs, answer_tokens)
        case OneShot(settings=settings):
            return _repaired(_asked(usual, settings.ideas), _asked(most, settings.ideas), usual, most, settings.repairs,
                             answer_tokens)
        case Merge(settings=settings):
            return _repaired(usual, most, usual, most, settings.repairs, answer_tokens)
    return Counts(usual=usual, most=most)


def _asked(flows: float, each: int) -> float:
    """Calls for `flows` where one gives `each`; a round may go by without any."""
    return max(flows / each, min(flows, 1.0))


def _repaired(first: float, first_most: float, usual: float, most: int, repairs: int, answer_tokens: int) -> Counts:
    """A flow that a stage finds at fault is asked for once more, at the end of its conversation, in place of another."""
    return Counts(usual=first + REPAIRED * usual * bool(repairs), most=first_most + most * repairs,
                  grown_most=(repairs + bool(repairs)) * answer_tokens * LETTERS_OF_A_TOKEN)
