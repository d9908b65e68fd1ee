"""Two other ways to draw the labels of a head, to stand beside the compiled rasteriser.

``TorchRasteriser`` is batched and runs on any torch device: every triangle is expanded to the
pixels of its bounding box, and one scatter keeps the nearest. ``VtkRasteriser`` draws with VTK off
screen; part labels come back as flat colours, depth from the depth buffer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class TorchRasteriser:
    """Nearest triangle per pixel centre for a batch of meshes of one topology."""

    def __init__(self, triangles: Array, size: int, device: str = "cpu") -> None:
        import torch

        self.torch, self.size, self.device = torch, size, device
        self.triangles = torch.as_tensor(triangles, dtype=torch.long, device=device)

    def __call__(self, screen: Array) -> tuple[Array, Array]:
        """Return owners, int (B, S, S), -1 for none, and depth, float (B, S, S).

        ``screen`` is float32 (B, V, 3): pixels and depth.
        """
        torch, size = self.torch, self.size
        with torch.inference_mode():
            points = torch.as_tensor(screen, device=self.device)[:, self.triangles]
            batch, faces = points.shape[:2]
            low = points[..., :2].amin(2).ceil().clamp(0).long()
            high = points[..., :2].amax(2).floor().clamp(max=size - 1).long()
            extent = (high - low + 1).clamp(min=0)
            count = (extent[..., 0] * extent[..., 1]).flatten()
            which = torch.repeat_interleave(torch.arange(batch * faces, device=self.device), count)
            place = torch.arange(len(which), device=self.device) - (count.cumsum(0) - count)[which]
            width = extent[..., 0].flatten()[which]
            x = low[..., 0].flatten()[which] + place % width
            y = low[..., 1].flatten()[which] + place // width
            corners = points.reshape(-1, 3, 3)[which].double()
            a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
            area = _cross(b - a, c - a)
            pixel = torch.stack([x, y], 1).double()
            w0 = _cross(b[:, :2] - pixel, c[:, :2] - pixel) / area
            w1 = _cross(c[:, :2] - pixel, a[:, :2] - pixel) / area
            w2 = 1 - w0 - w1
            near = w0 / a[:, 2] + w1 / b[:, 2] + w2 / c[:, 2]
            keep = (w0 >= -1e-9) & (w1 >= -1e-9) & (w2 >= -1e-9) & (area.abs() > 1e-12)
            which, near = which[keep], near[keep].float()
            cell = (which // faces) * size * size + y[keep] * size + x[keep]
            best = torch.zeros(batch * size * size, device=self.device)
            best.scatter_reduce_(0, cell, near, "amax")
            # Among equal depths the first triangle wins, as in the compiled loop.
            owner = torch.full((batch * size * size,), faces, dtype=torch.long, device=self.device)
            wins = near == best[cell]
            owner.scatter_reduce_(0, cell[wins], which[wins] % faces, "amin")
            owner[owner == faces] = -1
            shape = (batch, size, size)
            return owner.reshape(shape).cpu().numpy(), (1 / best).reshape(shape).cpu().numpy()


def _cross(u: Any, v: Any) -> Any:
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]


class VtkRasteriser:
    """Part labels and depth of one mesh at a time, through OpenGL off screen."""

    def __init__(self, triangles: Array, parts: Array, size: int) -> None:
        import vtk
        from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy

        self.vtk, self.size = vtk, size
        self.to_vtk, self.to_numpy = numpy_to_vtk, vtk_to_numpy
        vtk.vtkObject.GlobalWarningDisplayOff()
        cells = vtk.vtkCellArray()
        packed = np.concatenate([np.full((len(triangles), 1), 3), triangles], 1).astype(np.int64)
        cells.SetCells(len(triangles), numpy_to_vtkIdTypeArray(packed.ravel(), deep=True))
        self.mesh = vtk.vtkPolyData()
        self.mesh.SetPolys(cells)
        colour = np.zeros((len(triangles), 3), np.uint8)
        colour[:, 0] = 20 * (parts + 1)
        array = numpy_to_vtk(colour, deep=True)
        self.mesh.GetCellData().SetScalars(array)
        mapper = vtk.vtkPolyDataMapper()
        mapper.SetInputData(self.mesh)
        actor = vtk.vtkActor()
        actor.SetMapper(mapper)
        actor.GetProperty().LightingOff()
        self.renderer = vtk.vtkRenderer()
        self.renderer.AddActor(actor)
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.SetSize(size, size)
        self.window.AddRenderer(self.renderer)

    def __call__(self, turned: Array, distance: float, focal: float) -> tuple[Array, Array]:
        """Return parts, int (S, S), -1 for none, and depth, float (S, S), of points (V, 3)."""
        points = self.vtk.vtkPoints()
        points.SetData(self.to_vtk(np.ascontiguousarray(turned), deep=True))
        self.mesh.SetPoints(points)
        self.mesh.Modified()
        camera = self.renderer.GetActiveCamera()
        camera.SetPosition(0, 0, distance)
        camera.SetFocalPoint(0, 0, 0)
        camera.SetViewUp(0, 1, 0)
        camera.SetViewAngle(float(np.rad2deg(2 * np.arctan(self.size / 2 / focal))))
        near, far = distance * 0.4, distance * 1.8
        camera.SetClippingRange(near, far)
        self.window.Render()
        last = self.size - 1
        colours, depths = self.vtk.vtkUnsignedCharArray(), self.vtk.vtkFloatArray()
        self.window.GetPixelData(0, 0, last, last, 0, colours, 0)
        self.window.GetZbufferData(0, 0, last, last, depths)
        shape = (self.size, self.size)
        red = self.to_numpy(colours).reshape(*shape, -1)[::-1, :, 0].astype(int)
        z = self.to_numpy(depths).reshape(shape)[::-1]
        parts = np.where(z < 1, np.round(red / 20).astype(int) - 1, -1)
        return parts, near * far / (far - z * (far - near))
