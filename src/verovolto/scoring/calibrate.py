"""Give a detector its calibration: real faces that neither training nor the choice of the epoch has seen."""

from __future__ import annotations

import numpy as np

from verovolto.data.faceset import FaceSet
from verovolto.data.splits import cluster_ids, name_of_clusters
from verovolto.errors import CalibrationError
from verovolto.scoring.calibration import (
    FALSE_ALARMS,
    Calibration,
    Threshold,
    every_supervised_threshold,
    one_class_thresholds,
    refused_rates,
)
from verovolto.scoring.detector import VAEDetector
from verovolto.scoring.run import score_faces


def calibrated(detector: VAEDetector, held_out: FaceSet, *, seed: int) -> VAEDetector:
    """The detector with the conformal calibration of every score and its named thresholds.

    `held_out` is the `calibrate` half of the validation faces; `seed` cut it, and is recorded. Its reals give
    the one-class thresholds; its fakes, where there are any, the supervised ones, which are labelled so.
    Raises `CalibrationError` when it holds no real face.
    """
    table = score_faces(detector, held_out, quiet=True)
    readable = table.strings("status") == "ok"
    real = (table.strings("label") == "real") & readable
    fake = (table.strings("label") == "fake") & readable
    if not real.any():
        raise CalibrationError(
            "there is no real face to calibrate on", hint="the validation split needs some"
        )
    ids = cluster_ids(table.table)[real]
    clusters, cluster = len(np.unique(ids)), name_of_clusters(ids)
    thresholds: list[Threshold] = []
    refused: dict[float, int] = {}
    for name in detector.score_names:
        values = table.values(name)
        known = Calibration.of(values[real], score=name, clusters=clusters, cluster=cluster)
        detector.calibration[name] = known
        refused = refused_rates(known)
        supported = [rate for rate in FALSE_ALARMS if rate not in refused]
        thresholds += one_class_thresholds(known, supported, f"{real.sum()} real faces of val/calibrate")
        if fake.any():
            chosen_on = f"{real.sum()} real and {fake.sum()} fake faces of val/calibrate"
            thresholds += every_supervised_threshold(
                values[real], values[fake], score=name, chosen_on=chosen_on
            )
    detector.thresholds = thresholds
    detector.about["calibrated_on"] = {
        "split": "val/calibrate", "real": int(real.sum()), "fake": int(fake.sum()), "clusters": clusters,
        "cluster": cluster, "halved_by_seed": seed,
        "refused_rates": [{"false_alarm": rate, "needs": size} for rate, size in refused.items()],
    }  # fmt: skip
    return detector
