"""From videos and photographs to a face set of crops, with a count of what was not found or not read."""
