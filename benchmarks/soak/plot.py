"""The picture of a soak: one panel per figure, over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.soak.samples import Sample

PANELS = {
    "rolls, deleted segments, compactions": ("rolls", "deleted_segments", "compactions"),
    "disk, MB": ("disk_mb",),
    "files": ("files",),
    "memory of their own, MB": ("daemon_uss_mb", "client_uss_mb"),
    "descriptors": ("daemon_descriptors", "client_descriptors"),
    "reader slots, names in /dev/shm": ("reader_slots", "shm_entries"),
}


def draw(path: Path, samples: Sequence[Sample]) -> None:
    """Write a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 3, figsize=(16, 8), layout="constrained")
    seconds = [sample.seconds for sample in samples]
    for panel, (title, names) in zip(panels.flat, PANELS.items(), strict=True):
        panel.set_title(title, loc="left")
        for name in names:
            panel.plot(seconds, [getattr(sample, name) for sample in samples], label=name)
        panel.set_ylim(bottom=0)
        panel.set_xlabel("s")
        panel.spines[["top", "right"]].set_visible(False)
        if len(names) > 1:
            panel.legend(frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
