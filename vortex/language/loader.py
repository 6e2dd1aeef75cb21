"""Untrusted source text to a flow class: an allow-list over the syntax tree, then one execution without builtins."""
import ast
import inspect
from collections.abc import Sequence
from types import CodeType
from typing import Any

from vortex.errors import FlowContractError, FlowNotFound, FlowSyntaxError, ForbiddenSyntax, Where
from vortex.ir import Parameter
from vortex.language import ops
from vortex.language.allowed import check_syntax, instrument
from vortex.language.calls import nearest
from vortex.language.flow import register, vFlow, vFlowMLA
from vortex.language.guard import Guard
from vortex.language.parameters import folder_of
from vortex.language.place import Source, run

MOST_TEXT = 65_536
MOST_NAME = 100
SIGNATURES = {"forward_cache": ["self", "cache"], "forward_indexer": ["self", "q", "cache"],
              "create_cache": ["self", "block_size", "head_dim"]}
LATENT_SIGNATURES = {"create_cache": ["self", "block_size", "kv_lora_rank", "qk_rope_head_dim"]}
EXPORTS: dict[str, Any] = {"ops": ops, "register": register, "vFlow": vFlow, "vFlowMLA": vFlowMLA}


def load_flow(text: str, path: str = "<flow>", name: str | None = None,
              parameters: Sequence[Parameter] = ()) -> type[vFlow]:
    """The flow that `text` registers as `name`; without one, the last.

    Its parameters are the given ones, and else come from files in the folder of `path`.

    Only an allow-listed part of Python passes (classes, methods, assignments, arithmetic, `for`, `if` on numbers), the
    imports of `ops`, `register` and `vFlow` from vortex are resolved here, and nothing else is executed.
    Raises FlowSyntaxError, ForbiddenSyntax, UnknownOp, FlowContractError, placed in `path`.
    """
    source = Source(path, text)
    tree = _parsed(source)
    check_syntax(tree, source)
    guard = Guard()
    builtins = {**guard.builtins(), "__build_class__": __build_class__}
    namespace = {"__builtins__": builtins, "__name__": "flow", "_guard": guard, **_imported(tree)}
    run(source, _execute, _compiled(tree, source), namespace)
    flows = [value for value in namespace.values() if _registered(value)]
    if not flows:
        raise FlowContractError("no flow is registered", where=Where(path),
                                hint='Put @register("name") over a class that derives from vFlow.')
    flow: type[vFlow] = _chosen(flows, name, path)
    _check_contract(flow, source)
    flow.flow_text = text
    flow.flow_guard = guard
    flow.flow_folder = folder_of(path)
    flow.flow_parameters = tuple(parameters)
    return flow


def _chosen(flows: Sequence[type[vFlow]], name: str | None, path: str) -> type[vFlow]:
    """Raises FlowNotFound."""
    named = [flow for flow in flows if name in (None, flow.flow_name, *flow.flow_aliases)]
    if not named:
        names = [flow.flow_name for flow in flows]
        raise FlowNotFound(f"{path} registers no flow {name!r}", where=Where(path), hint=nearest(str(name), names))
    return named[-1]


def _parsed(source: Source) -> ast.Module:
    if len(source.text) > MOST_TEXT:
        raise ForbiddenSyntax(f"the text is longer than {MOST_TEXT:,} characters", where=Where(source.path))
    try:
        return ast.parse(source.text, source.path)
    except SyntaxError as error:
        raise FlowSyntaxError(str(error.msg), where=source.where(error.lineno or 0)) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise FlowSyntaxError("the text is not Python", where=Where(source.path)) from error


def _imported(tree: ast.Module) -> dict[str, Any]:
    """The names that the (already checked) imports bind."""
    return {alias.asname or alias.name: EXPORTS[alias.name]
            for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}


def _compiled(tree: ast.Module, source: Source) -> CodeType:
    try:
        return compile(instrument(tree), source.path, "exec", dont_inherit=True)
    except (ValueError, RecursionError, MemoryError, SyntaxError) as error:
        raise FlowSyntaxError(f"the text cannot be compiled: {str(error)[:200]}", where=Where(source.path)) from error


def _execute(code: CodeType, namespace: dict[str, Any]) -> None:
    exec(code, namespace)


def _registered(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, vFlow) and bool(value.__dict__.get("flow_name"))


def _check_contract(flow: type[vFlow], source: Source) -> None:
    """The flow has a name, forward_indexer is there, and every method of the contract has its signature."""
    for name in (flow.flow_name, *flow.flow_aliases):
        if not isinstance(name, str) or not 1 <= len(name) <= MOST_NAME or not name.isprintable():
            raise FlowContractError(f"a flow's name is a text of 1 to {MOST_NAME} characters", where=Where(source.path))
    if flow.forward_indexer is vFlow.forward_indexer:
        raise FlowContractError(f"{flow.__name__} has no forward_indexer(self, q, cache)",
                                where=Where(source.path), hint="It scores the blocks and returns ops.topk(score).")
    latent = issubclass(flow, vFlowMLA)
    for name, wanted in {**SIGNATURES, **(LATENT_SIGNATURES if latent else {})}.items():
        method = getattr(flow, name)
        if not inspect.isfunction(method) or list(inspect.signature(method).parameters) != wanted:
            line = method.__code__.co_firstlineno if inspect.isfunction(method) else 0
            raise FlowContractError(f"{name} does not take ({', '.join(wanted)})", where=source.where(line),
                                    hint=f"Write: def {name}({', '.join(wanted)}):")
