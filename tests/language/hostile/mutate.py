"""Random texts: flows mutated token by token and line by line, and programs drawn from a grammar of hostile Python."""
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.language.hostile.corpus import attempts
from vortex import flows

TOKENS = re.compile(r"\w+|[ \t]+|\n|\"[^\"\n]*\"|'[^'\n]*'|\*\*|//|<<|>>|[<>=!:]=|.", re.DOTALL)
NAMES = ("q", "cache", "self", "ops", "o", "ctx", "loc", "vFlow", "register", "x", "i", "_", "__class__", "None", "True",
         "X", "torch", "super", "sum", "len", "range", "min", "float", "int", "zip", "getattr", "eval", "open", "print")
WORDS = ("T", "shape", "mean", "max", "state", "topk", "softmax", "kron", "conv", "cat", "reshape", "where", "largest", "take",
         "quantize", "over_group", "param", "append", "items", "get", "update", "format", "gi_frame", "f_back", "size", "dim",
         "__init__", "__globals__", "__dict__", "_tape", "flow_guard", "steps", "record", "OPS", "block_size", "group", "top_p")
LITERALS = ("0", "1", "-1", "2", "128", "4096", "10 ** 18", "1e38", "1e999", "0.0", '"k"', '"c"', "'a' * 9", "()", "[]", "{}",
            "...", "None", "9223372036854775807", "float('nan')", "range(9)", "(1, 2)", "[0] * 4000", "f'{q}'", '"\\x00"')
LOOK_ALIKES = str.maketrans("aeopcxqTk", "аеорсхԛТｋ")
INFIX = ("+", "-", "*", "/", "@", "**", "//", "%", "<", "==", "|", "&", "<<", "and", "or", "in", "is", "if 1 else", ",", ".")


def seeds() -> list[str]:
    """Texts to be mutated: the built-in flows and whatever corpus the tests have."""
    corpus = Path(__file__).parents[2] / "corpus"
    return [*(flows.read(name)[1] for name in flows.names()), *(p.read_text() for p in sorted(corpus.rglob("*.py")))]


