"""Untrusted source text to a flow class: an allow-list over the syntax tree, and then an evaluator of our own."""
import ast
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from vortex.errors import Fix, FlowContractError, FlowNotFound, ForbiddenSyntax, Where
from vortex.ir import Geometry, Parameter
from vortex.language.allowed import check_syntax, without_script
from vortex.language.calls import nearest
from vortex.language.edits import misnamed, not_python, signature, unregistered
from vortex.language.evaluator import Contract, Evaluator
from vortex.language.flow import vFlow, vFlowMLA
from vortex.language.mend import parsed
from vortex.language.modules import evaluator_of
from vortex.language.ops.shapes import shown
from vortex.language.parameters import folder_of
from vortex.language.place import Source
from vortex.language.things import Builtin, Class, Function, Hint, Instance, Marked, bound

MOST_TEXT = 65_536
MOST_NAME = 100
UPSTREAM = {"forward_cache": "cache, loc, ctx", "forward_indexer": "q, o, cache, ctx"}
TENSOR = {"forward_cache": "cache", "forward_indexer": "q, cache"}
DTYPES = {name: Hint("torch.bfloat16") for name in ("kv_cache_dtype", "q_data_type", "intermediate_dtype")}
SIZES, LATENT_SIZES = "block_size, head_dim", "block_size, kv_lora_rank, qk_rope_head_dim"


class Loaded(vFlow):
    """A flow whose methods an Evaluator runs."""

    flow_class: ClassVar[Class]
    flow_evaluator: ClassVar[Evaluator]

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        made = _method(self.flow_class, "__init__")
        if made is not None:
            self.flow_evaluator.at = made.node
        if made is not None and made.required > 1:
            raise FlowContractError(f"a flow is made without arguments, and its __init__ takes {made.parameters[1]}",
                                    hint="Give it a default.")
        given = {**vars(self), **(DTYPES if self.flow_upstream else {})}
        self._instance: Instance = self.flow_evaluator.construct(self.flow_class, given=given)

    @classmethod
    def first_line(cls, method: str) -> int:
        found = _method(cls.flow_class, method)
        return found.node.lineno if found is not None else cls.flow_class.line

    @classmethod
    def last_line(cls) -> int:
        found = _method(cls.flow_class, "forward_indexer")
        return found.last_line if found is not None else cls.flow_class.line

    def _call(self, name: str, *args: object) -> Any:
        found, there = self.flow_class.find(name)
        made: Any = bound(found, self._instance)
        return made.call(args, {}) if there else None

    def create_cache(self, *sizes: int) -> Any:
        """In the two sizes of keys and values, or the three of latents."""
        if len(sizes) == 3 and not _form(self.flow_class, "create_cache").takes(3):
            sizes = (sizes[0], sizes[1] + sizes[2])
        return self._call("create_cache", *sizes)

    def forward_cache(self, *args: object) -> Any:
        return self._call("forward_cache", *args)

    def forward_indexer(self, *args: object) -> Any:
        """Leaves self as it found it: the body may run several times while shapes are sought."""
        kept = dict(self._instance.attributes)
        try:
            return self._call("forward_indexer", *args)
        finally:
            self._instance.attributes = kept


class LoadedLatent(Loaded, vFlowMLA):
    """The same of a flow on latents."""


@dataclass
class Registry:
    """What a text registers, in its order."""

    flows: dict[str, Class]

    def register(self, name: object = None, *aliases: object) -> Builtin:
        for one in (name, *aliases):
            if not isinstance(one, str) or not 1 <= len(one) <= MOST_NAME or not one.isprintable():
                raise FlowContractError(f"a flow's name is a text of 1 to {MOST_NAME} characters",
                                        hint='Write @register("name").', fix=Fix("register()", 'register("my-flow")'))
            if one in self.flows:
                raise FlowContractError(f'"{one}" is registered twice', hint="Give each flow a name of its own.")
        return Builtin("register", lambda cls: self._enter(cls, [str(one) for one in (name, *aliases)]))

    def _enter(self, cls: object, names: Sequence[str]) -> object:
        if not isinstance(cls, Class) or cls.base is None:
            raise FlowContractError(f'what is registered as "{names[0]}" is not a flow', hint="Derive it from vFlow.",
                                    fix=Fix(f"class {cls.name}:", f"class {cls.name}(vFlow):", line=cls.line)
                                    if isinstance(cls, Class) else None)
        cls.registered = tuple(names)
        self.flows |= dict.fromkeys(names, cls)
        return cls


