"""Level two: from the integers of level one to the values of a weight format."""

import numpy as np

from models.formats import MAX_EXPONENT, WeightFormat

__all__ = ["ROUNDINGS", "round_weights"]


def _log(q: np.ndarray, fmt: WeightFormat) -> np.ndarray:
    """The paper's: exponent = round(log2 |q|), at most 7; an exponent below the format's smallest
    becomes the nearer of zero and the smallest magnitude, zero on a tie."""
    magnitude = np.abs(q)
    exponent = np.minimum(np.rint(np.log2(np.maximum(magnitude, 1))), MAX_EXPONENT).astype(int)
    smallest = 1 << fmt.min_exponent
    rounded = np.where(exponent >= fmt.min_exponent, 1 << exponent,
                       np.where(2 * magnitude > smallest, smallest, 0))
    return np.where(q == 0, 0, np.sign(q) * rounded)


def _nearest(q: np.ndarray, fmt: WeightFormat) -> np.ndarray:
    """The closest value; the smaller magnitude on a tie."""
    values = fmt.values[np.argsort(np.abs(fmt.values), kind="stable")].astype(int)
    return values[np.abs(q[..., None] - values).argmin(-1)]


ROUNDINGS = {"log": _log, "nearest": _nearest}
_GRID = np.arange(-255, 256)


def round_weights(q: np.ndarray, fmt: WeightFormat, *, rounding: str) -> np.ndarray:
    """Values of ``fmt`` for level-one weights.

    Parameters
    ----------
    q : array
        Integers from −255 to 255 (−127 to 127 where level one is symmetric).
    fmt : :class:`WeightFormat`
        The format; ``int8`` gives ``q`` back.
    rounding : :class:`str`
        One of :data:`ROUNDINGS`.

    Returns
    -------
    array
        int16, of the shape of ``q``.

    Raises
    ------
    :exc:`ValueError`
        If ``rounding`` is not known.
    """
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding must be one of {', '.join(ROUNDINGS)}, not {rounding!r}")
    if not fmt.power_of_two:
        return q.astype(np.int16)
    return ROUNDINGS[rounding](_GRID, fmt).astype(np.int16)[q.astype(np.int64) + 255]
