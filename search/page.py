"""A bundle's report as one static page."""
from collections.abc import Mapping
from html import escape

from evaluator.report import Estimate
from search.candidate import Entry
from search.manifest import Manifest
from search.words import share_text

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.5rem 0}td,th{padding:.2rem .9rem .2rem 0;text-align:left}
td,th{border-bottom:1px solid #ddd}pre{background:#f6f6f4;padding:1rem;overflow-x:auto}small{color:#666}"""


def page(manifest: Manifest, entry: Entry) -> str:
    """HTML that needs nothing from anywhere."""
    candidate = entry.candidate
    lineage = " ← ".join(f"{one.id} {one.name} ({one.author})" for one in manifest.lineage) or "none"
    point = candidate.point
    return "\n".join((
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(candidate.name)}</title>",
        f"<style>{STYLE}</style><h1>{escape(candidate.name)}</h1><p>{escape(candidate.hypothesis)}</p>",
        f"<p><small>candidate {candidate.id} of campaign {escape(candidate.campaign)}, round {candidate.round}, "
        f"by {escape(candidate.author)}; from: {escape(lineage)}</small></p>",
        f"<p>{escape(point.model)} on the {escape(point.engine)} engine, blocks of {point.block_size} tokens, "
        f"{share_text(point.topk_ratio)} of the blocks attended.</p>",
        "<h2>Figures</h2>", _figures(manifest.metrics, manifest.dense), "<h2>Stages</h2>", _stages(entry),
        "<h2>Flow</h2>", f"<pre>{escape(candidate.flow.source)}</pre></html>\n"))


def _figures(ours: Mapping[str, Estimate], dense: Mapping[str, Estimate]) -> str:
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{_figure(value)}</td><td>{_figure(dense.get(name))}</td>"
                   f"<td>{value.count}</td></tr>" for name, value in sorted(ours.items()))
    return f"<table><tr><th></th><th>this flow</th><th>dense</th><th>measurements</th></tr>{rows}</table>"


def _figure(value: Estimate | None) -> str:
    return "-" if value is None else f"{value.value:.4g} <small>[{value.low:.4g}, {value.high:.4g}]</small>"


def _stages(entry: Entry) -> str:
    rows = "".join(f"<tr><td>{escape(one.stage)}</td><td>{'skipped' if one.skipped else escape(one.status)}</td>"
                   f"<td>{escape(one.message)}</td></tr>" for one in entry.report.results)
    return f"<table><tr><th>stage</th><th>ended</th><th></th></tr>{rows}</table>"
