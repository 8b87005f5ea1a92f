"""Whether a fluorescence camera gives the bits that it says: 12 bits in 16 shift or cap every count."""

import numpy as np

from glioscope.core import Frame

_FRAMES = 25
_CAPPED_SHARE = 0.001


class BitWatch:
    """Watches the first second of frames, then has a sentence or none. Not for several threads."""

    def __init__(self, white_level: int) -> None:
        self._white_level = white_level
        self._seen = 0
        self._union = 0
        self._capped = False
        self.sentence = ""

    def add(self, frame: Frame) -> None:
        """Look at a frame, uint16 (H, W); costs nothing once the verdict stands."""
        if self._seen >= _FRAMES:
            return
        self._seen += 1
        self._union |= int(np.bitwise_or.reduce(frame.pixels, axis=None))
        highest = int(frame.pixels.max())
        if highest + 1 < self._white_level and (highest + 1) & highest == 0 and highest > 0:
            # Many pixels at 2^n - 1 and none above: the top of a range of n bits.
            self._capped |= float(np.mean(frame.pixels == highest)) > _CAPPED_SHARE
        if self._seen == _FRAMES:
            self.sentence = self._verdict()

    def _verdict(self) -> str:
        zeros = (self._union & -self._union).bit_length() - 1 if self._union else 0
        if zeros:
            return (
                f"the {zeros} low bits of every pixel are 0: the camera puts {16 - zeros} bits in the upper part of "
                f"16; set it to unpacked, low-aligned pixels"
            )
        if self._capped:
            bits = self._union.bit_length()
            return (
                f"pixels are cut off at {2**bits - 1}: the camera gives {bits} bits, its settings say a white level of "
                f"{self._white_level}"
            )
        return ""
