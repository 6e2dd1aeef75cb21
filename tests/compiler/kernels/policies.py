"""Policies drawn at random, as text in C: every kind, every op, early returns, slots that one branch alone gives."""
import random

LEAVES = ("cached_block_len", "cached_block_len", "topk_val", "topk_ratio", "topk_ratio", "block_reserved_bos",
          "block_reserved_eos", "7", "64", "0.1f", "0.5", "2.5f", "1e-3", "3.0f", "16777217", "(1.0f / 3)")
TWO = ("+", "-", "*", "/", "<", "<=", ">", ">=", "==", "!=", "&&", "||")
ONE = ("abs", "ceil", "floor", "sqrtf", "sqrt", "(int)", "(float)", "(double)", "!", "-", "fabsf")
BODIES = (
    "return {0};",
    "{kind} x = {0}; if ({1}) x = {2}; else x += {3}; return x;",
    "{kind} x; if ({1}) {{ x = {0}; }} else return {2}; return x + ({3});",
    "if ({0}) {{ if ({1}) return {2}; topk_val += 3; }} {kind} y = {3}; y -= topk_val; return y > 0 ? y : topk_val;",
    "{kind} x = {0}; {{ int x = {1}; if (x > 3) return x; }} if (x < {2}) return {3}; x *= 2; return x;",
)


def drawn_policy(source: random.Random) -> str:
    parts = [_expression(source, source.randint(0, 4)) for _ in range(4)]
    return source.choice(BODIES).format(*parts, kind=source.choice(("int", "float", "double")))


def _expression(source: random.Random, depth: int) -> str:
    if depth == 0:
        return source.choice(LEAVES)
    a, b, c = (_expression(source, source.randint(0, depth - 1)) for _ in range(3))
    kind = source.randint(0, 9)
    if kind < 4:
        return f"({a} {source.choice(TWO)} {b})"
    if kind == 4:
        return f"((int)({a}) % {source.choice((-9, -1, 2, 7))})"
    if kind < 7:
        return f"{source.choice(('min', 'max'))}({a}, {b})"
    return f"({a} ? {b} : {c})" if kind == 7 else f"{source.choice(ONE)}({a})"
