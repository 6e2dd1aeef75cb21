"""Every refusal of the platform: one class each, written for the person or the model that has to act on it.

VortexError
├── FlowError            the text of a flow is not a legal program
│   ├── FlowSyntaxError  ForbiddenSyntax  FlowNotFound  FlowContractError
│   ├── UnknownOp  BadArgument  ShapeMismatch  WrongSide
│   └── NoSelection  FieldError  ParameterError
├── GraphError           JSON that claims to be a Graph is not one
├── PointError
│   └── BudgetError  EngineConfigError
├── ModelError  EngineError  MissingExtra  CompileError
├── CampaignError  ArchiveError  BundleError  PromptError
├── CallError            a language model that proposes was asked in vain
│   ├── MissingKey  KeyRefused  UnknownLanguageModel  Unpriced
│   └── Unavailable  BrokenAnswer  BudgetSpent  ScriptEnded
├── AnswerProblem        what a language model answered holds no flow that could be read
├── ChildFailure         a limited child process ended badly: ChildTimeout, ChildMemory, ChildCrash
└── SandboxUnavailable   nothing on this machine holds a text that somebody else wrote
"""
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Where:
    """A place in a text: file (or a name for it), 1-based line, the text of that line, and the expression in it."""

    path: str = ""
    line: int = 0
    text: str = ""
    expression: str = ""
    column: int = 0         # 1-based, of `expression` in `text`; 0: not known


@dataclass(frozen=True)
class Fix:
    """An edit that would mend the text: on `line` (0: the line of the refusal), `old` becomes `new`. One of several lines
    begins there.

    Raised by an op, it may speak of the failing expression: `<left>` and `<right>` are the operands of an operator,
    `<arg>` the first argument of a call, `<self>` what a method is called on; an empty `old` is the whole expression.
    `vortex/language/mend.py` puts the text of the flow in their place, or drops a fix that does not fit.
    """

    old: str
    new: str
    line: int = 0

    def applied(self, text: str, line: int) -> str:
        """`text` after this edit of a refusal at `line`. Raises ValueError where `old` does not stand there once."""
        lines = text.split("\n")
        at = (self.line or line) - 1
        end = at + 1 + self.old.count("\n")
        part = "\n".join(lines[at:end]) if 0 <= at < len(lines) else ""
        if part.count(self.old) != 1:
            raise ValueError(f"{self.old!r} does not stand once on line {at + 1}")
        lines[at:end] = [part.replace(self.old, self.new)]
        return "\n".join(lines)


