"""Face sets: one schema over folders, manifests and Parquet; decoding, epoch order, splits."""
