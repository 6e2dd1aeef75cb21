"""Files in the upstream's spelling: what their Python may say, what each says in ours, and what is refused."""
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from vortex import flows
from vortex.compiler.front import load
from vortex.compiler.identity.form import identity
from vortex.errors import FlowError
from vortex.ir import FieldKind, Geometry, Graph

HEAD = """from __future__ import annotations

import math
from typing import Any, Dict, List, Optional, Tuple

import torch

from vortex_torch.abs import ContextBase, vTensor
from vortex_torch.cache import Add as CAdd, Fill as CFill, GeMM as CGeMM, L2Norm as CL2Norm, Max as CMax
from vortex_torch.cache import Mean as CMean, MeanInterleave, Multiply as CMultiply
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import *

"""
CENTROID = """
@register("x")
class X(vFlow):
    def __init__(self):
        super().__init__()
        self.mean, self.dot, self.top, self.c = Mean(dim=1), GeMV(), topK(), CMean(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"c": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.c(cache["k"], cache["c"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        self.top(self.dot(self.mean(q, ctx=ctx), cache["c"], ctx=ctx), o, ctx=ctx)
"""
GEOMETRY = Geometry()


def read(text: str, name: str | None = None) -> Graph:
    return load(text, "their.py", GEOMETRY, name)


def built_in(name: str) -> str:
    return identity(read(flows.read(name)[1]))


def changed(*pairs: tuple[str, str]) -> str:
    """The centroid with other lines."""
    text = CENTROID
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return HEAD + text


INIT = "        self.mean, self.dot, self.top, self.c = Mean(dim=1), GeMV(), topK(), CMean(dim=1)\n"
SHAPES = '        return {"c": (1, head_dim)}\n'
WRITE = '        self.c(cache["k"], cache["c"], loc=loc, ctx=ctx)\n'
SCORE = '        self.top(self.dot(self.mean(q, ctx=ctx), cache["c"], ctx=ctx), o, ctx=ctx)\n'


def lines(text: str, indent: int = 8) -> str:
    return textwrap.indent(textwrap.dedent(text).strip("\n") + "\n", " " * indent)


