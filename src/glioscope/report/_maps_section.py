"""What explanation maps mean, as a section of the report: read from the record that `explain` writes.

This room must not import `explain`, which needs torch; the record is plain JSON.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes

from glioscope.core import InputError
from glioscope.stats import Estimate

from ._document import Cell, Figure, Section, Table
from ._style import MUTED, PAGE, Look, journal, legend_height, looks, method_handles, new_plot

_KIND: Final = "glioscope evidence on maps"
_SCHEMA: Final = 1
_NAMES: Final = {
    "coloured_gcam": "Coloured GCAM",
    "gcam_saliency": "GCAM saliency",
    "saliency_x_image": "Saliency × image",
    "gcam_heatmap": "GCAM heatmap",
    "heatmap_x_image": "Heatmap × image",
    "guided_gradient": "Guided gradient",
    "plain_gradient": "Plain gradient",
    "grad_cam": "Grad-CAM",
    "guided_grad_cam": "Guided Grad-CAM",
    "brightness": "Image brightness",
    "coarse_brightness": "Brightness, as coarse as the heatmap",
    "noise": "Noise",
}
_SHOWN: Final = ("coloured_gcam", "gcam_saliency", "saliency_x_image", "gcam_heatmap", "heatmap_x_image")
_OURS: Final = "glioscope"
_ROW: Final = 0.26
"""Inches a row of the pointing game takes."""

_View = Mapping[str, Any]


def maps_section(path: Path) -> Section:
    """The section on an evidence record.

    Parameters
    ----------
    path : JSON of `explain.Evidence.to_json`.

    Raises
    ------
    InputError : not readable, no such record, or one of another version.
    """
    record = _read(path)
    try:
        # Everything is taken out here, so that a record with a part missing is named and not half printed.
        return Section(
            "maps",
            "What the explanation maps mean",
            _paragraphs(record),
            (_randomisation_table(record), _truth_table(record)),
            (_figure(record),),
        )
    except (LookupError, TypeError, ValueError, InputError) as error:
        raise InputError(f"{path}: the evidence record is damaged: {type(error).__name__} {error}") from error


def _read(path: Path) -> Mapping[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is no readable evidence record: {error}") from error
    if not isinstance(record, dict) or record.get("kind") != _KIND:
        raise InputError(f"{path}: is no evidence record; its kind is not {_KIND!r}")
    if record.get("schema_version") != _SCHEMA:
        raise InputError(f"{path}: has schema {record.get('schema_version')}; this version reads {_SCHEMA}")
    return record


def _paragraphs(record: Mapping[str, Any]) -> tuple[str, ...]:
    kind = {"simulated": "SIMULATED", "real": "real"}.get(record["images_kind"], "of unstated origin")
    stuck = ", ".join(_NAMES.get(name, name) for name in record["unreactive"])
    theatre = _NAMES.get(record["theatre_view"], record["theatre_view"])
    return (
        f"Network: {record['network']}, {record['image'].upper()} image, evidence for {record['target']}. "
        f"Images: {record['n_images']}, {kind}; {record['n_checked']} were used for randomisation and deletion. "
        f"Guided and plain gradients correlate with r = {record['guided_plain_correlation']:.3f}; 1 would mean that "
        "guided back-propagation did nothing.",
        "A view is said to react to its network if both SSIM and rank correlation with the maps of networks with "
        f"random weights are below {record['limit']:g}. "
        + (f"Not reacting, hence not evidence of what the network learnt: {stuck}. " if stuck else "All views react. ")
        + f"In theatre only one view is shown: {theatre}.",
    )


def _label(view: _View) -> str:
    name = _NAMES.get(view["name"]) or str(view["name"])
    return name if view["source"] in (_OURS, "reference") else f"{name} ({view['source']})"


def _randomisation_table(record: Mapping[str, Any]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for view in record["views"]:
        if view["randomised"] is None:
            continue
        drawn, labels = view["randomised"], view["permuted"] or {}
        numbers = (
            drawn["ssim"],
            drawn["spearman"],
            drawn["hog"],
            drawn["empty"],
            labels.get("ssim"),
            labels.get("spearman"),
        )
        rows.append((_label(view), *numbers, "yes" if view["reacts"] else "NO"))
    columns = (
        "Map",
        "SSIM, weights",
        "Rank r, weights",
        "HOG r, weights",
        "Empty",
        "SSIM, labels",
        "Rank r, labels",
        "Reacts",
    )
    title = "Likeness of maps to those of networks with random weights, and trained on permuted labels"
    notes = (
        f"Mean of {record['n_draws']} networks with all weights drawn anew; 1: the same map, so it does not show the "
        "network. SSIM counts common emptiness as likeness. Empty: share of the random networks' maps that had nothing "
        "in them. HOG r: of histograms of gradients. Adebayo et al. 2018.",
    )
    return Table("table-maps-randomisation", title, columns, tuple(rows), notes)


def _truth_table(record: Mapping[str, Any]) -> Table:
    fractions = record["views"][0]["deletion"]["fractions"]
    middle = len(fractions) // 2
    rows: list[tuple[Cell, ...]] = []
    for view in record["views"]:
        removed, hit = view["deletion"], view["pointing"]
        rows.append(
            (
                _label(view),
                removed["most_first"][middle],
                removed["least_first"][middle],
                removed["gain"],
                _hits(hit),
                hit["chance"] if hit else None,
                hit["energy"] if hit else None,
                hit["tumor_share"] if hit else None,
            )
        )
    share = f"{100 * fractions[middle]:.0f} %"
    columns = ("Map", "Most first", "Least first", "Gain", "Pointing", "Chance", "Energy", "Tumour")
    title = "Deletion (ROAD) and pointing game"
    notes = (
        f"Most first, least first: mean logit of {record['target']} with {share} of the specimen removed, from the "
        "pixels that the map marks most or least; gain: their difference, mean over all shares; 0 for a map that knows "
        "nothing. Rong et al. 2022.",
        "Pointing: share of images whose maximum lies in the tumour, with 95 % Wilson interval; chance: of random "
        "points. Energy: share of the map in the tumour, to be compared with the tumour's share of the specimen.",
    )
    return Table("table-maps-truth", title, columns, tuple(rows), notes)


def _hits(hit: Mapping[str, Any] | None) -> Estimate | None:
    return Estimate(hit["accuracy"], hit["low"], hit["high"], "Wilson") if hit else None


def _figure(record: Mapping[str, Any]) -> Figure:
    views = [v for v in record["views"] if v["source"] == _OURS and v["name"] in _SHOWN]
    styles = looks(_label(view) for view in views)
    pointed = [view for view in record["views"] if view["pointing"]]
    with journal():
        handles = method_handles(dict.fromkeys(styles, ""), styles, markers=True)
        height = max(3.0, _ROW * len(pointed) + 0.8) + legend_height(handles)
        plot = new_plot(PAGE, height)
        panels = plot.subplots(1, 2 if pointed else 1, squeeze=False)[0]
        _draw_cascade(panels[0], views, record["stages"], styles, record["limit"])
        if pointed:
            _draw_pointing(panels[1], pointed)
        plot.legend(handles=handles, loc="outside lower left", handlelength=3)
    title = "Do maps follow the network, and do they point at the tumour?"
    kind = "SIMULATED images. " if record["images_kind"] == "simulated" else ""
    caption = (
        "Left: likeness (SSIM) to the map of the trained network while weights are drawn anew from the head to the "
        f"input; dotted: {record['limit']:g}. "
    )
    caption += (
        "Right: share of images whose maximum lies in the tumour, 95 % intervals; bars: chance. " if pointed else ""
    )
    return Figure(
        "figure-maps", title, f"{caption}{kind}{record['n_images']} images.", _words(title, views, pointed), plot
    )


def _draw_cascade(
    axes: Axes, views: Sequence[_View], stages: Sequence[str], styles: Mapping[str, Look], limit: float
) -> None:
    places = range(len(stages) + 1)
    for view in views:
        look = styles[_label(view)]
        values = [1.0, *(step["ssim"] for step in view["cascade"])]
        axes.plot(places, values, color=look.color, linestyle=look.line, marker=look.marker, markersize=4)
    axes.axhline(limit, color=MUTED, linewidth=0.6, linestyle=":")
    axes.set(ylabel="SSIM with the trained network's map", ylim=(min(0.0, axes.get_ylim()[0]), 1.03))
    axes.set_xticks(places, ["trained", *stages], rotation=90, fontsize=6.5)
    axes.set_xlabel("Weights drawn anew down to")


def _draw_pointing(axes: Axes, views: Sequence[_View]) -> None:
    rows = range(len(views))
    hits = [view["pointing"] for view in views]
    values = [hit["accuracy"] for hit in hits]
    axes.hlines(rows, [hit["low"] for hit in hits], [hit["high"] for hit in hits], "#0072B2", linewidth=1.2)
    axes.plot(values, rows, "o", color="#0072B2", markersize=4)
    axes.plot([hit["chance"] for hit in hits], rows, "|", color="black", markersize=8)
    axes.set_yticks(rows, [_label(view).replace(" (", "\n(").replace(", as", ",\nas") for view in views], fontsize=6.5)
    axes.set(xlabel="Pointing game", xlim=(-0.02, 1.02), ylim=(len(views) - 0.5, -0.5))


def _words(title: str, views: Sequence[_View], pointed: Sequence[_View]) -> str:
    ends = "; ".join(f"{_label(view)}: SSIM {view['cascade'][-1]['ssim']:.2f} at the end" for view in views)
    hits = [f"{_label(v)}: {v['pointing']['accuracy']:.2f}, chance {v['pointing']['chance']:.2f}" for v in pointed]
    return f"{title} {ends}." + (f" Pointing game: {'; '.join(hits)}." if hits else "")
