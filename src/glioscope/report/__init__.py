"""The study report: from predictions and readings to tables, figures and one page that a journal would accept.

In: a predictions table, readings, `study.toml`, a manifest (all from `cohort`), a suite. Out: a folder with
`metrics.json`, tables (CSV, LaTeX, HTML), figures (SVG, PDF, PNG), `report.html`, `report.pdf`, model cards. The
statistics are all in `stats`; here they are arranged, and what the data cannot carry is said first.
"""

from ._analysis import Analysis, TaskAnalysis, analyse
from ._document import Document, Figure, PValue, Section, Table
from ._evaluate import StudyInputs, evaluate_study
from ._pdf import PdfUnavailable, require_pdf

__all__ = [
    "Analysis",
    "Document",
    "Figure",
    "PValue",
    "PdfUnavailable",
    "Section",
    "StudyInputs",
    "Table",
    "TaskAnalysis",
    "analyse",
    "evaluate_study",
    "require_pdf",
]