SAME_AS_CENTROID = {
    "as it is": (),
    "super with names": (("super().__init__()", "super(X, self).__init__()"),),
    "the base by name": (("super().__init__()", "vFlow.__init__(self)"),),
    "annotations": (
        ("def create_cache(self, block_size, head_dim):",
         "def create_cache(self, page_size: int, head_dim: int) -> Dict[str, Tuple[int, int]]:"),
        ("def forward_indexer(self, q, o, cache, ctx):",
         'def forward_indexer(self, q: torch.Tensor, o: "vTensor", cache: Dict[str, torch.Tensor], '
         "ctx: Optional[ContextBase] = None) -> None:")),
    "op objects in a list": ((INIT, lines("""
        self.ops: List[Any] = [Mean(dim=1), GeMV()]
        self.ops.append(topK())
        self._c = {"k": CMean(dim=1)}
        """)), (WRITE, lines("""
        for name, op in self._c.items():
            op(cache[name], cache["c"], loc=loc, ctx=ctx)
        """)), (SCORE, lines("""
        mean, dot, top = self.ops
        top(dot(mean(q, ctx=ctx), cache["c"], ctx=ctx), o, ctx=ctx)
        """))),
    "op objects in a dict comprehension": ((INIT, lines("""
        self.made = {name: make() for name, make in (("dot", GeMV), ("top", topK))}
        self.mean, self.c = Mean(), CMean()
        """)), (SCORE, lines("""
        score = self.made["dot"](self.mean(q, ctx=ctx), cache["c"], ctx=ctx)
        self.made.get("top")(score, o, ctx=ctx)
        """))),
    "setattr and getattr": ((INIT, lines("""
        for i, op in enumerate([Mean(dim=1), GeMV(), topK()]):
            setattr(self, f"op_{i}", op)
        setattr(self, "c", CMean(dim=1))
        """)), (SCORE, lines("""
        x = getattr(self, "op_0")(q, ctx=ctx)
        self.op_2(self.op_1(x, cache["c"], ctx=ctx), o, ctx=ctx)
        assert hasattr(self, "op_1") and not hasattr(self, "op_3"), f"missing op_{3}"
        """))),
    "helper methods": ((SCORE, lines("""
        self.top(self._score(q, cache, ctx), o, ctx=ctx)

    @staticmethod
    def _apply(op, *xs, **named):
        return op(*xs, **named)

    def _score(self, q, cache, ctx=None):
        q_mean = self._apply(self.mean, q, ctx=ctx)
        return self._apply(self.dot, q_mean, cache["c"], ctx=ctx)
        """).replace("        @static", "    @static").replace("        def ", "    def ")),),
    "positional ctx": ((WRITE, '        self.c(cache["k"], cache["c"], loc, ctx)\n'), (SCORE, lines("""
        self.top(self.dot(self.mean(q, ctx), cache["c"], ctx), o, ctx)
        """))),
    "keywords of the call": ((WRITE, '        self.c(x=cache["k"], output=cache["c"], loc=loc, ctx=ctx)\n'),
                             (SCORE, lines("""
        self.top(self.dot(x=self.mean(x=q, ctx=ctx), y=cache["c"], ctx=ctx), o=o, ctx=ctx)
        """))),
    "a checked constructor": (
        ("def __init__(self):", "def __init__(self, alpha: float = 0.5, *, mode: str = 'mean'):"), (INIT, INIT + lines("""
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"alpha={alpha:.2f} is not in [0, 1]")
        assert isinstance(alpha, float) and mode in ("mean", "max"), "bad arguments"
        self.alpha = float(alpha) if mode == "mean" else math.sqrt(alpha)
        """))),
    "sizes kept on self": ((SHAPES, lines("""
        self.size = head_dim
        self.rows = max(1, block_size // 64)
        fields = dict(c=(self.rows, self.size))
        for name, (rows, cols) in fields.items():
            if rows * cols <= 0:
                raise ValueError("empty field " + name)
        return fields
        """)), (SCORE, SCORE + lines("""
        assert q.shape[2] == self.size and q.size(-1) == cache["c"].shape[-1] == self.head_dim
        assert cache["c"].shape[1:] == (1, self.head_dim) and "c" in cache and len(q.shape) == 3 == q.ndim
        """))),
    "an output that is returned": ((WRITE, lines("""
        c = self.c(cache["k"], cache["c"], loc=loc, ctx=ctx)
        return c
        """)),),
    "an intermediate": ((INIT, INIT + "        self.copy = CAdd(alpha=1.0, beta=0.0)\n"), (WRITE, lines("""
        mean = self.c(cache["k"], None, loc=loc, ctx=ctx)
        self.copy(mean, mean, cache["c"], loc=loc, ctx=ctx)
        """))),
    "no output at all": ((INIT, INIT + "        self.one = CMean(dim=1)\n"), (WRITE, lines("""
        mean = self.c(cache["k"], loc=loc, ctx=ctx)
        self.one(mean, cache["c"], loc=loc, ctx=ctx)
        """))),
    "a group of its own": ((INIT, INIT.replace("CMean(dim=1)", "MeanInterleave(dim=1, k=16)")),),
    "a reused op object": ((INIT, INIT + "        self.m = self.mean\n"), (SCORE, lines("""
        self.top(self.dot(self.m(self.mean(q, ctx=ctx), ctx=ctx), cache["c"], ctx=ctx), o, ctx=ctx)
        """))),
    "mixed with words of ours": (("@register", "from vortex import ops\n\n\n@register"), (SCORE, lines("""
        self.top(-((q * -2.0).mean(dim=1) @ cache["c"].T) / 2.0, o, ctx=ctx)
        """))),
    "fields joined by words of ours": (("@register", "from vortex import ops\n\n\n@register"), (SCORE, lines("""
        one = ops.cat([cache["c"]], dim=1)
        self.top(one @ q.mean(dim=1).T, o, ctx=ctx)
        """))),
    "a module-level function": (("@register", lines("""
        SCALE = 2 ** -1
        NAMES: Tuple[str, ...] = ("c",)
        _BITS = (1 << 3) | 1


        def shapes(names, *, size=None):
            \"\"\"Shapes by name.\"\"\"
            return {name: (1, size) for name in names if name != "" and _BITS & 8}


        @register""", 0).rstrip("\n")), (SHAPES, "        return shapes(NAMES, size=head_dim)\n")),
    "an attribute set later": ((INIT, INIT + "        self.soft = Softmax(dim=0, scale=1.0)\n"),
                               (SHAPES, "        self.soft.scale = head_dim ** -0.5\n" + SHAPES),
                               (SCORE, lines("""
        score = self.dot(self.mean(q, ctx=ctx), cache["c"], ctx=ctx)
        self.top(self.soft(score, ctx=ctx), o, ctx=ctx)
        """))),
    "a script at its end": ((SCORE, SCORE + "\n\nif __name__ == '__main__':\n    while True:\n        eval('1')\n"),),
    "kinds that are asked for": ((WRITE, WRITE + lines("""
        assert isinstance(loc, torch.Tensor) and isinstance(ctx, ContextBase) and isinstance(cache, dict)
        assert isinstance(cache["k"], vTensor) and not isinstance(cache["k"], (int, str, list)) and ctx.block_size == 16
        """)),),
    "a name that only latents reserve": tuple((part, part.replace('"c"', '"kv_c"')) for part in (SHAPES, WRITE, SCORE)),
    "names that nothing needs": ((SCORE, SCORE + "        del ctx\n        _ = q\n        print('traced', q)\n"),),
    "dtypes in a constructor":
        ((INIT, INIT + "        self.conv = Conv1d([[[1.0]]], dim=0, dtype=torch.bfloat16, device=torch.device('cuda'))\n"),
                                (SCORE, SCORE + "        self.conv(self.dot(self.mean(q), cache['c']), ctx=ctx)\n")),
}


