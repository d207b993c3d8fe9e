"""Stillframe's machinery.

In comes a plan of cells, out come records. From the bottom up: `model` has the words, `checkpoints` reads archives,
`records` keeps what is found, `oracle` judges it, `host` alone touches the kernel, `stacks` gives the binaries,
`runtimes` drives them, `trial` plays a cell and `run` all of them, and `commands` is the front door. How a result is
presented is the business of `reports`.
"""
