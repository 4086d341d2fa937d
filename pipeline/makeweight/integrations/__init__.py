"""For a user's own training code: exports, datasets, samplers, transforms, and a comparison."""
