"""From a parsed C body to the frozen form of a policy: types, scopes, and what every path does."""
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vortex.errors import BudgetError
from vortex.policy import (
    INPUTS,
    LARGEST,
    RANK,
    Apply,
    Assign,
    Branch,
    Choose,
    Expression,
    Kind,
    Name,
    Number,
    Return,
    Statement,
    refusal,
    single,
)

MOST_DEPTH = 40
HINT = ("Allowed: declarations of int, float and double, assignments, if/else, return, + - * / %, comparisons, && || ! ?:, "
        "casts to int, float and double, min, max, sqrt, ceil, floor, abs; in scope: " + ", ".join(INPUTS) + ".")
# name: (op, operands, the kind it converts to; None: that of its operands; "real": the same, and double for ints, as CUDA's)
FUNCTIONS: Mapping[str, tuple[str, int, str | None]] = {
    "min": ("min", 2, None), "max": ("max", 2, None), "abs": ("abs", 1, None),
    **{f"f{name}": (name, count, "real") for name, count in (("min", 2), ("max", 2), ("abs", 1))},
    **{f"f{name}f": (name, count, "float") for name, count in (("min", 2), ("max", 2), ("abs", 1))},
    **{name: (name, 1, "real") for name in ("sqrt", "ceil", "floor")},
    **{f"{name}f": (name, 1, "float") for name in ("sqrt", "ceil", "floor")},
}
COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
ARITHMETIC = ("+", "-", "*", "/", "%")
REFUSED = {
    "For": "a loop", "While": "a loop", "DoWhile": "a loop", "Switch": "a switch", "Goto": "a jump", "Label": "a jump",
    "Break": "a jump", "Continue": "a jump", "ArrayRef": "an array", "ArrayDecl": "an array", "PtrDecl": "a pointer",
    "StructRef": "a structure", "Struct": "a structure", "Union": "a structure", "Enum": "an enumeration",
    "FuncDecl": "a function declaration", "Typedef": "a typedef", "InitList": "a list of values", "ExprList": "a comma",
    "Pragma": "preprocessor text", "CompoundLiteral": "a list of values",
}


def line_of(node: Any) -> int:
    """Where a node stands; some carry no place of their own and take that of what they hold."""
    if node.coord is not None:
        return int(node.coord.line)
    return next((line for _, child in node.children() if (line := line_of(child))), 0)


