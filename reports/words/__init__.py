"""Sentences, signs and numbers: every layout takes its words from here.

In come values of the analysis, out come texts. Nothing here reads a file or knows a layout.
"""
