"""CRIU's images: their messages, and the processes, memory, files and mounts in them.

Folders of images come in, values go out. All input is treated as hostile.
"""
