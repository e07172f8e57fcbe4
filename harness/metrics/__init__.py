"""Metrics as sums of per-sample statistics: value, interval and test are written once for all."""
