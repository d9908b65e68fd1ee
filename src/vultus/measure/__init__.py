"""Metrics and their uncertainty, on numpy alone.

Every rate comes as an :class:`Estimate`: the value, a confidence interval, the number of trials it
rests on, and how the interval was found. Where the data cannot support an answer the estimate says
so instead of giving a number.

Scores are always *higher = more similar* (verification, identification), *higher = more likely
bona fide* (presentation attacks) or *higher = better* (quality); a comparison is accepted when its
score is at or above the threshold.

=====================  ===========================================================================
module                 holds
=====================  ===========================================================================
``comparisons``        ``Comparisons``: genuine and impostor scores with their people
``verification``       FMR, FNMR, ROC, EER, TAR@FAR, accuracy; ``lfw`` its two protocols
``allpairs``           the same from embeddings, over every pair, without storing the pairs
``identification``     CMC, FNIR, FPIR (ISO/IEC 19795-1, NIST FRTE)
``clustering``         B-cubed, pairwise F, NMI, adjusted Rand index
``pad``                APCER, BPCER, ACER, HTER (ISO/IEC 30107-3)
``landmarks``          NME, AUC, failure rate
``pose``               angle errors, geodesic distance
``detection``          average precision, recall by size, false positives per image
``parsing``            IoU and F1 per class
``classification``     accuracy, F1, AUC, calibration error, confusion
``regression``         MAE, Pearson, Spearman, CCC
``quality``            error-versus-discard curve
``groups``             any of them per group and intersection
``intervals``          ``Estimate`` and intervals of rates
``bootstrap``          intervals of anything else, over people, or people and seeds
``effects``            effect sizes
``scores``             scores in files
``plots``              figures (needs matplotlib)
=====================  ===========================================================================
"""

from vultus.measure.intervals import Estimate

__all__ = ["Estimate"]
