"""MOS: boxes, five points and head pose from one light network.

Liu, Gu et al., "MOS: A Low Latency and Lightweight Framework for Face Detection, Landmark
Localization, and Head Pose Estimation" (2021). Training is in :mod:`vultus.detection.mos.system`;
running an exported file needs no PyTorch, see :mod:`vultus.detection.mos.finder`.
"""
