"""The distribution of alignment errors as a picture, with matplotlib (the extra `plot`)."""

import numpy as np

from ..pictures.figures import check_plot, write_figure

_SHOWN_MILLISECONDS = 250  # either side of the right time; what lies beyond is counted in the outermost bars
_BAR_MILLISECONDS = 10
_LIMITS = (20, 50, 80, 100)
_TICKS = (1, 5, 20, 80, 200, 1000)
_SMALLEST = 1.0  # milliseconds, where the logarithmic axis begins


def plot_errors(evaluation, path) -> None:
    """
    Draws an [`AlignmentEvaluation`] into a file; the extension decides the format (.png, .svg, .pdf, …).

    Left: how many starts and ends are early or late by so much (bars of 10 ms, everything beyond 250 ms in the
    outermost ones). Right: the share of starts and ends that are at most so far off, a line a language.

    Raises `ValueError` as `check_plot` does, `OSError` where the file cannot be written.
    """
    check_plot(path)
    write_figure(error_figure(evaluation), path)


def error_figure(evaluation):
    """The picture as a `matplotlib.figure.Figure`, made without pyplot: no window, no global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), dpi=120, layout="constrained")
    signed, absolute = figure.subplots(1, 2)
    errors = np.concatenate([clip.errors for clip in evaluation.clips])
    edges = np.arange(-_SHOWN_MILLISECONDS, _SHOWN_MILLISECONDS + 1, _BAR_MILLISECONDS)
    styles = {"starts": {"histtype": "stepfilled", "alpha": 0.4}, "ends": {"histtype": "step", "linewidth": 1.6}}
    for column, (name, style) in enumerate(styles.items()):
        # a hair inside, so that the outermost bars hold what lies beyond
        shown = np.clip(errors[:, column], edges[0], np.nextafter(edges[-1], 0))
        signed.hist(shown, bins=edges, label=name, **style)
    signed.axvline(0, color="0.6", linewidth=0.8)
    signed.set(
        xlabel="predicted minus labelled (ms; beyond: in the outermost bars)",
        ylabel="words",
        xlim=(edges[0], edges[-1]),
    )
    signed.legend()

    furthest = max(1000.0, float(np.abs(errors).max()) * 1.1)
    names = list(evaluation.languages)
    for name in names if len(names) == 1 else [*names, "all"]:
        chosen = [clip.errors for clip in evaluation.clips if name in (clip.language, "all")]
        values = np.sort(np.abs(np.concatenate(chosen)).ravel())
        share = np.append(np.arange(1, len(values) + 1) / len(values), 1.0)
        values = np.append(values, furthest)
        style = {"color": "black", "linewidth": 2} if name == "all" else {"linewidth": 1.4}
        absolute.step(np.maximum(values, _SMALLEST), share, where="post", label=name, **style)
    for limit in _LIMITS:
        absolute.axvline(limit, color="0.8", linewidth=0.8, zorder=0)
    absolute.set_xscale("log")
    absolute.set_xlim(_SMALLEST, furthest)
    absolute.set_xticks(_TICKS, [str(tick) for tick in _TICKS])
    absolute.minorticks_off()
    absolute.set(xlabel="at most so far off (ms)", ylabel="share of starts and ends", ylim=(0, 1.01))
    absolute.legend(loc="lower right")
    low_high = evaluation.metrics["aas_ms_interval"]
    interval = "" if low_high is None else f" (95 %: {low_high[0]:.1f} to {low_high[1]:.1f})"
    figure.suptitle(
        f"{evaluation.metrics['words']} words of {evaluation.metrics['clips']} clips, "
        f"AAS {evaluation.metrics['aas_ms']:.1f} ms{interval}"
    )
    return figure
