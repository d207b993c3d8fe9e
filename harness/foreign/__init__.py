"""Files and folders of somebody else: opened without following a link, waiting, or reading for ever.

Paths come in, descriptors, bytes and names go out. What does not fit raises `OSError`, which says what it is instead.
"""
