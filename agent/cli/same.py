"""`vortex same A B`: are two flows one algorithm, and by which laws?"""
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import typer

from agent.cli.options import Json
from agent.cli.text import columns, to_json
from vortex import flows
from vortex.compiler.front import latent_of, load, load_usual
from vortex.compiler.identity.explain import WRITTEN_ALIKE, Comparison, explain
from vortex.ir import Geometry

A = Annotated[str, typer.Argument(metavar="A", help="A flow: a file, or the name of a built-in.")]
B = Annotated[str, typer.Argument(metavar="B", help="The flow to compare it with.")]


def command(
    a: A,
    b: B,
    block_size: Annotated[int | None, typer.Option(min=1, max=1024, help="Tokens a block, usually 16.")] = None,
    head_dim: Annotated[int | None, typer.Option(min=1, max=1024, help="Channels a head, usually 128.")] = None,
    group: Annotated[int | None, typer.Option(min=1, max=256, help="Query heads a kv head, usually 4.")] = None,
    json: Json = False,
) -> None:
    """Say whether two flows select the same blocks, ties aside. Exit code 0: the same, 1: different, 2: one is refused."""
    (name_a, text_a, path_a), (name_b, text_b, path_b) = flows.read(a), flows.read(b)
    usual = Geometry()
    asked = Geometry(block_size or usual.block_size, head_dim or usual.head_dim, group or usual.group)
    latent = latent_of(asked.block_size, head_dim, group)
    one = load(text_a, path_a, asked, latent=latent) if head_dim or group else load_usual(text_a, path_a, block_size=block_size)
    if one.geometry.latent:
        asked, latent = replace(asked, block_size=one.geometry.block_size), one.geometry
    else:
        asked, latent = one.geometry, replace(latent, block_size=one.geometry.block_size)
    other = load(text_b, path_b, asked, latent=latent)
    found = explain(one, other)
    print(to_json(_body(found, (name_a, name_b))) if json else _text(found, (name_a, name_b)))
    raise typer.Exit(0 if found.same else 1)


def _body(found: Comparison, names: tuple[str, str]) -> dict[str, object]:
    sides = [{"name": name, "hash": digest, "laws": [{"law": law, "lines": list(lines)} for law, lines in laws.items()]}
             for name, digest, laws in zip(names, found.hashes, found.laws, strict=True)]
    return {"same": found.same, "a": sides[0], "b": sides[1], "difference": found.difference or None}


def _text(found: Comparison, names: tuple[str, str]) -> str:
    if not found.same:
        rows = [("different", ""), *((f"{letter} {name}", digest)
                                     for letter, name, digest in zip("AB", names, found.hashes, strict=True))]
        return "\n".join([columns(rows), f"{found.difference}."])
    head = f"same algorithm  {found.hashes[0]}"
    if found.laws[0].keys() == found.laws[1].keys():
        return "\n".join([head, *(_lines("both", found.laws[0]) or [f"{WRITTEN_ALIKE}."])])
    told = [line for letter, name, laws in zip("AB", names, found.laws, strict=True)
            for line in _lines(f"{letter} {name}", laws)]
    return "\n".join([head, *told])


def _lines(name: str, laws: Mapping[str, tuple[int, ...]]) -> list[str]:
    """One line a law, with where it was used."""
    def places(lines: tuple[int, ...]) -> str:
        return f"  (line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))})" if lines else ""
    return [f"{name}: {law}{places(lines)}" for law, lines in laws.items()]
