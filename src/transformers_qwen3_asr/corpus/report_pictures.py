"""A corpus's report as a page of HTML, which needs nothing else, and as a plot, with matplotlib (the extra `plot`)."""

import base64
import hashlib
import os
from collections.abc import Iterable
from html import escape
from pathlib import Path

from ..pictures.figures import check_plot, write_figure
from ..pictures.page import visible
from ..whole_files import write_whole
from .report import CorpusReport

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2024; --faint: #61686f; --line: #dfe2e6; --bar: #0b62c4; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171a; --ink: #e4e7ea; --faint: #9aa3ac; --line: #30363c; --bar: #6bb1ff; }
}
body { max-width: 60rem; margin: 0 auto; padding: 0 1rem 3rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: normal; color: var(--faint); white-space: nowrap; }
td:first-child { white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.bar { width: 60%; } svg { display: block; width: 100%; height: 1.2rem; } rect { fill: var(--bar); }
"""


def write_report_page(report: CorpusReport, path: str | os.PathLike) -> Path:
    """
    Writes the report as a page, and returns the path. It loads nothing and runs no script.

    Raises `OSError` where the file cannot be written.
    """
    return write_whole(path, report_page(report))


def report_page(report: CorpusReport) -> str:
    """The page as text."""
    policy = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    title = _text(f"Corpus {report.manifest.get('source', '')}")
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{policy}'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title><style>{_STYLE}</style></head>",
        f'<body><h1 dir="auto">{title}</h1>',
        _table((f"<th>{_text(name)}</th>", f"<td>{_text(value)}</td>") for name, value in report.figures()),
    ]
    if report.aligned:
        parts += ["<h2>Scores</h2>", _bars(report.score_bins())]
    if report.failed:
        parts += ["<h2>Failed</h2>", _bars(report.kinds.most_common())]
        examples = [(kind, *example) for kind, _ in report.kinds.most_common() for example in report.examples[kind]]
        parts.append(_rows(("", "row", "for instance"), examples))
    if report.worst:
        worst = [(f"{score:.3f}", id, text) for score, id, text in report.worst]
        parts += ["<h2>Lowest scores</h2>", _rows(("score", "row", "text"), worst)]
    asked = [(name, value) for name, value in report.manifest.items() if value is not None]
    parts += ["<h2>Asked for</h2>", _rows(("", ""), asked), "</body></html>"]
    return "\n".join(parts) + "\n"


def plot_report(report: CorpusReport, path: str | os.PathLike) -> Path:
    """
    Draws scores and failures into a file; the extension decides the format (.png, .svg, .pdf, …). Returns the path.

    Raises `ValueError` as `check_plot` does, `OSError` where the file cannot be written.
    """
    check_plot(path)
    return write_figure(report_figure(report), path)


def report_figure(report: CorpusReport):
    """The plot as a `matplotlib.figure.Figure`, made without pyplot: no window, no global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), dpi=120, layout="constrained")
    scores, kinds = figure.subplots(1, 2, width_ratios=(2, 1))
    width = 1 / len(report.scores)
    scores.bar(
        [width * place for place in range(len(report.scores))], report.scores, width, align="edge", edgecolor="1"
    )
    scores.set(xlabel="score", ylabel="rows", xlim=(0, 1))
    failures = report.kinds.most_common()
    kinds.bar([kind for kind, _ in failures], [count for _, count in failures], color="tab:red")
    kinds.set(ylabel="rows", title="failed" if failures else "none failed")
    kinds.yaxis.get_major_locator().set_params(integer=True)
    hours = report.audio_seconds / 3600
    figure.suptitle(f"{report.aligned:,} rows aligned, {report.failed:,} failed, {hours:,.2f} h")
    return figure


def _bars(counts: Iterable[tuple[str, int]]) -> str:
    counts = list(counts)
    most = max(count for _, count in counts)
    return _table(
        (
            f"<th>{_text(name)}</th>",
            f'<td class="number">{count:,}</td>',
            f'<td class="bar"><svg aria-hidden="true"><rect width="{count / most:.1%}" height="100%"/></svg></td>',
        )
        for name, count in counts
    )


def _rows(names: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = [tuple(f"<th>{_text(name)}</th>" for name in names)] if any(names) else []
    return _table([*head, *(tuple(f'<td dir="auto">{_text(value)}</td>' for value in row) for row in rows)])


def _table(rows: Iterable[Iterable[str]]) -> str:
    return "<table>" + "\n".join(f"<tr>{''.join(cells)}</tr>" for cells in rows) + "</table>"


def _text(value: object) -> str:
    return escape(visible(str(value)))
