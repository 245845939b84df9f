"""Scores against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from tests.conftest import draw_face
from verovolto.data.face_batch import FaceBatch
from verovolto.detectors.trivial.detector import trivial_scores
from verovolto.detectors.vae.detector import VAE_SCORES, vae_scores
from verovolto.networks.oc_fakedect import OCFakeDect


@pytest.mark.parametrize("separate", [False, True])
def test_vae_scores_are_their_formulas(separate: bool) -> None:
    torch.manual_seed(1)
    model = OCFakeDect(size=8, latent=4, separate_encoder=separate).eval()
    x = torch.randn(5, 3, 8, 8)
    std = (0.2, 0.3, 0.4)
    with torch.inference_mode():
        out = model(x)
        got = vae_scores(model, x, out, std=std, beta=2.0)
        again = model.second_encoder(out.x_hat)[0] if separate else model.encode(out.x_hat).mu
    error = (x - out.x_hat).numpy()
    rmse = np.sqrt((error**2).mean((1, 2, 3)))
    unit = np.sqrt(((error * np.array(std)[:, None, None]) ** 2).mean((1, 2, 3)))
    mu, logvar = out.posterior.mu.numpy(), out.posterior.logvar.numpy()
    kl = 0.5 * (np.exp(logvar) + mu**2 - 1 - logvar).sum(1)
    latent = np.sqrt(((mu - again.numpy()) ** 2).mean(1))
    want = {
        "rmse": rmse, "mse": rmse**2, "rmse_unit": unit, "latent": latent, "kl": kl,
        "elbo": 2.0 * kl + (error**2).sum((1, 2, 3)),
    }  # fmt: skip
    assert set(got) == set(want) == set(VAE_SCORES)
    for name, values in want.items():
        np.testing.assert_allclose(got[name].numpy(), values, rtol=1e-4, err_msg=name)


def test_trivial_scores_rise_with_what_they_measure() -> None:
    sharp = draw_face(1)
    soft = sharp.filter(ImageFilter.GaussianBlur(2))
    dark = Image.eval(sharp, lambda v: v // 2)
    images = [torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in (sharp, soft, dark)]
    got = trivial_scores(FaceBatch(images=images, encoded_bytes=[1000, 500, None]))
    assert got["bytes"][:2].tolist() == [1000.0, 500.0] and got["bytes"][2].isnan()
    assert got["sharpness"][0] > 2 * got["sharpness"][1]
    assert got["brightness"][0] == pytest.approx(2 * got["brightness"][2], abs=2)


def test_brightness_is_luma() -> None:
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    image[1] = 100
    got = trivial_scores(FaceBatch(images=[image], encoded_bytes=[None]))
    assert got["brightness"].item() == pytest.approx(58.7, abs=1e-3)
    assert got["sharpness"].item() == pytest.approx(0, abs=1e-6)
