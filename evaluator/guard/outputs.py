"""Generated texts that are no answers, whatever a grader would find in them."""
from collections.abc import Sequence

LOOP_WORDS = 64              # a loop is at least so long, in words or, of texts without blanks, in letters,
LOOP_TIMES = 8               # has come round so often,
LOOP_PERIOD = 128            # and comes round after no more than these
NAN_TOKENS = 16


def output_fault(text: str, tokens: int, finish: str) -> str:
    """`empty`, `repeated`, `not-a-number`, or "" for a text that can be graded.

    repeated: it ran into its limit in a short cycle; answers of few words, and cycles that were left, are no loops.
    not-a-number: one sign from the first of many tokens to the limit, which is what the arg max of NaN logits writes.
    """
    said = text.strip()
    if not said:
        return "empty"
    if finish != "length":
        return ""
    if tokens >= NAN_TOKENS and len(said) >= NAN_TOKENS and len(set(said)) == 1:
        return "not-a-number"
    words = said.split()
    letters = said if len(words) < LOOP_WORDS else ""
    return "repeated" if _loops(words) or (letters and _loops(letters, LOOP_TIMES * LOOP_WORDS)) else ""


def _loops(parts: Sequence[str], least: int = LOOP_WORDS) -> bool:
    """Does it end in at least `least` parts, LOOP_TIMES rounds of one cycle?"""
    tail = parts[-LOOP_PERIOD * (LOOP_TIMES + 1):]
    return any(_run(tail, period) >= max(least, LOOP_TIMES * period)
               for period in range(1, min(LOOP_PERIOD, len(tail) // LOOP_TIMES) + 1))


def _run(parts: Sequence[str], period: int) -> int:
    """How many of the last parts repeat with `period`."""
    same = 0
    while same + period < len(parts) and parts[-1 - same] == parts[-1 - same - period]:
        same += 1
    return same + period if same else 0
