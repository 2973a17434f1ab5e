"""The U-Net asked with a tag, which LASS-Net is compared with."""