class VortexError(Exception):
    """What is wrong (`message`), where, and what is allowed or to be changed (`hint`); at best the edit itself (`fix`)."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "", where: Where | None = None, fix: Fix | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where or Where()
        self.fix = fix

    @property
    def code(self) -> str:
        """The stable name of this refusal: rows, JSON and prompts carry it."""
        return type(self).__name__

    def at(self, where: Where) -> "VortexError":
        """The same refusal, placed; a place that is already known is kept."""
        if not self.where.line:
            self.where = where
        return self

    def report(self) -> str:
        """The refusal as people read it: place and code, the offending line, what is wrong, what to change."""
        place = f"{self.where.path}:{self.where.line}" if self.where.line else self.where.path
        lines = [f"{place}  {self.code}" if place else self.code]
        if self.where.text.strip():
            lines.append(f"    {self.where.text.strip()}")
        if self.where.column and self.where.expression != self.where.text:
            lines.append(" " * (self.where.column + 3) + "^" * len(self.where.expression))
        lines.extend(f"  {line}" for line in self.message.splitlines())
        lines.extend(f"  {line}" for line in self.hint.splitlines())
        if self.fix is not None:
            place = f"line {self.fix.line}: " if self.fix.line not in (0, self.where.line) else ""
            lines.extend(f"  - {place}{line}" for line in self.fix.old.splitlines())
            lines.extend(f"  + {place}{line}" for line in self.fix.new.splitlines())
        return "\n".join(lines)

    def to_json(self) -> Mapping[str, Any]:
        """`code`, `message`, `hint`, `path`, `line`, `expression` and `fix` (None, or line, old, new): what `--json` prints."""
        fix = self.fix and {"line": self.fix.line or self.where.line, "old": self.fix.old, "new": self.fix.new}
        return {"code": self.code, "message": self.message, "hint": self.hint, "path": self.where.path,
                "line": self.where.line, "expression": self.where.expression, "fix": fix}


class FlowError(VortexError):
    """The text of a flow is not a legal program."""


class FlowSyntaxError(FlowError):
    """The text is not Python."""


class ForbiddenSyntax(FlowError):
    """The text uses Python that a flow may not use."""


class FlowNotFound(FlowError):
    """No built-in flow has this name and no file stands at this path."""


class FlowContractError(FlowError):
    """The class does not keep the contract: registration, methods, signatures."""


class UnknownOp(FlowError):
    """An op that does not exist; the hint names the nearest one."""


class BadArgument(FlowError):
    """An op was given an argument outside of what it takes."""


class ShapeMismatch(FlowError):
    """Shapes that do not fit together."""


class WrongSide(FlowError):
    """An op used in forward_cache that lives in forward_indexer, or the other way round."""


class NoSelection(FlowError):
    """forward_indexer returned something other than one Selection."""


class FieldError(FlowError):
    """A field is never written, written twice, or read before it is written."""


class ParameterError(FlowError):
    """A declared parameter file that is missing, or whose contents do not fit."""


class GraphError(VortexError):
    """JSON that claims to be a Graph is not one."""


class PointError(VortexError):
    """An operating point that cannot be."""


class BudgetError(PointError):
    """A budget of blocks that cannot be: a policy that is not read, a table that does not fit."""


class EngineConfigError(PointError):
    """A submission in the upstream's form that its checker refuses."""


class ModelError(VortexError):
    """A model that is missing or not served."""


class EngineError(VortexError):
    """An engine asked for something it cannot do."""


class MissingExtra(VortexError):
    """A part of the platform whose libraries are not installed; the hint says how to install them."""


class CompileError(VortexError):
    """A flow that cannot be built for a GPU; `op` is the one that stands in the way, where it is a single one."""

    def __init__(self, message: str, *, hint: str = "", where: Where | None = None, op: str = "") -> None:
        super().__init__(message, hint=hint, where=where)
        self.op = op


class CampaignError(VortexError):
    """A campaign file, or a campaign's state, that does not allow what was asked."""


class ArchiveError(VortexError):
    """The database cannot be used."""


class BundleError(VortexError):
    """An exported bundle that is incomplete or was changed."""


class PromptError(VortexError):
    """A prompt template that is missing, or asks for something that it is not given."""


class CallError(VortexError):
    """A language model that proposes was asked in vain."""


class MissingKey(CallError):
    """The environment holds no key for the provider."""


class KeyRefused(CallError):
    """The provider does not accept the key."""


class UnknownLanguageModel(CallError):
    """Neither the prices nor the provider know the model."""


class Unpriced(CallError):
    """The model has no price, and no call is made that cannot be counted."""


class Unavailable(CallError):
    """The provider could not be reached, or was overloaded, through all retries."""


class BrokenAnswer(CallError):
    """What came back is not an answer of the provider's protocol."""


class BudgetSpent(CallError):
    """The campaign's or the proposer's money, tokens, calls or minutes do not reach for another call."""


class AnswerProblem(VortexError):
    """What a language model answered holds no flow that could be read: cut off, refused, empty, or in another form."""


class ScriptEnded(CallError):
    """A scripted model has no answer left."""


class ChildFailure(VortexError):
    """A function run in a limited child process did not come back with a value."""


class ChildTimeout(ChildFailure):
    """It ran past its wall-clock limit and was killed."""


class ChildMemory(ChildFailure):
    """It ran out of the memory it was allowed."""


class ChildCrash(ChildFailure):
    """It raised, was killed or left without an answer."""


class SandboxUnavailable(VortexError):
    """No sandbox works on this machine, and the text is one that we did not write; the hint says what to install."""
