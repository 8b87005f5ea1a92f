"""Settings of the console: a TOML file (docs/console.md), or the command's own options."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ._theatre_settings import TheatreSettings


class ConsoleSettings(BaseModel):
    """Where it listens, how long a log-in lasts, and what theatre does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    """Address that it binds to. Another than loopback needs a certificate and real accounts."""
    port: int = Field(default=8080, ge=0, le=65535)
    """0: any free one."""
    certificate: Path | None = None
    """TLS certificate with its chain, PEM."""
    key: Path | None = None
    """Private key of the certificate, PEM."""
    hosts: tuple[str, ...] = ()
    """Further names under which browsers may ask for it, as in their address line."""
    idle_minutes: float = Field(default=30.0, gt=0, le=24 * 60)
    """A session ends after so long without anything from its browser."""
    longest_hours: float = Field(default=12.0, gt=0, le=48)
    """A session ends after so long in any case."""
    take_key: str = Field(default="Space", min_length=1, max_length=20)
    """Key that takes a specimen, as `KeyboardEvent.code` names it; a foot-pedal sends such a key."""
    language: str = "en"
    """Folder of words."""
    theatre: TheatreSettings = TheatreSettings()
