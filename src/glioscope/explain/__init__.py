"""Why a network answers as it does: Grad-CAM, guided back-propagation and the paper's five views. Needs torch.

In: a locked bundle with its `model.safetensors` (contract 4) and a specimen's images. Out: `Explanation` (answer,
target, maps and views as numbers), pictures, and the figure laid out as the paper's Fig. 3. In theatre the heatmap
comes from the bundle's `cam` output instead, without torch. Next rooms: `cli` writes the files, `report` the evidence.
"""

from ._colours import SIGNED, UNSIGNED, colour, draw_views, luminance, overlay
from ._evidence import LIMIT, THEATRE_VIEW, Evidence, JudgedImages, ViewEvidence, caption_note, evidence
from ._explainer import ExplainedImage, Explainer, Explanation, specimen_mask
from ._figure import FigureRow, explanation_figure, write_explanation_figure
from ._folder import FolderSettings, Subject, check_folder, write_explanations
from ._judged import judged_images
from ._maps import EXPECTED_LEVEL, Images, Maps, Target, class_target, explain_maps, grad_cam, input_gradients
from ._rules import GATES, RECTIFIERS, guided_copy
from ._views import VIEWS, Scale, Views, make_views, view_arrays

__all__ = [
    "EXPECTED_LEVEL",
    "GATES",
    "LIMIT",
    "RECTIFIERS",
    "SIGNED",
    "THEATRE_VIEW",
    "UNSIGNED",
    "VIEWS",
    "Evidence",
    "ExplainedImage",
    "Explainer",
    "Explanation",
    "FigureRow",
    "FolderSettings",
    "Images",
    "JudgedImages",
    "Maps",
    "Scale",
    "Subject",
    "Target",
    "ViewEvidence",
    "Views",
    "caption_note",
    "check_folder",
    "class_target",
    "colour",
    "draw_views",
    "evidence",
    "explain_maps",
    "explanation_figure",
    "grad_cam",
    "guided_copy",
    "input_gradients",
    "judged_images",
    "luminance",
    "make_views",
    "overlay",
    "specimen_mask",
    "view_arrays",
    "write_explanation_figure",
    "write_explanations",
]