def load_flow(text: str, path: str = "<flow>", name: str | None = None,
              parameters: Sequence[Parameter] = ()) -> type[vFlow]:
    """The flow that `text` registers as `name`; without one, the last.

    Only an allow-listed part of Python passes, in which nothing but our own objects is within reach: the words of
    `vortex`, the op objects of `vortex_torch`, and stand-ins for `torch`, `typing` and `math`.
    Its parameters are the given ones, and else come from files in the folder of `path`.
    Raises FlowSyntaxError, ForbiddenSyntax, UnknownOp, FlowContractError, FlowNotFound, placed in `path`.
    """
    source = Source(path, text)
    tree = without_script(_parsed(source))
    check_syntax(tree, source)
    registry = Registry({})
    contract = {"vFlow": Contract(vFlow), "vFlowMLA": Contract(vFlowMLA), "register": Builtin("register", registry.register)}
    evaluator = evaluator_of(contract)
    evaluator.placed(source, evaluator.run, tree)
    cls = _chosen(registry.flows, name, source)
    upstream = _checked(cls, source)
    return type(cls.name, (LoadedLatent if cls.base is vFlowMLA else Loaded,), {
        "flow_class": cls, "flow_evaluator": evaluator, "flow_name": cls.registered[0], "flow_aliases": cls.registered[1:],
        "flow_text": text, "flow_path": path, "flow_folder": folder_of(path), "flow_parameters": tuple(parameters),
        "flow_upstream": upstream, "__doc__": inspect.cleandoc(_doc(tree, cls)),
    })


def _parsed(source: Source) -> ast.Module:
    if len(source.text) > MOST_TEXT:
        raise ForbiddenSyntax(f"the text is longer than {MOST_TEXT:,} characters", where=Where(source.path))
    try:
        return parsed(source.text, source.path)
    except SyntaxError as error:
        raise not_python(source, error.lineno or 0, str(error.msg)) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise not_python(source, 0, "the text is not Python") from error


def _chosen(flows: dict[str, Class], name: str | None, source: Source) -> Class:
    """Raises FlowContractError where nothing is registered, FlowNotFound where `name` is not."""
    if not flows:
        raise unregistered(source)
    if name is None:
        return list(flows.values())[-1]
    if name not in flows:
        raise FlowNotFound(f"{source.path} registers no flow {shown(name)}", where=Where(source.path),
                           hint=nearest(name[:80], list(flows)))
    return flows[name]


def _method(cls: Class, name: str) -> Function | None:
    found, _ = cls.find(name)
    found = found.function if isinstance(found, Marked) and found.mark != "property" else found
    return found if isinstance(found, Function) else None


@dataclass
class Form:
    """How a method may be called: what it takes beside self, how much of it must be given, how much may be."""

    names: list[str]
    least: int
    most: int

    def takes(self, count: int) -> bool:
        return self.least <= count <= self.most

    def asks_for(self, form: str) -> bool:
        return self.names[:self.least] == form.split(", ")


def _of_query(cls: Class, source: Source) -> str:
    """The one method that takes q and that nothing calls: it may be the indexer under another name."""
    return _taking(cls, "q", source)


def _taking(cls: Class, wanted: str, source: Source) -> str:
    """The one method that nothing calls and that takes these arguments."""
    named = [name for name, value in cls.names.items() if isinstance(value, Function)
             and {*wanted.split(", ")} <= {*value.parameters} and f"self.{name}" not in source.text]
    return named[0] if len(named) == 1 else ""


def _form(cls: Class, name: str) -> Form:
    found, _ = cls.find(name)
    method = _method(cls, name)
    if method is None:
        return Form([], 0, 0)
    own = 0 if isinstance(found, Marked) and found.mark == "staticmethod" else 1
    names = method.parameters[own:]
    return Form(names, max(method.required - own, 0), 99 if method.node.args.vararg is not None else len(names))


