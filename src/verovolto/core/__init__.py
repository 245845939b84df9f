"""What every room rests on: errors, files that appear whole, kept work, processes, progress, configuration."""
