"""CRIU's images: its messages, the processes in them, their memory, files and mounts.

In come folders of images, out come values. What is read is treated as hostile.
"""
