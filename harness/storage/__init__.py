"""Data in object storage: URLs as paths, with a bounded cache of what was read on this machine."""
