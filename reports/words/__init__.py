"""Sentences, signs and numbers for every layout.

Input: values of the analysis. Output: texts. Nothing here reads a file or knows a layout.
"""
