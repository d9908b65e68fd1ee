"""Quality in words: what is wrong with a picture, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

#: A component below this is worth telling.
LOW = 0.5

#: What a low component means, and what helps.
WORDS: Mapping[str, tuple[str, str]] = {
    "pose_yaw": ("turned to the side", "face the camera"),
    "pose_pitch": ("looking up or down", "hold the camera at eye level"),
    "pose_roll": ("tilted", "hold the head upright"),
    "sharpness": ("too blurred", "hold the camera still and focus on the face"),
    "under_exposure": ("too dark", "add light in front of the face"),
    "over_exposure": ("too bright", "lower the exposure or turn away from the light"),
    "dynamic_range": ("too little contrast", "use even light and no haze or glare"),
    "illumination_uniformity": ("lit from one side", "face the light"),
    "eyes_visible": ("eyes covered", "take off dark glasses and clear the view of the eyes"),
    "mouth_visible": ("mouth covered", "take off the mask and the hand"),
    "eyes_open": ("eyes closed", "open the eyes"),
    "mouth_closed": ("mouth open", "close the mouth"),
    "expression_neutrality": ("strong expression", "relax the face"),
    "inter_eye_distance": ("too small", "come closer or use a picture of higher resolution"),
    "head_in_frame": ("cut off", "keep the whole face in the picture"),
}


def reasons(quality: Mapping[str, float], *, most: int = 3) -> tuple[str, ...]:
    """Return what is wrong with a face, the worst first, as in ``too blurred: 31 of 100; ...``.

    Parameters
    ----------
    quality
        Components in [0, 1] by name; other keys are passed over.
    most
        Reasons to return at most.
    """
    low = [(quality[name], name) for name in WORDS if name in quality and quality[name] < LOW]
    return tuple(
        f"{WORDS[name][0]}: {round(100 * value)} of 100; {WORDS[name][1]}"
        for value, name in sorted(low)[:most]
    )
