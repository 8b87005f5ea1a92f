"""`keygen`, `sign` and `verify`: who may say that a suite is the one that was validated."""

from pathlib import Path
from typing import Annotated

import typer

from glioscope._terminal import out, print_table, progress, say
from glioscope.core import BundleError, sha256_of

from ._app import app

TRUSTED_VARIABLE = "GLIOSCOPE_TRUSTED_KEYS"
SuiteArgument = Annotated[Path, typer.Argument(help="Folder of a locked suite, as `train` writes it.")]
TrustedOption = Annotated[
    Path | None,
    typer.Option(
        "--trusted",
        envvar=TRUSTED_VARIABLE,
        help="Public keys (PEM), a file or a folder: only suites signed by one of them are accepted.",
    ),
]


@app.command()
def keygen(
    stem: Annotated[Path, typer.Argument(metavar="OUT", help="Writes OUT.pem (secret) and OUT.pub.pem (for theatre).")],
) -> None:
    """Make a key pair with which a lab signs its suites (docs/security.md)."""
    from glioscope.runtime import key_id, write_key_pair

    private, public = write_key_pair(stem)
    out.print(f"secret key {private}: keep it where suites are signed, never in theatre", soft_wrap=True)
    out.print(f"public key {public}: give it to the theatre as a trusted key", soft_wrap=True)
    out.print(f"key id     {key_id(public.read_bytes())}", soft_wrap=True)


@app.command()
def sign(
    suite: SuiteArgument,
    key: Annotated[Path, typer.Option("--key", help="Secret key (PEM), as `keygen` makes it.")],
) -> None:
    """Check a suite, every bundle of it, and sign it."""
    from glioscope.runtime import load_suite_info, read_private_key, sign_suite

    private = read_private_key(key)
    load_suite_info(suite)
    locked = sha256_of(suite / "suite.json")
    _check_bundles(suite)
    path = sign_suite(suite, private)
    if sha256_of(suite / "suite.json") != locked:
        path.unlink()
        raise BundleError(f"{suite / 'suite.json'}: was changed while it was being checked; nothing is signed")
    out.print(f"signed: {path}", soft_wrap=True)


@app.command()
def verify(suite: SuiteArgument, trusted: TrustedOption = None) -> None:
    """Check a suite: its signature, the hash of every file, and what each network answers to its probe image."""
    from glioscope.runtime import trusted_keys, verify_suite

    signed_by = verify_suite(suite, trusted_keys(trusted)) if trusted is not None else None
    rows = _check_bundles(suite)
    print_table(f"{suite}: every file is as it was locked", ("bundle", "answers", "files", "probe image"), rows)
    if signed_by is not None:
        out.print(f"signed by the trusted key {signed_by}", soft_wrap=True)
    else:
        say("warning", "yellow", f"{suite}: signature not checked; give --trusted, or set {TRUSTED_VARIABLE}")


def _check_bundles(suite: Path) -> list[tuple[str, ...]]:
    """Load the suite as theatre does, then the bundles that answer no task; one row a bundle."""
    from glioscope.runtime import Cascade, load_bundle, load_suite_info

    info = load_suite_info(suite)
    cascade = Cascade.load(suite)
    tasks = {bundle: task for task, bundle in info.answers.items()}
    names = sorted({*info.bundles, *info.sha256})
    rows: list[tuple[str, ...]] = []
    with progress("checking bundles") as advance:
        for done, name in enumerate(names, 1):
            if tasks.get(name) not in cascade.bundles:
                load_bundle(suite / name, sums_sha256=info.sha256[name])
            files = (suite / name / "SHA256SUMS").read_text(encoding="utf-8").count("\n")
            rows.append((name, tasks.get(name, ""), f"{files} unchanged", "as at export"))
            advance(done, len(names))
    return rows
