"""A world: draws any of its pictures by number, with every label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError
from vultus.worlds import injection
from vultus.worlds.appearance import Appearance
from vultus.worlds.camera import PIVOT, Camera, angles, rotation
from vultus.worlds.capture import DOMAINS, capture
from vultus.worlds.channels import (
    face_temperature,
    infrared_atlas,
    masked_infrared,
    masked_temperature,
    sheet_infrared,
    sheet_temperature,
)
from vultus.worlds.chart import Part
from vultus.worlds.contour import contour_rails, visible_contour
from vultus.worlds.hair import (
    HairStyle,
    glasses_mesh,
    hair_mesh,
    hat_mesh,
    scalp_of,
    style_named,
)
from vultus.worlds.heads import load_head
from vultus.worlds.masks import masked_look, masked_shape, masked_weights
from vultus.worlds.noise import linear
from vultus.worlds.paint import paint
from vultus.worlds.people import Person, person
from vultus.worlds.projection import load_texture, texture_files
from vultus.worlds.recent import Recent
from vultus.worlds.reimage import box_corners, on_picture, on_sheet, source_size
from vultus.worlds.render import Atlas, Mesh, View, draw, face_outline, five_points
from vultus.worlds.samples import Sample
from vultus.worlds.scene import Shot, background, draw_shot, sample_lighting, sample_pose
from vultus.worlds.sheets import Sheet, Shown, sample_sheet, show
from vultus.worlds.spec import PoseSpec, WorldSpec
from vultus.worlds.species import INJECTIONS, MASKS, SHEETS

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]

#: Painted atlases kept in memory; one of 256 texels takes 0.8 MB, one of 512 takes 3 MB.
ATLASES = 64

#: Heads of hair kept in memory, 0.1 MB each.
HAIRS = 128


class World:
    """Pictures of a :class:`~vultus.worlds.spec.WorldSpec`, each a function of seed and number.

    Safe to use from several threads; the same seed and number give the same bytes whatever was
    drawn before, in whatever batch, by however many threads.
    """

    def __init__(self, spec: WorldSpec) -> None:
        self.spec = spec
        self.head = load_head(spec.head, spec.level)
        self._scalp = scalp_of(self.head)
        self._outline = face_outline(self.head.neutral, self.head.parts, self.head.landmarks)
        self._rails = contour_rails(self.head)
        self._texels = 256 if spec.level == "low" else 512
        folder = spec.texture_folder()
        self._textures = texture_files(folder) if folder else []
        self._atlases: Recent[tuple[Appearance, int], tuple[Atlas, Atlas | None]] = Recent(ATLASES)
        self._hairs: Recent[tuple[bytes, HairStyle, int], Mesh] = Recent(HAIRS)

    def shot(self, seed: int, index: int) -> Shot:
        """Draw the circumstances of a picture without drawing the picture."""
        if index < 0:
            raise ConfigError(f"picture numbers start at 0, got {index}")
        return draw_shot(self.spec, self.head, seed, index)

    def sample(self, seed: int, index: int) -> Sample:
        """Draw one picture."""
        return self.picture(self.shot(seed, index))

    def picture(self, shot: Shot, *, moment: int = 0, sheet: Sheet | None = None) -> Sample:
        """Draw the picture of given circumstances.

        Parameters
        ----------
        shot
            From :meth:`shot`, changed at will.
        moment
            Number of the frame of a clip; noise differs between frames, the scene does not.
        sheet
            Where an attack shows its picture, instead of a drawn one.
        """
        if shot.species in SHEETS:
            return self._sheet(shot, moment, sheet or sample_sheet(shot.species, shot.rng("sheet")))
        if shot.species in INJECTIONS:
            return self._injected(shot, moment)
        view = self.view(shot)
        light = _over(view.radiance, background(shot, self.spec, self.spec.size))
        view, light = self._occlude(shot, view, light)
        colour = capture(light, shot.state, shot.rng("noise", moment))
        thermal = None
        if self.spec.channels:
            heat = shot.rng("heat", moment)
            if shot.species in MASKS and shot.species != "glasses":
                thermal = masked_temperature(view, shot.room, shot.species, shot.who.offset, heat)
            else:
                thermal = face_temperature(view, shot.room, shot.who.offset, heat)
        infrared = None
        if view.infrared is not None:
            infrared = masked_infrared(view, shot.species, shot.rng("plastic"))
        return self._labelled(shot, view, colour, shot.pose, infrared, thermal)

    def view(self, shot: Shot, size: int | None = None) -> View:
        """Draw the head of a shot without background, occluders and camera."""
        look = masked_look(shot.species, shot.look)
        atlas, dark_atlas = self._atlas(look, shot.who.number)
        mesh = self._mesh(shot)
        return draw(
            mesh,
            atlas,
            self.head.landmarks,
            self._outline,
            pose=shot.pose,
            camera=shot.camera,
            lighting=shot.lighting,
            size=size or self.spec.size,
            samples=self.spec.samples,
            infrared=dark_atlas,
        )

    def contour(self, shot: Shot) -> FloatArray:
        """Return the 68 points with the contour where its outline is seen, float32 (68, 2) pixels.

        ``landmarks`` of a sample are the projections of points that are fixed on the head.

        Raises
        ------
        ConfigError
            If the picture does not show the head itself.
        """
        if shot.species in SHEETS or shot.species in INJECTIONS:
            raise ConfigError(f"the visible contour is known of heads, not of {shot.species!r}")
        vertices = self._mesh(shot).vertices[: len(self.head.neutral)]
        turned = ((vertices - PIVOT) @ rotation(*shot.pose).T).astype(np.float32)
        screen = shot.camera.project(turned, self.spec.size)
        return visible_contour(self._rails, screen, self.head.landmarks, shot.pose)

    def _mesh(self, shot: Shot) -> Mesh:
        head, who = self.head, shot.who
        weights = masked_weights(shot.species, head, shot.weights)
        rest = head.vertices(who.coefficients[None], np.zeros_like(weights)[None])[0]
        vertices = head.vertices(who.coefficients[None], weights[None])[0]
        vertices = masked_shape(shot.species, head, vertices, shot.rng("mask"))
        mesh = Mesh(vertices, head.triangles, head.uv, head.material, head.parts, head.occlusion)
        style = style_named(who.hair)
        if style is not None and shot.hat:
            style = replace(style, top=min(style.top, 0.5), hairline=max(style.hairline, 8.5))
        if style is not None:
            mesh = mesh.joined(self._hair(who, rest, style))
        wear = shot.rng("worn")
        if shot.glasses or shot.species == "glasses":
            dark = shot.dark or shot.species == "glasses"
            mesh = mesh.joined(glasses_mesh(head, rest, wear, dark=dark))
        if shot.hat:
            over = 0.7 + (0.0 if style is None else 0.5 * max(style.top, style.sides))
            mesh = mesh.joined(hat_mesh(self._scalp, rest, wear, over))
        return mesh

    def _hair(self, who: Person, rest: FloatArray, style: HairStyle) -> Mesh:
        key = (who.coefficients.tobytes(), style, who.look.seed)
        return self._hairs.get(
            key,
            lambda: hair_mesh(self._scalp, rest, style, np.random.default_rng(who.look.seed)),
        )

    def _atlas(self, look: Appearance, number: int) -> tuple[Atlas, Atlas | None]:
        # Without photographs the looks alone decide, whoever has them.
        photo = number % len(self._textures) if self._textures else -1

        def make() -> tuple[Atlas, Atlas | None]:
            skin = load_texture(self._textures[photo], self._texels) if photo >= 0 else None
            atlas = paint(self.head, look, self._texels, texture=skin)
            return atlas, infrared_atlas(atlas, look) if self.spec.channels else None

        return self._atlases.get((look, photo), make)

    def _sheet(self, shot: Shot, moment: int, sheet: Sheet) -> Sample:
        """Show a picture of the person again on paper or on a screen."""
        size = self.spec.size
        source, picture, share = self._source(shot, moment)
        scale = len(picture) / source_size(size)
        eyes = np.stack([source.landmarks[36:42], source.landmarks[42:48]]) * scale
        shown = show(
            picture,
            sheet,
            # The face comes out about as large as a living one would.
            fill=shot.camera.fill / share * float(shot.rng("framing").uniform(0.85, 1.1)),
            size=size,
            lighting=shot.lighting,
            rng=shot.rng("reproduction"),
            eyes=eyes,
        )
        behind_view = None
        back = background(shot, self.spec, size)
        if sheet.holes:
            behind_view = self.view(replace(shot, species="bona_fide", who=self._attacker(shot)))
            back = _over(behind_view.radiance, back)
        light = _over(shown.radiance, back)
        colour = capture(light, shot.state, shot.rng("noise", moment))
        return self._labelled_sheet(
            shot, source, picture, shown, sheet, behind_view, colour, moment
        )

    def _source(self, shot: Shot, moment: int) -> tuple[View, UInt8Array, float]:
        """Draw the picture that an attacker shows, and the share of it that the head fills."""
        size = source_size(self.spec.size)
        rng = shot.rng("source")
        still = replace(
            shot,
            species="bona_fide",
            pose=shot.pose
            if shot.species == "replay"
            else sample_pose(PoseSpec((-15, 15), (-8, 8), (-4, 4)), rng),
            lighting=sample_lighting(self.spec.light, rng),
            camera=Camera(float(rng.uniform(50, 120)), float(rng.uniform(0.55, 0.85))),
        )
        view = self.view(still, size)
        light = _over(view.radiance, background(still, self.spec, size, "source background"))
        state = DOMAINS["phone" if rng.random() < 0.6 else "studio"].sample(rng)
        frame = moment if shot.species == "replay" else 0
        return view, capture(light, state, shot.rng("source noise", frame)), still.camera.fill

    def _attacker(self, shot: Shot) -> Person:
        """Return who holds the sheet: someone else."""
        numbers = self.spec.numbers
        other = numbers[(shot.index + 1) % len(numbers)]
        if other == shot.who.number:
            other += 1
        return person(self.head, self.spec.population, other, asymmetry=self.spec.asymmetry)

    def _labelled_sheet(
        self,
        shot: Shot,
        source: View,
        picture: UInt8Array,
        shown: Shown,
        sheet: Sheet,
        behind: View | None,
        colour: UInt8Array,
        moment: int,
    ) -> Sample:
        size = self.spec.size
        on = shown.place[..., 0] >= 0
        cell = np.clip(np.round(shown.place).astype(int), 0, len(picture) - 1)
        parts = np.where(on & ~shown.cut, source.parts[cell[..., 1], cell[..., 0]], Part.BACKGROUND)
        landmarks, space = on_sheet(source, shown, sheet)
        inside = ((landmarks >= 0) & (landmarks <= size - 1)).all(1)
        corners = on_picture(box_corners(source.box), shown)
        box = np.concatenate([corners.min(0), corners.max(0)]).astype(np.float32)
        depth = shown.depth
        if behind is not None:
            depth = np.minimum(depth, np.where(np.isfinite(depth), np.inf, behind.depth + 2.0))
            parts = np.where(shown.cut, behind.parts, parts)
        infrared = thermal = None
        if self.spec.channels:
            tone = linear(picture.astype(np.float32) / 255) @ np.array(
                [0.25, 0.6, 0.15], np.float32
            )
            infrared = sheet_infrared(shown, sheet, tone[cell[..., 1], cell[..., 0]])
            heat = shot.rng("heat", moment)
            warm = None
            if behind is not None:
                warm = face_temperature(behind, shot.room, 0.0, heat)
                under = ~np.isfinite(shown.depth)
                infrared = np.where(under & (behind.infrared is not None), _nir(behind), infrared)
            thermal = sheet_temperature(shown, sheet, shot.room, heat, warm)
        view = replace(
            source,
            radiance=shown.radiance,
            depth=depth,
            normals=shown.normals,
            parts=parts.astype(np.uint8),
            occluded=np.zeros((size, size), bool),
            landmarks=landmarks,
            landmarks3d=space,
            visible=source.visible & inside,
            box=box,
            keypoints=five_points(landmarks),
        )
        seen = angles(rotation(*sheet.pose) @ rotation(*shot.pose))
        return self._labelled(shot, view, colour, seen, infrared, thermal)

    def _injected(self, shot: Shot, moment: int) -> Sample:
        """Draw a bona fide picture and tamper with its bytes."""
        honest = self.picture(replace(shot, species="bona_fide"), moment=moment)
        rng = shot.rng("injection")
        if shot.species == "digital_replay":
            colour = injection.replayed(honest.colour, rng)
        elif shot.species == "generated":
            colour = injection.resynthesised(honest.colour, rng)
        elif shot.species == "adversarial":
            epsilon = float(rng.choice([2.0, 4.0, 8.0]))
            colour = injection.adversarial(honest.colour, rng, epsilon=epsilon)
        else:
            # The face of the victim on the actor who moves.
            actor = self.picture(
                replace(shot, species="bona_fide", who=self._attacker(shot)), moment=moment
            )
            colour = injection.swap(actor.colour, actor.landmarks, honest.colour, honest.landmarks)
            honest = replace(actor, identity=shot.who.number)
        return replace(honest, colour=colour, species=shot.species)

    def _occlude(self, shot: Shot, view: View, light: FloatArray) -> tuple[View, FloatArray]:
        """Put a hand-sized thing before part of the face."""
        if not shot.occluder:
            return view, light
        import cv2

        rng = shot.rng("occluder")
        size = len(light)
        span = view.box[2:] - view.box[:2]
        centre = view.box[:2] + span * rng.uniform(0.1, 0.9, 2)
        axes = span * rng.uniform(0.12, 0.35, 2)
        mask = np.zeros((size, size), np.uint8)
        ellipse = (tuple(centre.tolist()), tuple((2 * axes).tolist()), float(rng.uniform(0, 180)))
        cv2.ellipse(mask, ellipse, 255, -1, cv2.LINE_AA)
        cover = mask.astype(np.float32)[..., None] / 255
        tint = rng.uniform(0.02, 0.6, 3) * shot.lighting.colours.sum(0)
        hidden = mask > 127
        column, row = np.clip(np.round(view.landmarks.T).astype(int), 0, size - 1)
        near = np.float32(view.depth[np.isfinite(view.depth)].min() - 4.0)
        return (
            replace(
                view,
                depth=np.where(hidden, near, view.depth),
                parts=np.where(hidden, np.uint8(Part.BACKGROUND), view.parts),
                occluded=view.occluded | hidden,
                normals=np.where(hidden[..., None], np.array([0, 0, 1], np.float32), view.normals),
                visible=view.visible & ~hidden[row, column],
            ),
            (light + (tint - light) * cover).astype(np.float32),
        )

    def _labelled(
        self,
        shot: Shot,
        view: View,
        colour: UInt8Array,
        pose: tuple[float, float, float],
        infrared: FloatArray | None,
        thermal: FloatArray | None,
    ) -> Sample:
        return Sample(
            index=shot.index,
            identity=shot.who.number,
            colour=colour,
            depth=view.depth,
            normals=view.normals,
            parts=view.parts,
            occluded=view.occluded,
            landmarks=view.landmarks,
            landmarks3d=view.landmarks3d,
            visible=view.visible,
            box=view.box,
            keypoints=view.keypoints,
            pose=np.array(pose, np.float32),
            expression=shot.weights,
            emotion=shot.emotion,
            infrared=infrared,
            thermal=thermal,
            domain=shot.domain.name,
            species=shot.species,
        )


def _over(front: FloatArray, back: FloatArray) -> FloatArray:
    return np.asarray(front[..., :3] + (1 - front[..., 3:]) * back, np.float32)


def _nir(view: View) -> FloatArray:
    return view.infrared[..., 0] if view.infrared is not None else np.zeros_like(view.depth)