@pytest.mark.parametrize("edits", SAME_AS_CENTROID.values(), ids=SAME_AS_CENTROID)
def test_a_centroid_is_one_however_its_python_is_written(edits: tuple[tuple[str, str], ...]) -> None:
    assert identity(read(changed(*edits))) == built_in("centroid")


IMPORTS = ["import vortex_torch.indexer as vi\nimport vortex_torch.cache as vc\nfrom vortex_torch.flow import vFlow, register\n",
           "from vortex_torch import indexer as vi, cache as vc, vFlow, register\n",
           "from ..indexer import *\nfrom .. import indexer as vi, cache as vc\nfrom .registry import register\n"
           "from .flow import vFlow\n"]


@pytest.mark.parametrize("imports", IMPORTS)
def test_modules_are_imported_in_any_form(imports: str) -> None:
    text = CENTROID.replace("Mean(dim=1), GeMV(), topK(), CMean(dim=1)", "vi.Mean(dim=1), vi.GeMV(), vi.topK(), vc.Mean(dim=1)")
    assert identity(read(imports + text)) == built_in("centroid")


SHIPPED = {"BlockSparseAttention": "centroid", "GQABlockSparseAttention": "gqa-centroid", "GQAQuestSparseAttention": "quest",
           "LServeSparseAttention": "lserve", "LServeCentroidSparseAttention": "lserve-centroid",
           "CenteredBlockSparseAttention": "centered-centroid", "RunningAvgBlockSparse": "running-average",
           "VEnergyGatedCentroid": "value-energy"}


@pytest.mark.parametrize("cls", SHIPPED)
def test_a_shipped_flow_is_derived_from(cls: str) -> None:
    text = f"from vortex_torch.flow import register\nfrom vortex_torch.flow.algorithms import {cls}\n" \
           f"@register('mine')\nclass Mine({cls}):\n    def __init__(self):\n        super().__init__()\n"
    assert identity(read(text)) == built_in(SHIPPED[cls])


def test_a_shipped_flow_is_changed_in_one_method() -> None:
    text = """from vortex_torch.flow import algorithms, register
from vortex_torch.cache import Max as CMax
@register("peak")
class Peak(algorithms.BlockSparseAttention):
    def __init__(self):
        super().__init__()
        self.peak = CMax(dim=1)
    def forward_cache(self, cache, loc, ctx):
        self.peak(cache["k"], cache["centroids"], loc=loc, ctx=ctx)
"""
    ours = flows.read("centroid")[1].replace(".mean(dim=1)\n", ".max(dim=1)\n")
    assert identity(read(text)) == identity(read(ours))


def test_several_flows_of_a_file_are_told_apart_by_name() -> None:
    text = HEAD + CENTROID + CENTROID.replace('"x"', '"y"').replace("class X", "class Y").replace("CMean", "CMax")
    assert identity(read(text, "x")) == built_in("centroid") != identity(read(text, "y")) == identity(read(text))
    with pytest.raises(FlowError, match="registers no flow 'z'"):
        read(text, "z")


