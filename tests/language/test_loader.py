"""Untrusted text: what is refused, by which name and at which line; what passes; how much it may compute."""
import subprocess
import sys
from pathlib import Path

import pytest

from vortex.errors import FlowError
from vortex.ir import Geometry
from vortex.language.loader import load_flow
from vortex.language.trace import trace

HEAD = 'from vortex import ops, register, vFlow\n@register("x")\nclass X(vFlow):\n    def forward_indexer(self, q, cache):\n'
LINE = 5          # the first line of the body


def body(*lines: str) -> str:
    return HEAD + "".join(f"        {line}\n" for line in lines)


def traced(text: str) -> str:
    return trace(load_flow(text, "x.py"), Geometry()).hash


REFUSED_IN_BODY = [
    ("import os", "ForbiddenSyntax"), ("from os import path", "ForbiddenSyntax"), ("while True: pass", "ForbiddenSyntax"),
    ("x = lambda: 1", "ForbiddenSyntax"), ("try: pass\n        except: pass", "ForbiddenSyntax"),
    ("with q: pass", "ForbiddenSyntax"), ("global y", "ForbiddenSyntax"), ("del q[0]", "ForbiddenSyntax"),
    ("raise q", "FlowContractError"), ("assert q", "FlowError"), ("yield q", "ForbiddenSyntax"),
    ("raise ValueError('no')", "FlowContractError"), ("assert 1 > 2, 'no'", "FlowContractError"),
    ("x = {q, 2}", "BadArgument"), ("x = {q: 1 for a in (1,)}", "BadArgument"), ("x = (y := 1)", "ForbiddenSyntax"),
    ("x = [*q]", "BadArgument"), ("x = 1 << 99", "BadArgument"), ("x = 99999999999999999999", "ForbiddenSyntax"),
    ("x = 1j", "ForbiddenSyntax"), ("x = b'1'", "ForbiddenSyntax"), ("x = q in (1,)", "FlowError"),
    ("x = q.__class__", "ForbiddenSyntax"), ("x = q._tape", "UnknownOp"), ("x = __builtins__", "ForbiddenSyntax"),
    ("x = _guard", "FlowContractError"), ("x = ops.softmax(q, _x=1)", "BadArgument"), ("q.shape = 1", "ForbiddenSyntax"),
    ("ops.topk = q", "ForbiddenSyntax"), ("self.__kept = q", "ForbiddenSyntax"), ("x = f'{1:>999999999}'", "ForbiddenSyntax"),
    ("x = f'{q:>9}'", "BadArgument"), ("x = f'{1:{9}}'", "ForbiddenSyntax"), ("x = getattr(q, '__class__')", "ForbiddenSyntax"),
    ("x = getattr(self, 'forward_indexer.x')", "ForbiddenSyntax"), ("x = type(q)", "FlowContractError"),
    ("def f(*a): pass\n        f(b=1)", "FlowContractError"), ("def f(a, b=1): pass\n        f(1, a=2)", "FlowContractError"),
    ("def f(a): pass\n        f()", "FlowContractError"), ("def f(a): pass\n        f(1, 2)", "FlowContractError"),
    ("x = dict(**q)", "BadArgument"), ("x = {**q}", "BadArgument"), ("async def f(): pass", "ForbiddenSyntax"),
    ("x = 5\n        x.y = 1", "ForbiddenSyntax"), ("x = 1 and q and 2", "FlowError"), ("x = q if q else q", "FlowError"),
    ("x = max(q, q)", "FlowError"), ("x = abs(q)", "BadArgument"), ("x = {}[q]", "BadArgument"),
    ("x = {}['a']", "FlowContractError"),
    ("x = 'a' + 1", "BadArgument"), ("x = ~1.5", "BadArgument"), ("x = -'a'", "BadArgument"), ("x = 1 | 1.5", "BadArgument"),
    ("x = q.meen(dim=1)", "UnknownOp"), ("x = ops.maximun(q, q)", "UnknownOp"), ("x = ops.record", "UnknownOp"),
    ("x = 'a'.format(q)", "UnknownOp"), ("x = q.numpy()", "UnknownOp"), ("x = q ** 2", "UnknownOp"),
    ("x = self.nothing", "FlowContractError"), ("x = self.flow_text", "FlowContractError"),
    ("x = q.mean(dim=1, evry=2)", "BadArgument"), ("x = q.mean(1, 2, 3)", "BadArgument"), ("x = q.mean()", "BadArgument"),
    ("x = q.mean(dim=3)", "BadArgument"), ("x = q.mean(dim=1, keepdim=False)", "BadArgument"),
    ("x = q.sum(1, dim=1)", "BadArgument"), ("x = ops.softmax(3.0)", "BadArgument"), ("x = ops.cat(q, dim=1)", "BadArgument"),
    ("x = ops.maximum(1.0, 2.0)", "BadArgument"), ("x = q + 'a'", "BadArgument"), ("x = q % 2", "BadArgument"),
    ("x = 'a' * 999999999", "BadArgument"), ("x = '%9999999d' % 1", "BadArgument"), ("x = 9 ** 9 ** 9", "BadArgument"),
    ("x = 2 ** 64", "BadArgument"), ("x = (1,) * 99999", "BadArgument"), ("x = range(10 ** 9)", "BadArgument"),
    ("x = (-8) ** 0.5", "BadArgument"), ("x = int('9' )", "BadArgument"), ("x = q.shape[0] + 1", "BadArgument"),
    ("x = q * 1e39", "BadArgument"), ("x = q * float('inf')", "BadArgument"), ("x = 1.0 < ops.maximum", "FlowContractError"),
    ("x = q[0]", "BadArgument"), ("x = q[1:2]", "BadArgument"), ("x = q[..., 0]", "BadArgument"),
    ("x = q[..., ::2]", "BadArgument"), ("x = q[..., :999]", "BadArgument"), ("x = q[..., 5:5]", "BadArgument"),
    ("x = q[..., 'a']", "BadArgument"), ("x = q[:, :, :, :1]", "BadArgument"), ("x = q[..., 0.5:1]", "BadArgument"),
    ("x = q @ q", "ShapeMismatch"), ("x = q @ q[:, :2]", "ShapeMismatch"), ("x = q + q[..., :5]", "ShapeMismatch"),
    ("x = q.mean(dim=0)", "ShapeMismatch"), ("return ops.topk(q)", "ShapeMismatch"),
    ("return ops.topk(cache['k'].mean(dim=1))", "ShapeMismatch"), ("x = ops.topk(ops.topk(ops.position()))", "BadArgument"),
    ("if q.mean(dim=1) > 0: pass", "FlowError"), ("x = not q", "FlowError"), ("x = 1 < q < 2", "FlowError"),
    ("for x in q: pass", "BadArgument"), ("q[..., :1] = q", "ForbiddenSyntax"), ("q[0] = q", "FlowError"),
    ("x, y = q", "FlowError"),
    ("x = cache['hi']", "FieldError"), ("x = cache[1]", "FieldError"), ("cache['k'] = q", "FieldError"),
    ("cache['s'] = 1.0", "FieldError"), ("cache['s'] = q", "ShapeMismatch"), ("x = cache.state('k')", "FieldError"),
    ("x = cache.state('s', first='a')", "FieldError"),
    ("x = nothing", "FlowContractError"), ("x = 1 / 0", "BadArgument"), ("x = range(1, 2, 0)", "BadArgument"),
    ("x = range(q)", "BadArgument"),
    ("x = int(float('nan'))", "BadArgument"), ("x = q.transpose(1)", "BadArgument"),
    ("x = q.transpose(0, 1)", "BadArgument"), ("x = q.transpose(q, q)", "BadArgument"),
    ("x = q.transpose([1], 2)", "BadArgument"),
    ("x = 1e300 ** 60", "BadArgument"), ("x = list(enumerate((1,), q))", "BadArgument"), ("x = (1, 2)[5]", "FlowContractError"),
    ("t = (2,)\n        t[0] *= 9", "BadArgument"), ("t = [2]\n        t[0:0] = t", "ForbiddenSyntax"),
    ("x = open('f')", "FlowContractError"), ("x = len(3)", "FlowContractError"), ("q.state()", "UnknownOp"),
    ("for i in range(4000):\n            for j in range(4000): pass", "FlowContractError"),
    ("for i in range(4000):\n            q = q * 2 * 2 * 2", "FlowContractError"),
]
PLACED_LATER = {"for i in range(4000):\n            for j in range(4000): pass": LINE + 1,
                "for i in range(4000):\n            q = q * 2 * 2 * 2": LINE + 1,
                **{text: LINE + 1 for text, _ in REFUSED_IN_BODY if text.startswith(("t = ", "def f", "x = 5"))}}


