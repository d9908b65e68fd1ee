"""Synthetic faces with exact labels: heads, renderer, capture domains and attack simulator.

Start with :class:`WorldSpec` and :func:`generate`. Importing this room compiles and loads nothing
heavy; drawing needs numba and SciPy.
"""

from __future__ import annotations

from vultus.worlds.appearance import Appearance, Makeup, sample_appearance, skin_colour
from vultus.worlds.batches import Batch, collate, generate, stream
from vultus.worlds.camera import Camera, angles, rotation
from vultus.worlds.capture import DOMAINS, CameraState, CaptureDomain, capture, recapture
from vultus.worlds.chart import Material, Part
from vultus.worlds.cues import CUES, CueBaseline, cues, fit_cues
from vultus.worlds.expressions import EMOTIONS, sample_expression
from vultus.worlds.hair import HAIR_STYLES
from vultus.worlds.heads import MIRROR_68, Head, load_head
from vultus.worlds.injection import adversarial, replayed, resynthesised, swap
from vultus.worlds.motion import Clip, clip
from vultus.worlds.paint import paint
from vultus.worlds.people import Person, person, split_identities
from vultus.worlds.projection import Texture, load_texture, project_photo, save_texture
from vultus.worlds.render import Atlas, Lighting, Mesh, View, draw
from vultus.worlds.samples import Sample
from vultus.worlds.shards import read_shards, write_shards
from vultus.worlds.sheets import Sheet, Shown, sample_sheet, show
from vultus.worlds.spec import CameraSpec, LightSpec, PoseSpec, WearSpec, WorldSpec
from vultus.worlds.species import INJECTIONS, MASKS, SHEETS, SPECIES, Species
from vultus.worlds.world import World

__all__ = [
    "CUES",
    "DOMAINS",
    "EMOTIONS",
    "HAIR_STYLES",
    "INJECTIONS",
    "MASKS",
    "MIRROR_68",
    "SHEETS",
    "SPECIES",
    "Appearance",
    "Atlas",
    "Batch",
    "Camera",
    "CameraSpec",
    "CameraState",
    "CaptureDomain",
    "Clip",
    "CueBaseline",
    "Head",
    "LightSpec",
    "Lighting",
    "Makeup",
    "Material",
    "Mesh",
    "Part",
    "Person",
    "PoseSpec",
    "Sample",
    "Sheet",
    "Shown",
    "Species",
    "Texture",
    "View",
    "WearSpec",
    "World",
    "WorldSpec",
    "adversarial",
    "angles",
    "capture",
    "clip",
    "collate",
    "cues",
    "draw",
    "fit_cues",
    "generate",
    "load_head",
    "load_texture",
    "paint",
    "person",
    "project_photo",
    "read_shards",
    "recapture",
    "replayed",
    "resynthesised",
    "rotation",
    "sample_appearance",
    "sample_expression",
    "sample_sheet",
    "save_texture",
    "show",
    "skin_colour",
    "split_identities",
    "stream",
    "swap",
    "write_shards",
]
