"""Stillframe's machinery.

In comes a plan of cells, out come records. The folders are the steps, in the order of use: `stacks` gives the
binaries, `runtimes` drives them, `cycle` freezes, checkpoints, captures and restores, `oracle` judges what was
read. Only `host` touches the kernel. Nothing here knows how a result is presented: that is `reports`.
"""