def _checked(cls: Class, source: Source) -> bool:
    """Whether the flow is in the upstream's spelling. Raises FlowContractError for what keeps neither contract."""
    if _method(cls, "forward_indexer") is None:
        methods = {name: value.node.lineno for name, value in cls.names.items() if isinstance(value, Function)}
        raise FlowContractError(f"{cls.name} has no forward_indexer(self, q, cache)", where=source.where(cls.line),
                                hint="It scores the blocks and returns ops.topk(score).",
                                fix=misnamed(methods, "forward_indexer", _of_query(cls, source)))
    upstream = _is_upstream(cls, source)
    if not upstream:
        _check_forward_cache(cls, source)
    for name, wanted in (UPSTREAM if upstream else TENSOR).items():
        method, form = _method(cls, name), _form(cls, name)
        if method is None and upstream:
            methods = {one: value.node.lineno for one, value in cls.names.items() if isinstance(value, Function)}
            raise FlowContractError(f"{cls.name} has no {name}(self, {wanted})", where=source.where(cls.line),
                                    hint="With q, o, cache, ctx a flow has forward_indexer, forward_cache and create_cache.",
                                    fix=misnamed(methods, name, _taking(cls, wanted, source)))
        fits = form.takes(len(wanted.split(", "))) if upstream else form.asks_for(wanted)
        if method is not None and not fits:
            raise FlowContractError(f"{name} does not take (self, {wanted})", where=source.where(method.node.lineno),
                                    hint=f"It takes self and {wanted}, in this order.",
                                    fix=signature(source, method.node.lineno, name, wanted))
    _check_sizes(cls, source, upstream)
    return upstream


def _is_upstream(cls: Class, source: Source) -> bool:
    """By the arguments of forward_indexer, or else of forward_cache; op objects come from vortex_torch alone."""
    form = _form(cls, "forward_indexer")
    method = _method(cls, "forward_indexer")
    body = ast.walk(method.node) if method is not None else ()
    returns = any(isinstance(node, ast.Return) and node.value is not None for node in body)
    if form.asks_for(TENSOR["forward_indexer"]) or (returns and "vortex_torch" not in source.text):
        return False
    return form.takes(4) or _form(cls, "forward_cache").asks_for(UPSTREAM["forward_cache"])


def _check_forward_cache(cls: Class, source: Source) -> None:
    """Raises FlowContractError where a method that nothing calls was meant to be forward_cache."""
    if _method(cls, "forward_cache") is not None:
        return
    methods = {name: value.node.lineno for name, value in cls.names.items() if isinstance(value, Function)
               and value.parameters == ["self", "cache"] and f"self.{name}" not in source.text}
    fix = misnamed(methods, "forward_cache")
    if fix is not None:
        raise FlowContractError(f"{cls.name} has no forward_cache(self, cache), and nothing calls {fix.old[4:-1]}",
                                where=source.where(fix.line), hint="It writes a block's summaries.", fix=fix)


def _check_sizes(cls: Class, source: Source, upstream: bool) -> None:
    latent = cls.base is vFlowMLA
    wanted = LATENT_SIZES if latent else SIZES
    method, form = _method(cls, "create_cache"), _form(cls, "create_cache")
    if method is None and upstream:
        raise FlowContractError(f"{cls.name} has no create_cache(self, {wanted})", where=source.where(cls.line),
                                hint='It returns the fields and their shapes: {"name": (rows, columns)}.')
    if method is not None and not form.takes(2) and not (latent and form.takes(3)):
        raise FlowContractError(f"create_cache does not take (self, {wanted})", where=source.where(method.node.lineno),
                                hint=f"It takes self and {wanted}, in this order.",
                                fix=signature(source, method.node.lineno, "create_cache", wanted))


def _doc(tree: ast.Module, cls: Class) -> str:
    """What the class says of itself, or else the text."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.lineno == cls.line]
    return (ast.get_docstring(classes[0]) if classes else None) or ast.get_docstring(tree) or ""

