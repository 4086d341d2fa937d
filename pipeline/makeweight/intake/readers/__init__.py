"""Readers: find the images and labels of a data set."""
