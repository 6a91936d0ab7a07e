"""Float ResNets, quantizers, the integer golden model and the artefact."""
