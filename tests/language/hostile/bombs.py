"""Texts that are hostile by their size or their bytes, which one does not write down."""
from collections.abc import Iterator

HEAD = 'from vortex import ops, register, vFlow\n@register("x")\nclass X(vFlow):\n    def forward_indexer(self, q, cache):\n'
END = "        return ops.topk(ops.position())\n"
DEEP = (90, 101, 300, 3_000, 60_000)


def body(*lines: str) -> str:
    """A flow whose forward_indexer begins with `lines`; those of a line that holds line ends are not indented."""
    return HEAD + "".join(f"        {line}\n" for line in lines) + END


def _nested(depth: int) -> Iterator[tuple[str, str]]:
    """One expression nested in itself `depth` times, in every way that the grammar has."""
    yield "parentheses", "(" * depth + "1" + ")" * depth
    yield "lists", "[" * depth + "1" + "]" * depth
    yield "tuples", "(" * depth + "1" + ",)" * depth
    yield "minus", "-" * depth + "1"
    yield "not", "not " * depth + "1"
    yield "attributes", "q" + ".T" * depth
    yield "calls", "q" + ".abs()" * depth
    yield "arguments", "len(" * depth + "q" + ")" * depth
    yield "subscripts", "q" + "[..., :8]" * depth
    yield "indices", "q[" * depth + "0" + "]" * depth
    yield "sums", "q" + " + 1" * depth
    yield "powers", "2" + " ** 1" * depth
    yield "comparisons", "1" + " < 1" * depth
    yield "choices", "1 if 1 else " * depth + "1"
    yield "lambdas", "lambda: " * depth + "1"
    yield "comprehensions", "[" * depth + "1" + " for i in (1,)]" * depth
    yield "loops of one comprehension", "[1" + " for i in (1,)" * depth + "]"
    yield "braces", "{" * depth + "}" * depth
    yield "open parentheses", "(" * depth
    yield "open brackets", "[" * depth
    yield "formatted", "f'{" * 1 + "(" * depth + "1" + ")" * depth + "}'"
    yield "names of one assignment", " = ".join(f"a{i}" for i in range(min(depth, 20_000))) + " = 1"
    yield "texts side by side", "'a' " * depth
    yield "ands", "1 and " * depth + "1"
    yield "walrus", "(a := " * depth + "1" + ")" * depth
    yield "words of torch", "torch.matmul(" * depth + "q" + ", q)" * depth
    yield "words of torch as methods", "q" + ".softmax(-1)" * depth
    yield "words of torch on torch", "torch" + ".view(1, 2)" * depth
    yield "await", "await " * depth + "q"
    yield "keywords", "ops.topk(" + ", ".join(f"a{i}=1" for i in range(depth)) + ")"
    yield "parameters", "1\n    def f(self, " + ", ".join(f"a{i}" for i in range(depth)) + "):\n        return 1"


def _blocks(depth: int) -> Iterator[tuple[str, str]]:
    """Statements nested in each other, indented by a blank each."""
    for name, head in (("if", "if 1:"), ("for", "for i in (1, 2):"), ("def", "def f(self):"), ("class", "class C:"),
                       ("while", "while 1:"), ("with", "with q:"), ("try", "try:")):
        lines = "".join(" " * i + head + "\n" for i in range(depth)) + " " * depth + "pass\n"
        yield f"blocks of {name}", lines