STATE = """
@register("x")
class X(vFlow):
    def __init__(self):
        super().__init__()
        self.c, self.first = CMean(dim=1), {first}
        self.load, self.save, self.blend = Load(), Save(), Add(alpha=0.5, beta=1.0)
        self.mean, self.dot, self.top = Mean(), GeMM(), topK()

    def create_cache(self, block_size, head_dim):
        return {{"c": (1, head_dim), "s": (1, head_dim), "unused": (2, 2)}}

    def forward_cache(self, cache, loc, ctx):
        self.c(cache["k"], cache["c"], loc=loc, ctx=ctx)
        {write}
        self.fill = CFill(alpha=1.5)
        self.fill(cache["unused"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        s = self.blend({before}, cache["c"], ctx=ctx)
        self.save(s, cache["s"], ctx=ctx)
        self.top(self.dot(self.mean(q, ctx=ctx), s, ctx=ctx), o, ctx=ctx)
"""
TWIN = """from vortex import ops, register, vFlow
@register("x")
class X(vFlow):
    def forward_cache(self, cache):
        cache["c"] = cache["k"].mean(dim=1)
        {write}

    def create_cache(self, block_size, head_dim):
        return {shapes}

    def forward_indexer(self, q, cache):
        s = cache.state("s", first={first}) * 0.5 + cache["c"]
        cache["s"] = s
        return ops.topk(s @ q.mean(dim=1).T)
"""


@pytest.mark.parametrize("before", ['self.load(cache["s"], ctx=ctx)', 'cache["s"]'])
def test_a_field_that_is_saved_begins_at_the_number_it_is_filled_with(before: str) -> None:
    graph = read(HEAD + STATE.format(first="CFill(alpha=-1)", write='self.first(cache["s"], loc=loc, ctx=ctx)', before=before))
    assert [(f.name, f.kind, f.first) for f in graph.fields] == \
        [("c", FieldKind.SUMMARY, 0.0), ("s", FieldKind.STATE, -1.0)]
    twin = TWIN.format(write="pass", first=-1.0, shapes='{"c": (1, head_dim), "s": (1, head_dim)}')
    assert identity(graph) == identity(read(twin))


def test_a_field_that_is_saved_begins_at_what_forward_cache_computes() -> None:
    text = STATE.format(first="CMax(dim=1)", write='self.first(cache["k"], cache["s"], loc=loc, ctx=ctx)', before='cache["s"]')
    twin = TWIN.format(write='cache["p"] = cache["k"].max(dim=1)', first='"p"', shapes="None")
    assert identity(read(HEAD + text)) == identity(read(twin))


def test_a_field_is_filled_and_read_and_never_saved() -> None:
    text = changed((SHAPES, '        return {"c": (1, head_dim), "two": (1, 1)}\n'),
                   (INIT, INIT + "        self.fill, self.times = CFill(2.0), Multiply()\n"),
                   (WRITE, WRITE + '        self.fill(cache["two"], loc=loc, ctx=ctx)\n'),
                   (SCORE, lines("""
        score = self.dot(self.mean(q, ctx=ctx), cache["c"], ctx=ctx)
        self.top(self.times(score, cache["two"], ctx=ctx), o, ctx=ctx)
        """)))
    graph = read(text)
    assert {f.name: f.kind for f in graph.fields} == {"c": FieldKind.SUMMARY, "two": FieldKind.SUMMARY}


def test_a_field_read_after_it_was_written_is_what_it_holds() -> None:
    text = changed((SHAPES, '        return {"c": (1, head_dim), "n": (1, 1)}\n'),
                   (INIT, INIT + "        self.n = CL2Norm(dim=2)\n"),
                   (WRITE, WRITE + '        self.n(cache["c"], cache["n"], loc=loc, ctx=ctx)\n'),
                   (SCORE, '        self.top(Load()(cache["n"], ctx=ctx), o, ctx=ctx)\n'))
    assert [node.op for node in read(text).cache] == ["field", "mean", "stored", "norm"]


