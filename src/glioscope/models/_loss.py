"""Weighted binary cross entropy as the paper means it (Shen et al. 2021, Eq. 1, where y and y-hat are swapped)."""

import torch
from torch.nn import functional


def class_weights(targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Balance coefficients alpha_P = (P+N)/(2P) and alpha_N = (P+N)/(2N), per output.

    Parameters
    ----------
    targets : float (M, K) of 0 and 1: the training set only (tuning and test patients left out).

    Returns
    -------
    alpha_p, alpha_n : float (K,). 924 positives and 342 negatives give 0.685 and 1.851.

    Raises
    ------
    ValueError : an output with one class only.
    """
    positives = targets.sum(0)
    negatives = targets.shape[0] - positives
    if bool((positives == 0).any()) or bool((negatives == 0).any()):
        raise ValueError("class weights need both classes in the training set")
    total = float(targets.shape[0])
    return total / (2 * positives), total / (2 * negatives)


def weighted_bce(
    logit: torch.Tensor, targets: torch.Tensor, alpha_p: torch.Tensor, alpha_n: torch.Tensor
) -> torch.Tensor:
    """Mean over the batch (and outputs) of -[alpha_P y ln p + alpha_N (1-y) ln(1-p)], p = sigmoid(logit).

    The paper writes a sum over all images; with Adam the mean over a batch gives the same direction and lets the
    learning rate be independent of the batch size.
    """
    weight = targets * alpha_p + (1 - targets) * alpha_n
    return functional.binary_cross_entropy_with_logits(logit, targets, weight)
