"""The status strip of the live view: what must be in sight all the time, in words, a sign and a tone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ._status import CameraStatus, DistanceStatus, LightStatus, PhantomStatus, TheatreStatus
from ._words import Words

Tone = Literal["", "good", "warn", "bad", "light"]
_LOOKED_AT_S = 3.0


@dataclass(frozen=True, slots=True)
class StripItem:
    """One item of the strip.

    Attributes
    ----------
    name : of the item, always the same.
    label, value, sign : as shown; the sign says without colour what the tone says with it.
    tone : "light" while the laser shines, "bad" for what stops the work, "warn" for what the operator should know.
    share : place in its window, 0 to 1, for a small gauge; None: no gauge.
    """

    name: str
    label: str
    value: str
    sign: str = ""
    tone: Tone = ""
    share: float | None = None


_SIGNS: dict[Tone, str] = {"": "", "good": "✔", "warn": "▲", "bad": "✖", "light": "☀"}


def strip(status: TheatreStatus, words: Words, shown_per_second: float) -> list[StripItem]:
    """The items in the order in which they are read; that of faults only when there are some."""
    return [item for part in (_unit, _work, _faults) for item in part(status, words, shown_per_second)]


def _unit(status: TheatreStatus, words: Words, shown_per_second: float) -> Iterator[StripItem]:
    def item(
        name: str, value: str, tone: Tone = "", *, sign: str | None = None, share: float | None = None
    ) -> StripItem:
        return StripItem(name, words[f"live.strip.{name}"], value, _SIGNS[tone] if sign is None else sign, tone, share)

    value, tone, sign = _laser(status.light, words)
    yield item("laser", value, tone, sign=sign)
    irradiance = status.light.irradiance_mw_cm2 if status.light is not None else None
    yield item("irradiance", _or_dash(irradiance, "{:.1f} mW/cm²"))
    yield item("distance", _distance(status.distance), _tone(status.distance), share=_share(status.distance))
    frames, exposure = max(status.integrated, 1), status.exposure_ms
    single = _or_dash(exposure / frames if exposure is not None else None, "{:.3g} ms")
    yield item("exposure", single if frames == 1 else f"{frames} × {single}")
    value = words("live.strip.rate_value", taken=status.frames_per_second, shown=shown_per_second)
    yield item("rate", value, "" if _all_run(status) else "bad")
    if status.recording is None:
        yield item("recording", words["live.strip.not_recorded"])
    elif status.recording.state == "recording":
        left = status.recording.minutes_left
        said = words["live.strip.recording_on"] if left is None else words("live.strip.minutes_left", minutes=left)
        dropped = words("live.strip.dropped", n=status.recording.dropped) if status.recording.dropped else ""
        yield item("recording", said + dropped, "warn" if dropped else "good", sign="▲" if dropped else "●")
    else:
        yield item("recording", words[f"live.strip.recording_{status.recording.state}"], "bad")


def _work(status: TheatreStatus, words: Words, _shown: float) -> Iterator[StripItem]:
    def item(name: str, value: str, tone: Tone = "") -> StripItem:
        return StripItem(name, words[f"live.strip.{name}"], value, _SIGNS[tone], tone)

    suite = status.suite
    kind = f", {words['live.strip.simulated']}" if suite.data_kind == "simulated" else ""
    yield item("suite", f"{suite.name} {suite.sha256[:12]}{kind}", "bad" if suite.changed else "")
    yield item("phantom", *_phantom(status.phantom, words))
    yield item("lost", str(status.lost), "warn" if status.lost else "good")
    yield item("case", status.case_id or words["live.strip.no_case"], "" if status.case_id else "warn")
    quality = status.quality
    if quality is None or quality.age_s > _LOOKED_AT_S:
        yield item("quality", "–")
    elif quality.reasons:
        yield item("quality", quality.reasons[0], "warn")
    else:
        name = {0: "none", 1: "one"}.get(quality.n_specimens, "several")
        said = words(f"live.strip.quality_{name}", n=quality.n_specimens)
        yield item("quality", said, "good" if quality.n_specimens == 1 else "")


def _faults(status: TheatreStatus, words: Words, _shown: float) -> Iterator[StripItem]:
    cameras = [camera.sentence for camera in (status.fl, status.wl) if camera.sentence]
    light = [status.light.reason] if status.light is not None and status.light.state == "fault" else []
    said = dict.fromkeys([*light, *status.faults, *cameras, *([status.clock] if status.clock else [])])
    if said:
        yield StripItem("fault", words["live.strip.fault"], "; ".join(said), _SIGNS["bad"], "bad")


def _laser(light: LightStatus | None, words: Words) -> tuple[str, Tone, str]:
    if light is None:
        return words["live.strip.no_laser"], "", ""
    looks: dict[str, tuple[Tone, str]] = {"off": ("", "○"), "armed": ("warn", "◐"), "emitting": ("light", "☀")}
    return words[f"live.strip.laser_{light.state}"], *looks.get(light.state, ("bad", _SIGNS["bad"]))


def _distance(distance: DistanceStatus) -> str:
    now = _or_dash(distance.now_mm, "{:.0f} mm")
    if distance.nearest_mm is None or distance.farthest_mm is None:
        return now
    return f"{now} ({distance.nearest_mm:.0f}–{distance.farthest_mm:.0f})"


def _tone(distance: DistanceStatus) -> Tone:
    if distance.inside is None:
        return ""
    return "good" if distance.inside else "bad"


def _share(distance: DistanceStatus) -> float | None:
    if distance.now_mm is None or distance.nearest_mm is None or distance.farthest_mm is None:
        return None
    return (distance.now_mm - distance.nearest_mm) / (distance.farthest_mm - distance.nearest_mm)


def _all_run(status: TheatreStatus) -> bool:
    cameras: tuple[CameraStatus, ...] = (status.fl, status.wl)
    return all(camera.state == "running" for camera in cameras)


def _phantom(phantom: PhantomStatus | None, words: Words) -> tuple[str, Tone]:
    if phantom is None:
        return words["live.strip.phantom_never"], "warn"
    tones: dict[str, Tone] = {"ok": "good", "warn": "warn"}
    tone = tones.get(phantom.verdict, "bad")
    if not phantom.current:
        tone = "bad" if tone == "bad" else "warn"
    return words(f"live.strip.phantom_{phantom.verdict}", hours=phantom.age_hours), tone


def _or_dash(value: float | None, shown: str) -> str:
    return "–" if value is None else shown.format(value)