def bombs() -> Iterator[tuple[str, str]]:
    """(name, text)"""
    for depth in DEEP:
        for name, expression in _nested(depth):
            yield f"{name} x {depth:,}", body(f"x = {expression}")
        for name, lines in _blocks(min(depth, 300)):
            yield f"{name} x {depth:,}", lines
    yield "ten million characters", "#" + "x" * 10_000_000
    yield "ten million lines", "\n" * 10_000_000
    yield "one line of sixty thousand characters", body("x = q" + " * 1.0" * 10_000)
    yield "a name of sixty thousand characters", body(f"{'a' * 60_000} = 1")
    yield "an unknown name of sixty thousand characters", body(f"x = {'a' * 60_000}")
    yield "an unknown method of sixty thousand characters", body(f"x = q.{'a' * 60_000}()")
    yield "a field of sixty thousand characters", body(f"x = cache['{'a' * 60_000}']")
    yield "a flow's name of sixty thousand characters", body("pass").replace('"x"', f'"{"a" * 60_000}"')
    yield "an argument of sixty thousand characters", body(f"x = q.mean({'a' * 60_000}=1)")
    yield "a whole number of four thousand digits", body(f"x = {'9' * 4_000}")
    yield "a whole number of sixty thousand hexadecimal digits", body(f"x = 0x{'f' * 60_000}")
    yield "a float of sixty thousand digits", body(f"x = q * 0.{'9' * 60_000}")
    yield "a float of a huge power", body("x = q * 1e999999")
    yield "a docstring of sixty thousand characters", f'"""{"a" * 60_000}"""\n' + body("pass")
    yield "twenty thousand statements", body(*["x = 1"] * 5_000)
    yield "a thousand classes", body("pass") + "\n".join(f"class C{i}(X):\n    pass" for i in range(1_000))
    yield "a thousand methods", body("pass") + "\n".join(f"    def m{i}(self):\n        pass" for i in range(1_000))
    yield "a ladder of classes", body("pass") + "\n".join(f"class X{i + 1}(X{i or ''}):\n    pass" for i in range(1, 400))
    yield "a tuple of ten thousand", body(f"x = ({'1, ' * 10_000})")
    keys = ", ".join(f"{1.5 * 2.0 ** (61 * k)}: {i}, ({i}, {2.0 ** (61 * k)}): 0" for i in range(100) for k in range(16))
    yield "a dict of colliding keys", body(f"x = {{{keys}}}")
    yield from _bytes()


def _bytes() -> Iterator[tuple[str, str]]:
    plain = body("x = 1")
    yield "a null in the middle", plain.replace("x = 1", "x = 1\0")
    yield "a null in a text", plain.replace("x = 1", "x = '\0'")
    yield "a byte order mark", "\ufeff" + plain
    yield "two byte order marks", "\ufeff\ufeff" + plain
    yield "a byte order mark within", plain.replace("x = 1", "x = 1 \ufeff")
    yield "a lone surrogate", plain.replace("x = 1", "x = '\ud800'")
    yield "a lone surrogate in a name", plain.replace("x = 1", "x\udfff = 1")
    yield "a right-to-left override", plain.replace("x = 1", "x = 1 # \u202e 1 = y")
    for coding in ("utf-7", "rot13", "utf-16", "idna", "unicode_escape", "nonsense", "zlib"):
        yield f"coding {coding}", f"# -*- coding: {coding} -*-\n{plain}"
    yield "utf-7 with a payload", "# coding: utf-7\n" + plain.replace("x = 1", "x = 1 +AAo-import os")
    yield "a form feed", plain.replace("x = 1", "\x0cx = 1")
    yield "form feeds for line ends", plain.replace("x = 1", "x = 1\x0cimport os")
    yield "separators for line ends", plain.replace("x = 1", "y = '\u2028\x85\x1c'; import os")
    yield "carriage returns for line ends", plain.replace("\n", "\r")
    yield "carriage returns hide a line", plain.replace("x = 1", "x = 1 # \r        import os")
    yield "mixed line ends", plain.replace("\n", "\r\n", 2)
    yield "tabs and blanks", plain.replace("        x", "\tx")
    yield "ten thousand continuations", plain.replace("x = 1", "x = " + "\\\n" * 10_000 + "1")
    yield "a continuation at the end", plain + "\\"
    yield "an open text", plain + '"""'
    yield "only blanks", " " * 1_000
    yield "only a comment", "# nothing\n"
    yield "control characters", plain.replace("x = 1", "x = 1\x1a\x04\x1b[2J")
    yield "terminal codes in a message", plain.replace("x = 1", "x = cache['\x1b[2J']")
