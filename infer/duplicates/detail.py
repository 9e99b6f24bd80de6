"""Which of two copies shows more? What each of them has that the other knows nothing of.

Sharpness alone does not tell: the blocks of strong compression, the steps of an enlarged copy and
sharpening look like detail, and so does contrast. But an edge that was amplified is known to the
other picture, too: in each band of frequencies the two agree (their coherence, the correlation of
their spectra, is near one). Only where one picture was reduced does the other have detail with
which it does not agree. An enlarged copy has none: above the small one's frequencies there is
nothing in either.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Vectors

_BANDS = 8  # of frequencies, up to half a cycle a pixel
_FINE = 4  # the first of them that is detail: from a quarter of a cycle a pixel on
_COARSE = slice(1, _FINE)  # the bands by which contrast is brought to one
_NEWS = 0.4  # of the fine detail of a picture: what the other knows nothing of, at least
_WHITE, _BLACK = 252, 3  # luminance from which on, and up to which, a picture is clipped


def own_detail(one: Vectors, other: Vectors) -> tuple[float, float]:
    """Measure the fine detail of each of two pictures that the other does not have.

    Args:
        one: float32, shape = (height, width), luminance in [0, 255].
        other: likewise, where it lies on the first; cut at the size of the larger of the two.

    Returns:
        of each, in grey levels (root mean square) at the contrast of the first; 0 for both where
        the sharper one's detail is mostly known to the other.
    """
    window = np.outer(*(np.hanning(length) for length in one.shape)).astype(np.float32)
    window /= np.sqrt((window**2).mean())
    down, across = np.abs(np.fft.fftfreq(one.shape[0])), np.fft.rfftfreq(one.shape[1])
    frequency = np.maximum(down[:, None], across)
    band = np.minimum((frequency * 2 * _BANDS).astype(np.int64), _BANDS - 1).ravel()

    def in_bands(values: Vectors) -> Vectors:
        return np.asarray(np.bincount(band, values.ravel(), _BANDS) * (2 / one.size**2))

    first, second = (np.fft.rfft2((picture - picture.mean()) * window) for picture in (one, other))
    power, others_power = in_bands(np.abs(first) ** 2), in_bands(np.abs(second) ** 2)
    together = np.maximum(in_bands((first * second.conj()).real), 0)
    unknown = 1 - together**2 / np.maximum(power * others_power, 1e-9)
    others_power *= power[_COARSE].sum() / max(float(others_power[_COARSE].sum()), 1e-9)
    fine = [float(energy[_FINE:].sum()) for energy in (power, others_power)]
    own = [float((energy * unknown)[_FINE:].sum()) for energy in (power, others_power)]
    sharper = int(own[1] > own[0])
    if own[sharper] < _NEWS * fine[sharper]:
        return 0.0, 0.0
    return max(own[0], 0.0) ** 0.5, max(own[1], 0.0) ** 0.5


def lost_to_clipping(one: Vectors, other: Vectors) -> tuple[float, float]:
    """Measure what each of two pictures shows where the other is white or black only.

    Args:
        one: float32, shape = (height, width), luminance in [0, 255].
        other: likewise, of the same sharpness, where it lies on the first.

    Returns:
        what the first has lost, and the second, in grey levels of the other (root mean square over
        the whole picture).
    """

    def lost(clipped: Vectors, whole: Vectors) -> float:
        squares = 0.0
        for beyond in (clipped >= _WHITE, clipped <= _BLACK):
            if beyond.any():
                squares += float(whole[beyond].var()) * int(beyond.sum())
        return float((squares / clipped.size) ** 0.5)

    return lost(one, other), lost(other, one)
