"""Images: the content store, layers, and containers' configs made from an image's (docs/images.md).

Nothing of this folder is imported when a container is created without an image.
"""
