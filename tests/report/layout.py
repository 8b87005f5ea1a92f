"""What can be read off a drawn figure: its words, texts that collide or leave the page, and the bars of a colour."""

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text


def texts(plot):
    """Every text of a figure that is drawn: not empty, and no label of a tick beyond the end of its axis."""
    axes = [axis for axes in plot.axes for axis in (axes.xaxis, axes.yaxis)]
    beyond = {
        label
        for axis in axes
        for tick in axis.majorTicks
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
        for label in (tick.label1, tick.label2)
    }
    shown = [item for item in plot.findobj(Text) if item.get_visible() and item.get_text().strip()]
    return [item for item in shown if item not in beyond]


def words(plot):
    """All text of a figure, a line each."""
    return [line for item in texts(plot) for line in item.get_text().split("\n")]


def collisions(plot):
    """Pairs of texts that overlap, and texts that leave the page, once the figure is drawn."""
    canvas = FigureCanvasAgg(plot)
    canvas.draw()
    page = plot.bbox.padded(1)
    boxes = [(item.get_text(), item.get_window_extent(canvas.get_renderer())) for item in texts(plot)]
    outside = [text for text, box in boxes if not (page.containsx(box.x0) and page.containsx(box.x1))]
    outside += [text for text, box in boxes if not (page.containsy(box.y0) and page.containsy(box.y1))]
    return outside + [(a, b) for (a, one), (b, other) in combinations(boxes, 2) if one.padded(-0.5).overlaps(other)]


def bars(axes, colour):
    """Bars (x, y, width, height) of a colour in the coordinates of the axes."""
    patches = [patch for patch in axes.patches if to_hex(patch.get_facecolor()) == colour.lower()]
    corners = [polygon for patch in patches for polygon in patch.get_path().to_polygons(closed_only=False)]
    return [(*p.min(axis=0).tolist(), *(p.max(axis=0) - p.min(axis=0)).tolist()) for p in corners]
