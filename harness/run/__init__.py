"""The composition root: the only place that opens catalogs and hands parts to who needs them."""
