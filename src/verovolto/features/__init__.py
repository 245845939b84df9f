"""Features computed from crops and feature maps: preprocessing, region statistics, spectra."""
