"""Damaged and hostile files, and who is to read them without a crash, a hang or a bare trace."""
