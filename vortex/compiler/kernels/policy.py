"""A budget policy without branches, so that it runs on many rows at once: every path is computed and one is chosen.

Where C leaves a result open, `vortex/policy.py` refuses the lengths that it sees; here such a row gets some number: ints wrap, a
division of ints by zero divides by one, a float without an int value becomes 0.
"""
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from vortex.policy import (
    INPUTS,
    Apply,
    Assign,
    Choose,
    Expression,
    Kind,
    Name,
    Number,
    Policy,
    Return,
    Statement,
)

Slots = dict[str, int]
TRUTHS = ("<", "<=", ">", ">=", "==", "!=", "!", "truth")     # their values are 0 and 1


@dataclass(frozen=True, slots=True)
class Line:
    """One step: `op` of earlier lines. `number` has a value, `input` a name; `where` takes its second operand where the first
    is not 0, else its third."""

    op: str
    kind: Kind
    args: tuple[int, ...] = ()
    value: float = 0.0
    name: str = ""


@dataclass
class _Writer:
    lines: list[Line] = field(default_factory=list)
    known: dict[Line, int] = field(default_factory=dict)

    def add(self, line: Line) -> int:
        """Its place; what was computed before is not computed again."""
        if line not in self.known:
            self.known[line] = len(self.lines)
            self.lines.append(line)
        return self.known[line]

    def number(self, value: int) -> int:
        return self.add(Line("number", "int", value=value))

    def choose(self, test: int, yes: int, no: int) -> int:
        if yes == no or test == self.number(1):
            return yes
        if test == self.number(0):
            return no
        if (yes, no) == (self.number(1), self.number(0)) and self.lines[test].op in TRUTHS:
            return test
        return self.add(Line("where", self.lines[yes].kind, (test, yes, no)))

    def expression(self, node: Expression, slots: Slots) -> int:
        if isinstance(node, Number):
            return self.add(Line("number", node.kind, value=node.value))
        if isinstance(node, Name):
            return slots[node.slot]
        if isinstance(node, Choose):
            test, yes, no = (self.expression(part, slots) for part in (node.test, node.yes, node.no))
            return self.choose(test, yes, no)
        return self._applied(node, slots)

    def _applied(self, node: Apply, slots: Slots) -> int:
        return self.add(Line(node.op, node.kind, tuple(self.expression(arg, slots) for arg in node.args)))

    def body(self, statements: Sequence[Statement], slots: Slots) -> tuple[Slots, int, int | None]:
        """Slots at the end, whether it returned (a line of 0 or 1), and what; None: no path returns."""
        done, result = self.number(0), None
        for statement in statements:
            if isinstance(statement, Assign):
                slots = {**slots, statement.slot: self.expression(statement.value, slots)}
                continue
            if isinstance(statement, Return):
                ended, value = self.number(1), self.expression(statement.value, slots)
            else:
                slots, ended, found = self._branch(self.expression(statement.test, slots), statement.yes, statement.no, slots)
                if found is None:
                    continue
                value = found
            result = value if result is None else self.choose(done, result, value)
            done = self.choose(done, self.number(1), ended)
            if done == self.number(1):
                break
        return slots, done, result

    def _branch(self, test: int, yes: Sequence[Statement], no: Sequence[Statement],
                slots: Slots) -> tuple[Slots, int, int | None]:
        first, first_done, first_result = self.body(yes, slots)
        second, second_done, second_result = self.body(no, slots)
        # A slot that one side alone gives a value is read only where that side was taken.
        merged = {slot: self.choose(test, first.get(slot, second.get(slot, 0)), second.get(slot, first.get(slot, 0)))
                  for slot in {**first, **second}}
        results = [result for result in (first_result, second_result) if result is not None]
        return merged, self.choose(test, first_done, second_done), self.choose(test, results[0], results[-1]) if results else None


@lru_cache(maxsize=256)
def straight(policy: Policy) -> tuple[Line, ...]:
    """The lines of a policy; the last one is its value."""
    writer = _Writer()
    slots = {name: writer.add(Line("input", kind, name=name)) for name, kind in INPUTS.items()}
    _, _, result = writer.body(policy.body, slots)
    assert result is not None
    if writer.lines[result].op == "input":
        result = writer.add(Line("to", "int", (result,)))
    return _needed(writer.lines[:result + 1])


def _needed(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Those that the last one needs, and the inputs."""
    wanted = {len(lines) - 1}
    for place in range(len(lines) - 1, -1, -1):
        if place in wanted or lines[place].op == "input":
            wanted |= {place, *lines[place].args}
    places = {old: new for new, old in enumerate(sorted(wanted))}
    return tuple(Line(line.op, line.kind, tuple(places[arg] for arg in line.args), line.value, line.name)
                 for old, line in enumerate(lines) if old in wanted)