def test_a_union_takes_the_pairs_of_two_lists() -> None:
    text = changed((INIT, INIT + "        self.a, self.b, self.either = TopK(8), TopK(k=29), Union()\n"), (SCORE, lines("""
        score = self.dot(self.mean(q, ctx=ctx), cache["c"], ctx=ctx)
        table, lengths = self.a(score, ctx=ctx)
        self.either((table, lengths), self.b(score, ctx=ctx), o, ctx=ctx)
        """)))
    ours = flows.read("centroid")[1].replace("return ops.topk(", "x = (").replace(".T)", ".T)\n        "
                                             "return ops.topk(x, k=8) | ops.topk(x, k=29)")
    assert identity(read(text)) == identity(read(ours))


def test_a_learned_constant_is_the_second_operand_of_a_product(tmp_path: Path) -> None:
    save_file({"w": np.ones((3, 128), np.float32)}, tmp_path / "w.safetensors")
    text = changed(("@register", "from vortex import ops\n\n\n@register"), (SCORE, lines("""
        q = GeMM()(q, ops.param("w.safetensors", "w"), ctx=ctx)    # [row, 3, group]
        q = Reshape(-1, 3 * q.size(2), 1)(q, ctx=ctx)
        self.top(Mean(dim=1)(GeMM()(Mean(dim=2)(cache["c"], ctx=ctx), q, ctx=ctx), ctx=ctx), o, ctx=ctx)
        """)))
    path = tmp_path / "flow.py"
    path.write_text(text)
    graph = load(text, str(path), GEOMETRY)
    assert [p.shape for p in graph.parameters] == [(3, 128)]
    assert next(node.type for node in graph.indexer if node.op == "matmul").shape == (3, 4)