@pytest.mark.parametrize(("line", "code"), REFUSED_IN_BODY)
def test_a_body_is_refused_by_name_and_line(line: str, code: str) -> None:
    with pytest.raises(FlowError) as refusal:
        traced(body(line, "return ops.topk(ops.position())"))
    assert (refusal.value.code, refusal.value.where.line) == (code, PLACED_LATER.get(line, LINE)), refusal.value.report()
    assert refusal.value.where.path == "x.py"
    assert refusal.value.where.text == body(line).splitlines()[refusal.value.where.line - 1].strip()


CLASS = "from vortex import ops, register, vFlow\n"
REFUSED_TEXTS = [
    ("", "FlowContractError", 0), ("x = 1", "FlowContractError", 0), ("def f(:\n", "FlowSyntaxError", 1),
    ("\0", "FlowSyntaxError", 1), ("(" * 5000, "FlowSyntaxError", 1), ("x = 1\n" * 20_000, "ForbiddenSyntax", 0),
    ("x = " + "-" * 500 + "1", "ForbiddenSyntax", 1), ("x = " + "9" * 5000, "FlowSyntaxError", 1),
    ("import os", "ForbiddenSyntax", 1), ("import torch.nn", "ForbiddenSyntax", 1),
    ("from torch import nn", "ForbiddenSyntax", 1), ("from math import factorial", "ForbiddenSyntax", 1),
    ("from vortex_torch.indexer import GeMN", "UnknownOp", 1), ("from vortex_torch.nothing import x", "ForbiddenSyntax", 1),
    ("from vortex import *", "ForbiddenSyntax", 1),
    ("from vortex import errors", "ForbiddenSyntax", 1), ("from vortex import ops as __o", "ForbiddenSyntax", 1),
    ("from .vortex import ops", "ForbiddenSyntax", 1), ("from vortex.language import ops", "ForbiddenSyntax", 1),
    (CLASS + "class X(vFlow):\n    pass", "FlowContractError", 2),
    (CLASS + '@register("x")\nclass X(vFlow):\n    pass', "FlowContractError", 3),
    (CLASS + '@register("x")\nclass X(vFlow):\n    def forward_indexer(self, q, o, cache, ctx):\n        pass',
     "FlowContractError", 3),
    (CLASS + '@register("x")\nclass X(vFlow):\n    def forward_indexer(self, q, cache, ctx):\n        pass',
     "FlowContractError", 4),
    (CLASS + '@register("x")\nclass X(vFlow):\n    def forward_cache(self):\n        pass\n'
             '    def forward_indexer(self, q, cache):\n        pass', "FlowContractError", 4),
    (CLASS + "@register(1)\nclass X(vFlow):\n    pass", "FlowContractError", 2),
    (CLASS + '@register("x")\nclass X:\n    pass', "FlowContractError", 2),
    (CLASS + '@register("x")\nclass X(vFlow):\n    pass\n@register("x")\nclass Y(vFlow):\n    pass', "FlowContractError", 5),
    (CLASS + "@ops.topk\nclass X(vFlow):\n    pass", "ForbiddenSyntax", 3),
    (CLASS + "class X(vFlow, metaclass=1):\n    pass", "ForbiddenSyntax", 2),
    (CLASS + "class X(ops.topk):\n    pass", "ForbiddenSyntax", 2),
    (CLASS + "class X(vFlow):\n    @vFlow\n    def f(self):\n        pass", "ForbiddenSyntax", 3),
    (CLASS + "class X(vFlow):\n    def __call__(self):\n        pass", "ForbiddenSyntax", 3),
    (CLASS + '@register("x")\nclass X(vFlow):\n    forward_indexer = 5', "FlowContractError", 3),
    (CLASS + '@register("x" "y" * 1)\nclass X(vFlow):\n    pass', "BadArgument", 2),
    (CLASS + '@register("\\n")\nclass X(vFlow):\n    def forward_indexer(self, q, cache):\n        pass',
     "FlowContractError", 2),
    (CLASS + "class X(vFlow):\n    flow_name = 5\n    def forward_indexer(self, q, cache):\n        pass",
     "FlowContractError", 2),
    (CLASS + "class X(vFlow):\n    N = 10 ** 100", "BadArgument", 3),
    (CLASS + "class X(vFlow):\n    N = [i for i in range(4000) for j in range(4000)]", "BadArgument", 3),
]


