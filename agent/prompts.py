"""What a model is told: templates that may say only what they are given, a stable part first, the evidence after it."""
import difflib
import re
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
    meta,
    nodes,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment

from agent.models.base import Text
from agent.primer import algorithms, examples, mistakes, op_groups
from agent.quoting import clipped, fenced, quoted
from agent.shrink import ever_less
from agent.told import Told
from vortex.errors import PromptError, Where

HOME = Path(__file__).parent.parent / "prompts"
LIMIT = 45_000                        # characters of the whole prompt of a round
STABLE = 0.7                          # the least share of it that is the same in every round
LEAST_ROOM = 8_000                    # of the round's part, where a user's own stable part is short
ROUND = frozenset({"told", "count", "theme"})
# Every template with the variables that it is given.
TEMPLATES: Mapping[str, frozenset[str]] = {
    "system": frozenset({"groups", "examples", "known", "latent", "mistakes"}),
    "answer-blocks": frozenset({"latent"}),
    "answer-tools": frozenset({"latent"}),
    "round": ROUND, "one-shot": ROUND, "reflective": ROUND, "merge": ROUND, "scientist": ROUND,
    "summary": ROUND,
}
ROUNDS = ("one-shot", "reflective", "merge", "scientist")            # kinds of proposers that have a template
# What an expression of a template can raise on values that it did not expect.
FAULTS = (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError)


def system_prompt(answering: str = "blocks", *, latent: bool = False, folder: Path | None = None) -> tuple[Text, ...]:
    """What no round changes: task and language, then how to answer, by fenced `blocks` or with `tools`.

    Raises PromptError.
    """
    head = render("system", folder, groups=op_groups(), examples=examples(latent), known=algorithms(latent),
                  mistakes=mistakes(latent), latent=latent)
    return Text(head, cached=True), Text("\n\n" + render(f"answer-{answering}", folder, latent=latent), cached=True)


def round_prompt(kind: str, told: Told, *, prefix: Sequence[Text], count: int = 4, theme: str = "",
                 limit: int = LIMIT, folder: Path | None = None) -> str:
    """The part of a round for a proposer of this kind, with as much evidence as there is room for beside `prefix`.

    Raises PromptError where there is no room even without evidence.
    """
    room = room_beside(prefix, limit)
    tellings = ever_less(told)
    low, high = 0, len(tellings) - 1
    while low < high:                 # the first that fits: each is shorter than the one before
        middle = (low + high) // 2
        fits = len(render(kind, folder, told=tellings[middle], count=count, theme=theme)) <= room
        low, high = (low, middle) if fits else (middle + 1, high)
    text = render(kind, folder, told=tellings[low], count=count, theme=theme)
    if len(text) > room:
        raise PromptError(f"the prompt {kind!r} takes {len(text):,} characters without any evidence; {room:,} are free",
                          hint="Shorten the templates of your own, or the goal of the campaign.")
    return text


def room_beside(prefix: Sequence[Text], limit: int = LIMIT) -> int:
    """How many characters a round may add, so that the whole stays in `limit` and mostly the same."""
    length = sum(len(text.text) for text in prefix)
    return max(0, min(limit - length, max(int(length * (1 - STABLE) / STABLE), LEAST_ROOM)))


def render(name: str, folder: Path | None = None, /, **facts: Any) -> str:
    """The template NAME.j2 of `folder`, or else the shipped one, on `facts`. Raises PromptError with file and line."""
    environment = _environment(folder)
    try:
        return environment.get_template(f"{name}.j2").render(facts).strip()
    except FAULTS as error:
        raise _refusal(error, facts) from None


def check(folder: Path) -> None:
    """Raises PromptError for a template of `folder` that replaces none, is not one, or asks for an unknown variable."""
    if not folder.is_dir():
        raise PromptError(f"there is no folder {folder}",
                          hint="`prompts` names a folder of templates; leave it out for the shipped ones.")
    for path in sorted(folder.glob("*.j2")):
        if not path.name.startswith("_"):
            _check(path, _allowed(path))


def _allowed(path: Path) -> frozenset[str]:
    if path.stem not in TEMPLATES:
        near = difflib.get_close_matches(path.stem, TEMPLATES, n=1)
        nearest = f"Did you mean {near[0]}.j2? " if near else ""
        raise PromptError(f"{path.name} replaces no template", where=Where(str(path)),
                          hint=f"{nearest}There are: {', '.join(TEMPLATES)}. A name that begins with _ is free.")
    return TEMPLATES[path.stem]


def _check(path: Path, allowed: frozenset[str]) -> None:
    try:
        tree = _environment(path.parent).parse(path.read_text(), path.name, str(path))
        unknown = meta.find_undeclared_variables(tree) - allowed - _made_in(tree)
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"cannot read {path}: {error}") from error
    except TemplateSyntaxError as error:
        raise _not_a_template(error, str(path)) from None
    for node in tree.find_all(nodes.Name):
        if node.name in unknown:
            raise _undefined(node.name, allowed, _where(str(path), node.lineno))


def _made_in(tree: nodes.Template) -> set[str]:
    """What the template's outermost level makes: its blocks see that, which the parser does not say."""
    made = {node.target for node in tree.find_all(nodes.Import)} | {node.name for node in tree.find_all(nodes.Macro)}
    targets = [node.target for node in tree.body if isinstance(node, nodes.Assign)]
    return made | {target.name for target in targets if isinstance(target, nodes.Name)}


@cache
def _environment(folder: Path | None) -> Environment:
    shipped = FileSystemLoader(HOME)
    own = [] if folder is None else [FileSystemLoader(folder)]
    loader = ChoiceLoader([*own, shipped, PrefixLoader({"shipped": shipped})])
    made = ImmutableSandboxedEnvironment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
                                         autoescape=False)
    made.filters |= {"fenced": fenced, "quoted": quoted, "clipped": clipped}
    return made


def _refusal(error: Exception, facts: Mapping[str, Any]) -> PromptError:
    """What went wrong in a template, at the deepest of its lines that was being rendered."""
    if isinstance(error, TemplateNotFound):
        return PromptError(f"there is no template {error.name}", hint=f"There are: {', '.join(TEMPLATES)}.")
    if isinstance(error, TemplateSyntaxError):
        return _not_a_template(error, error.filename or error.name or "")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(".j2")]
    where = _where(frames[-1].filename, frames[-1].lineno or 0) if frames else Where()
    missing = re.search(r"'([^']+)' is undefined|has no (?:attribute|element) '?([^']+)'?", str(error))
    if missing is not None:
        return _undefined(missing[1] or missing[2], [*facts, *(key for fact in facts.values() for key in _inside(fact))], where)
    return PromptError(f"the template cannot be rendered: {error}", where=where)


def _not_a_template(error: TemplateSyntaxError, path: str) -> PromptError:
    return PromptError(f"not a template: {error.message}", where=_where(path, error.lineno))


def _undefined(name: str, known: Sequence[str] | frozenset[str], where: Where) -> PromptError:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    nearest = f"Did you mean {near[0]}? " if near else ""
    return PromptError(f"the template asks for {name}, which it is not given", where=where,
                       hint=f"{nearest}prompts/README.md lists what each template is given.")


def _inside(fact: Any) -> Sequence[str]:
    """The names that a template may write behind a dot."""
    return [key for key in dir(fact) if not key.startswith("_")] if isinstance(fact, Told) else []


def _where(path: str, line: int) -> Where:
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    return Where(path, line, lines[line - 1] if 0 < line <= len(lines) else "")
