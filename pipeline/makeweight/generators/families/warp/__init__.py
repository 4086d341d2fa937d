"""The family `warp`: learned deformations."""
