"""The operator's spoken word as a modality: an example of a plug-in, and of use at a manual station."""
