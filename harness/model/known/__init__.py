"""What is known to go wrong beside a cell's own expectation: crashes, and differences of restored containers."""
