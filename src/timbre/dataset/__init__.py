"""A dataset on disk: cut recordings with their features, and the manifest that names them."""
