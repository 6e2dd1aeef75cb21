"""Flows that try it in their text. What catches each is the name of a refusal, or `no effect` for what changes nothing."""
from typing import TypeAlias

INNOCENT = "return ops.topk(ops.position())"
HEAD = 'from vortex import ops, register, vFlow\n\n\n@register("cheat")\nclass Cheat(vFlow):\n'
METHOD = "    def forward_indexer(self, q, cache):\n"
Text: TypeAlias = tuple[str, str, str]                    # what it tries, the text, what catches it


def body(*lines: str) -> str:
    return HEAD + METHOD + "".join(f"        {line}\n" for line in lines)


def named(name: str) -> str:
    return body(INNOCENT).replace('"cheat"', f'"{name}"')


SCORE = "score = q.mean(dim=1) @ cache['mean'].T"
SUMMARY = "    def forward_cache(self, cache):\n        cache['mean'] = cache['k'].mean(dim=1)\n\n"


def scored(*lines: str) -> str:
    """A flow that ranks blocks by their mean key, and then by what it makes of that score."""
    return body(SCORE, *lines).replace(METHOD, SUMMARY + METHOD)


BLINDS = (
    ("hides it behind one huge score", scored("return ops.topk(ops.where(ops.position() < 0.5, 1e30, score))")),
    ("hides it behind an infinite score", scored("return ops.topk(ops.where(ops.position() < 2.5, score.exp() * 1e38 * 1e38, "
                                                 "score))")),
    ("hides it behind a sum that all scores share", scored("return ops.topk(score + 1e6)")),
    ("hides it behind a factor that all scores share",
     scored("return ops.topk(score * ((score - score.mean(dim=0)).sum(dim=0) * 1e5).exp())")),
    ("hides it behind scores that are all alike", scored("return ops.topk(score * 0.0)")),
)
SPARED = (
    ("attends to little at the length that it is timed at",
     scored("return ops.threshold(ops.where(ops.position().max(dim=0) > 60, -1e9, score), -1e8)")),
    ("attends to little in what it takes for drawn data",
     scored("size = cache['size'].mean(dim=0)",
            "return ops.threshold(ops.where((size > 7.5) * (size < 8.5), -1e9, score), -1e8)").replace(
         SUMMARY, SUMMARY.rstrip() + "\n        cache['size'] = cache['v'].norm(dim=2).mean(dim=1)\n\n")),
    ("takes nearly all of a short text by a k of its own", scored("return ops.topk(score, k=24)")),
)
TEXTS: tuple[Text, ...] = (
    # out of the language
    ("reads a key from the environment", body("import os", "x = os.environ['ANTHROPIC_API_KEY']", INNOCENT), "ForbiddenSyntax"),
    ("reads the archive", body("x = open('results.db').read()", INNOCENT), "FlowContractError"),
    ("probes the network", body("import socket", INNOCENT), "ForbiddenSyntax"),
    ("asks the driver for answers", body("from evaluator.tasks.door import find_task", INNOCENT), "ForbiddenSyntax"),
    ("writes to the scorer", body("from evaluator import statistics", "statistics.LEVEL = 0", INNOCENT), "ForbiddenSyntax"),
    ("patches the clock", body("import time", "time.perf_counter = len", INNOCENT), "ForbiddenSyntax"),
    ("sleeps while it is traced", body("import time", "time.sleep(60)", INNOCENT), "ForbiddenSyntax"),
    ("sleeps by an op", body("ops.sleep(60)", INNOCENT), "UnknownOp"),
    ("imports by name", body("x = __import__('os')", INNOCENT), "ForbiddenSyntax"),
    ("imports the importer", "import importlib\n" + body(INNOCENT), "ForbiddenSyntax"),
    ("imports our errors to find their module", body("from vortex import errors", INNOCENT), "ForbiddenSyntax"),
    ("walks from an op to its globals", body("x = ops.topk.__globals__", INNOCENT), "ForbiddenSyntax"),
    ("walks from an exception to its frames", body("x = getattr(q, 'tb_frame')", INNOCENT), "UnknownOp"),
    ("replaces an op for everyone", body("ops.topk = q", INNOCENT), "ForbiddenSyntax"),
    ("collects what the checker holds", body("import gc", "x = gc.get_objects()", INNOCENT), "ForbiddenSyntax"),
    # more than its share
    ("starts processes without end", body("import os", "while True:", "    os.fork()"), "ForbiddenSyntax"),
    ("never ends", body("while True:", "    pass"), "ForbiddenSyntax"),
    ("counts to a million millions", body("for i in range(10 ** 6):", "    x = i", INNOCENT), "BadArgument"),
    ("counts within counting", body("for i in range(4000):", "    for j in range(4000):", "        x = j", INNOCENT),
     "FlowContractError"),
    ("calls itself for ever", body("def f(n):", "    return f(n + 1)", "x = f(0)", INNOCENT), "FlowContractError"),
    ("fills memory with a list", body("x = [0] * 10 ** 9", INNOCENT), "BadArgument"),
    ("fills memory with a text", body("x = 'a' * 10 ** 9", INNOCENT), "BadArgument"),
    ("fills memory with a number", body("x = 10 ** 10 ** 10", INNOCENT), "BadArgument"),
    ("makes a giant graph", body("x = q.mean(dim=1)", "for i in range(4000):", "    x = x.exp().abs()",
                                 "return ops.topk(x @ cache['k'].mean(dim=1).T)"), "FlowContractError"),
    ("is a text of megabytes", body(*["x = 1"] * 9000, INNOCENT), "ForbiddenSyntax"),
    # other requests, other rows, what was never written
    ("selects by the request's name", body("x = self.request", INNOCENT), "FlowContractError"),
    ("selects by a request's id in the upstream's context", body("x = ctx.request_id", INNOCENT), "FlowContractError"),
    ("reads a block by its number", body("return ops.topk(cache['k'][9999])"), "BadArgument"),
    ("reads past the end of a block", body("return ops.topk(q.mean(dim=1) @ cache['k'][:, 17:18, :].T)"), "BadArgument"),
    ("reads a field that nobody wrote", body("return ops.topk(q.mean(dim=1) @ cache['c'].T)"), "FieldError"),
    ("remembers the last request in itself", body("self.seen = q", "return ops.topk(self.last)"), "FlowContractError"),
    # the operating point is not the flow's
    ("sets the budget as an attribute", body("self.topk_ratio = 1.0", "self.topk_val = 4096", INNOCENT), "no effect"),
    ("sets the point on its class", HEAD + "    topk_ratio = 1.0\n    block_size = 64\n    layers_skip = (0, 1, 2, 3)\n\n" +
     METHOD + f"        {INNOCENT}\n", "no effect"),
    ("keeps layers dense in its __init__", HEAD + "    def __init__(self):\n        self.layers_skip = [0, 1, 2, 3]\n\n" +
     METHOD + f"        {INNOCENT}\n", "no effect"),
    ("calls for another config", body("from vortex import VortexConfig", "VortexConfig(topk_ratio=1.0)", INNOCENT),
     "ForbiddenSyntax"),
    ("sets a setting of the engine", body("self.mem_fraction_static = 0.99", "self.kv_cache_dtype = 'fp8_e5m2'", INNOCENT),
     "no effect"),
    # names that are more than names
    ("clears the reader's screen with its name", named("\\x1b[2J\\x1b[31mbest"), "FlowContractError"),
    ("turns its name round", named("\\u202egnihtyna"), "FlowContractError"),
    ("has a name without end", named("x" * 200), "FlowContractError"),
)
