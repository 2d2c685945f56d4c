"""The wire: code generated from ``verifier.proto`` by ``make proto``. Nothing here is written by hand."""