class Reader:
    """From the parser's tree to the frozen form. `given` holds the slots that surely have a value; None: unreachable."""

    def __init__(self, text: str, statements: Sequence[Any]) -> None:
        self._text = text
        self._parsed = statements
        self._scopes: list[dict[str, Name]] = [{name: Name(kind, name) for name, kind in INPUTS.items()}]
        self._constant_slots: set[str] = set()
        self._given: frozenset[str] | None = frozenset(INPUTS)
        self._slots = 0
        self._depth = 0
        self._line = 1

    def body(self) -> tuple[Statement, ...]:
        body = self._statements(self._parsed)
        if self._given is not None:
            raise refusal("a path through the policy returns nothing", self._text, self._text.rstrip().count("\n") + 1,
                          "End it with: return ...;")
        return body

    def _wrong(self, message: str) -> BudgetError:
        return refusal(message, self._text, self._line, HINT)

    def _misplaced(self, node: Any) -> BudgetError:
        kind = type(node).__name__
        return self._wrong(f"{REFUSED.get(kind, repr(kind))} has no place in a policy")

    def _at(self, node: Any) -> str:
        self._line = line_of(node) or self._line
        return type(node).__name__

    def _statements(self, nodes: Sequence[Any]) -> tuple[Statement, ...]:
        return tuple(made for node in nodes for made in self._statement(node))

    def _statement(self, node: Any) -> tuple[Statement, ...]:
        kind = self._at(node)
        readers: dict[str, Callable[[Any], tuple[Statement, ...]]] = {
            "Decl": self._declare, "Assignment": self._assign, "If": self._branch, "Compound": self._inner,
            "Return": self._return, "EmptyStatement": lambda node: (),
        }
        if kind not in readers:
            raise self._misplaced(node) if kind in REFUSED else self._wrong("a statement that changes nothing")
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise self._wrong("the policy nests too deeply")
        made = readers[kind](node)
        self._depth -= 1
        return made

    def _inner(self, node: Any) -> tuple[Statement, ...]:
        self._scopes.append({})
        made = self._statements(node.block_items or ())
        self._scopes.pop()
        return made

    def _declare(self, node: Any) -> tuple[Statement, ...]:
        if node.storage or node.funcspec or node.bitsize or getattr(node, "align", None):
            raise self._wrong(f"{' '.join([*node.storage, *node.funcspec]) or 'a width'} has no place in a policy")
        kind = self._type(node.type)
        if node.name in self._scopes[-1]:
            raise self._wrong(f"{node.name} is declared twice")
        value = None if node.init is None else self._to(kind, self._expression(node.init))
        self._slots += 1
        slot = Name(kind, f"{node.name}.{self._slots}")
        self._scopes[-1][node.name] = slot
        if "const" in node.quals:
            self._constant_slots.add(slot.slot)
        return () if value is None else self._give(slot, value)

    def _give(self, slot: Name, value: Expression) -> tuple[Statement, ...]:
        if self._given is not None:
            self._given |= {slot.slot}
        return (Assign(slot.slot, value),)

    def _assign(self, node: Any) -> tuple[Statement, ...]:
        if type(node.lvalue).__name__ != "ID":
            raise self._misplaced(node.lvalue)
        target, value = self._name(node.lvalue.name), self._expression(node.rvalue)
        if target.slot in self._constant_slots:
            raise self._wrong(f"{node.lvalue.name} is const")
        if node.op != "=":
            if node.op[:-1] not in ARITHMETIC:
                raise self._wrong(f"{node.op} has no place in a policy")
            value = self._binary(node.op[:-1], self._known(target, node.lvalue.name), value)
        return self._give(target, self._to(target.kind, value))

    def _branch(self, node: Any) -> tuple[Statement, ...]:
        test = self._expression(node.cond)
        before = self._given
        yes = self._inner_of(node.iftrue)
        after_yes, self._given = self._given, before
        no = self._inner_of(node.iffalse)
        if self._given is None or after_yes is None:
            self._given = after_yes if self._given is None else self._given
        else:
            self._given &= after_yes
        return (Branch(test, yes, no),)

    def _inner_of(self, node: Any) -> tuple[Statement, ...]:
        """A branch's statement, which is a scope of its own."""
        if node is None:
            return ()
        self._scopes.append({})
        made = self._statement(node)
        self._scopes.pop()
        return made

    def _return(self, node: Any) -> tuple[Statement, ...]:
        if node.expr is None:
            raise self._wrong("return without a value")
        value = self._to("int", self._expression(node.expr))
        self._given = None
        return (Return(value),)

    def _type(self, node: Any) -> Kind:
        if type(node).__name__ in ("PtrDecl", "ArrayDecl", "FuncDecl"):
            raise self._misplaced(node)
        names = " ".join(getattr(node.type, "names", (type(node.type).__name__.lower(),)))
        for kind in RANK:
            if names == kind:
                return kind
        raise self._wrong(f"{names} is not a type of a policy; int, float and double are")

    def _name(self, name: str) -> Name:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        raise self._wrong(f"{name} is not declared")

    def _known(self, slot: Name, name: str) -> Name:
        if self._given is not None and slot.slot not in self._given:
            raise self._wrong(f"{name} may be read before it has a value")
        return slot

    def _expression(self, node: Any) -> Expression:
        kind = self._at(node)
        readers: dict[str, Callable[[Any], Expression]] = {
            "Constant": self._constant, "ID": lambda node: self._known(self._name(node.name), node.name),
            "BinaryOp": self._two, "UnaryOp": self._one, "Cast": self._cast, "TernaryOp": self._choose,
            "FuncCall": self._call,
        }
        if kind not in readers:
            raise self._wrong("an assignment inside an expression") if kind == "Assignment" else self._misplaced(node)
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise self._wrong("the policy nests too deeply")
        made = readers[kind](node)
        self._depth -= 1
        return made

    def _constant(self, node: Any) -> Number:
        text = node.value.lower()
        if node.type == "int":
            value = int(text, 8) if text[0] == "0" and text.isdigit() else int(text, 0)
            if value > LARGEST:
                raise self._wrong(f"{text} is not a 32-bit int")
            return Number("int", value)
        try:
            number = float(text.rstrip("f"))
        except ValueError:
            number = float("inf")
        number = single(number) if node.type == "float" else number
        if node.type not in ("float", "double") or number in (float("inf"), float("-inf")):
            raise self._wrong(f"{node.value} is not an int, float or double number")
        return Number("float" if node.type == "float" else "double", number)

    def _to(self, kind: Kind, value: Expression) -> Expression:
        return value if value.kind == kind else Apply("to", kind, (value,), self._line)

    def _truth(self, value: Expression) -> Expression:
        return Apply("truth", "int", (value,), self._line)

    def _common(self, *values: Expression) -> tuple[Kind, tuple[Expression, ...]]:
        kind = max((value.kind for value in values), key=RANK.index)
        return kind, tuple(self._to(kind, value) for value in values)

    def _binary(self, op: str, left: Expression, right: Expression) -> Expression:
        kind, both = self._common(left, right)
        if op == "%" and kind != "int":
            raise self._wrong("% takes two ints")
        return Apply(op, "int" if op in COMPARISONS else kind, both, self._line)

    def _two(self, node: Any) -> Expression:
        left, right = self._expression(node.left), self._expression(node.right)
        if node.op == "&&":
            return Choose("int", left, self._truth(right), Number("int", 0))
        if node.op == "||":
            return Choose("int", left, Number("int", 1), self._truth(right))
        self._at(node)
        if node.op not in ARITHMETIC + COMPARISONS:
            raise self._wrong(f"{node.op} has no place in a policy")
        return self._binary(node.op, left, right)

    def _one(self, node: Any) -> Expression:
        if node.op not in ("-", "+", "!"):
            word = "a pointer" if node.op in ("*", "&") else node.op.removeprefix("p")
            raise self._wrong(f"{word} has no place in a policy")
        value = self._expression(node.expr)
        if node.op == "+":
            return value
        return Apply("negative", value.kind, (value,), self._line) if node.op == "-" else Apply("!", "int", (value,), self._line)

    def _cast(self, node: Any) -> Expression:
        kind = self._type(node.to_type.type)
        return self._to(kind, self._expression(node.expr))

    def _choose(self, node: Any) -> Expression:
        test = self._expression(node.cond)
        kind, (yes, no) = self._common(self._expression(node.iftrue), self._expression(node.iffalse))
        return Choose(kind, test, yes, no)

    def _call(self, node: Any) -> Expression:
        name = getattr(node.name, "name", "")
        if name not in FUNCTIONS:
            raise self._wrong(f"{name or 'that'} is not a function of a policy")
        op, count, wanted = FUNCTIONS[name]
        args = [self._expression(arg) for arg in (node.args.exprs if node.args else ())]
        if len(args) != count:
            raise self._wrong(f"{name} takes {count} operand{'s' * (count > 1)}, not {len(args)}")
        kind, common = self._common(*args)
        if wanted is not None:
            kind = kind if wanted == "real" and kind != "int" else "float" if wanted == "float" else "double"
        return Apply(op, kind, tuple(self._to(kind, arg) for arg in common), self._line)
