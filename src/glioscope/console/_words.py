"""Every sentence that the console shows, in one place: TOML files under `words/LANGUAGE/`, one a page."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from string import Formatter

from glioscope.core import InputError

_FOLDER = Path(__file__).parent / "words"


class Words:
    """The sentences of one language: `words["theatre.take"]`, `words("theatre.number", number=3)`.

    Parameters
    ----------
    language : name of a folder under `words/`.

    Raises
    ------
    InputError : no such language.
    """

    def __init__(self, language: str = "en") -> None:
        folder = _FOLDER / language
        if not folder.is_dir():
            known = ", ".join(sorted(path.name for path in _FOLDER.iterdir() if path.is_dir()))
            raise InputError(f"there are no words in {language!r}; known: {known}")
        self._sentences: dict[str, str] = {}
        for path in sorted(folder.glob("*.toml")):
            with path.open("rb") as file:
                self._sentences |= _flat(path.stem, tomllib.load(file))

    def __getitem__(self, key: str) -> str:
        return self._sentences[key]

    def __call__(self, key: str, **values: object) -> str:
        """The sentence with its gaps filled."""
        return self._sentences[key].format(**values)

    def __contains__(self, key: str) -> bool:
        return key in self._sentences

    def gaps(self) -> dict[str, frozenset[str]]:
        """Key -> the names of its gaps, so that a translation can be held against the original."""
        return {
            key: frozenset(name for _, name, _, _ in Formatter().parse(text) if name)
            for key, text in self._sentences.items()
        }


def _flat(prefix: str, table: Mapping[str, object]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in table.items():
        key = f"{prefix}.{name}"
        found |= _flat(key, value) if isinstance(value, Mapping) else {key: str(value)}
    return found