@pytest.mark.parametrize(("text", "code", "line"), REFUSED_TEXTS, ids=range(len(REFUSED_TEXTS)))
def test_a_text_is_refused_by_name_and_line(text: str, code: str, line: int) -> None:
    with pytest.raises(FlowError) as refusal:
        load_flow(text, "x.py")
    assert (refusal.value.code, refusal.value.where.line) == (code, line), refusal.value.report()
    assert refusal.value.where.path == "x.py"


PASSING = '''"""Every part of Python that a flow may use."""
from vortex import ops, register, vFlow

WIDTHS: tuple = (8, 16)


@register("all", "old-name")
class All(vFlow):
    """A class."""
    HALF = 1 / 2
    NAMES = ("a", "b")
    TAPS = [HALF, 0.25] + [0.25]

    def create_cache(self, block_size, head_dim):
        return {"a0": (1, 8), "b1": (1, 16), "s": (1, 1)}

    def part(self, x, width: int = 8) -> None:
        """A helper."""
        return x[..., :width] if width < self.head_dim else x

    def forward_cache(self, cache):
        for i, (name, width) in enumerate(zip(self.NAMES, WIDTHS)):
            cache[f"{name}{i}"] = self.part(cache["k"], width).mean(dim=1)

    def forward_indexer(self, q, cache):
        total = 0.0
        for i, name in enumerate(self.NAMES):
            if i % 2 == 0 and not i == 3:
                total += self.part(q) @ cache[f"{name}{i}"].T
            elif i > 5:
                break
            else:
                total = total - (q[..., :16] @ cache["b1"].T) * self.HALF
        parts = [total[:, i:i + 1] for i in range(min(self.group, 4))]
        score = ops.conv(sum(parts) / len(parts), self.TAPS) * 2 ** -1
        last = cache.state("s", first=-1)
        cache["s"] = score
        return ops.topk(ops.where(score > last, score, last * 0.5) + -score.abs())
'''