class Mutator:
    """Draws hostile texts from one stream of random numbers."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.seeds = seeds()
        self.attempts = [attempt.text for attempt in attempts()]

    def text(self) -> str:
        kind = self.draw.random()
        if kind < 0.35:
            return Program(self.draw).text()
        text = self.draw.choice(self.seeds if kind < 0.85 else self.attempts)
        for _ in range(self.draw.choice((1, 1, 1, 1, 2, 5))):
            text = self.draw.choice(MUTATIONS)(self.draw, text, self.seeds)
        return text


def _token(change: Callable[[random.Random, list[str], int], None]) -> "Mutation":
    def mutated(draw: random.Random, text: str, others: Sequence[str]) -> str:
        tokens = TOKENS.findall(text)
        if tokens:
            change(draw, tokens, draw.randrange(len(tokens)))
        return "".join(tokens)
    return mutated


def _line(change: Callable[[random.Random, list[str], int], None]) -> "Mutation":
    def mutated(draw: random.Random, text: str, others: Sequence[str]) -> str:
        lines = text.split("\n")
        change(draw, lines, draw.randrange(len(lines)))
        return "\n".join(lines)
    return mutated


def _delete(draw: random.Random, parts: list[str], at: int) -> None:
    del parts[at]


def _double(draw: random.Random, parts: list[str], at: int) -> None:
    parts[at:at] = [parts[at]] * draw.choice((1, 1, 2, 50))


def _swap(draw: random.Random, parts: list[str], at: int) -> None:
    other = draw.randrange(len(parts))
    parts[at], parts[other] = parts[other], parts[at]


def _replace(draw: random.Random, tokens: list[str], at: int) -> None:
    """A name or literal by another; any other token by anything."""
    words = [i for i, token in enumerate(tokens) if token[0].isidentifier() or token[0] in "\"'"]
    if words and draw.random() < 0.8:
        tokens[draw.choice(words)] = draw.choice(NAMES + LITERALS)
    else:
        tokens[at] = draw.choice(NAMES + WORDS + LITERALS + INFIX)


def _insert(draw: random.Random, tokens: list[str], at: int) -> None:
    tokens.insert(at, draw.choice([*NAMES, *WORDS, *LITERALS, *INFIX, "(", ")", "[", "]", "\n", "    ", ":", "=", "#", "\\"]))


def _rename(draw: random.Random, tokens: list[str], at: int) -> None:
    """Another word after a dot."""
    dots = [i for i, token in enumerate(tokens[:-1]) if token == "."]
    if dots:
        tokens[draw.choice(dots) + 1] = draw.choice(WORDS)


def _another_number(draw: random.Random, tokens: list[str], at: int) -> None:
    numbers = [i for i, token in enumerate(tokens) if token.isdigit()]
    if numbers:
        tokens[draw.choice(numbers)] = draw.choice(LITERALS)


def _look_alike(draw: random.Random, tokens: list[str], at: int) -> None:
    tokens[at] = tokens[at].translate(LOOK_ALIKES)


def _wrap(draw: random.Random, tokens: list[str], at: int) -> None:
    depth = draw.choice((1, 5, 90, 250))
    before, after = draw.choice((("(", ")"), ("[", "]"), ("-", ""), ("ops.abs(", ")"), ("", ".T"), ("len(", ")"), ("f'{", "}'")))
    tokens[at] = before * depth + tokens[at] + after * depth


def _odd_character(draw: random.Random, tokens: list[str], at: int) -> None:
    tokens.insert(at, draw.choice(("\0", "\x0c", "\r", "\ufeff", "\u2028", "\u202e", "\ud800", "\t", "\x1a", "é", "‿", "０")))


def _indent(draw: random.Random, lines: list[str], at: int) -> None:
    lines[at] = draw.choice(("    ", "  ", "\t")) + lines[at] if draw.random() < 0.5 else lines[at].removeprefix("    ")


def _splice(draw: random.Random, text: str, others: Sequence[str]) -> str:
    """The head of one text, the tail of another."""
    lines, tail = text.split("\n"), draw.choice(others).split("\n")
    return "\n".join(lines[:draw.randrange(len(lines))] + tail[draw.randrange(len(tail)):])


def _hostile_line(draw: random.Random, lines: list[str], at: int) -> None:
    """A drawn statement at the indentation of a line that stands there."""
    indent = lines[at][:len(lines[at]) - len(lines[at].lstrip())]
    lines.insert(at, indent + Program(draw).statement(2))


Mutation = Callable[[random.Random, str, Sequence[str]], str]
MUTATIONS: tuple[Mutation, ...] = (
    *(_token(change) for change in (_delete, _double, _swap, _insert, _look_alike, _wrap, _odd_character)),
    *[_token(change) for change in (_replace, _rename, _another_number)] * 4,
    *[_line(change) for change in (_delete, _double, _swap, _indent, _hostile_line, _hostile_line, _delete)], _splice,
)


class Program:
    """A program drawn from a grammar: right enough to get far, wrong enough to be refused somewhere."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw

    def text(self) -> str:
        lines = ["from vortex import ops, register, vFlow"]
        lines += [self.statement(2) for _ in range(self.draw.choice((0, 0, 0, 1, 2)))]
        lines += ['@register("x")', "class X(vFlow):"]
        lines += ["    " + self.statement(2) for _ in range(self.draw.choice((0, 0, 0, 1, 2)))]
        lines += self._body("forward_cache(self, cache)") if self.draw.random() < 0.5 else []
        lines += self._body("forward_indexer(self, q, cache)")
        return "\n".join(lines) + f"\n        return ops.topk({self.tensor(3)})\n"

    def _body(self, head: str) -> list[str]:
        return [f"    def {head}:", *("        " + self.statement(3) for _ in range(self.draw.randrange(1, 7)))]

    def statement(self, depth: int) -> str:
        e, t, name = self.expression(depth), self.tensor(depth), self.draw.choice(NAMES)
        return self.draw.choice((
            f"x = {t}", f"x = {t}", f'cache["c"] = {t}', f'cache["s"] = {t}', f"{name} = {e}", f"{name} += {e}", e,
            f"for {name} in {e}: {name} = {e}", f"for i in range({e}): x = {t}", f"if {e}: x = {t}", f"self.x = {e}",
            f"{e}.{self.draw.choice(WORDS)} = {e}", f"{name}, {self.draw.choice(NAMES)} = {e}", f"assert {e}, {e}",
            f"raise ValueError({e})", f"def f({name}={e}): return {e}", f"x: {e} = {e}", f"{name}[{e}] = {e}",
            f"class {name}({self.draw.choice(NAMES)}): x = {e}", f"from {name} import {self.draw.choice(NAMES)}",
            f"{name}[{e}] += {e}", f"with {e}: pass", f"return {t}", f"x = [{e} for {name} in {e}]", f"del {name}",
        ))

    def expression(self, depth: int) -> str:
        if depth <= 0:
            return self.draw.choice(NAMES + LITERALS)
        a, b = self.expression(depth - 1), self.expression(depth - 1)
        return self.draw.choice((
            a, self.tensor(depth), f"({a} {self.draw.choice(INFIX)} {b})", f"{a}.{self.draw.choice(WORDS)}", f"{a}({b})",
            f"{a}[{b}]", f"{a}[..., {b}:]", f"[{a}, {b}]", f"({a}, {b})", f"{{{a}: {b}}}", f"-{a}", f"not {a}",
            f"[{a} for i in {b}]", f"({a} for x in {b})", f"({a} if {b} else {a})", f"f'{{{a}}}'", f"lambda: {a}",
            f"{a}.{self.draw.choice(WORDS)}({b}, dim={self.draw.choice(LITERALS)})", f"ops.{self.draw.choice(WORDS)}({a}, {b})",
        ))

    def tensor(self, depth: int) -> str:
        if depth <= 0:
            return self.draw.choice(("q", 'cache["k"]', 'cache["v"]', "ops.position()", "x", 'cache["c"]', 'cache.state("s")'))
        a, b = self.tensor(depth - 1), self.tensor(depth - 1)
        number = self.draw.choice(LITERALS)
        return self.draw.choice((
            f"{a}.{self.draw.choice(('mean', 'max', 'sum', 'norm', 'logsumexp'))}(dim={self.draw.choice('0122')})",
            f"({a} @ {b}.T)", f"({a} {self.draw.choice('+-*/<|')} {b})", f"({a} * {number})", f"{a}.{self.draw.choice(WORDS)}",
            f"{a}[..., {number}:{number}]", f"{a}[:, [{number}]]", f"ops.maximum({a}, {b})",
            f"ops.where({a} > {b}, {a}, {number})",
            f"ops.cat([{a}, {b}], dim={number})", f"ops.kron({a}, {b}, dim=1)", f"ops.conv({a}, [{number}, {number}])",
            f"{a}.reshape({number}, {number})", f"ops.softmax({a}, scale={number})", f"ops.topk({a}, k={number})",
            f"{a}.abs()", f"-{a}", f"{a}.{self.draw.choice(WORDS)}({number}, {number})", f"{a}.mean(dim=1).max(dim=2)",
        ))
