"""Records to cells, tables and comparisons. Pure: in come records, out come values."""
