"""The evaluator runs a flow's Python as Python does: the same names have the same values afterwards."""
import ast
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vortex.errors import FlowError
from vortex.language.evaluator import Evaluator
from vortex.language.guard import MOST_STEPS
from vortex.language.imports import standing

PLAIN = (int, float, str, bool, tuple, list, dict, type(None))
SNIPPETS = [
    "x = 1 + 2 * 3 ** 2 // 4 % 5 - -6; y = 7 / 2; z = not 0; b = ~5 & 12 | 3 ^ 1 << 2 >> 1",
    "x = [i * j for i in range(4) for j in range(i) if j % 2 == 0]; y = {k: v for k, v in zip('abc', range(3))}",
    "a, (b, *c), d = 1, (2, 3, 4), [5]; e = [*c, *(6, 7)]; f = {**{'p': 1}, 'q': 2}",
    "x = [1, 2]\ny = x\ny += [3]\nx[0] = 9\nz = x is y",
    "def f(a, b=2, *rest, c, d=4, **more):\n    return (a, b, rest, c, d, more)\nx = f(1, c=3)\ny = f(1, 5, 6, 7, c=8, e=9)",
    "def f(n):\n    return 1 if n < 2 else n * f(n - 1)\nx = f(10)",
    "def outer(k):\n    def inner(x):\n        return x + k\n    return inner\nx = outer(3)(4)",
    "x = 0\nfor i in range(10):\n    if i == 3:\n        continue\n    if i == 7:\n        break\n    x += i\nelse:\n    x = -1",
    "x = 5\nfor i in ():\n    x = 1\nelse:\n    x = 2",
    "class A:\n    K = 3\n    def __init__(self, n=1):\n        self.n = n\n    def get(self):\n        return self.n + self.K\n"
    "class B(A):\n    K = 4\n    def get(self):\n        return super().get() * 10\nx = B(2).get(); y = A().get(); z = A.K",
    "class A:\n    def f(self):\n        return 'A'\nclass B(A):\n    def f(self):\n        return 'B' + super().f()\n"
    "class C(A):\n    def f(self):\n        return 'C' + super(C, self).f()\nx = B().f() + C().f()",
    "class A:\n    K = 1\nclass B(A):\n    pass\nclass C(A):\n    K = 2\nclass D(B, C):\n    pass\nx = D.K; y = D().K",
    "class A:\n    def f(self):\n        return 'A'\nclass B(A):\n    def f(self):\n        return 'B' + super().f()\n"
    "class C(A):\n    def f(self):\n        return 'C' + super().f()\nclass D(B, C):\n    pass\nx = D().f()",
    "class A:\n    @staticmethod\n    def s(x):\n        return x + 1\n    @classmethod\n    def c(cls):\n        return cls.N\n"
    "    @property\n    def p(self):\n        return self.s(4)\n    N = 7\nx = A().s(1); y = A.c(); z = A().p; w = A.s(2)",
    "class A:\n    xs = [i for i in range(3)]\n    def f(self):\n        return [x + self.k for x in self.xs]\n"
    "a = A()\na.k = 5\nx = a.f()",
    "x = [v for v in (1, 2, 3) if v != 2 and v is not None or v == 2]; y = 1 < 2 < 3 > 2; z = 3 not in x; w = 'b' in 'abc'",
    "x = f'{1}-{2.5:.1f}-{7:03d}-{\"a\"}-{\"q\"!r}-{(1, 2)}'; y = 'a' 'b' + 'c'",
    "d = {'a': 1}\nd['b'] = 2\nd.update(c=3)\nx = list(d.items())\n"
    "y = d.pop('a'); z = d.get('z', 0); w = sorted(d.keys()); v = len(d)",
    "x = [3, 1, 2]\nx.append(4)\nx.insert(0, 5)\nx.extend((6, 7))\nx.reverse()\n"
    "y = x.pop(); z = x.index(1); w = x.count(2); v = x[1:3]",
    "x = sum([1, 2], 3); y = max(1, 5, 2); z = min([4, 2]); w = round(2.567, 2); v = abs(-3); u = divmod(7, 2); t = pow(2, 5)",
    "x = list(enumerate('ab', 1)); y = list(reversed([1, 2])); z = any([0, 1]); w = all([]); v = list(map(str, (1, 2)))",
    "x = int(3.9); y = float(2); z = bool([]); w = str(5); v = tuple([1]); u = dict(a=1); t = isinstance(3, (int, str))",
    "x = 'a_b'.split('_'); y = '-'.join(['p', 'q']); z = ' Ab '.strip().lower().startswith('a'); w = 'Q'.upper().endswith('Q')",
    "import math\nfrom math import sqrt as root\nx = math.log(8, 2); y = root(2.0); z = math.floor(2.7); w = math.pi",
    "x = 1\ndel x\nx = [] or {} or 'last'; y = 0 and 1; z = None is None",
    "def f(x, acc=[]):\n    acc.append(x)\n    return len(acc)\nx = (f(1), f(2))",
    "x = 3\ndef f():\n    x = 4\n    return x\ny = f()\nz = x",
    "x = (1,) * 3 + (2,); y = 2 * [0]; z = (1, 2) < (1, 3); w = [1, [2]] == [1, [2]]",
]


def evaluated(text: str) -> dict[str, object]:
    evaluator = Evaluator(standing())
    evaluator.run(ast.parse(text))
    return plain(evaluator.scope.names)


def plain(names: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in names.items() if isinstance(value, PLAIN) and name != "__builtins__"}


def by_python(text: str) -> dict[str, object]:
    names: dict[str, object] = {}
    exec(text, names)
    return plain(names)


@pytest.mark.parametrize("text", SNIPPETS)
def test_a_snippet_leaves_the_names_that_python_leaves(text: str) -> None:
    assert evaluated(text) == by_python(text)


OPERATORS = ("+", "-", "*", "/", "//", "%", "<", "<=", "==", "!=", "and", "or")
NUMBERS = st.integers(-9, 9) | st.floats(-4, 4, allow_nan=False, width=16).map(lambda x: x + 0.0)
ARITHMETIC = st.recursive(NUMBERS.map(repr), lambda part: st.one_of(
    st.tuples(part, st.sampled_from(OPERATORS), part).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    st.tuples(st.sampled_from(["-", "not ", "+"]), part).map(lambda t: f"({t[0]}{t[1]})"),
    st.tuples(part, part, part).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
    st.lists(part, min_size=1, max_size=3).map(lambda parts: f"max([{', '.join(parts)}])"),
), max_leaves=12)


@settings(max_examples=300, deadline=None)
@given(ARITHMETIC)
def test_arithmetic_is_that_of_python(text: str) -> None:
    try:
        expected = eval(text)
    except ZeroDivisionError:
        with pytest.raises(FlowError):
            evaluated(f"x = {text}")
        return
    found = evaluated(f"x = {text}")["x"]
    assert found == expected and type(found) is type(expected)
    assert isinstance(found, int) or not math.isnan(found)  # type: ignore[arg-type]  # a number, as drawn


def test_steps_are_counted_to_an_end() -> None:
    evaluator = Evaluator(standing())
    with pytest.raises(FlowError, match="steps"):
        evaluator.run(ast.parse("for i in range(4000):\n    for j in range(4000):\n        pass"))
    assert evaluator.guard.steps <= MOST_STEPS + 1
