"""Data, errors, parameters, plug-ins and the study: what every other package builds on."""
