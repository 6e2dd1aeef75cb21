"""Why two flows are the same algorithm, or where they part."""
from collections.abc import Mapping
from dataclasses import dataclass

from vortex.compiler.identity.form import Form, normal_form
from vortex.ir import Graph

WRITTEN_ALIKE = "they differ in names, in the order of operands and in what nobody uses, or not at all"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`laws`: for each flow what makes it the other one, with the lines it was used at; or the `difference`."""

    same: bool
    hashes: tuple[str, str]
    laws: tuple[Mapping[str, tuple[int, ...]], Mapping[str, tuple[int, ...]]]
    difference: str


def explain(one: Graph, other: Graph) -> Comparison:
    """Compares canonical Graphs."""
    forms = normal_form(one), normal_form(other)
    hashes = forms[0].hash, forms[1].hash
    if hashes[0] != hashes[1]:
        return Comparison(same=False, hashes=hashes, laws=({}, {}), difference=_difference(one, other, forms))
    if one.hash == other.hash:
        return Comparison(same=True, hashes=hashes, laws=({}, {}), difference="")
    return Comparison(same=True, hashes=hashes, laws=_laws(*forms), difference="")


def _laws(one: Form, other: Form) -> tuple[Mapping[str, tuple[int, ...]], Mapping[str, tuple[int, ...]]]:
    """Laws that one side used and the other did not; all of them where both used the same."""
    alone = ({law: lines for law, lines in one.laws.items() if law not in other.laws},
             {law: lines for law, lines in other.laws.items() if law not in one.laws})
    return alone if any(alone) else (one.laws, other.laws)


def _difference(one: Graph, other: Graph, forms: tuple[Form, Form]) -> str:
    if one.geometry != other.geometry:
        return "they are made for different geometries"
    left, right = (dict(form.fields) for form in forms)
    alone = [sorted(shape for digest, shape in mine.items() if digest not in theirs)
             for mine, theirs in ((left, right), (right, left))]
    told = [f"{name} keeps a field {list(shapes[0])} that {rest} does not"
            for name, rest, shapes in (("A", "B", alone[0]), ("B", "A", alone[1])) if shapes]
    if told:
        return "; ".join(told)
    if forms[0].states != forms[1].states:
        return "their states differ"
    alone_in = ("A", forms[0].words - forms[1].words), ("B", forms[1].words - forms[0].words)
    words = [f"{name} alone uses {', '.join(sorted(found))}" for name, found in alone_in if found]
    return "; ".join(["they keep the same fields, and their selections differ", *words])
