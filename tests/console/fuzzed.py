"""Schemathesis on the HTTP side: every operation that an application has in its schema, with whatever data."""

from collections import Counter
from typing import Any

import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CHECKS, not_a_server_error

MODES = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)


def fuzz(
    app: FastAPI, url: str, *, headers: dict[str, str], examples: int = 20, checks: tuple[str, ...] = ()
) -> Counter[str]:
    """Send valid and invalid data to every operation of `app.openapi()` at a running server.

    Raises on the first answer that fails a check: an error of the server (5xx), and whatever is named in `checks`
    ("response_schema_conformance", "status_code_conformance", "negative_data_rejection", ...).

    Parameters
    ----------
    headers : sent with every request: the session's cookie and the origin.
    examples : data for each operation and mode.

    Returns
    -------
    How many requests were sent to each operation ("POST /login").
    """
    schema = schemathesis.openapi.from_dict(app.openapi())
    chosen = [not_a_server_error, *CHECKS.get_by_names(list(checks))]
    sent: Counter[str] = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in MODES:
            _fuzz_operation(operation, mode, url, headers, examples, chosen, sent)
    return sent


def _fuzz_operation(
    operation: Any, mode: Any, url: str, headers: dict[str, str], examples: int, checks: list[Any], sent: Counter[str]
) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        sent[operation.label] += 1
        case.call_and_validate(base_url=url, headers=headers, checks=checks)

    try:
        one()
    except Unsatisfiable:
        return  # nothing about it can be invalid
