"""The locked cascade that answers in theatre: ONNX Runtime, no torch.

In: a suite folder (contract 4) and the images of a specimen. Out: a `Diagnosis` (contract 6). Next: `console` shows
it, `cases` keeps it, `cli` prints it.
"""

from ._bundle import Answer, Bundle, load_bundle, load_suite_info
from ._cascade import FIRST_TASK, Cascade, decide, threshold_note

__all__ = ["FIRST_TASK", "Answer", "Bundle", "Cascade", "decide", "load_bundle", "load_suite_info", "threshold_note"]
