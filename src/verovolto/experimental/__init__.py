"""Methods that are measured, documented, and not better than the default detector."""
