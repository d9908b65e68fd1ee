"""Readers of public data set layouts, and splits.

A reader lists a folder and returns light :class:`Record` objects; no picture is opened before
somebody asks for it. A folder that does not have the expected layout raises
:class:`~vultus.errors.DatasetError`, saying what was expected and what was found.

=================  ===============================================================================
module             holds
=================  ===============================================================================
``records``        ``Record``, ``Dataset``, ``Pair``
``lfw``            Labeled Faces in the Wild, its lists and pairs
``people``         folders of people or classes, portraits, ORL, Extended Yale B
``expressions``    FER2013, CK+48, JAFFE, AffectNet
``attributes``     UTKFace, CelebA, SCUT-FBP5500
``points``         300-W ``.pts``, landmark tables, AFLW2000-3D
``boxes``          WIDER FACE, AFW scenes, files of the dlib annotation tool
``masks``          FASSEG
``mxnet``          ``.rec`` and ``.idx`` files, without mxnet
``videos``         folders of videos and of frames
``attacks``        OULU-NPU and Replay-Attack, by protocol
``splits``         splits by identity, folds
``leaks``          identities, copies and near copies that two sets share
``catalogue``      the known sets, their terms, and where they are looked for
=================  ===============================================================================
"""

from vultus.datasets.records import Dataset, Pair, Record

__all__ = ["Dataset", "Pair", "Record"]