@pytest.mark.parametrize("escape", [
    "self = (i for i in (1,))\n        x = self.gi_frame",
    "x = [self.gi_frame for self in ((i for i in (1,)),)]",
    "x = self.reach((i for i in (1,)))",
    "self = 'text'\n        x = self.format",
    "x = self.flow_guard.steps",
    "o = ops\n        x = o.record",
    "x = vFlow.flow_guard",
    "x = q.mean.gi_frame",
    "x = ops.topk.format",
])
def test_no_name_of_the_text_leads_out_of_it(escape: str) -> None:
    more = ("    gi_frame = flow_guard = format = f_back = 1\n"
            "    def outer(self):\n        def inner(self):\n            return self.gi_frame\n        return inner\n"
            "    def reach(self, other):\n        return self.outer()(other)\n")
    with pytest.raises(FlowError):
        traced(body(escape, "return ops.topk(ops.position())") + more)


@pytest.mark.parametrize("statement", ["from vortex import ops", "x: int", "pass", "'text'"])
def test_a_body_of_nothing_is_a_body(statement: str) -> None:
    text = body("return ops.topk(ops.position())")
    assert traced(text + f"    def forward_cache(self, cache):\n        {statement}\n") == traced(text)


def test_everything_that_is_allowed_passes_together() -> None:
    flow = load_flow(PASSING, "all.py")
    graph = trace(flow, Geometry())
    assert (flow.flow_name, flow.flow_aliases) == ("all", ("old-name",))
    assert {(f.name, f.rows, f.cols, f.first) for f in graph.fields} == \
        {("a0", 1, 8, 0.0), ("b1", 1, 16, 0.0), ("s", 1, 1, -1.0)}
    assert trace(flow, Geometry()) == graph


def test_the_last_registered_class_is_the_flow() -> None:
    text = CLASS + "".join(f'@register("{n}")\nclass {n}(vFlow):\n    def forward_indexer(self, q, cache):\n'
                           "        return ops.everything()\n" for n in ("A", "B"))
    assert load_flow(text).flow_name == "B"


def test_what_a_flow_calls_itself_reaches_the_graph() -> None:
    assert trace(load_flow(body("return ops.topk(ops.position())")), Geometry()).name == "x"


@pytest.mark.parametrize("bomb", [
    "t = (1,)\n        for i in range(4000): t = (t, t)\n        x = q * t",
    "t = (1,)\n        for i in range(4000): t = (t, t)\n        x = ops.conv(ops.position(), t)",
    "t = 'a'\n        for i in range(4000): t = f'{t}{t}'",
    "self.forward_indexer(q, cache)",
    "x = sum([(1,) * 4000] * 4000, ())",
])
@pytest.mark.timeout(20)
def test_bombs_end_in_a_refusal_soon(bomb: str) -> None:
    with pytest.raises(FlowError):
        traced(body(bomb, "return ops.topk(ops.position())"))


def test_tracing_needs_no_torch() -> None:
    code = ("import sys; import vortex.language.trace, vortex.compiler.front, vortex.flows; "
            "vortex.compiler.front.load(vortex.flows.read('quest')[1], 'x', vortex.compiler.front.Geometry()); "
            "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)")
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
