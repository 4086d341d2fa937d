"""Ways into other training code: exports, data sets, samplers, transforms."""
