"""How many blocks a row may attend in a decode step; `topk_val` excludes the reserved blocks, the ratio includes them.

A `schedule_policy` is an expression, or the body of a C function that returns int, over policy.INPUTS. It is parsed here,
once a text, and evaluated as C does, without contraction of a product and a sum.
"""
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

from pycparser.c_parser import CParser, ParseError

from vortex.config import OperatingPoint
from vortex.errors import BudgetError, Where
from vortex.policy import Policy, refusal, single
from vortex.policy_reader import HINT, Reader, line_of

MOST_TEXT = 8192
MOST_BRACKETS = 60
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
CAST = re.compile(r"\bstatic_cast\s*<\s*(int|float|double)\s*>")      # CUDA's C++ spells some of C so
STANDARD = re.compile(r"\bstd::(?=(?:min|max|sqrt|ceil|floor|abs)\b)")
BODY = re.compile(r"[;{}]|\breturn\b")


def num_blocks(length: int, block_size: int) -> int:
    """Blocks of a row of `length` tokens, the open last one counted."""
    return -(-length // block_size)


def _entry(table: Sequence[float | tuple[float, ...]], layer: int, head: int) -> float | None:
    """What a table by layer says: its last entry holds for further layers, an entry is one value or one per kv head."""
    if not table:
        return None
    entry = table[min(layer, len(table) - 1)]
    if not isinstance(entry, tuple):
        return entry
    if head >= len(entry):
        raise BudgetError(f"layer {layer} has values for {len(entry)} kv heads, and there is a head {head}",
                          hint="An entry of topk_layers or ratio_layers is one value, or one per kv head.")
    return entry[head]


def limits(point: OperatingPoint, layer: int = 0, head: int = 0) -> tuple[int, float]:
    """topk_val and topk_ratio of a layer and kv head, tables first. Raises BudgetError for a head that a table lacks."""
    val, share = _entry(point.topk_layers, layer, head), _entry(point.ratio_layers, layer, head)
    return point.topk_val if val is None else int(val), point.topk_ratio if share is None else share


def budget(blocks: int, point: OperatingPoint, layer: int = 0, head: int = 0) -> int:
    """Blocks a row of `blocks` blocks may attend: never under the reserved ones; the caller caps it at `blocks`.

    The product is that of C floats, truncated, as the upstream's planner computes it. Raises BudgetError.
    """
    bos, eos = point.block_reserved_bos, point.block_reserved_eos
    chosen, ratio = limits(point, layer, head)
    if point.schedule_policy is None:
        most = max(chosen + bos + eos, int(single(blocks * single(ratio))))
    else:
        policy = read_policy(point.schedule_policy)
        most = max(bos + eos, policy(cached_block_len=blocks, topk_val=chosen, topk_ratio=ratio,
                                     block_reserved_bos=bos, block_reserved_eos=eos))
    if point.max_topk_val is not None and most < blocks and most - bos - eos > point.max_topk_val:
        raise BudgetError(f"a row of {blocks} blocks would choose {most - bos - eos} by score, and max_topk_val is "
                          f"{point.max_topk_val}", hint="Raise max_topk_val, or lower topk_val, topk_ratio or the policy.")
    return most


def attended(blocks: int, point: OperatingPoint, layer: int = 0, head: int = 0) -> int:
    """Blocks really attended: all of a row that fits its budget."""
    return min(blocks, budget(blocks, point, layer, head))


def check_budget(point: OperatingPoint) -> OperatingPoint:
    """The same point, its policy read. Raises BudgetError before anything is spent on it."""
    if point.schedule_policy is not None:
        read_policy(point.schedule_policy)
    return point


@lru_cache(maxsize=256)
def read_policy(text: str) -> Policy:
    """Raises BudgetError with the line and what is allowed."""
    if not text.strip():
        raise BudgetError("schedule_policy is empty", hint="Leave it out for the default. " + HINT,
                          where=Where("schedule_policy"))
    if len(text) > MOST_TEXT:
        raise BudgetError(f"schedule_policy is longer than {MOST_TEXT:,} characters", where=Where("schedule_policy"))
    try:
        return Policy(text, Reader(text, _parsed(text)).body())
    except RecursionError:
        raise refusal("the policy nests too deeply", text, 1, HINT) from None


def _parsed(text: str) -> list[Any]:
    """The statements of `text`, comments left out and lines kept."""
    bare = COMMENT.sub(lambda match: " " + "\n" * match[0].count("\n"), text)
    for at, line in enumerate(bare.split("\n"), 1):
        if "#" in line or "\\" in line:
            raise refusal("preprocessor text has no place in a policy", text, at, HINT)
        if "/*" in line:
            raise refusal("a comment that does not end", text, at, HINT)
    if max(accumulate((c in "({[") - (c in ")}]") for c in bare)) > MOST_BRACKETS:
        raise refusal("the policy nests too deeply", text, 1, HINT)
    bare = STANDARD.sub("", CAST.sub(r"(\1)", bare))
    # On the header's line, so that lines count as in the text; C++'s bool is made known to be refused by name.
    statements = f"{bare}\n" if BODY.search(bare) else f"return {bare}\n;"
    parser = CParser()
    try:
        tree = parser.parse("typedef int bool; int policy(void) {" + statements + "}", "policy")
    except (ParseError, AssertionError, ValueError) as error:
        place = re.match(r"policy:(\d+)", str(error))
        last = bare.rstrip().count("\n") + 1
        at = min(int(place[1]), last) if place else last
        problem = str(error).split(": ", 1)[-1].lower()
        raise refusal(f"not C that is understood: {problem}", text, at, HINT) from None
    if len(tree.ext) != 2:
        raise refusal("there is more than one function body", text, line_of(tree.ext[2]), HINT)
    return list(tree.ext[1].body.block_items or ())
