"""The forms that a face set is stored in: folders of images, Parquet shards, and split files over either."""
