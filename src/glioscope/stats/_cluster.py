"""A proportion of specimens that come in patients, whose own specimens are alike: there are fewer than counted."""

import numpy as np
import numpy.typing as npt
from scipy import special

from ._confusion import clopper_pearson
from ._estimate import Interval
from ._input import as_groups, as_labels, check_level


def clustered_proportion(successes: npt.ArrayLike, groups: npt.ArrayLike, confidence_level: float = 0.95) -> Interval:
    """Interval of a proportion whose specimens are clustered in patients (Korn and Graubard 1998).

    The design effect of the ratio estimator over patients (Rao and Scott 1992) divides the number of specimens; the
    ratio of t quantiles at specimens - 1 and patients - 1 degrees of freedom, squared, shrinks it again, because few
    patients estimate that effect badly. The interval is Clopper-Pearson's at this effective number, which is never
    above the number of specimens. With one specimen a patient it is Clopper-Pearson's itself.

    Parameters
    ----------
    successes : array-like (n_specimens,), 0 or 1.
    groups : array-like (n_specimens,), the patient of each specimen.
    confidence_level : between 0 and 1.

    Returns
    -------
    Interval. Where all specimens agree it is Clopper-Pearson's of the patients; NaN for one patient who differs.

    Raises
    ------
    InputError : no specimen, values other than 0 and 1, lengths that differ.

    References
    ----------
    Rao and Scott, Biometrics 48, 1992; Korn and Graubard, Survey Methodology 24, 1998.
    """
    hits = as_labels(successes)
    level = check_level(confidence_level)
    index, n_groups = as_groups(groups, hits.size)
    share = float(hits.mean())
    if share in (0.0, 1.0):
        return clopper_pearson(int(share) * n_groups, n_groups, level)
    if n_groups < 2:
        return Interval(np.nan, np.nan)
    excess = np.bincount(index, hits - share, minlength=n_groups)
    variance = n_groups / (n_groups - 1) * float(np.sum(excess**2)) / hits.size**2
    design_effect = variance / (share * (1 - share) / (hits.size - 1))
    tail = (1 - level) / 2
    shrink = (special.stdtrit(hits.size - 1, tail) / special.stdtrit(n_groups - 1, tail)) ** 2
    effective = float(hits.size / max(design_effect, 1.0) * shrink)
    k = share * effective
    return Interval(
        float(special.betaincinv(k, effective - k + 1, tail)),
        float(special.betaincinv(k + 1, effective - k, 1 - tail)),
    )