REFUSED = {
    "a learned constant in front": ((("@register", "from vortex import ops\n\n\n@register"),
                                     (SCORE, '        GeMM()(ops.param("w.safetensors", "w"), q, ctx=ctx)\n')),
                                    "ParameterError", "given as text"),
    "no forward_cache": ((("    def forward_cache(self, cache, loc, ctx):\n" + WRITE, ""),),
        "FlowContractError", "has no forward_cache"),
    "no create_cache": ((("    def create_cache(self, block_size, head_dim):\n" + SHAPES, ""),), "FlowContractError",
                        "has no create_cache"),
    "a field without a writer": (((SHAPES, '        return {"c": (1, head_dim), "d": (1, 1)}\n'),), "FieldError",
                                 'declares "d", and forward_cache does not write it'),
    "a field of another shape": (((SHAPES, '        return {"c": (2, head_dim)}\n'),),
        "ShapeMismatch", r'declares "c" as \[2, 128\]'),
    "a field that is not declared": (((SHAPES, '        return {"d": (1, head_dim)}\n'),), "FieldError", "declares no field 'c'"),
    "k declared": (((SHAPES, '        return {"c": (1, head_dim), "k": (1, 1)}\n'),), "FieldError", 'declares "k"'),
    "a shape of nothing": (((SHAPES, '        return {"c": (block_size // 32, head_dim)}\n'),), "FlowContractError",
                           "does not return"),
    "k written": (((WRITE, '        self.c(cache["v"], cache["k"], loc=loc, ctx=ctx)\n'),), "FieldError", "never written"),
    "written twice": (((WRITE, WRITE + WRITE),), "FieldError", "written twice"),
    "read before written": (((WRITE, '        self.c(cache["c"], None, loc=loc, ctx=ctx)\n' + WRITE),), "FieldError",
                            "read before it is written"),
    "topK twice": (((SCORE, SCORE + SCORE),), "NoSelection", "second selection"),
    "topK never": (((SCORE, "        self.mean(q, ctx=ctx)\n"),), "NoSelection", "puts no selection on o"),
    "a list without a union": (((SCORE, '        TopK(3)(self.dot(self.mean(q, ctx=ctx), cache["c"], ctx=ctx), ctx=ctx)\n'),),
                               "NoSelection", "puts no selection on o"),
    "a score per head": (((SCORE, '        self.top(GeMM()(q, cache["c"], ctx=ctx), o, ctx=ctx)\n'),), "ShapeMismatch",
                         "not one number a block"),
    "a score per row": (((SCORE, "        self.top(Mean(dim=2)(self.mean(q, ctx=ctx), ctx=ctx), o, ctx=ctx)\n"),),
        "ShapeMismatch",
                        "does not vary from block to block"),
    "dim 0 of the query": (((INIT, INIT.replace("Mean(dim=1)", "Mean(dim=0)", 1)),), "ShapeMismatch", "one per row already"),
    "dim 0 of a field": (((SCORE, '        Mean(dim=0)(cache["c"], ctx=ctx)\n'),), "ShapeMismatch", "lies in the pool"),
    "dim 0 in forward_cache": (((INIT, INIT.replace("CMean(dim=1)", "CMean(dim=0)")),), "BadArgument", "dim=0"),
    "softmax of a field": (((SCORE, '        Softmax()(cache["c"], ctx=ctx)\n'),), "ShapeMismatch", "Load it first"),
    "an op of the other side": (((WRITE, '        self.mean(cache["k"], cache["c"], loc=loc, ctx=ctx)\n'),), "WrongSide",
                                "vortex_torch.indexer is called in forward_cache"),
    "rows that do not fit": (((SCORE, '        self.dot(q, cache["c"], ctx=ctx)\n'),), "ShapeMismatch", "GeMV"),
    "a parameter that does not exist": (((INIT, INIT.replace("topK()", "topK(k=3)")),), "BadArgument", "does not take k="),
    "a missing parameter": (((INIT, INIT + "        self.t = TopK()\n"),), "BadArgument", "without k"),
    "a bad parameter": (((INIT, INIT + "        self.t = TopK(0)\n"),), "BadArgument", "k=0"),
    "a bad attribute": (((INIT, INIT + "        self.mean.dim = 5\n"),), "BadArgument", "dim=5"),
    "an attribute of none": (((INIT, INIT + "        self.mean.axis = 1\n"),), "BadArgument", "has no .axis"),
    "too many operands": (((SCORE, "        self.mean(q, q, ctx=ctx)\n"),), "BadArgument", "2 operands"),
    "a number as operand": (((SCORE, "        self.dot(q, 0.5, ctx=ctx)\n"),), "BadArgument", "not 0.5"),
    "an output that is no field": (((WRITE, '        self.c(cache["k"], 5, loc=loc, ctx=ctx)\n'),),
        "BadArgument", "the output of Mean"),
    "no o": (((SCORE, SCORE.replace(", o,", ", q,")),), "BadArgument", "not given o"),
    "a union of numbers": (((SCORE, "        Union()((1, 2), (3, 4), o, ctx=ctx)\n"),), "BadArgument", "pairs that TopK"),
    "a save of a field": (((SCORE, '        Save()(cache["c"], cache["c"], ctx=ctx)\n'),), "ShapeMismatch", "not a field"),
    "a save of a row": (((SCORE, '        Save()(self.mean(q, ctx=ctx), cache["c"], ctx=ctx)\n'),),
        "ShapeMismatch", "does not vary"),
    "a load of a value": (((SCORE, "        Load()(q, ctx=ctx)\n"),), "BadArgument", "takes a field"),
    "an assigned field": (((WRITE, '        cache["c"] = cache["k"]\n'),), "FieldError", "fields are written by ops"),
    "torch on values": (((SCORE, '        torch.matmul(q, cache["c"])\n'),), "UnknownOp", "torch.matmul"),
    "a learned matrix": (((INIT, INIT + "        self.w = Parameter([[1.0]])\n"),), "ParameterError", "Parameter"),
    "an environment variable": ((("@register", "import os\n@register"),), "ForbiddenSyntax", "environment variables"),
    "a refusal of its own": (((SHAPES, '        raise ValueError(f"no blocks of {block_size}")\n'),), "FlowContractError",
                             "no blocks of 16"),
    "an assertion of its own": (((SHAPES, '        assert block_size > 16, f"{block_size} is too small"\n'),),
        "FlowContractError",
                                "16 is too small"),
    "a constructor that asks": ((("def __init__(self):", "def __init__(self, alpha):"),),
        "FlowContractError", "its __init__ takes alpha"),
    "an unknown shipped flow": ((("@register", "from vortex_torch.flow.algorithms import SnapAttention\n@register"),),
        "UnknownOp",
                                "no SnapAttention"),
}


@pytest.mark.parametrize(("edits", "code", "words"), REFUSED.values(), ids=REFUSED)
def test_what_the_upstream_refuses_is_refused_in_words(edits: tuple[tuple[str, str], ...], code: str, words: str) -> None:
    with pytest.raises(FlowError) as refusal:
        read(changed(*edits))
    assert refusal.value.code == code, refusal.value.report()
    report = refusal.value.report()
    assert refusal.value.where.line > 0 and refusal.value.hint, report
    assert re.search(words, report), report
