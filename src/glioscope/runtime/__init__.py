"""The locked cascade that answers in theatre: ONNX Runtime, no torch.

In: a suite folder (contract 4), and a frame pair, a tray or the image files of a specimen. Out: a `Diagnosis`
(contract 6): an answer with its probability, or why there is none. Next: `console` shows it, `cases` keeps it, `cli`
prints it.
"""

from ._bundle import Answer, Bundle, load_bundle
from ._cascade import FIRST_TASK, Cascade
from ._decide import decide, threshold_note
from ._files import load_suite_info
from ._heatmap import MEANING, draw_heatmap, heatmap, write_heatmaps
from ._onnx_file import check_onnx
from ._settings import RuntimeSettings
from ._signature import (
    key_id,
    new_key,
    read_private_key,
    sign_suite,
    trusted_keys,
    verify_suite,
    write_key_pair,
)

__all__ = [
    "FIRST_TASK",
    "MEANING",
    "Answer",
    "Bundle",
    "Cascade",
    "RuntimeSettings",
    "check_onnx",
    "decide",
    "draw_heatmap",
    "heatmap",
    "key_id",
    "load_bundle",
    "load_suite_info",
    "new_key",
    "read_private_key",
    "sign_suite",
    "threshold_note",
    "trusted_keys",
    "verify_suite",
    "write_heatmaps",
    "write_key_pair",
]
