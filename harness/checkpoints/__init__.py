"""What a checkpoint is made of: archives of engines, how they are laid out, and CRIU's images.

Whatever is read here is treated as hostile, and nothing is written outside of a folder that the caller names.
"""
